"""Runs in folders: units of data, what a checkpoint may hold, locks, more epochs, time limits."""

import logging
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from toy import Jitter, dataset

from tsssl_fast import encoders
from tsssl_fast.data import Dataset, Reading
from tsssl_fast.training import Config, checkpoint, device, load_encoder, pretrain
from tsssl_fast.training.lock import locked
from tsssl_fast.training.views import PRESETS


@pytest.fixture
def config(monkeypatch):
    monkeypatch.setitem(PRESETS, "toy", Jitter)
    return Config(encoder="resnet", views="toy", epochs=5, batch_size=8, amp="32", seed=3)


def in_units(data: Dataset, unit: float, level: float = 0.0) -> Dataset:
    x_train, x_test = (x.double() * unit + level for x in (data.x_train, data.x_test))
    return replace(data, x_train=x_train, x_test=x_test)


def test_the_unit_of_the_data_changes_no_loss(tmp_path, config):
    losses: dict[float, list[float]] = {}
    for unit in (1.0, 1e-30, 1e-13, 1e30):
        rows = losses[unit] = []
        out = tmp_path / str(unit)
        data = in_units(dataset(), unit)
        pretrain(data, config, out, progress=lambda r, rows=rows: rows.append(r["loss"]))
        kept = load_encoder(out)[1](data.x_train)
        assert kept.std((0, 2), correction=0).tolist() == pytest.approx([1] * 3)
    for unit, found in losses.items():
        assert found == pytest.approx(losses[1.0], abs=1e-3), unit
    # A level of 1e9 leaves 24 of 53 bits of the data, which training makes more of with each epoch:
    # 1.4e-3 of the loss after three, on an AMD EPYC (Zen 3).
    rows = []
    plain, lifted = in_units(dataset(), 1.0), in_units(dataset(), 1.0, 1e9)
    pretrain(lifted, config, tmp_path / "lifted", progress=lambda r: rows.append(r["loss"]))
    scaled, expected = (
        load_encoder(tmp_path / run)[1](data.x_train)
        for run, data in (("lifted", lifted), ("1.0", plain))
    )
    torch.testing.assert_close(scaled, expected, rtol=0, atol=1e-6)
    assert rows[:2] == pytest.approx(losses[1.0][:2], abs=1e-3)


def test_constant_channels_are_named(tmp_path, config, caplog):
    data = dataset()
    x = data.x_train.clone()
    x[:, 1] = 0.1
    data = replace(data, x_train=x, channel_names=("ax", "ay", "az"))
    pretrain(data, replace(config, epochs=1), tmp_path / "run")
    assert "data: channels ay are constant in the train split" in caplog.text


CHANGES = {
    "config.epochs": (-3, "config: epochs: -3; accepted: an integer, 1 or more"),
    "config.batch_size": ("8", "config: batch_size: str; accepted: int"),
    "config.method": ("simcrl", "config: method: 'simcrl'; accepted: simclr"),
    "config.extra": (1, "config: extra: no such setting"),
    "config.lr": (None, None),
    "data.channels": (10**12, "data.channels: 1000000000000; accepted: 1 to"),
    "data.length": (0, "data.length: 0; accepted: 1 to"),
    "data.name": (7, "data.name: int; accepted: str"),
    "data.classes": ([1], "data.classes: int; accepted: str"),
    "data.channel_names": ([1], "data.channel_names: int; accepted: str"),
    "data.rate": (-1.0, "data.rate: -1.0; accepted: a finite number > 0"),
    "data.digest": (7, "data.digest: int; accepted: str"),
    "data.train_series": (0, "data.train_series: 0; accepted: 1 to"),
    "data.test_share": ("x", "data.test_share: str; accepted: float"),
    "data.split_seed": (-1, "data.split_seed: -1; accepted: an integer, 0"),
    "reading.window": (3, "reading: window: int; accepted: str"),
    "reading.layout": ("TNC", "reading: layout: 'TNC'"),
    "scaling.shift": (torch.zeros(2), r"scaling.shift: torch.float32 \(2,\); accepted: floats"),
    "scaling.scale": (torch.zeros(3), "scaling.scale: accepted: finite numbers, scales above 0"),
    "model.encoder.stem.0.weight": ("x", "model.encoder.stem.0.weight: str; accepted: Tensor"),
    "epoch": (99, "epoch: 99; accepted: 0 to 1"),
    "optimizer": ([], "optimizer: list; accepted: dict"),
}


def test_every_field_of_a_checkpoint_is_checked(tmp_path, config):
    pretrain(dataset(), replace(config, epochs=1), tmp_path, reading=Reading(window="3"))
    file = checkpoint.locate(tmp_path)
    whole = torch.load(file, weights_only=True)
    for place, (value, message) in CHANGES.items():
        if message is None:
            continue
        part, _, name = place.partition(".")
        torch.save(whole | {part: whole[part] | {name: value} if name else value}, file)
        with pytest.raises(ValueError, match=rf"checkpoint: .*checkpoint\.pt: {message}"):
            checkpoint.read(tmp_path)


def test_a_resumed_run_refuses_what_is_not_its_own(tmp_path, config):
    pretrain(dataset(), replace(config, epochs=1), tmp_path)
    file = checkpoint.locate(tmp_path)
    whole = torch.load(file, weights_only=True)
    without = {name: value for name, value in whole["data"].items() if name != "digest"}
    for part, value, message in (
        ("data", without, "resume: .* is a run on .* with other train series"),
        ("optimizer", {}, "state: its optimizer is not of this run"),
        ("optimizer", {"state": {}, "param_groups": []}, "state: its optimizer is not of this run"),
    ):
        torch.save(whole | {part: value}, file)
        with pytest.raises(ValueError, match=message):
            pretrain(dataset(), config, tmp_path, resume=True)


