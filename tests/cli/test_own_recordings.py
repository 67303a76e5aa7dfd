"""From files as people have them to checkpoints, figures and the next command."""

import csv
import json
import logging
from dataclasses import fields

import numpy as np
import pytest
import torch

from tsssl_fast.data import Reading
from tsssl_fast.training import checkpoint

RECIPE = ("--epochs", 1, "--batch-size", 8, "--encoder", "resnet", "--views", "noise")


def phone(path, recordings=8, steps=120):
    """Recordings of four subjects, a label per step, some without; a gap in the values."""
    rng = np.random.default_rng(1)
    lines = ["recording,subject,time_s,ax,ay,activity"]
    for number in range(recordings):
        for step in range(steps):
            kind = step * 3 // steps
            x = np.sin(step * (0.3 + 0.4 * kind)) + 0.1 * rng.normal()
            y = "" if number == 1 and step == 7 else round(rng.normal(), 3)
            label = ("sit", "walk", "")[kind]
            lines.append(f"r{number},{number % 4},{step / 20:.2f},{x:.3f},{y},{label}")
    path.write_text("\n".join(lines) + "\n")


def test_recordings_to_evaluation_with_what_the_checkpoint_keeps(tmp_path, command):
    file, run = tmp_path / "phone.csv", tmp_path / "run"
    phone(file)
    reading = ("--window", "1s", "--stride", "0.5s", "--missing", "linear", "--test-share", 0.25)
    status, text, told = command("pretrain", "--data", file, "--out", run, *RECIPE, *reading)
    assert status == 0, told
    assert "channels: ax, ay; series: recording; label: activity; group: subject" in told
    assert "1 of 4 groups whole" in told
    kept = checkpoint.read(run)
    assert kept["reading"]["window"] == "1s"
    assert kept["data"]["classes"] == ["sit", "walk"]
    assert kept["data"]["channel_names"] == ["ax", "ay"]
    status, text, told = command("evaluate", "--checkpoint", run, "--data", file, "--json")
    assert status == 0, told
    result = json.loads(text)
    assert result["classes"] == ["sit", "walk"]
    assert 0 < result["series"] < 22
    assert 0 <= result["accuracy"]["random initialisation"]["linear probe"] <= 1
    # A flag stands above what the checkpoint has.
    status, _, told = command("evaluate", "--checkpoint", run, "--data", file, "--missing", "raise")
    assert status == 1
    assert "NaN; choose --missing=" in told
    tuned = ("finetune", "--checkpoint", run, "--data", file, "--epochs", 1, "--batch-size", 8)
    status, text, told = command(*tuned, "--out", tmp_path / "tuned")
    assert status == 0, told
    assert sorted(p.name for p in (tmp_path / "tuned").iterdir()) == ["checkpoint.pt", "log.csv"]
    assert checkpoint.read(tmp_path / "tuned")["reading"]["window"] == "1s"


def test_inspect_says_what_a_file_holds_and_what_comes_next(tmp_path, command, monkeypatch):
    file = tmp_path / "phone.csv"
    phone(file)
    picture = tmp_path / "phone.png"
    status, text, _ = command("inspect", file, "--out", picture)
    assert status == 0
    for part in (
        "train: 8 series, 120 steps, 0.05% of the values missing",
        "channels: 2 (ax, ay)",
        "constant channels: none",
        "sampling rate: 20 Hz",
        "labels, train: sit 320, walk 320, without a label 320",
        "groups: 4",
        "note: time: time_s in s (by its name)",
    ):
        assert part in text
    assert picture.read_bytes().startswith(b"\x89PNG")
    following = text.splitlines()[-1].removeprefix("next: tsssl-fast ")
    assert "--window 2s --missing linear" in following
    monkeypatch.chdir(tmp_path)
    status, _, told = command(*following.split(), *RECIPE)
    assert status == 0, told
    status, text, told = command("inspect", file, "--json", "--no-picture")
    found = json.loads(text)
    assert found["rate"] == pytest.approx(20)
    assert found["labels"]["train"]["sit"] == 320
    assert list(tmp_path.glob("*inspect.png")) == []


