"""Recordings cut into windows, test splits, and steps of unequal length."""

import numpy as np
import pytest
import torch
from cases.tables import long_table

from tsssl_fast import data


def activity(steps=60, hertz=20):
    """A recording whose label changes from a to b at a third, with steps without one between."""
    lines = ["time,x,activity"]
    for step in range(steps):
        label = "a" if step < steps // 3 else "" if step < steps // 3 + 2 else "b"
        lines.append(f"{step / hertz},{step},{label}")
    return "\n".join(lines) + "\n"


def test_windows_of_a_recording_with_a_label_per_step(write, told):
    path = write("walk.csv", activity())
    with pytest.raises(
        ValueError, match="has several values in column 'label', one per step; choo"
    ):
        data.load(path)
    loaded = data.load(path, window="0.5s", stride="5")
    assert loaded.x_train.shape == (11, 1, 10)
    assert loaded.x_train[1, 0].tolist() == list(range(5, 15))
    assert loaded.classes == ("a", "b")
    assert loaded.y_train.tolist() == [0] * 4 + [1] * 7
    assert loaded.groups.tolist() == [0] * 11
    assert loaded.ids_train[1] == "walk@5"
    strict = data.load(path, window="0.5s", stride="5", label_share=0.9)
    assert len(strict.x_train) == 9
    assert any("2 left out below label_share 0.9" in line for line in told())
    with pytest.raises(ValueError, match="window: 61 steps; train split: 0 windows"):
        data.load(path, window="61")


def test_the_majority_of_a_window_and_its_share(write, told):
    rows = [f"{0.02 * t:.2f},{t},{'sit' if t < 3 else 'walk'}" for t in range(6)]
    path = write("day.csv", "\n".join(["time,ax,activity", *rows]))
    for window, stride in (("4", "2"), ("0.08s", "0.04s")):
        loaded = data.load(path, window=window, stride=stride)
        assert loaded.x_train.tolist() == [[[0, 1, 2, 3]], [[2, 3, 4, 5]]]
        assert loaded.classes == ("sit", "walk")
        assert loaded.y_train.tolist() == [0, 1]
    line = "2 windows of 4 steps, 2 apart, of 1 recordings; the majority label has 75% on average"
    assert told().count(f"data: train split: {line}") == 2


def test_windows_of_an_array(tmp_path):
    x = np.arange(2 * 3 * 100.0).reshape(2, 3, 100)
    y = np.repeat([[0, 1], [1, 0]], 50, axis=1)
    np.savez(tmp_path / "t.npz", X=x, y=y)
    loaded = data.load(tmp_path / "t.npz", window="2s", rate=10)
    assert loaded.x_train.shape == (10, 3, 20)
    assert loaded.x_train[1, 0].tolist() == list(range(20, 40))
    assert loaded.x_train[5, 0].tolist() == list(range(300, 320))
    assert loaded.y_train.tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 0, 0]
    assert loaded.groups.tolist() == [0] * 5 + [1] * 5
    with pytest.raises(ValueError, match="window: 2s, and no time stamps; accepted: steps, or rat"):
        data.load(tmp_path / "t.npz", window="2s")
    for window in ("0", "-3", "2m", "1.5", "s"):
        with pytest.raises(ValueError, match=r"window: .*accepted: steps such as 128"):
            data.load(tmp_path / "t.npz", window=window)


def test_windows_of_one_recording_of_many_steps(tmp_path):
    x = np.arange(3 * 20000.0).reshape(1, 3, 20000)
    np.save(tmp_path / "t.npy", x)
    loaded = data.load(tmp_path / "t.npy", labels=False, window="20")
    assert loaded.x_train.shape == (1000, 3, 20)
    assert loaded.x_train[1, 0].tolist() == list(range(20, 40))
    assert loaded.x_train[5, 2].tolist() == list(range(40100, 40120))
    assert np.array_equal(loaded.x_train.numpy(), x.reshape(3, 1000, 20).transpose(1, 0, 2))
    assert loaded.groups.tolist() == [0] * 1000
    np.save(tmp_path / "t.npy", x[0])
    turned = data.load(tmp_path / "t.npy", labels=False, window="20", layout="CT")
    assert torch.equal(turned.x_train, loaded.x_train)


