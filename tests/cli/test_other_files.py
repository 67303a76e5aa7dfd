"""Later commands on files that differ from those of pre-training, and folders in use."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from tsssl_fast import training
from tsssl_fast.data import Scaling
from tsssl_fast.training import checkpoint

RECIPE = ("--epochs", 1, "--batch-size", 8, "--encoder", "resnet", "--views", "noise")
X = np.random.default_rng(0).normal(size=(16, 2, 24)).round(3) * [[1], [5]]


def table(path, header, order=(0, 1)):
    rows = [
        f"{n},{t},{X[n, order[0], t]},{X[n, order[1], t]},k{n % 2}"
        for n in range(16)
        for t in range(24)
    ]
    path.write_text("\n".join([f"series,time,{header},label", *rows]))
    return path


@pytest.fixture
def run(tmp_path, command):
    words = ("pretrain", "--data", table(tmp_path / "t.csv", "ax,ay"), "--out", tmp_path / "run")
    assert command(*words, *RECIPE)[0] == 0
    return tmp_path / "run"


def test_channels_of_a_table_are_those_of_training_by_name(tmp_path, command, run):
    def embedded(file, *more):
        words = ("embed", "--checkpoint", run, "--data", file, "--out", tmp_path / "e.npz", *more)
        status, _, told = command(*words)
        if status:
            return told
        with np.load(tmp_path / "e.npz") as arrays:
            return arrays["features"], told

    expected, _ = embedded(tmp_path / "t.csv")
    found, told = embedded(table(tmp_path / "swapped.csv", "ay,ax", (1, 0)))
    assert np.array_equal(found, expected)
    assert "note: data: channels as in training: ax, ay; series: series; label: label" in told
    found, told = embedded(table(tmp_path / "other.csv", "left,right"))
    assert np.array_equal(found, expected)
    assert "note: data: channels left, right are taken for ax, ay of training" in told


@pytest.mark.parametrize("names", [("ay", "ax"), ("ay", "ax", "t")])
def test_channels_of_an_array_in_another_order_are_refused(tmp_path, command, run, names):
    x = np.stack([X[:, 0] if name == "ax" else X[:, 1] for name in names], axis=1)
    np.savez(tmp_path / "swapped.npz", X=x, channels=names)
    status, _, told = command(
        *("embed", "--checkpoint", run, "--data", tmp_path / "swapped.npz"),
        *("--out", tmp_path / "e.npz"),
    )
    assert status == 1
    assert "accepted: " in told
    assert "X[:, [1, 0]], ax, ay" in told
    assert "--column" not in told


def test_padding_is_no_part_of_the_scaling_of_a_run(tmp_path, command):
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=10 + n % 7).round(3) for n in range(16)]
    rows[3][-1] = 1e3  # what padding repeats
    text = "\n".join(",".join(map(str, row)) for row in rows)
    (tmp_path / "t.ts").write_text(f"@problemName T\n@data\n{text}\n")
    words = ("pretrain", "--data", tmp_path / "t.ts", "--out", tmp_path / "run", *RECIPE)
    status, _, told = command(*words, "--unequal", "pad")
    assert status == 0, told
    kept = checkpoint.read(tmp_path / "run")["scaling"]
    wanted = Scaling.fit(torch.from_numpy(np.concatenate(rows))[None, None])
    torch.testing.assert_close(kept["shift"], wanted.shift)
    torch.testing.assert_close(kept["scale"], wanted.scale)


HOLD = """
import sys, pathlib
from tsssl_fast.training.lock import locked
with locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_fine_tuning_into_a_folder_in_use_is_refused_before_it_trains(tmp_path, command, run):
    out = tmp_path / "tuned"
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert owner.stdout.readline() == b"held\n"
        words = ("finetune", "--checkpoint", run, "--data", tmp_path / "t.csv", "--out", out)
        status, text, told = command(*words, "--test-share", 0.25, "--epochs", 10**6)
        assert (status, text) == (1, "")
        assert f"--out: {out} is being written by process {owner.pid}; accepted" in told
    finally:
        owner.communicate()


