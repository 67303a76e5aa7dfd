"""The commands end to end."""

import json
import logging
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from messages import bad
from toy import dataset, write_npz

from tsssl_fast import training
from tsssl_fast.methods import METHODS
from tsssl_fast.report import gallery
from tsssl_fast.training import checkpoint, load_encoder


def test_pretrain_then_evaluate(tmp_path, npz, command):
    out = tmp_path / "run"
    arguments = ("pretrain", "--method", "simclr", "--data", npz, "--out", out)
    status, text, _ = command(*arguments, "--epochs", 3, "--batch-size", 8, "--seed", 5)
    assert status == 0
    assert "24 series of sines: loss" in text
    assert str(out / "checkpoint.pt") in text
    assert sorted(p.name for p in out.iterdir()) == ["checkpoint.pt", "log.csv"]
    config = checkpoint.read(out)["config"]
    assert (config["epochs"], config["batch_size"], config["seed"]) == (3, 8, 5)
    for where in (out, out / "checkpoint.pt"):
        status, text, _ = command("evaluate", "--checkpoint", where, "--data", npz)
        assert status == 0
        assert "accuracy on 24 test series" in text
        for row in ("random initialisation", "simclr, 3 epochs"):
            assert row in text


@pytest.mark.parametrize("method", METHODS)
def test_every_method_can_be_asked_for_by_name(tmp_path, npz, command, method):
    out = tmp_path / method
    arguments = ("pretrain", "--method", method, "--data", npz, "--out", out)
    status, text, error = command(*arguments, "--epochs", 1, "--batch-size", 24)
    assert status == 0, error
    assert f"{method}, " in text
    encoder, scaling, content = load_encoder(out)
    x = torch.zeros(2, content["data"]["channels"], 40)
    assert encoder(scaling(x)).shape == (2, encoder.out_features)


def test_an_interrupted_run_goes_on_with_resume(tmp_path, npz, command, monkeypatch):
    from tsssl_fast.cli.progress import EpochsBar

    common = ("pretrain", "--data", npz, "--epochs", 4, "--batch-size", 8)
    assert command(*common, "--out", tmp_path / "whole")[0] == 0
    out = tmp_path / "run"
    shown = EpochsBar.__call__

    def interrupt(self, row):
        shown(self, row)
        if row["epoch"] == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(EpochsBar, "__call__", interrupt)
    status, _, error = command(*common, "--out", out, "--checkpoint-every", 1)
    assert status == 130
    assert error.splitlines()[-1].startswith("tsssl-fast: error: interrupted")
    assert checkpoint.read(out)["epoch"] == 2
    monkeypatch.undo()
    # What is not given is taken from the run.
    assert command("pretrain", "--data", npz, "--out", out, "--resume")[0] == 0
    whole, resumed = (checkpoint.read(tmp_path / name)["model"] for name in ("whole", "run"))
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_demo(tmp_path, command):
    status, text, notes = command("demo", "--out", tmp_path / "demo", "--json")
    assert status == 0
    found = json.loads(text)
    assert found["accuracy"]["SimCLR-TS"]["linear probe"] > 0.5
    assert found["series"] == 40
    for row in ("random initialisation", "generated-1", "SimCLR-TS", "supervised"):
        assert row in text
    assert "SimCLR-TS: loss" in notes
    assert "whole demo" in notes
    assert "whole demo" not in text
    assert checkpoint.read(tmp_path / "demo")["config"]["method"] == "simclr"
    assert (tmp_path / "demo" / "demo.png").read_bytes().startswith(b"\x89PNG")


def test_info_and_version(command):
    from tsssl_fast import __version__

    status, text, _ = command("info")
    assert status == 0
    assert "cpp" in text
    assert "reference" in text
    assert command("--version") == (0, f"tsssl_fast {__version__}\n", "")
    status, as_json, _ = command("info", "--json")
    assert [f"  {line}" for facts in json.loads(as_json).values() for line in facts] == [
        line for line in text.splitlines() if line.startswith("  ")
    ]


