"""What `--help` says; every kind of bad input is one line on stderr and a non-zero status."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from messages import bad
from toy import write_npz

from tsssl_fast import encoders, training
from tsssl_fast.data import SCALINGS
from tsssl_fast.evaluate.features import POOLINGS
from tsssl_fast.methods import METHODS
from tsssl_fast.training import Config, checkpoint
from tsssl_fast.training.devices import DEVICES
from tsssl_fast.training.views import PRESETS


def test_help_shows_what_the_settings_declare(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    _, text, _ = command("pretrain", "--help")
    text = " ".join(text.split())
    for name in Config.__dataclass_fields__.keys() - {"options"}:
        assert f"--{name.replace('_', '-')} " in text
    assert "[default: (simclr)]" in text
    assert "[default: (by size, 10 to 60)]" in text
    for choices in (METHODS, encoders.ENCODERS, SCALINGS, PRESETS):
        assert all(choice in text for choice in choices)
    assert "One of auto, 32, bf16" in text
    _, text, _ = command("finetune", "--help")
    assert "[default: 40]" in text
    assert "--warmup" not in text


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("method", "simclr"),
        ("encoder", "auto"),
        ("epochs", "by size, 10 to 60"),
        ("batch_size", "up to 256"),
        ("lr", "0.003, of a patch transformer 0.001"),
    ],
)
def test_help_shows_the_default_and_the_choices_of_a_setting(command, monkeypatch, name, default):
    monkeypatch.setenv("COLUMNS", "2000")  # an option a line
    _, text, _ = command("pretrain", "--help")
    option = re.compile(rf"[^-\w]*--{name.replace('_', '-')} ")
    (line,) = filter(option.match, text.splitlines())
    choices = Config.__dataclass_fields__[name].metadata["choices"]
    assert f"[default: ({default})]" in line
    listed = re.search(r"One of (.*?)\.", line)
    expected = tuple(choices()) if choices else None
    assert (tuple(listed[1].split(", ")) if listed else None) == expected
    assert (expected is not None) == (name in ("method", "encoder"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "lost.npz"], "data: lost.npz: no such file"),
        (["--data", "Lost_TRAIN.ts"], "data: Lost_TRAIN.ts: no such file"),
        (["--data", "NoSuchSet"], "data: 'NoSuchSet': no file and no data set"),
        (["--method", "simcrl"], "method: 'simcrl'; accepted: simclr"),
        (["--encoder", "lstm"], "encoder: 'lstm'"),
        (["--batch-size", 25], "--batch-size: 25; accepted: at most the 24 train series"),
        (["--batch-size", 1], "--batch-size: 1; accepted: 2 or more"),
        (["--lr", 0], "lr: 0.0"),
        (["--lr", "nan"], "lr: nan"),
        (["--amp", "8"], "amp: '8'; accepted: auto, 32, bf16"),
        (["--precision", "32"], "precision: '32'; accepted: torch, ieee, bf16x3, bf16"),
        (["--device", "tpu"], "device: 'tpu'"),
        (["--scaling", "max"], "scaling: 'max'"),
        (["--scale-group", 2], "--scale-group: 2"),
        (["--missing", "mean"], "missing: 'mean'"),
        (["--option", "tau=1"], "option of simclr: 'tau'; accepted: temperature"),
        (["--option", "temperature"], "option: 'temperature'; accepted: NAME=NUMBER"),
        (["--option", "temperature=0"], "temperature: 0"),
    ],
)
def test_bad_values(tmp_path, npz, command, arguments, message):
    out = tmp_path / "out"
    bad(command("pretrain", "--data", npz, "--out", out, *arguments), message)
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pretrain"], "Missing option '--data'"),
        (["pretrain", "--data", "x.npz"], "Missing option '--out'"),
        (["pretrain", "--data", "x.npz", "--out", "o", "--epochs", "0"], "epochs"),
        (["pretrain", "--data", "x.npz", "--out", "o", "--epochs", "many"], "epochs"),
        (["pretrain", "--data", "x.npz", "--out", "o", "--sed", "1"], "No such option"),
        (["pretrian"], "No such command 'pretrian'"),
        (["evaluate", "--data", "x.npz"], "Missing option '--checkpoint'"),
    ],
)
def test_bad_usage(command, arguments, message):
    bad(command(*arguments), message, status=2)


def test_bad_files(tmp_path, npz, command):
    out = tmp_path / "out"
    pretrain = ("pretrain", "--data", npz, "--out", out, "--epochs", 1)
    evaluate = ("evaluate", "--checkpoint", out, "--data", npz)
    bad(command(*evaluate), "checkpoint: ")

    whole = npz.read_bytes()
    npz.write_bytes(whole[: len(whole) // 2])
    bad(command(*pretrain), "not a complete .npz file")
    write_npz(npz, y_train=None, y_test=None)
    bad(command(*pretrain, "--method", "supcon"), "no labels; method supcon needs them")
    assert not out.exists()
    assert command(*pretrain)[0] == 0
    bad(command(*evaluate), "no labels")

    npz.write_bytes(whole)
    bad(command(*pretrain), "holds a checkpoint")
    bad(command(*pretrain, "--resume", "--lr", 0.1), "other settings: lr=0.1 (was 0.003)")
    assert command(*pretrain, "--overwrite")[0] == 0
    write_npz(npz, X_train=np.zeros((24, 2, 40)), X_test=np.zeros((24, 2, 40)))
    bad(command(*evaluate), "data: sines has 2 channels; accepted: 3")
    write_npz(npz, X_train=np.full((24, 3, 40), np.nan))
    bad(command(*pretrain), "NaN; choose --missing=")
    npz.write_bytes(whole)
    file = checkpoint.locate(out)
    file.write_bytes(file.read_bytes()[:-100])
    bad(command(*evaluate), "not a complete checkpoint")


def test_the_process_ends_with_the_status_and_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tsssl_fast", "pretrain", "--data", "lost.npz", "--out", "out"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "tsssl-fast: error: data: lost.npz: no such file\n"
    assert list(tmp_path.iterdir()) == []


def test_without_the_training_extra(tmp_path):
    """The command says what to install where typer is missing."""
    code = (
        "import sys; sys.modules['typer'] = None; from tsssl_fast.cli import main; main(['info'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "pip install 'tsssl_fast[train]'" in done.stderr


@pytest.mark.parametrize(
    "name",
    ["pretrain", "evaluate", "finetune", "embed", "export", "inspect", "augment", "demo", "bench"],
)
def test_every_option_says_its_default_or_that_it_is_required(command, monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "2000")
    _, text, _ = command(name, "--help")
    options = [line for line in text.splitlines() if re.match(r"[^-\w]*--\w", line)]
    assert len(options) > 3
    for line in options:
        assert "default: " in line or "[required]" in line or "--help" in line, line


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("embed --device ", DEVICES),
        ("finetune --views ", ("none", *PRESETS)),
        ("embed --pooling ", POOLINGS),
        ("pretrain --method sim", [name for name in METHODS if name.startswith("sim")]),
    ],
)
def test_a_shell_offers_the_choices(words, wanted):
    done = subprocess.run(
        [sys.executable, "-m", "tsssl_fast"],
        env=os.environ
        | {
            "PYTHONPATH": os.pathsep.join(sys.path),
            "_TSSSL_FAST_COMPLETE": "complete_bash",
            "COMP_WORDS": f"tsssl-fast {words}",
            "COMP_CWORD": "3",
        },
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == [*wanted], done.stderr


def test_too_little_memory_is_one_line(tmp_path, command, monkeypatch):
    def fail(said):
        def export(*_, **__):
            raise RuntimeError(said)

        return export

    words = ("export", "--checkpoint", tmp_path, "--out", tmp_path / "e.pt2")
    said = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 80 bytes."
    monkeypatch.setattr(training, "export", fail(said))
    assert command(*words) == (1, "", f"tsssl-fast: error: memory: {said}\n")
    monkeypatch.setattr(training, "export", fail("another"))
    with pytest.raises(RuntimeError, match="another"):
        command(*words)