def test_a_test_share_keeps_recordings_groups_and_classes(write, tmp_path):
    path = write("phone.csv", long_table(series=24, steps=12))
    loaded = data.load(path, window="4", test_share=0.25, split_seed=3)
    train, test = ({name.partition("@")[0] for name in ids} for ids in _ids(loaded))
    assert not train & test
    assert len(loaded.x_test) == 18
    # Two series of a subject in a row: both on one side.
    assert {int(name[1:]) // 2 for name in train}.isdisjoint({int(n[1:]) // 2 for n in test})
    again = data.load(path, window="4", test_share=0.25, split_seed=3)
    assert again.ids_test == loaded.ids_test
    assert data.load(path, test_share=0.25, split_seed=4).ids_test != loaded.ids_test
    y = np.array([0] * 40 + [1] * 10)
    np.savez(tmp_path / "t.npz", X=np.zeros((50, 1, 3)), y=y)
    loaded = data.load(tmp_path / "t.npz", test_share=0.2)
    assert loaded.y_test.bincount().tolist() == [8, 2]
    assert loaded.y_train.bincount().tolist() == [32, 8]
    np.savez(tmp_path / "t.npz", X_train=np.zeros((5, 1, 3)), X_test=np.zeros((5, 1, 3)))
    with pytest.raises(ValueError, match=r"test_share: 0.2; t has a test split; accepted: 0"):
        data.load(tmp_path / "t.npz", test_share=0.2, labels=False)


def _ids(loaded):
    return loaded.ids_train, loaded.ids_test


def test_unequal_steps_are_told_and_resampled_with_gaps(write, told):
    stamps = [0, 0.1, 0.2, 0.35, 0.4, 0.5, 1.5, 1.6]
    text = "time,x\n" + "".join(f"{t},{10 * t}\n" for t in stamps)
    path = write("gaps.csv", text)
    data.load(path, labels=False)
    assert any("steps are unequal; resample=10 makes them equal" in line for line in told())
    loaded = data.load(path, labels=False, resample=10.0, missing="zero")
    expected = [0, 1, 2, 3, 4, 5, *[0] * 9, 15, 16]
    assert loaded.x_train[0, 0].tolist() == pytest.approx(expected)
    with pytest.raises(ValueError, match="X_train has 9 NaN"):
        data.load(path, labels=False, resample=10.0)
    with pytest.raises(ValueError, match="resample: 10 Hz, and plain has no time stamps"):
        data.load(write("plain.csv", "x\n1\n2\n"), labels=False, resample=10.0)


@pytest.mark.parametrize(
    ("name", "factor", "unit"),
    [("time_ms", 1e3, "auto"), ("timestamp", 1e3, "ms"), ("time_us", 1e6, "auto")],
)
def test_units_of_time(write, name, factor, unit):
    text = f"{name},x\n" + "".join(f"{round(factor * t / 50)},{t % 3}\n" for t in range(9))
    loaded = data.load(write("t.csv", text), labels=False, time_unit=unit)
    assert loaded.rate == pytest.approx(50)


def test_settings_of_reading_are_checked():
    for settings, kind, message in (
        ({"windw": "3"}, TypeError, "windw: no such setting; accepted: missing"),
        ({"test_share": "a"}, TypeError, "test_share: str; accepted: float"),
        ({"test_share": 1.5}, ValueError, "test_share: 1.5; accepted: 0 to 0.95"),
        ({"layout": "TNC"}, ValueError, "layout: 'TNC'; accepted: auto, NCT"),
        ({"stride": "3"}, ValueError, "stride: 3; accepted: with a window"),
    ):
        with pytest.raises(kind, match=message):
            data.load("BasicMotions", **settings)
    with pytest.raises(ValueError, match="aeon would download it; accepted: download=True"):
        data.load("Handwriting")