def test_inspect_of_constant_channels_targets_and_unequal_lengths(tmp_path, command):
    x = np.random.default_rng(0).normal(size=(5, 2, 9))
    x[:, 1] = 0.1
    np.savez(tmp_path / "t.npz", X=x, y=np.array([0.5, 1.5, 2.25, 4.125, 3]))
    status, text, _ = command("inspect", tmp_path / "t.npz", "--json", "--no-picture")
    assert status == 0
    found = json.loads(text)
    assert found["constant"] == ["1"]
    assert found["targets"] == [0.5, pytest.approx(2.275), 4.125]
    text = "@problemName T\n@classLabel true $a <b>\n@data\n1,2,3:$a\n4,?:<b>\n"
    (tmp_path / "T.ts").write_text(text)
    picture = tmp_path / "t.png"
    status, text, error = command("inspect", tmp_path / "T.ts", "--out", picture)
    assert status == 0, error
    assert "2 to 3 steps, half up to 2.5" in text
    assert "--unequal resample --missing linear" in text


def test_one_recording_asks_for_a_window(tmp_path, command):
    np.save(tmp_path / "t.npy", np.random.default_rng(0).normal(size=(1, 2, 400)))
    common = ("pretrain", "--data", tmp_path / "t.npy", "--out", tmp_path / "run")
    status, _, error = command(*common)
    assert status == 1
    assert "1 series" in error
    assert "--window" in error
    assert command(*common, *RECIPE, "--window", "40")[0] == 0


def test_pre_training_on_one_file_partly_labelled(tmp_path, command):
    x = np.random.default_rng(0).normal(size=(24, 2, 30))
    y = np.arange(24) % 2
    y[::3] = -1
    np.savez(tmp_path / "t.npz", X=x, y=np.where(y < 0, -1, y))
    common = ("--data", tmp_path / "t.npz")
    y3 = np.where(np.arange(24) % 4 == 3, -1, np.arange(24) % 4)
    np.savez(tmp_path / "t.npz", X=x, y=y3)
    status, _, told = command("pretrain", *common, "--out", tmp_path / "run", *RECIPE)
    assert status == 0, told
    assert "6 of 24 series have no label" in told
    status, text, told = command(
        *("pretrain", *common, "--out", tmp_path / "supcon", *RECIPE, "--method", "supcon"),
    )
    assert status == 0, told
    assert "18 series of t" in text
    evaluate = ("evaluate", "--checkpoint", tmp_path / "run", *common)
    status, _, error = command(*evaluate)
    assert status == 1
    assert "t has no test split; choose --test-share=" in error
    status, text, error = command(*evaluate, "--test-share", 0.25, "--json")
    assert status == 0, error
    assert json.loads(text)["series"] == 6  # with a label, of 8


def test_targets_are_read_by_ridge_regression(tmp_path, command):
    rng = np.random.default_rng(0)
    y = rng.normal(size=60)
    x = y[:, None, None] + 0.01 * rng.normal(size=(60, 1, 30))
    np.savez(tmp_path / "t.npz", X=x, y=y)
    run = tmp_path / "run"
    common = ("--data", tmp_path / "t.npz", "--test-share", 0.3)
    assert command("pretrain", *common, "--out", run, *RECIPE)[0] == 0
    evaluate = ("evaluate", "--checkpoint", run, *common)
    status, text, error = command(*evaluate, "--json")
    assert status == 0, error
    errors = json.loads(text)["errors"]["random initialisation"]
    assert errors["r2"] > 0.9
    assert errors["mae"] <= errors["rmse"] < 0.3
    status, text, _ = command(*evaluate)
    assert all(column in text for column in ("RMSE", "MAE", "R2"))


