"""Accumulation, processes, monitor, profile, fine-tuning, adapting, export, settings from YAML."""

import csv
import importlib.util
import json
import os
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from toy import Jitter, dataset, plain
from training import ranks

from tsssl_fast import encoders, training
from tsssl_fast.data import Scaling, load
from tsssl_fast.methods import Batch, Method
from tsssl_fast.training import Config, Monitor, Settings, StepProfile, checkpoint, fit, pretrain
from tsssl_fast.training.monitor import CollapseWarning, leave_one_out_knn, uniformity
from tsssl_fast.training.views import PRESETS


@pytest.fixture
def config(monkeypatch):
    monkeypatch.setitem(PRESETS, "toy", Jitter)
    return Config(encoder="resnet", views="toy", epochs=2, batch_size=8, amp="32", seed=3)


def test_accumulated_batches_make_the_step_of_one_large_batch():
    data, weights = dataset(), {}
    for accumulate, batch in ((1, 12), (3, 4), (1, 4)):
        method = plain()
        settings = Settings(epochs=3, batch_size=batch, accumulate=accumulate, seed=1, amp="32")
        rows = []
        fit(
            method,
            data.x_train,
            settings,
            labels=data.y_train,
            on_epoch=lambda row, _, rows=rows: rows.append(row),
        )
        assert [row["step"] for row in rows] == [n * 24 // (batch * accumulate) for n in (1, 2, 3)]
        weights[accumulate, batch] = method.classifier.weight.detach().numpy()
    assert weights[3, 4] == pytest.approx(weights[1, 12], abs=1e-5)
    assert weights[1, 4] != pytest.approx(weights[1, 12], abs=1e-3)
    with pytest.raises(ValueError, match="accumulate: 4 batches of 8; accepted: at most the 24"):
        fit(
            plain(),
            data.x_train,
            Settings(epochs=1, batch_size=8, accumulate=4),
            labels=data.y_train,
        )


RANKS = """
import sys, torch
torch.set_num_threads(1)
sys.path[:0] = {path!r}
import torch.distributed as dist
from training.ranks import METHODS, trained
found = {{name: trained(name, devices=0) for name in METHODS}}
assert dist.get_backend() == "gloo"
rank = dist.get_rank()
assert all(bool(losses) == (rank == 0) for _, losses in found.values())
torch.save(found, f"{out}/{{rank}}.pt")
"""


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    """What `ranks.trained` returns for every method, on both of two processes by torchrun."""
    out = tmp_path_factory.mktemp("ranks")
    file = out / "run.py"
    file.write_text(RANKS.format(path=[p for p in sys.path if p], out=out))
    launch = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*launch, "--nproc-per-node=2", str(file)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    return [torch.load(out / f"{rank}.pt") for rank in (0, 1)]


@pytest.mark.parametrize("name", ranks.METHODS)
def test_two_gloo_ranks_train_as_one_process(name, two_ranks):
    """Both ranks end with the same bits, and with the weights of one process on the whole batch:
    negatives, statistics, queues and views are of all rows."""
    (first, two_losses), (second, _) = (found[name] for found in two_ranks)
    one, losses = ranks.trained(name, devices=1)
    assert first.keys() == one.keys()
    for part, value in first.items():
        assert torch.equal(value, second[part])
        torch.testing.assert_close(value, one[part], rtol=0, atol=1e-7)
    assert two_losses == pytest.approx(losses, abs=1e-10)
    assert losses[0] != losses[-1]


def test_the_command_starts_its_processes(tmp_path):
    """One process and two: the same losses, up to what rounding makes of them in two epochs."""
    data = dataset()
    arrays = {"X_train": data.x_train, "y_train": data.y_train}
    arrays |= {"X_test": data.x_test, "y_test": data.y_test}
    np.savez(tmp_path / "sines.npz", **{name: x.numpy() for name, x in arrays.items()})
    options = ["--encoder", "resnet", "--epochs", "2", "--batch-size", "12", "--lr", "1e-4"]
    options += ["--batch-norm", "all", "--device", "cpu", "--amp", "32"]
    command = ["-m", "tsssl_fast", "pretrain", "--data", str(tmp_path / "sines.npz"), *options]
    done = subprocess.run(
        [sys.executable, *command, "--devices", "2", "--out", str(tmp_path / "two")],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("checkpoint: ") == 1
    config = checkpoint.read(tmp_path / "two")["config"]
    assert config["devices"] == 2
    pretrain(load(tmp_path / "sines.npz"), Config(**config | {"devices": 1}), tmp_path / "one")
    one, two = (
        [float(row["loss"]) for row in csv.DictReader((tmp_path / name / "log.csv").open())]
        for name in ("one", "two")
    )
    assert two == pytest.approx(one, rel=1e-3)
    assert len(two) == 2


def test_devices_are_those_that_torchrun_started(monkeypatch):
    assert Settings().devices == 1
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert Settings(batch_size=6).devices == 3
    data, settings = dataset(), Settings(epochs=1, batch_size=4, devices=2)
    with pytest.raises(ValueError, match="devices: 2 under torchrun with 3 processes"):
        fit(plain(), data.x_train, settings, labels=data.y_train)


def test_batches_must_divide_among_devices():
    with pytest.raises(ValueError, match="batch_size: 9; accepted: a multiple of the 2 devices"):
        Settings(epochs=1, batch_size=9, devices=2)


def test_the_log_has_what_tells_whether_features_are_learnt(tmp_path, config):
    pretrain(dataset(), config, tmp_path)
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name in ("loss", "lr", "alignment", "uniformity", "effective_rank", "spread", "knn"):
        assert all(row[name] for row in rows), name
    assert float(rows[-1]["effective_rank"]) > 2
    assert 0 <= float(rows[-1]["knn"]) <= 1


def test_the_monitor_changes_no_bit(tmp_path, config):
    weights = []
    for monitor in (True, False):
        out = tmp_path / str(monitor)
        pretrain(dataset(), config, out, monitor=monitor)
        weights.append(checkpoint.read(out)["model"])
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_uniformity_and_leave_one_out_neighbours_against_loops():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(12, 4, generator=generator)
    y = torch.arange(12) % 3
    unit = torch.nn.functional.normalize(z.double())
    terms = [
        torch.exp(-2 * (unit[i] - unit[j]).square().sum())
        for i in range(12)
        for j in range(12)
        if i != j
    ]
    assert uniformity(z) == pytest.approx(float(torch.stack(terms).mean().log()))
    assert uniformity(torch.ones(5, 3)) == pytest.approx(0, abs=1e-6)
    hits = 0
    for i in range(12):
        others = [j for j in range(12) if j != i]
        nearest = max(others, key=lambda j: float(unit[i] @ unit[j]))
        hits += bool(y[nearest] == y[i])
    assert leave_one_out_knn(z, y, k=1) == pytest.approx(hits / 12)


class Collapsing(Method):
    """Pulls all features to the origin."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(120, 6))

    def loss(self, batch: Batch):
        h = self.encode(batch.x)
        return (h - h.mean(0).detach()).square().mean() + (h - 1).square().mean(), {}


def test_an_early_warning_on_collapse_once():
    data = dataset()
    settings = Settings(epochs=40, batch_size=8, lr=0.05, amp="32")
    seen = []
    with pytest.warns(CollapseWarning, match=r"features collapse: effective rank 1\.\d+ .*spread"):
        fit(
            Collapsing(),
            data.x_train * 0.05,
            settings,
            monitor=Monitor(data.x_train * 0.05),
            on_epoch=lambda row, _: seen.append(row["spread"]),
        )
    assert seen[-1] < seen[0] / 2
    # It stays silent for a method that learns.
    method = plain()
    with warnings.catch_warnings():
        warnings.simplefilter("error", CollapseWarning)
        monitor = Monitor(data.x_train, data.y_train)
        fit(
            method,
            data.x_train,
            Settings(epochs=2, batch_size=8),
            labels=data.y_train,
            monitor=monitor,
        )


def test_one_warning_per_run():
    monitor = Monitor(dataset().x_train)
    constant = nn.Sequential(nn.Flatten(), nn.Linear(120, 4))
    nn.init.zeros_(constant[1].weight)
    with pytest.warns(CollapseWarning):
        monitor(constant)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monitor(constant)


@pytest.mark.parametrize("method", ["simclr", "vicreg", "moco"])  # the last: loss in no module
def test_the_profile_accounts_for_the_whole_step(tmp_path, config, method):
    config = replace(config, method=method)
    profile = StepProfile()
    pretrain(dataset(), config, tmp_path, profile=profile)
    assert len(profile.seconds["step"]) == 2 * 3
    for index, step in enumerate(profile.seconds["step"]):
        parts = {k: v[index] for k, v in profile.seconds.items() if k != "step"}
        assert all(value >= 0 for value in parts.values()), parts
        assert sum(parts.values()) == pytest.approx(step)
        assert all(parts[k] > 0 for k in ("augmentation", "encoder", "projector", "loss"))
    assert "encoder" in profile.table()
    # A profiled run trains the same.
    pretrain(dataset(), config, tmp_path / "without")
    a, b = (checkpoint.read(p)["model"] for p in (tmp_path, tmp_path / "without"))
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_fine_tuning_beats_chance_and_scores_the_test_rows_only(config):
    data = dataset(n=48)
    scaling = Scaling.fit(data.x_train)
    encoder = config.build_encoder(data.channels, data.length)
    tuned = training.fine_tune(
        encoder, scaling, data, Settings(epochs=15, batch_size=16, lr=3e-3, amp="32")
    )
    assert tuned.result.accuracy == tuned.metrics.accuracy > 0.6
    assert tuned.result.scores.sum(1) == pytest.approx(1, abs=1e-5)
    # Other test labels change no weight.
    other = replace(data, y_test=data.y_test.flip(0))
    again = config.build_encoder(data.channels, data.length)
    second = training.fine_tune(
        again, scaling, other, Settings(epochs=15, batch_size=16, lr=3e-3, amp="32")
    )
    assert torch.equal(second.method.classifier.weight, tuned.method.classifier.weight)
    few = training.fine_tune(
        config.build_encoder(data.channels, data.length),
        scaling,
        data,
        Settings(epochs=2, batch_size=16, amp="32"),
        fraction=0.25,
    )
    assert len(few.result.predictions) == 48


@pytest.mark.parametrize(
    ("given", "features"), [((3, 40), 1), ((3, 100), 1), ((2, 40), 1), ((9, 17), 3)]
)
def test_adapted_encoders_take_other_series(given, features):
    encoder = encoders.build("resnet", 3, 40).eval()
    adapted = training.adapt(encoder, (3, 40), given).eval()
    x = torch.randn(5, *given)
    z = adapted(x)
    assert z.shape == (5, features * encoder.out_features) == (5, adapted.out_features)
    steps, pooled = adapted(x, return_steps=True)
    assert torch.equal(pooled, z)
    assert steps.shape[2] == z.shape[1] // 2
    if given == (3, 40):
        assert adapted is encoder
    if given[0] == 9:  # three sensors, features side by side
        resampled = torch.nn.functional.interpolate(x, 40, mode="linear", align_corners=True)
        parts = torch.cat([encoder(resampled[:, c : c + 3]) for c in (0, 3, 6)], 1)
        assert z.detach().numpy() == pytest.approx(parts.detach().numpy(), abs=1e-5)
    with pytest.raises(ValueError, match="4 channels; accepted: at most 3"):
        training.adapt(encoder, (3, 40), (4, 40))


PROGRAM = """
import json, sys, torch
assert "tsssl_fast" not in sys.modules
files = {"tsssl_fast.json": ""}
program = torch.export.load(sys.argv[1], extra_files=files).module()
x, z = torch.load(sys.argv[2])
for n in (1, 5, 24):
    assert torch.allclose(program(x[:n]), z[:n], atol=1e-5), n
print(json.loads(files["tsssl_fast.json"])["features"])
"""


@pytest.mark.parametrize("encoder", ["resnet", "inception"])
@pytest.mark.clean_memory
def test_a_fresh_process_runs_the_exported_program(tmp_path, config, encoder):
    data = dataset()
    pretrain(data, replace(config, encoder=encoder), tmp_path / "run")
    about = training.export(tmp_path / "run", tmp_path / "programs" / "encoder.pt2")
    assert [p.name for p in (tmp_path / "programs").iterdir()] == ["encoder.pt2"]
    frozen, scaling, _ = training.load_encoder(tmp_path / "run")
    with torch.no_grad():
        torch.save((data.x_test, frozen(scaling(data.x_test))), tmp_path / "expected.pt")
    done = subprocess.run(
        [
            *(sys.executable, "-W", "ignore", "-c", PROGRAM),
            *(str(tmp_path / "programs" / "encoder.pt2"), str(tmp_path / "expected.pt")),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == about["features"] == frozen.out_features
    with pytest.raises(ValueError, match=r"out: .*\.pth; accepted: a name that ends in \.pt2 or"):
        training.export(tmp_path / "run", tmp_path / "encoder.pth")


@pytest.mark.clean_memory
def test_onnxruntime_runs_the_exported_model(tmp_path, config):
    for library in ("onnx", "onnxscript"):
        pytest.importorskip(library, reason="the extra `onnx` is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    data = dataset()
    pretrain(data, config, tmp_path / "run")
    out = tmp_path / "models" / "encoder.onnx"
    about = training.export(tmp_path / "run", out)
    assert [p.name for p in out.parent.iterdir()] == ["encoder.onnx"]
    frozen, scaling, _ = training.load_encoder(tmp_path / "run")
    session = runtime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    for n in (1, 5, 24):
        x = data.x_test[:n]
        (z,) = session.run(["features"], {"series": x.numpy()})
        assert z == pytest.approx(frozen(scaling(x)).numpy(), abs=1e-5)
    assert json.loads(session.get_modelmeta().custom_metadata_map["tsssl_fast"]) == about


def test_an_onnx_model_without_its_libraries(tmp_path, config, monkeypatch):
    pretrain(dataset(), config, tmp_path / "run")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"written by onnx and onnxscript; install it by: pip"):
        training.export(tmp_path / "run", tmp_path / "encoder.onnx")


def test_settings_from_yaml(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("method: vicreg\nlr: 1\nepochs: 7\noptions: {width: 64}\n")
    given = training.read_settings(file)
    assert given == {"method": "vicreg", "lr": 1.0, "epochs": 7, "options": {"width": 64}}
    assert Config(**given).options == {"width": 64}
    for text, message in (
        ("metod: vicreg", "setting in .*: 'metod'; accepted: method"),
        ("lr: fast", "lr is 'fast'; accepted: float"),
        ("epochs: 1.5", "epochs is 1.5; accepted: int"),
        ("epochs: true", "epochs is True"),
        ("- 1", "no settings"),
        ("{", "not YAML"),
    ):
        file.write_text(text)
        with pytest.raises(ValueError, match=message):
            training.read_settings(file)
    with pytest.raises(FileNotFoundError, match="no such file"):
        training.read_settings(tmp_path / "lost.yaml")


def test_tensorboard_events(tmp_path, config):
    pytest.importorskip("tensorboardX")
    pretrain(dataset(), config, tmp_path, tensorboard=True)
    files = list((tmp_path / "tensorboard").glob("events*"))
    assert len(files) == 1
    content = files[0].read_bytes()
    assert all(name in content for name in (b"loss", b"effective_rank", b"knn"))
