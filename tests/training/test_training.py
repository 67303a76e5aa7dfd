"""The loop: resume, checkpoints, logs, schedules."""

import csv
import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from toy import Jitter, dataset, plain

from tsssl_fast.methods import METHODS, NEEDS_TOKENS, Batch, Method, Supervised
from tsssl_fast.training import Config, Settings, checkpoint, fit, load_encoder, loop, pretrain
from tsssl_fast.training.loop import State, fold, order, rate
from tsssl_fast.training.pretrain import LOG
from tsssl_fast.training.views import PRESETS

EPOCHS = 6


@pytest.fixture
def config(monkeypatch):
    """Short runs with plain torch views."""
    monkeypatch.setitem(PRESETS, "toy", Jitter)
    return Config(encoder="resnet", views="toy", epochs=EPOCHS, batch_size=8, seed=3)


class Stop(Exception):
    pass


def stop_after(epochs):
    def progress(row):
        if row["epoch"] == epochs - 1:
            raise Stop

    return progress


def same(a, b):
    """Bit for bit, through nested containers."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def log_rows(folder):
    with (folder / LOG).open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        del row["seconds"]
    return rows


@pytest.mark.parametrize(
    ("method", "amp"),
    [("simclr", "32"), ("simclr", "bf16"), ("moco", "32"), ("transform_prediction", "32")],
)
def test_a_resumed_run_ends_with_the_same_bits(tmp_path, config, method, amp):
    data, config = dataset(), replace(config, method=method, amp=amp)
    pretrain(data, config, tmp_path / "whole")
    whole = checkpoint.read(tmp_path / "whole")
    assert whole["epoch"] == EPOCHS
    for epochs in range(1, EPOCHS):
        out = tmp_path / f"stopped after {epochs}"
        with pytest.raises(Stop):
            pretrain(data, config, out, checkpoint_every=1, progress=stop_after(epochs))
        assert checkpoint.read(out)["epoch"] == epochs
        torch.rand(epochs)  # the caller's random state is of no account
        pretrain(data, config, out, resume=True)
        assert same(checkpoint.read(out), whole)
        assert log_rows(out) == log_rows(tmp_path / "whole")
    # The comparison can fail: another seed gives other weights.
    pretrain(data, replace(config, seed=4), tmp_path / "other")
    assert not same(checkpoint.read(tmp_path / "other")["model"], whole["model"])


def test_resuming_from_an_older_checkpoint_drops_the_later_log_lines(tmp_path, config):
    with pytest.raises(Stop):
        pretrain(dataset(), config, tmp_path, checkpoint_every=2, progress=stop_after(5))
    assert checkpoint.read(tmp_path)["epoch"] == 4
    assert len(log_rows(tmp_path)) == 5
    pretrain(dataset(), config, tmp_path, resume=True)
    assert [int(row["epoch"]) for row in log_rows(tmp_path)] == list(range(EPOCHS))


class Dropped(Method):
    """Draws from torch's own generator at every step."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(120, 4), nn.Dropout(0.5))

    def loss(self, batch: Batch):
        return self.encoder(batch.x).square().mean(), {}


def test_dropout_resumes_exactly_and_leaves_the_callers_random_state():
    data, settings, states = dataset(), Settings(epochs=4, batch_size=8), {}

    def train(state=None):
        torch.manual_seed(0)
        method = Dropped()
        torch.manual_seed(1 if state else 2)
        before = torch.get_rng_state()
        fit(
            method,
            data.x_train,
            settings,
            state=state,
            on_epoch=lambda row, take: states.setdefault(int(row["epoch"]), copy(take())),
        )
        assert torch.equal(torch.get_rng_state(), before)
        return method.state_dict()

    def copy(state):
        return State(state.epoch, *map(clone, (state.model, state.optimizer)))

    def clone(x):
        if isinstance(x, dict):
            return {k: clone(v) for k, v in x.items()}
        if isinstance(x, list):
            return [clone(v) for v in x]
        return x.clone() if isinstance(x, torch.Tensor) else x

    whole = train()
    assert states[1].epoch == 2
    assert same(train(states[1]), whole)