def test_more_epochs_time_limits_and_locks(tmp_path, command):
    np.savez(tmp_path / "t.npz", X=np.random.default_rng(0).normal(size=(16, 1, 24)))
    common = ("pretrain", "--data", tmp_path / "t.npz", "--batch-size", 8, "--views", "noise")
    out = ("--out", tmp_path / "run")
    assert command(*common, *out, "--epochs", 2, "--no-monitor")[0] == 0
    status, text, told = command(*common, *out, "--epochs", 5, "--resume")
    assert status == 0, told
    assert "5 epochs instead of 2; from epoch 2 on the learning rate follows" in told
    assert checkpoint.read(tmp_path / "run")["epoch"] == 5
    with (tmp_path / "run" / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3", "4"]
    # Columns that the first two epochs did not have.
    assert [bool(row["effective_rank"]) for row in rows] == [False, False, True, True, True]
    assert all(float(row["loss"]) > 0 for row in rows)
    limited = ("--out", tmp_path / "limited", "--epochs", 50)
    status, text, _ = command(*common, *limited, "--max-time", "0.001s", "--json")
    assert status == 0
    result = json.loads(text)
    assert (result["epochs"], result["of"]) == (1, 50)
    status, text, _ = command(*common, *limited, "--resume", "--max-time", "0.001s")
    assert "stopped after 2 of 50 epochs; --resume goes on" in text
    status, _, error = command(*common, *limited, "--resume", "--max-time", "soon")
    assert "max-time: 'soon'; accepted: a time such as 90s" in error


def test_a_device_that_is_not_there_is_one_line(tmp_path, command):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    np.savez(tmp_path / "t.npz", X=np.zeros((16, 1, 24)) + np.arange(24))
    common = ("--data", tmp_path / "t.npz")
    out = ("--out", tmp_path / "run")
    for device, words in (
        ("cuda", ("pretrain", *common, *out, *RECIPE)),
        ("cuda:1", ("demo", *out)),
        ("mps", ("evaluate", *common, "--checkpoint", tmp_path / "run")),
        ("cuda", ("export", "--checkpoint", tmp_path / "run", "--out", tmp_path / "run.pt2")),
        ("cuda:1", ("augment", tmp_path / "t.npz", "--out", tmp_path / "run.png")),
    ):
        status, text, error = command(*words, "--device", device)
        assert (status, text) == (1, "")
        assert error.count("\n") == 1
        assert f"--device: '{device}' is not on this machine; accepted here: auto, cpu" in error
    assert [p.name for p in tmp_path.iterdir()] == ["t.npz"]


READERS = ("pretrain", "evaluate", "finetune", "embed", "augment", "inspect")


@pytest.mark.parametrize("name", READERS)
def test_help_shows_how_data_is_read(command, monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "200")
    _, text, _ = command(name, "--help")
    text = " ".join(text.split())
    settings = [
        field.name for field in fields(Reading) if field.name not in ("columns", "channels")
    ]
    assert len(settings) > 12
    for option in ("column", "json", *settings):
        assert f"--{option.replace('_', '-')} " in text, option
    assert "One of raise, linear, forward_backward, zero." in text
    assert "[default: (raise)]" in text


def test_reports_survive_names_of_classes(tmp_path, command, caplog):
    caplog.set_level(logging.WARNING)
    rng = np.random.default_rng(0)
    y = np.array(["a$b$", "<走る>"] * 12)
    x = rng.normal(size=(24, 2, 30)) + (y == "a$b$")[:, None, None]
    np.savez(tmp_path / "t.npz", X_train=x, y_train=y, X_test=x, y_test=y)
    common = ("--data", tmp_path / "t.npz")
    run, report = tmp_path / "run", tmp_path / "report"
    assert command("pretrain", *common, "--out", run, *RECIPE)[0] == 0
    status, _, told = command("evaluate", "--checkpoint", run, *common, "--report", report)
    assert (status, told) == (0, "")
    page = (report / "report.html").read_text()
    assert "a slow fall" in page
    assert "Wilson" in page


def steps_by_channels(folder):
    """(N, T, C), and a value that is missing."""
    x = np.random.default_rng(0).normal(size=(24, 20, 2))
    x[3, 7, 1] = np.nan
    y = np.arange(24) % 2
    np.savez(folder / "t.npz", X_train=x, y_train=y, X_test=x[:8], y_test=y[:8])
    return folder / "t.npz"


def unequal_pair(folder):
    """NAME_TRAIN.ts and NAME_TEST.ts of 15 to 20 steps."""
    rng = np.random.default_rng(0)
    series = [rng.normal(size=15 + n % 6).round(3) for n in range(24)]
    rows = [f"{','.join(map(str, x))}:k{n % 2}" for n, x in enumerate(series)]
    head = "@problemName T\n@classLabel true k0 k1\n@data\n"
    for split, part in (("TRAIN", rows), ("TEST", rows[:8])):
        (folder / f"T_{split}.ts").write_text(head + "\n".join(part) + "\n")
    return folder / "T_TRAIN.ts"


@pytest.mark.parametrize(
    ("write", "given", "other", "message"),
    [
        (
            *(steps_by_channels, {"layout": "NTC", "missing": "zero"}),
            *({"layout": "NCT"}, "t has 20 channels; accepted: 2"),
        ),
        (
            *(steps_by_channels, {"layout": "NTC", "missing": "linear"}),
            *({"missing": "raise"}, "X_train has 1 NaN; choose --missing="),
        ),
        *(
            (
                *(unequal_pair, {"unequal": unequal}),
                *({"unequal": "raise"}, "X_train holds series of unequal length, 15 to 20 steps"),
            )
            for unequal in ("resample", "pad", "truncate")
        ),
    ],
)
def test_what_pre_training_was_told_of_a_file_holds_later(
    tmp_path, command, write, given, other, message
):
    def flags(settings):
        return [word for name, value in settings.items() for word in (f"--{name}", value)]

    run, common = tmp_path / "run", ("--data", write(tmp_path))
    status, _, told = command("pretrain", *common, "--out", run, *RECIPE, *flags(given))
    assert status == 0, told
    kept = checkpoint.read(run)
    assert {name: kept["reading"][name] for name in given} == given
    evaluate = ("evaluate", "--checkpoint", run, *common)
    tuned = ("finetune", "--checkpoint", run, *common, "--epochs", 1, "--batch-size", 8)
    for words in (evaluate, (*tuned, "--out", tmp_path / "tuned")):
        status, text, told = command(*words)
        assert status == 0, told
        assert "8 test series" in text
    read = checkpoint.read(tmp_path / "tuned")
    assert read["reading"] == kept["reading"]
    assert read["finetuned"]["digest"] == kept["data"]["digest"]  # the same series
    status, _, told = command(*evaluate, *flags(other))
    assert status == 1
    assert message in told.splitlines()[-1]


def test_an_array_of_more_channels_than_steps_is_told_until_its_layout_is_said(
    tmp_path, command, caplog
):
    np.save(tmp_path / "t.npy", np.random.default_rng(0).normal(size=(16, 24, 3)))
    common = ("pretrain", "--data", tmp_path / "t.npy", *RECIPE)
    line = (
        "data: X_train has 24 channels of 3 steps; where it is (N, T, C), say {}layout='NTC'"
    ).format
    shapes = {}
    for layout in ("auto", "NCT", "NTC"):
        caplog.clear()
        run = tmp_path / layout
        status, _, told = command(*common, "--out", run, "--layout", layout)
        assert status == 0, told
        found = checkpoint.read(run)["data"]
        shapes[layout] = found["channels"], found["length"]
        warned = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
        assert warned == ([line("")] if layout == "auto" else [])
        assert (f"tsssl-fast: warning: {line('--')}" in told.splitlines()) == (layout == "auto")
    assert shapes == {"auto": (24, 3), "NCT": (24, 3), "NTC": (3, 24)}


def test_the_share_of_the_majority_label_is_printed(tmp_path, command):
    # Windows start at 0, 2, ... 14; those at 6 and 8 have one step of the other label.
    rows = [f"{step / 50},{step},{'sit' if step < 9 else 'walk'}" for step in range(18)]
    (tmp_path / "t.csv").write_text("\n".join(["time,ax,activity", *rows]))
    words = ("inspect", tmp_path / "t.csv", "--no-picture", "--window", 4, "--stride", 2)
    status, text, told = command(*words)
    assert status == 0, told
    assert "labels, train: sit 4, walk 4" in text
    line = "8 windows of 4 steps, 2 apart, of 1 recordings; the majority label has 94% on average"
    assert f"  note: train split: {line}" in text.splitlines()


def test_tables_of_columns_go_in_and_out(tmp_path, command):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow", reason="Parquet is read by pyarrow, which is not installed")
    rng = np.random.default_rng(0)
    number, step = np.repeat(np.arange(16), 24), np.tile(np.arange(24), 16)
    table = pandas.DataFrame({"series": [f"r{n}" for n in number], "time": step})
    table = table.assign(ax=rng.normal(size=384), ay=rng.normal(size=384))
    table["label"] = np.where(number % 2, "walk", "sit")
    table.to_parquet(tmp_path / "t.parquet", index=False)
    run, common = tmp_path / "run", ("--data", tmp_path / "t.parquet")
    assert command("pretrain", *common, "--out", run, *RECIPE)[0] == 0
    for ending in ("parquet", "npz", "csv"):
        out = tmp_path / f"e.{ending}"
        status, text, told = command("embed", "--checkpoint", run, *common, "--out", out)
        assert status == 0, told
        assert text == f"{out}: 256 features of 16 series of t\n"
    found = pandas.read_parquet(tmp_path / "e.parquet")
    written = pandas.read_csv(tmp_path / "e.csv")
    names = [f"f{i}" for i in range(256)]
    assert list(found.columns) == list(written.columns) == ["id", "split", "label", *names]
    assert found["id"].tolist() == [f"r{n}" for n in range(16)]
    assert found["split"].tolist() == ["train"] * 16
    assert found["label"].tolist() == ["sit", "walk"] * 8
    with np.load(tmp_path / "e.npz") as arrays:
        assert np.array_equal(found[names].to_numpy(), arrays["features"])
        assert arrays["features"].std() > 0
    assert written[names].to_numpy() == pytest.approx(found[names].to_numpy(), rel=1e-5, abs=1e-7)