def test_no_progress_bar_where_there_is_no_terminal(tmp_path, npz, command):
    arguments = ("pretrain", "--data", npz, "--out", tmp_path / "run", "--epochs", 1)
    status, _, notes = command(*arguments, "--batch-size", 8)
    assert (status, notes) == (0, "")


def test_what_the_library_says_is_a_line_on_stderr(command, monkeypatch):
    from tsssl_fast import info
    from tsssl_fast.training import CollapseWarning

    def report():
        logging.getLogger("tsssl_fast").warning("from the %s", "logger")
        warnings.warn("from warnings", CollapseWarning, stacklevel=1)
        return "the report"

    monkeypatch.setattr(info, "report", report)
    status, text, notes = command("info")
    assert (status, text) == (0, "the report\n")
    assert notes == "tsssl-fast: warning: from the logger\ntsssl-fast: warning: from warnings\n"


def test_augment_draws_every_operation_also_of_series_of_unequal_length(tmp_path, command):
    rng, file, unequal = np.random.default_rng(0), tmp_path / "operations.png", tmp_path / "t.ts"
    rows = [",".join(map(str, rng.normal(size=steps).round(3))) for steps in (30, 40, 36)]
    unequal.write_text("@problemName T\n@data\n" + "\n".join(rows) + "\n")
    given = ("augment", unequal, "--out", file)
    bad(command(*given), "series of unequal length, 30 to 40 steps; choose --unequal='resample'")
    status, text, error = command(*given, "--unequal", "pad", "--index", 2, "--json")
    assert status == 0, error
    assert json.loads(text) == {"picture": str(file), "series": 2, "data": str(unequal)}
    drawn = file.read_bytes()
    assert drawn[:4] == b"\x89PNG"
    options = ("--unequal", "pad", "--index", 2, "--device", "cpu")
    assert command(*given, *options)[0] == 0
    if not torch.cuda.is_available():
        assert file.read_bytes() == drawn
    status, _, error = command(*given, "--unequal", "pad", "--index", 9999)
    assert status != 0
    assert "--index: 9999; accepted: 0 to" in error


def test_augment_draws_on_the_device(tmp_path, npz, command, monkeypatch):
    seen = []
    monkeypatch.setattr(training, "device", torch.device)
    monkeypatch.setattr(gallery, "draw", lambda x, *_, **__: seen.append((x.device.type, x.dtype)))
    words = ("augment", npz, "--out", tmp_path / "x.png", "--device", "meta")
    assert command(*words)[0] == 0
    assert seen == [("meta", torch.float32)]


def test_report_finetune_and_export(tmp_path, npz, command):
    run = tmp_path / "run"
    common = ("--data", npz)
    assert command("pretrain", *common, "--out", run, "--epochs", 2, "--batch-size", 8)[0] == 0
    folder = tmp_path / "report"
    status, text, error = command("evaluate", "--checkpoint", run, *common, "--report", folder)
    assert status == 0, error
    assert f"report: {folder / 'report.html'}" in " ".join(text.split())
    assert "SVM" in text

    tuned = tmp_path / "tuned"
    arguments = ("finetune", "--checkpoint", run, *common, "--epochs", 2, "--batch-size", 8)
    status, text, error = command(*arguments, "--out", tuned, "--fraction", 0.5)
    assert status == 0, error
    assert "with 50% of the labels: loss" in text
    assert "macro F1" in text
    bad(command(*arguments, "--out", tuned), "holds a checkpoint")
    bad(command(*arguments, "--out", tmp_path / "x", "--fraction", 0), "fraction: 0")
    assert not (tmp_path / "x").exists()
    status, text, _ = command("evaluate", "--checkpoint", tuned, *common)
    assert "simclr, fine-tuned on sines" in text
    resumed = ("pretrain", *common, "--out", tuned, "--resume")
    bad(command(*resumed), "is a fine-tuned run")

    # Another sensor: three times the channels, another length.
    other = tmp_path / "other.npz"
    wide = np.random.default_rng(0).normal(size=(24, 9, 25))
    write_npz(other, X_train=wide, X_test=wide)
    transfer = ("finetune", "--checkpoint", run, "--data", other, "--epochs", 1)
    bad(command(*transfer, "--out", tmp_path / "moved"), "has 9 channels; accepted: 3")
    assert command(*transfer, "--out", tmp_path / "moved", "--adapt")[0] == 0
    status, text, _ = command("evaluate", "--checkpoint", tmp_path / "moved", "--data", other)
    assert status == 0
    assert "fine-tuned on other" in text
    bad(
        command("export", "--checkpoint", run, "--out", tmp_path / "encoder.pth"),
        "accepted: a name that ends in .pt2 or .onnx",
    )