def test_weights_of_another_size_are_refused_before_memory_is_taken(tmp_path, config, monkeypatch):
    pretrain(dataset(), replace(config, epochs=1), tmp_path)
    file = checkpoint.locate(tmp_path)
    whole = torch.load(file, weights_only=True)
    wide = whole["data"] | {"channels": 5000}
    scaling = {name: torch.ones(5000) for name in ("shift", "scale")}
    torch.save(whole | {"data": wide, "scaling": scaling}, file)
    places, build = [], encoders.build

    def noted(*given):
        places.append(torch.get_default_device().type)
        return build(*given)

    monkeypatch.setattr(encoders, "build", noted)
    with pytest.raises(ValueError, match="its weights are not of encoder 'resnet'"):
        load_encoder(tmp_path)
    assert places == ["meta"]


def test_checkpoints_of_the_first_format_are_read(tmp_path, config):
    pretrain(dataset(), replace(config, epochs=1), tmp_path)
    file = checkpoint.locate(tmp_path)
    whole = torch.load(file, weights_only=True)
    old = {name: value for name, value in whole.items() if name != "reading"} | {"format": 1}
    old["scaling"] = {name: value.float() for name, value in whole["scaling"].items()}
    torch.save(old, file)
    _, scaling, content = load_encoder(tmp_path)
    assert scaling.scale.dtype == torch.float64
    assert Reading.of(content["reading"]) == Reading()


def test_more_epochs_go_on_by_the_longer_schedule(tmp_path, config, caplog):
    caplog.set_level(logging.INFO, logger="tsssl_fast")
    data, rows = dataset(), []
    pretrain(data, replace(config, epochs=2), tmp_path)
    pretrain(data, config, tmp_path, resume=True, progress=rows.append)
    assert [row["epoch"] for row in rows] == [2, 3, 4]
    whole = []
    pretrain(data, config, tmp_path / "whole", progress=whole.append)
    assert [row["lr"] for row in rows] == [row["lr"] for row in whole[2:]]
    assert "5 epochs instead of 2; from epoch 2 on the learning rate follows" in caplog.text
    with pytest.raises(ValueError, match=r"other settings: epochs=3 \(was 5\)"):
        pretrain(data, replace(config, epochs=3), tmp_path, resume=True)


def test_a_limit_of_time_leaves_a_run_to_go_on_with(tmp_path, config):
    data = dataset()
    pretrain(data, config, tmp_path / "whole")
    for epochs in (1, 2, 5):
        limit = None if epochs == 5 else 1e-9
        pretrain(data, config, tmp_path / "run", resume=True, max_time=limit)
        assert checkpoint.read(tmp_path / "run")["epoch"] == epochs
    whole, parts = (checkpoint.read(tmp_path / name)["model"] for name in ("whole", "run"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


def test_a_method_that_needs_labels_takes_the_series_that_have_one(tmp_path, config):
    data = dataset()
    y = data.y_train.clone()
    y[::2] = -1
    rows = []
    settings = replace(config, method="supcon", epochs=1, batch_size=4)
    partly = replace(data, y_train=y)
    pretrain(partly, settings, tmp_path / "supcon", progress=rows.append)
    assert rows[0]["step"] == 3
    assert checkpoint.read(tmp_path / "supcon")["data"]["train_series"] == 12
    rows.clear()
    pretrain(partly, replace(config, epochs=1), tmp_path / "simclr", progress=rows.append)
    assert rows[0]["step"] == 3  # 24 series in batches of 8
    assert 0 <= rows[0]["knn"] <= 1


HOLDS = """
import sys, time
sys.path[:0] = {path!r}
from pathlib import Path
from tsssl_fast.training.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_folder_is_written_by_one_run_and_a_dead_owner_loses_it(tmp_path, config):
    out = tmp_path / "run"
    code = HOLDS.format(path=[p for p in sys.path if p])
    owner = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, str(out)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert owner.stdout.readline() == "held\n"
        with pytest.raises(FileExistsError, match=f"being written by process {owner.pid}; accep"):
            pretrain(dataset(), config, out)
    finally:
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        owner.stdout.close()
    assert [p.name for p in out.iterdir()] == [".lock"]
    pretrain(dataset(), replace(config, epochs=1), out)
    assert sorted(p.name for p in out.iterdir()) == ["checkpoint.pt", "log.csv"]


def test_locks_leave_nothing_behind(tmp_path):
    with pytest.raises(KeyError), locked(tmp_path / "new"):
        raise KeyError
    assert not (tmp_path / "new").exists()
    twice = pytest.raises(FileExistsError, match=f"process {os.getpid()}")
    with locked(tmp_path), twice, locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_devices():
    assert device("cpu") == torch.device("cpu")
    assert device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ValueError, match="device: 'cuda:99' is not on this machine; accepted here"):
        device("cuda:99")
    assert Config(device="cuda:3").device == "cuda:3"
    for name in ("cuda:", "cuda:x", "gpu"):
        with pytest.raises(ValueError, match=r"device: .*; accepted: auto, cpu, cuda, cuda:N, mps"):
            Config(device=name)
