"""What a shell and programs meet: completion, bars on a terminal, JSON alone on stdout."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tsssl_fast import cli
from tsssl_fast.methods import METHODS

RECIPE = ("--epochs", 1, "--batch-size", 8, "--views", "noise", "--device", "cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with a table of two channels and a run on it."""
    folder, rng = tmp_path_factory.mktemp("shell"), np.random.default_rng(0)
    lines = ["series,split,label,time,ax,ay"]
    for n in range(32):
        rows = rng.normal(size=(24, 2)).round(3)
        start = f"{n},{('train', 'test')[n // 16]},k{n % 2}"
        lines += [f"{start},{t},{x},{y}" for t, (x, y) in enumerate(rows)]
    (folder / "t.csv").write_text("\n".join(lines))
    words = ("pretrain", "--data", folder / "t.csv", "--out", folder / "run", *RECIPE)
    assert cli.run([str(word) for word in (*words, "--encoder", "resnet")]) == 0
    return folder


def completed(words):
    """What bash is offered behind the last word."""
    given = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", "from tsssl_fast import cli; cli.main()"],
        env=os.environ | given | {"_TSSSL_FAST_COMPLETE": "complete_bash"},
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_a_shell_completes_commands_options_and_choices():
    assert completed("tsssl-fast pre") == ["pretrain"]
    assert completed("tsssl-fast embed --pool") == ["--pooling"]
    offered = completed("tsssl-fast pretrain --method sim")
    assert offered == [name for name in METHODS if name.startswith("sim")]
    assert "simclr" in offered


def test_json_is_all_that_stdout_has(run, command):
    found = ("--checkpoint", run / "run", "--data", run / "t.csv")
    tuned = ("finetune", *found, "--out", run / "tuned", "--epochs", 1, "--batch-size", 8)
    again = ("pretrain", "--data", run / "t.csv", "--out", run / "again", *RECIPE, "--profile")
    commands = {
        ("inspect", run / "t.csv", "--out", run / "t.png"): {"command", "labels", "rate"},
        (*again, "--encoder", "resnet"): {"losses", "checkpoint", "epochs"},
        ("evaluate", *found): {"accuracy", "classes", "series"},
        ("evaluate", *found, "--report", run / "report"): {"label_shares", "report"},
        tuned: {"accuracy", "macro_f1", "auc", "checkpoint"},
        ("embed", *found, "--out", run / "e.npz"): {"features", "file", "series"},
        ("augment", run / "t.csv", "--out", run / "a.png"): {"picture", "series"},
        ("info",): set(),
    }
    for words, names in commands.items():
        status, text, told = command(*words, "--json")
        assert status == 0, (words, told)
        assert text.count("\n") == 1, words
        values = json.loads(text)
        assert names <= set(values), words


@pytest.mark.clean_memory
def test_json_of_export_is_all_that_stdout_has(run, command):
    words = ("export", "--checkpoint", run / "run", "--out", run / "encoder.pt2", "--json")
    status, text, told = command(*words)
    assert status == 0, told
    assert json.loads(text)["features"] == 256


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo terminal")
def test_each_step_of_the_way_has_a_bar_on_a_terminal(run, tmp_path):
    found = ("--checkpoint", run / "run", "--data", run / "t.csv")
    again = ("pretrain", "--data", run / "t.csv", "--out", tmp_path / "run", *RECIPE)
    commands = {
        "simclr": (*again, "--encoder", "resnet"),
        "evaluating": ("evaluate", *found),
        "embedding": ("embed", *found, "--out", tmp_path / "e.npz"),
        "exporting": ("export", *found[:2], "--out", tmp_path / "e.pt2"),
    }
    for title, words in commands.items():
        ours, its = os.openpty()
        code = f"import sys; from tsssl_fast import cli; sys.exit(cli.run({[*map(str, words)]}))"
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            env=os.environ | {"TERM": "xterm", "COLUMNS": "100", "PYTHONUTF8": "1"},
            stdout=subprocess.DEVNULL,
            stderr=its,
        )
        os.close(its)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:  # the other end is closed
            pass
        os.close(ours)
        assert process.wait() == 0, shown
        assert title in shown.decode(errors="replace"), title
        assert "━" in shown.decode(errors="replace"), title