def test_embeddings_out(tmp_path, npz, command):
    run, out = tmp_path / "run", tmp_path / "embedded" / "e.npz"
    settings = ("--data", npz, "--out", run, "--epochs", 1, "--batch-size", 8)
    assert command("pretrain", *settings)[0] == 0
    given = ("embed", "--checkpoint", run, "--data", npz)
    status, text, error = command(*given, "--out", out)
    assert status == 0, error
    assert text == f"{out}: 256 features of 48 series of sines\n"
    encoder, scaling, _ = load_encoder(run)
    with np.load(out) as arrays:
        expected = encoder(scaling(dataset().x_test)).numpy()
        assert arrays["features"][24:] == pytest.approx(expected, abs=1e-5)
        assert list(arrays["id"][23:25]) == ["23", "0"]
        assert list(arrays["label"][:3]) == ["0", "1", "2"]
    write_npz(npz, y_train=None, y_test=None)
    table = tmp_path / "e.csv"
    assert command(*given, "--out", table, "--pooling", "stages")[0] == 0
    assert table.read_text().startswith("id,split,f0,f1,")
    bad(command(*given, "--out", tmp_path / "e.txt"), "accepted: a name that ends in .npz, .csv,")
    bad(command(*given, "--out", table, "--pooling", "all"), "pooling: 'all'; accepted: final")
    write_npz(
        npz, X_train=np.zeros((4, 2, 40)), X_test=np.zeros((4, 2, 40)), y_train=None, y_test=None
    )
    bad(command(*given, "--out", table), "2 channels; accepted: 3")


def test_settings_file_profile_and_resume_of_another_method(tmp_path, npz, command):
    out, file = tmp_path / "run", tmp_path / "run.yaml"
    file.write_text("method: vicreg\nepochs: 5\nbatch_size: 8\n")
    arguments = ("pretrain", "--data", npz, "--out", out, "--config", file)
    status, text, error = command(*arguments, "--epochs", 2, "--profile")
    assert status == 0, error
    assert "augmentation" in text
    assert "(medians of 6 steps)" in text
    config = checkpoint.read(out)["config"]
    assert (config["method"], config["epochs"], config["batch_size"]) == ("vicreg", 2, 8)
    bad(
        command("pretrain", "--data", npz, "--out", out, "--resume", "--method", "simclr"),
        "other settings: method='simclr' (was 'vicreg')",
    )
    file.write_text("metod: vicreg\n")
    bad(command(*arguments), "'metod'; accepted: method")
    bad(
        command("pretrain", "--data", npz, "--out", tmp_path / "x", "--column", "label=class"),
        "--column: ",
    )
    older = torch.load(checkpoint.locate(out), weights_only=True)
    torch.save(older | {"format": 0}, checkpoint.locate(out))
    bad(command("evaluate", "--checkpoint", out, "--data", npz), "format 0; accepted: 1 and 2")


def test_termination_ends_as_an_interruption(tmp_path, npz):
    import signal
    import time

    out = tmp_path / "run"
    process = subprocess.Popen(
        [
            *(sys.executable, "-W", "ignore", "-m", "tsssl_fast", "pretrain", "--data", str(npz)),
            *("--out", str(out), "--epochs", "100000", "--batch-size", "8"),
        ],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(1200):
        if (out / "log.csv").exists():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    error = process.communicate(timeout=120)[1]
    assert process.returncode == 130
    assert error.splitlines()[-1].startswith("tsssl-fast: error: interrupted")
    assert sorted(p.name for p in out.iterdir()) == ["log.csv"]
