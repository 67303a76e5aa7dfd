"""`embed --follow`: a line out for each step or window as it comes in."""

import json
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from tsssl_fast import cli, encoders, training
from tsssl_fast.data import Scaling
from tsssl_fast.encoders.causal import Stream
from tsssl_fast.training import following

RECIPE = ("--epochs", 1, "--batch-size", 8, "--views", "noise", "--device", "cpu")
X = np.random.default_rng(0).normal(size=(16, 2, 24)).astype(np.float32)


def lines_of(x):
    return [",".join(map(str, step)) + "\n" for step in x.T.tolist()]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of a causal and of another encoder, trained on X with names of channels."""
    folder = tmp_path_factory.mktemp("runs")
    rows = [f"{n},{t},{X[n, 0, t]},{X[n, 1, t]}" for n in range(16) for t in range(24)]
    (folder / "t.csv").write_text("\n".join(["series,time,ax,ay", *rows]))
    for name in ("causal", "resnet"):
        common = ("pretrain", "--data", folder / "t.csv", "--out", folder / name, *RECIPE)
        assert cli.run([str(word) for word in (*common, "--encoder", name)]) == 0
    return folder


def test_a_stream_has_the_features_of_the_whole():
    torch.manual_seed(0)
    encoder = encoders.Causal(3, width=8, depth=3, features=6).eval()
    x = torch.randn(2, 3, 50)
    whole = encoder.features(x).steps
    stream = Stream(encoder)
    found = torch.cat([stream(part) for part in x.split([1, 1, 5, 1, 42], dim=-1)], dim=1)
    assert torch.allclose(found, whole, atol=1e-5)
    assert max(past.shape[-1] for past in stream.past.values()) == 8


def test_steps_of_a_causal_encoder_and_windows_of_another(runs):
    encoder, scaling, _ = training.load_encoder(runs / "causal")
    found = list(training.follow(lines_of(X[0]), encoder, scaling, 24))
    assert [step for step, _ in found] == list(range(24))
    x = scaling(torch.from_numpy(X[:1]))
    expected = encoder.features(x).steps[0]
    assert torch.allclose(torch.stack([z for _, z in found]), expected, atol=1e-4)
    encoder, scaling, _ = training.load_encoder(runs / "resnet")
    long = np.concatenate(list(X[:3]), axis=1)
    found = list(training.follow(lines_of(long), encoder, scaling, 24, stride=12))
    assert [step for step, _ in found] == [23, 35, 47, 59, 71]
    expected = encoder(scaling(torch.from_numpy(long[None, :, 12:36])))[0]
    assert torch.allclose(found[1][1], expected, atol=1e-5)


def test_a_pipe_gives_a_line_for_a_line_until_interrupted(runs):
    command = ("embed", "--follow", "--checkpoint", runs / "causal", "--data", "-", "--out", "-")
    process = subprocess.Popen(
        [sys.executable, "-m", "tsssl_fast", *map(str, command), "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdin.write("ay;ax\n")
    try:
        for step in range(3):
            process.stdin.write(f"{X[0, 1, step]};{X[0, 0, step]}\n")
            process.stdin.flush()
            line = json.loads(process.stdout.readline())  # before the next step is written
            assert line["step"] == step
        encoder, scaling, _ = training.load_encoder(runs / "causal")
        expected = encoder.features(scaling(torch.from_numpy(X[:1]))).steps[0, 2]
        assert line["features"] == pytest.approx(expected.tolist(), abs=1e-4)
        process.send_signal(signal.SIGINT)
        rest, told = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, rest) == (0, "")
    assert "3 embeddings" in told
    assert "Traceback" not in told


def test_a_file_that_grows(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"1,2\n3,")
    over = threading.Event()
    found = following.growing(path, over.is_set)
    assert next(found) == "1,2\n"
    with path.open("ab") as file:
        file.write(b"4\n5")
    assert next(found) == "3,4\n"
    over.set()
    assert list(found) == []  # the last line has no end yet
    found = following.growing(path)
    assert next(found) == "1,2\n"
    os.truncate(path, 1)
    with pytest.raises(ValueError, match=r"t\.csv: became shorter; accepted: a file that grows"):
        list(found)


def test_lines_in_a_file_and_standard_input_that_ends(runs, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(sys, "stdin", iter_of(["ax,ay\n", *lines_of(X[0]), "\n"]))
    out = tmp_path / "e.csv"
    command = ("embed", "--follow", "--checkpoint", runs / "resnet", "--data", "-", "--out", out)
    assert cli.run([str(word) for word in command]) == 0
    table = np.loadtxt(out, delimiter=",", skiprows=1, ndmin=2)
    encoder, scaling, _ = training.load_encoder(runs / "resnet")
    expected = encoder(scaling(torch.from_numpy(X[:1])))
    assert table[0, 0] == 23
    assert table[:, 1:] == pytest.approx(expected.numpy(), abs=1e-4)


class iter_of:
    def __init__(self, lines):
        self.lines = [*lines, ""]

    def readline(self):
        return self.lines.pop(0)


@pytest.mark.parametrize(
    ("lines", "settings", "message"),
    [
        (["1,2\n", "1\n"], {}, "t: line 2 has 1 cells; accepted: 2"),
        (["1,2\n", "1,x\n"], {}, "t: line 2: could not convert string to float: 'x'; accepted"),
        (["1,2\n", "1,?\n"], {}, "t: line 2 has missing values; accepted: all, or missing="),
        (["1,inf\n"], {}, "t: line 1 has infinite values"),
        (["a,b,c\n"], {"names": ("a", "x")}, "line 1: columns a, b, c; accepted: a, x"),
        (["a,b,c\n"], {}, "line 1: columns a, b, c; accepted: 2 columns"),
    ],
)
def test_lines_that_can_not_be_are_named(lines, settings, message):
    scaling = Scaling(torch.zeros(2).double(), torch.ones(2).double())
    encoder = encoders.Causal(2, width=4, depth=1, features=3)
    with pytest.raises(ValueError, match=message):
        list(training.follow(lines, encoder, scaling, 5, data="t", **settings))


def test_missing_values_repeat_the_last_or_are_zero():
    scaling = Scaling(torch.zeros(1).double(), torch.ones(1).double())
    encoder = encoders.Causal(1, width=4, depth=1, features=3)
    for missing, same in (("forward_backward", "5"), ("zero", "0")):
        found, expected = (
            [z for _, z in training.follow(lines, encoder, scaling, 5, missing=missing)]
            for lines in (["5\n", "NA\n"], ["5\n", f"{same}\n"])
        )
        assert torch.equal(found[1], expected[1])