def test_of_two_fine_tunings_into_one_folder_the_later_is_refused(
    tmp_path, command, run, monkeypatch
):
    out, fine_tune, later = tmp_path / "tuned", training.fine_tune, []
    words = ("finetune", "--checkpoint", run, "--data", tmp_path / "t.csv", "--out", out)
    words += ("--test-share", 0.25, "--epochs", 1)

    def meanwhile(*given, **named):
        monkeypatch.setattr(training, "fine_tune", fine_tune)
        later.append(command(*words, "--overwrite"))
        return fine_tune(*given, **named)

    monkeypatch.setattr(training, "fine_tune", meanwhile)
    status, _, told = command(*words)
    assert status == 0, told
    [(status, text, told)] = later
    assert (status, text) == (1, "")
    assert f"--out: {out} is being written by process" in told
    assert {p.name for p in out.iterdir()} == {"checkpoint.pt", "log.csv"}


def test_a_run_that_is_there_names_the_flags(tmp_path, command, run):
    words = ("pretrain", "--data", tmp_path / "t.csv", "--out", run, *RECIPE)
    status, _, told = command(*words)
    line = f"--out: {run} holds a checkpoint; accepted: another, --resume or --overwrite"
    assert (status, told.splitlines()[-1]) == (1, f"tsssl-fast: error: {line}")
    status, _, told = command(*words, "--resume", "--overwrite")
    line = "--resume: with --overwrite; accepted: one of them"
    assert (status, told.splitlines()[-1]) == (1, f"tsssl-fast: error: {line}")


@pytest.mark.parametrize("rate", [50, 0.1])
def test_what_inspect_names_for_one_short_recording_trains(tmp_path, command, monkeypatch, rate):
    monkeypatch.chdir(tmp_path)
    rows = [f"{t / rate},{np.sin(t):.3f}" for t in range(600)]
    (tmp_path / "t.csv").write_text("\n".join(["time_s,ax", *rows]))
    status, text, told = command("inspect", "t.csv", "--no-picture")
    assert status == 0, told
    following = text.splitlines()[-1].removeprefix("next: tsssl-fast ").split()
    assert ("2s" if rate == 50 else "128") in following
    recipe = ("--epochs", 1, "--batch-size", 2, "--encoder", "resnet", "--views", "noise")
    status, _, told = command(*following, *recipe)
    assert status == 0, told


def test_choices_of_the_augmentation_of_fine_tuning_are_in_its_help(command, monkeypatch):
    from tsssl_fast.training.views import PRESETS

    monkeypatch.setenv("COLUMNS", "2000")
    _, text, _ = command("finetune", "--help")
    assert f"One of none, {', '.join(PRESETS)}." in text


def test_notes_of_inspect_and_missing_libraries_name_flags(tmp_path, command, run, monkeypatch):
    rows = [",".join([str(n % 2), *(f"{n + t / 8}" for t in range(9))]) for n in range(6)]
    (tmp_path / "w.csv").write_text("\n".join(rows))
    status, text, _ = command("inspect", tmp_path / "w.csv", "--no-picture")
    assert status == 0
    assert "  note: a row per series (--table='long' says otherwise)" in text.splitlines()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    words = ("export", "--checkpoint", run, "--out", tmp_path / "e.onnx")
    status, text, told = command(*words)
    line = "--out: .onnx is written by onnx and onnxscript; install it by: pip install"
    assert (status, text) == (1, "")
    assert told == f"tsssl-fast: error: {line} 'tsssl_fast[onnx]'\n"


def test_a_split_that_pre_training_did_not_have_is_told(tmp_path, command, run):
    line = "tsssl-fast: note: data: pre-training had another split: test series may be among what"
    common = ("--data", tmp_path / "t.csv", "--test-share", 0.25)
    status, _, told = command("evaluate", "--checkpoint", run, *common)
    assert status == 0, told
    assert f"{line} it saw\n" in told
    split = tmp_path / "split"
    assert command("pretrain", *common, "--out", split, *RECIPE)[0] == 0
    for more in ((), ("--split-seed", 1)):
        status, _, told = command("evaluate", "--checkpoint", split, *common[:2], *more)
        assert status == 0, told
        assert (line in told) == bool(more)
