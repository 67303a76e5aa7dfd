"""Settings of reading and scaling that a checkpoint keeps, on files it was not trained on."""

import numpy as np
import pytest
import torch

from tsssl_fast.training import checkpoint

RECIPE = ("--epochs", 1, "--batch-size", 8, "--encoder", "resnet", "--views", "noise")
ROLES = ("--column", "series=rec", "--column", "time=ms", "--column", "label=kind")
READING = (*ROLES, "--time-unit", "ms", "--window", 20, "--test-share", 0.25)


def table(path, header="rec,ms,ax,ay,kind", hertz=50):
    """16 recordings of 40 steps under names that no rule knows."""
    rng = np.random.default_rng(0)
    lines = [header]
    for number in range(16):
        for step in range(40):
            x, y = np.sin(step * (0.3 + 0.4 * (number % 2))), rng.normal()
            lines.append(f"r{number},{step * 1000 / hertz:g},{x:.3f},{y:.3f},k{number % 2}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def run(tmp_path, command):
    words = ("pretrain", "--data", table(tmp_path / "a.csv"), "--out", tmp_path / "run")
    status, _, told = command(*words, *READING, *RECIPE)
    assert status == 0, told
    return tmp_path / "run"


def test_another_file_of_the_kind_is_read_alike(tmp_path, command, run):
    other = table(tmp_path / "b.csv")
    status, _, told = command("evaluate", "--checkpoint", run, "--data", other)
    assert status == 0, told
    line = "data: read as a in training: --window 20 --time-unit ms --test-share 0.25 --column"
    assert sum(line in one for one in told.splitlines()) == 1
    assert "series: rec; label: kind" in told
    assert "32 windows of 20 steps" in told
    assert "left out of what training had" not in told
    # What is embedded has no need of a test split.
    given = ("embed", "--checkpoint", run, "--data", other, "--out", tmp_path / "b.npz")
    status, text, told = command(*given)
    assert status == 0, told
    assert "features of 32 series of b" in text
    assert "left out of what training had: --test-share (all are taken)" in told
    with np.load(tmp_path / "b.npz") as arrays:
        assert set(arrays["split"]) == {"train"}
        assert arrays["id"][0] == "r0@0"


def test_what_another_file_lacks_is_told_and_options_stand_above(tmp_path, command, run):
    other = table(tmp_path / "d.csv", "rec,ms,ax,ay,sort")
    given = ("evaluate", "--checkpoint", run, "--data", other)
    status, _, told = command(*given)
    assert status == 1
    assert "left out of what training had: --column label (no column kind)" in told
    assert "d.csv: no labels, no column of them; accepted: --column label=NAME" in told
    status, _, told = command(*given, "--column", "label=sort", "--window", 10)
    assert status == 0, told
    assert "series: rec; label: sort" in told
    assert "64 windows of 10 steps" in told
    assert "--window 20" not in told
    assert "left out of what training had" not in told


def test_arrays_of_another_file_have_the_layout_of_training(tmp_path, command):
    x = np.random.default_rng(0).normal(size=(20, 30, 2))
    for name in ("x", "y"):
        np.savez(tmp_path / f"{name}.npz", X=x)
    np.savez(tmp_path / "z.npz", X=x[:, :, 0])
    run = tmp_path / "run"
    words = ("pretrain", "--data", tmp_path / "x.npz", "--layout", "NTC", "--out", run)
    assert command(*words, *RECIPE)[0] == 0
    given = ("embed", "--checkpoint", run, "--out", tmp_path / "e.npz", "--data")
    status, _, told = command(*given, tmp_path / "y.npz")
    assert status == 0, told
    assert told == "tsssl-fast: note: data: read as x in training: --layout NTC\n"
    status, _, told = command(*given, tmp_path / "z.npz")
    assert status == 1
    assert "left out of what training had: --layout (an array of 2 dimensions)" in told
    assert told.splitlines()[-1].startswith("tsssl-fast: error: data: ")


def test_another_rate_is_a_warning(tmp_path, command, run):
    assert checkpoint.read(run)["data"]["rate"] == pytest.approx(50)
    out = ("--out", tmp_path / "e.npz")
    fast = table(tmp_path / "fast.csv", hertz=100)
    status, _, told = command("embed", "--checkpoint", run, "--data", fast, *out)
    assert status == 0, told
    line = "tsssl-fast: warning: data: fast has 100 Hz, and the encoder was trained at 50 Hz"
    assert f"{line}; --resample=50 makes them alike\n" in told
    for more in ((fast, "--resample", 50, "--window", 10), (tmp_path / "a.csv",)):
        status, _, told = command("embed", "--checkpoint", run, "--data", *more, *out)
        assert status == 0, told
        assert "warning" not in told


def test_the_split_of_pre_training_is_told_after_fine_tuning(tmp_path, command, run):
    common = ("--checkpoint", run, "--data", tmp_path / "a.csv")
    tuned, recipe = tmp_path / "tuned", ("--epochs", 1, "--batch-size", 8)
    status, _, told = command(
        *("finetune", *common, "--out", tuned, "--split-seed", 5, *recipe),
    )
    assert status == 0, told
    line = "had another split: test series may be among what it saw"
    assert f"data: pre-training {line}" in told
    for more, stages in (
        ((), ["pre-training"]),
        (("--split-seed", 0), ["fine-tuning"]),
        (("--split-seed", 1), ["pre-training", "fine-tuning"]),
    ):
        status, _, told = command("evaluate", "--checkpoint", tuned, *common[2:], *more)
        assert status == 0, told
        found = [one.split()[3] for one in told.splitlines() if one.endswith(line)]
        assert found == stages
    # The other file's name is that of fine-tuning: its reading is that of the checkpoint.
    moved = tmp_path / "moved"
    other = table(tmp_path / "b.csv", "rec,ms,ax,ay,sort")
    given = ("--data", other, "--column", "label=sort")
    assert command("finetune", *common[:2], *given, "--out", moved, *recipe)[0] == 0
    status, _, told = command("evaluate", "--checkpoint", moved, "--data", other)
    assert status == 0, told
    assert "label: sort" in told
    assert "in training: --" not in told


def recording(path, mode, seed):
    path.parent.mkdir(exist_ok=True)
    values = np.random.default_rng(seed).normal(size=60).round(3)
    rows = [f"{t / 50},{mode(t)},{value}" for t, value in enumerate(values)]
    path.write_text("\n".join(["time_s,mode,ax", *rows]))


def test_channels_are_those_of_training_whatever_the_files_at_hand_hold(tmp_path, command):
    for number in range(4):
        recording(tmp_path / "moving" / f"{number}.csv", lambda t: t // 10 % 2, number)
        recording(tmp_path / "still" / f"{number}.csv", lambda t, n=number: n % 2, number)
    recording(tmp_path / "alone.csv", lambda t: 1, 9)
    for folder, channels in (("moving", ["mode", "ax"]), ("still", ["ax"])):
        run = tmp_path / f"run-{folder}"
        given = ("--data", tmp_path / folder, "--window", 20)
        assert command("pretrain", *given, "--out", run, *RECIPE)[0] == 0
        assert checkpoint.read(run)["data"]["channel_names"] == channels
        for other in ("moving", "still", "alone.csv"):
            words = ("embed", "--checkpoint", run, "--data", tmp_path / other)
            status, _, told = command(*words, "--out", tmp_path / "e.npz")
            assert status == 0, told
            wanted = "as in training: " + ", ".join(channels)
            assert wanted in told, told


def test_a_number_of_channels_that_does_not_fit_names_the_flag(tmp_path, command, run):
    lines = [line.rsplit(",", 2)[0] for line in (tmp_path / "a.csv").read_text().splitlines()]
    (tmp_path / "less.csv").write_text("\n".join(lines))
    out = ("--out", tmp_path / "e.npz")
    words = ("embed", "--checkpoint", run, "--data", tmp_path / "less.csv", *out)
    status, _, told = command(*words)
    assert status == 1
    line = "less has 1 channels; accepted: 2, as a on which the encoder was trained, named by"
    assert f"{line} --column values=ax,ay, or --adapt" in told
    np.savez(tmp_path / "less.npz", X=np.zeros((4, 1, 30)))
    status, _, told = command(*words[:4], tmp_path / "less.npz", *out)
    assert status == 1
    assert "was trained: ax, ay, or --adapt" in told
    assert "--column values" not in told


def test_checkpoints_without_these_fields_are_read(tmp_path, command, run):
    file = checkpoint.locate(run)
    whole = torch.load(file, weights_only=True)
    new = ("rate", "test_share", "split_seed")
    whole["data"] = {name: value for name, value in whole["data"].items() if name not in new}
    torch.save(whole, file)
    words = ("evaluate", "--checkpoint", run, "--data", tmp_path / "a.csv")
    status, _, told = command(*words, "--split-seed", 3)
    assert status == 0, told
    assert "data: pre-training had another split" in told


@pytest.mark.parametrize("name", ["pretrain", "finetune"])
@pytest.mark.parametrize("inside", [False, True])
def test_a_file_in_the_way_of_the_folder_is_one_line(tmp_path, command, run, name, inside):
    file = tmp_path / "file"
    file.write_text("mine")
    given = ("--checkpoint", run) if name == "finetune" else ()
    out = file / "run" if inside else file
    words = (name, *given, "--data", tmp_path / "a.csv", "--out", out, "--epochs", 1)
    more = READING if name == "pretrain" else ()
    status, text, told = command(*words, *more, "--batch-size", 8)
    assert (status, text) == (1, "")
    line = f"tsssl-fast: error: --out: {file} is a file; accepted: a folder"
    assert told.splitlines()[-1] == line
    assert file.read_text() == "mine"


def test_export_computes_on_the_processor_by_default(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "2000")
    (line,) = [one for one in command("export", "--help")[1].splitlines() if "--device" in one]
    assert "[default: cpu]" in line