def test_batches_are_a_function_of_seed_epoch_and_step():
    seen = []

    class Spy(Dropped):
        def loss(self, batch):
            assert torch.equal(batch.x, data.x_train[batch.sample_ids])
            assert torch.equal(batch.labels, data.y_train[batch.sample_ids])
            seen.append((batch.sample_ids.tolist(), batch.seed))
            return super().loss(batch)

    data = dataset(n=20)
    fit(Spy(), data.x_train, Settings(epochs=2, batch_size=8, seed=9), labels=data.y_train)
    assert len(seen) == 4  # the incomplete batch is left out
    for epoch in range(2):
        expected = order(20, 9, epoch).tolist()
        assert sorted(expected) == list(range(20))
        assert [i for ids, _ in seen[2 * epoch : 2 * epoch + 2] for i in ids] == expected[:16]
    assert order(20, 9, 0).tolist() != order(20, 9, 1).tolist()
    assert [s for _, s in seen] == [fold(9, e, i) for e in range(2) for i in range(2)]
    assert len({fold(a, b, c) for a in range(8) for b in range(8) for c in range(8)}) == 512


def test_the_rate_warms_up_and_falls_to_zero():
    settings = Settings(lr=1.0, warmup=0.1)
    rates = [rate(step, 100, settings) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert rates[10] == 1
    assert rates[55] == pytest.approx(0.5 * (1 + math.cos(math.pi / 2)))
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 1e-3
    assert [rate(step, 2, settings) for step in range(2)] == [1, 0.5]


def test_weights_decay_and_biases_do_not():
    method = Dropped()
    with torch.no_grad():
        for p in method.parameters():
            p.fill_(1)
    zero = torch.zeros(8, 3, 40)

    class Idle(Dropped):
        def loss(self, batch):
            return sum(p.sum() * 0 for p in self.parameters()), {}

    idle = Idle()
    idle.load_state_dict(method.state_dict())
    fit(idle, zero, Settings(epochs=1, batch_size=8, lr=0.1, warmup=0, weight_decay=0.5))
    assert idle.encoder[1].weight.unique().item() == pytest.approx(0.95)
    assert idle.encoder[1].bias.unique().item() == 1


def test_the_loss_falls_and_the_encoder_comes_back(tmp_path, config):
    data, rows = dataset(), []
    run = pretrain(data, config, tmp_path, progress=rows.append)
    assert rows[-1]["loss"] < rows[0]["loss"]
    encoder, scaling, content = load_encoder(tmp_path)
    assert not encoder.training
    assert not any(p.requires_grad for p in encoder.parameters())
    x = scaling(data.x_test)
    assert torch.equal(x, run.scaling(data.x_test))
    assert torch.equal(encoder(x), run.method.encoder(x))
    assert content["data"]["name"] == "sines"
    assert content["config"] == run.config.as_dict()
    assert Config(**content["config"]) == run.config


def test_every_method_starts_from_the_same_encoder(config):
    for name in METHODS:
        encoder = "patch_transformer" if name in NEEDS_TOKENS else "resnet"
        chosen = replace(config, method=name, encoder=encoder)
        start = chosen.build_encoder(3, 40).state_dict()
        assert same(dict(chosen.build(3, 40).encoder.state_dict()), dict(start))
    start = config.build_encoder(3, 40).state_dict()
    assert not same(dict(replace(config, seed=4).build_encoder(3, 40).state_dict()), dict(start))


def test_supervised_training_learns_the_labels():
    data = dataset(n=192)
    torch.manual_seed(0)
    encoder = Config(encoder="resnet").build_encoder(3, 40)
    method = Supervised.recipe(encoder, 3)
    fit(method, data.x_train, Settings(epochs=10, batch_size=64), labels=data.y_train)
    with torch.inference_mode():
        predicted = method.classifier(encoder(data.x_test)).argmax(1)
    assert (predicted == data.y_test).float().mean() > 0.9


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path, config, monkeypatch):
    pretrain(dataset(), config, tmp_path)
    old = checkpoint.locate(tmp_path).read_bytes()
    save = torch.save

    def fail(content, file):
        save(content, file)
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="no space left"):
        pretrain(dataset(), config, tmp_path, overwrite=True)
    assert checkpoint.locate(tmp_path).read_bytes() == old
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.pt", "log.csv"]


class Evil:
    def __reduce__(self):
        return (eval, ("1/0",))


def test_bad_checkpoints(tmp_path, config):
    with pytest.raises(FileNotFoundError, match=r"checkpoint: .*no such file"):
        checkpoint.read(tmp_path)
    pretrain(dataset(), config, tmp_path)
    file = checkpoint.locate(tmp_path)
    whole = file.read_bytes()
    for size in (0, 100, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"checkpoint: .*not a complete checkpoint"):
            checkpoint.read(tmp_path)
    for content, message in (
        (Evil(), "not a complete checkpoint"),  # weights_only: code in a file does not run
        ([1, 2], "not a checkpoint of tsssl_fast"),
        ({"format": 0}, "format 0; accepted: 1"),
        ({"format": 1, "model": {}}, "no field config"),
    ):
        torch.save(content, file)
        with pytest.raises(ValueError, match=message):
            checkpoint.read(tmp_path)


