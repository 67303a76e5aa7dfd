"""Series without labels: `--unlabelled` looks at none, read-outs take those that have one."""

import numpy as np
import pytest

from tsssl_fast import data, evaluate
from tsssl_fast.methods import METHODS
from tsssl_fast.training import checkpoint
from tsssl_fast.training.config import learns_labels

RECIPE = ("--epochs", 1, "--batch-size", 8, "--encoder", "resnet", "--views", "noise")
X = np.random.default_rng(0).normal(size=(16, 2, 24)).round(3)
SUPERVISED = [name for name in METHODS if learns_labels(name)]


def npz(**arrays):
    return lambda path: np.savez(path, X_train=X, **arrays)


def csv(path):
    rows = [f"{n},{t},{X[n, 0, t]},{X[n, 1, t]}" for n in range(16) for t in range(24)]
    path.write_text("\n".join(["series,time,ax,ay", *rows]))


def ts(path):
    rows = [":".join(",".join(map(str, channel)) for channel in series) for series in X]
    path.write_text("\n".join(["@problemName T", "@classLabel false", "@data", *rows]))


FILES = {
    "alone.npz": npz(),
    "nothing.npz": npz(y_train=np.full(16, np.nan)),
    "targets.npz": npz(y_train=np.where(np.arange(16) % 3, np.arange(16) / 7, np.nan)),
    "classes.npz": npz(y_train=np.arange(16) % 2),
    "open.npz": npz(y_train=np.arange(16) % 2, X_test=X, y_test=np.arange(16)),
    "t.csv": csv,
    "t.ts": ts,
}
REFUSED = {
    "several.npz": (npz(y_train=np.zeros((16, 3))), "y_train has shape (16, 3); accepted: (16,)"),
    "mixed.npz": (
        npz(y=np.array([*"abcdefgh", None, 1, 2.5, {}, *range(4)], object)),
        "array y holds Python objects, which are not unpickled",
    ),
    "names.npz": (
        npz(y_train=np.arange(16) % 2, classes=np.array(["a", None], object)),
        "array classes holds Python objects, which are not unpickled",
    ),
    "apart.npz": (npz(y_test=np.arange(4)), "y_test, and no array X_test; accepted: both"),
}
FILES |= {name: write for name, (write, _) in REFUSED.items()}


@pytest.mark.parametrize("name", FILES)
def test_pre_training_that_looks_at_no_label(tmp_path, command, name):
    FILES[name](tmp_path / name)
    run = tmp_path / "run"
    common = ("pretrain", "--data", tmp_path / name, "--unlabelled")
    status, text, told = command(*common, "--out", run, *RECIPE)
    assert status == 0, told
    assert f"simclr, resnet encoder, 16 series of {name.partition('.')[0]}: loss" in text
    kept = checkpoint.read(run)["data"]
    assert (kept["classes"], kept["train_series"]) == ([], 16)
    assert "knn" not in (run / "log.csv").read_text()


@pytest.mark.parametrize("name", REFUSED)
def test_labels_that_can_not_be_used_are_refused_where_they_are_looked_at(tmp_path, command, name):
    write, message = REFUSED[name]
    write(tmp_path / name)
    words = ("pretrain", "--data", tmp_path / name, "--out", tmp_path / "run", *RECIPE)
    status, text, error = command(*words)
    assert (status, text) == (1, "")
    assert error.startswith(f"tsssl-fast: error: data: {tmp_path / name}: {message}")
    assert command("inspect", tmp_path / name)[0] == 1
    status, _, told = command(*words, "--unlabelled", "--test-share", 0.25)
    assert status == 0, told


def test_windows_are_cut_without_a_look_at_labels_and_test_series_are_those_of_evaluation(tmp_path):
    file = tmp_path / "t.npz"
    np.savez(file, X=X, y=np.arange(16 * 24).reshape(16, 24) % 5)
    assert len(data.load(file, labels=None, window="8").x_train) == 48
    with pytest.raises(ValueError, match="left out below label_share"):
        data.load(file, labels=False, window="8")
    np.savez(file, X=X, y=np.arange(16) // 4)
    seen, known = (data.load(file, labels=how, test_share=0.25) for how in (None, True))
    assert seen.ids_test == known.ids_test
    assert (seen.classes, known.classes) == ((), ("0", "1", "2", "3"))
    assert (seen.y_train == data.NONE).all()


def test_labels_that_are_looked_at_are_in_the_log(tmp_path, command):
    FILES["classes.npz"](tmp_path / "t.npz")
    run = tmp_path / "run"
    assert command("pretrain", "--data", tmp_path / "t.npz", "--out", run, *RECIPE)[0] == 0
    assert checkpoint.read(run)["data"]["classes"] == ["0", "1"]
    assert "knn" in (run / "log.csv").read_text()


@pytest.mark.parametrize("method", SUPERVISED)
def test_a_method_of_labels_with_none_is_one_line(tmp_path, command, method):
    FILES["classes.npz"](tmp_path / "t.npz")
    common = ("pretrain", "--data", tmp_path / "t.npz", "--out", tmp_path / "run", *RECIPE)
    status, text, error = command(*common, "--method", method, "--unlabelled")
    assert (status, text) == (1, "")
    said = f"--unlabelled: method {method} learns from labels; accepted: without --unlabelled"
    assert error == f"tsssl-fast: error: {said}\n"
    assert not (tmp_path / "run").exists()


def test_read_outs_see_labelled_series_alone(tmp_path, command, monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(36, 2, 24)), np.arange(36) % 3
    known = y < 2
    x[~known] += 100  # what has no label would be noticed
    labels = np.where(known, np.array(["sit", "walk", ""])[y], "")
    parts = {"train": slice(24), "test": slice(24, None)}
    file = tmp_path / "t.npz"
    arrays = {f"X_{split}": x[rows] for split, rows in parts.items()}
    np.savez(file, **arrays, **{f"y_{split}": labels[rows] for split, rows in parts.items()})
    run, common = tmp_path / "run", ("--data", file)
    assert command("pretrain", *common, "--out", run, *RECIPE)[0] == 0
    probe, seen = evaluate.probe, []

    def watched(encoder, scaling, series):
        seen.append((series, probe(encoder, scaling, series)))
        return seen[-1][1]

    monkeypatch.setattr(evaluate, "probe", watched)
    status, text, told = command("evaluate", "--checkpoint", run, *common)
    assert status == 0, told
    assert "train split: 8 of 24 series have no label" in told
    assert "test split: 4 of 12 series have no label" in told
    assert "t: accuracy on 8 test series" in text
    assert len(seen) == 2  # the random initialisation, too
    for series, found in seen:
        for split, rows in parts.items():
            kept = getattr(series, f"x_{split}")
            assert np.array_equal(kept.numpy(), x[rows][known[rows]])
            assert getattr(series, f"y_{split}").tolist() == y[rows][known[rows]].tolist()
            assert len(getattr(found, f"{split}_features")) == len(kept)
    tuned = ("finetune", "--checkpoint", run, *common, "--out", tmp_path / "tuned", "--epochs", 1)
    status, text, told = command(*tuned)
    assert status == 0, told
    assert "on 8 test series" in text