def test_what_can_not_be_resumed(tmp_path, config):
    data = dataset()
    pretrain(data, config, tmp_path)
    before = checkpoint.locate(tmp_path).read_bytes()
    with pytest.raises(FileExistsError, match=r"out: .* holds a checkpoint"):
        pretrain(data, config, tmp_path)
    with pytest.raises(ValueError, match=r"other settings: lr=0\.1 \(was 0\.003\)"):
        pretrain(data, replace(config, lr=0.1), tmp_path, resume=True)
    with pytest.raises(ValueError, match="sines with other train series"):
        pretrain(replace(data, x_train=data.x_train + 1), config, tmp_path, resume=True)
    with pytest.raises(ValueError, match="resume: with overwrite=True"):
        pretrain(data, config, tmp_path, resume=True, overwrite=True)
    assert checkpoint.locate(tmp_path).read_bytes() == before
    pretrain(data, config, tmp_path, resume=True)  # already finished: nothing to do
    assert same(checkpoint.read(tmp_path)["epoch"], EPOCHS)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"method": "simcrl"}, "method: 'simcrl'; accepted: simclr"),
        ({"encoder": "lstm"}, "encoder: 'lstm'"),
        ({"epochs": -1}, "epochs: -1"),
        ({"batch_size": -1}, "batch_size: -1"),
        ({"lr": 0.0}, "lr: 0"),
        ({"lr": math.nan}, "lr: nan"),
        ({"weight_decay": -1.0}, "weight_decay: -1"),
        ({"warmup": 1.5}, "warmup: 1.5; accepted: 0 to 1"),
        ({"seed": -1}, "seed: -1"),
        ({"amp": "fp8"}, "amp: 'fp8'; accepted: auto, 32, bf16"),
        ({"device": "tpu"}, "device: 'tpu'"),
        ({"scaling": "max"}, "scaling: 'max'"),
        ({"views": "mixup"}, "views: 'mixup'"),
        ({"options": {"tau": 1.0}}, "option of simclr: 'tau'; accepted: temperature"),
    ],
)
def test_bad_settings(values, message):
    with pytest.raises(ValueError, match=message):
        Config(**values)


def test_bad_runs_write_nothing(tmp_path, config):
    out = tmp_path / "out"
    for change, message in (
        ({"batch_size": 25}, "batch_size: 25; accepted: at most the 24 train series"),
        ({"batch_size": 1}, "batch_size: 1; accepted: 2 or more for SimCLR"),
        ({"scale_group": 2}, "scale_group: 2; accepted: a divisor of the 3 channels"),
        ({"options": {"temperature": -1.0}}, "temperature: -1"),
    ):
        with pytest.raises(ValueError, match=message):
            pretrain(dataset(), replace(config, **change), out)
    assert not out.exists()
    method = config.build(3, 40)
    with pytest.raises(ValueError, match=r"settings: left open .*Config\.resolved\(data\)"):
        fit(method, dataset().x_train, replace(config, lr=None))
    strange = State(1, {"encoder.other": torch.zeros(1)}, {})
    with pytest.raises(ValueError, match="state: not of this SimCLR"):
        fit(method, dataset().x_train, replace(config, lr=0.1), state=strange)
    with pytest.raises(ValueError, match="labels: None; Supervised needs them"):
        fit(Supervised(nn.Flatten(), nn.Linear(120, 3)), dataset().x_train, Settings(batch_size=8))


def test_a_loss_that_is_not_finite_ends_the_run():
    class Diverged(Dropped):
        def loss(self, batch):
            return super().loss(batch)[0] * math.nan, {}

    with pytest.raises(FloatingPointError, match="the loss of epoch 0 is nan"):
        fit(Diverged(), dataset().x_train, Settings(epochs=2, batch_size=8))


def test_automatic_amp_leaves_very_short_series_in_float32(monkeypatch):
    """A strided convolution on one step has no bfloat16 weight gradient that can be relied on."""
    monkeypatch.setattr(loop, "has_bf16", lambda device: True)
    for length, bf16 in ((7, False), (8, True)):
        method = plain()
        method.encoder = nn.Sequential(nn.Flatten(), nn.Linear(3 * length, 8))
        settings = Settings(epochs=1, batch_size=12, device="cpu")
        fit(method, torch.randn(24, 3, length), settings, labels=torch.arange(24) % 3)
        assert method.bf16 == bf16
