"""The contract of encoders: features per step, pooled and of stages; padding that nobody sees."""

import copy

import pytest
import torch
from torch import nn
from toy import dataset

from tsssl_fast import encoders, evaluate, training
from tsssl_fast.augment import Compose, CropResize, RandomNoise
from tsssl_fast.encoders import padding
from tsssl_fast.evaluate.features import POOLINGS
from tsssl_fast.methods import METHODS, Batch, Supervised
from tsssl_fast.training import Monitor, Settings, fit

LENGTHS = (50, 1, 2, 7, 49, 33)
UNEQUAL = ["simclr", "vicreg", "barlow_twins", "simsiam", "moco", "supcon", "masked_reconstruction",
           "contrastive_reconstruction", "byol", "swav", "dino", "ts2vec", "ts_tcc"]  # fmt: skip


def padded(channels=3, fill=float("nan"), dtype=torch.float64):
    """Series of unequal length, and the same in a batch with `fill` after their ends."""
    torch.manual_seed(1)
    alone = [torch.randn(channels, n, dtype=dtype) for n in LENGTHS]
    x = torch.full((len(alone), channels, max(LENGTHS)), fill, dtype=dtype)
    for row, series in zip(x, alone, strict=True):
        row[:, : series.shape[1]] = series
    return alone, x, torch.tensor(LENGTHS)


def built(name, length=50):
    torch.manual_seed(0)
    return encoders.build(name, 3, length)


@pytest.mark.parametrize("name", encoders.ENCODERS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_a_padded_batch_gives_what_the_series_gives_alone(name, dtype, tolerance):
    encoder = built(name).to(dtype).eval()
    alone, x, lengths = padded(dtype=dtype)
    with torch.no_grad():
        together = encoder.features(x, lengths)
        assert torch.equal(encoder(x, lengths), together.pooled)
        steps, pooled = encoder(x, lengths, return_steps=True)
        assert torch.equal(steps, together.steps)
        assert torch.equal(pooled, together.pooled)
        assert together.pooled.shape == (len(x), encoder.out_features)
        width = encoder.out_features // 2
        assert together.steps.shape == (len(x), -(-50 // encoder.stride), width)
        for i, series in enumerate(alone):
            own = encoder.features(series[None])
            assert torch.equal(encoder(series[None]), own.pooled)
            ours = own.steps.shape[1]
            assert together.lengths[i] == ours == -(-series.shape[1] // encoder.stride)
            close = {"rtol": 0, "atol": tolerance}
            torch.testing.assert_close(together.pooled[i], own.pooled[0], **close)
            torch.testing.assert_close(together.steps[i, :ours], own.steps[0], **close)
            assert not together.steps[i, ours:].any()
            assert len(own.stages) == len(together.stages)
            for one, all_ in zip(own.stages, together.stages, strict=True):
                left = one.map.shape[-1]
                assert all_.lengths[i] == left
                torch.testing.assert_close(all_.map[i, ..., :left], one.map[0], **close)
    assert not torch.allclose(encoder(x.nan_to_num(5.0)), together.pooled, atol=1e-3)


@pytest.mark.parametrize("name", encoders.ENCODERS)
def test_batch_statistics_and_gradients_leave_padding_out(name):
    """40 steps padded to 50 train as 40 steps do: outputs, gradients, running statistics."""
    encoder = built(name).double().train()
    other = copy.deepcopy(encoder)
    torch.manual_seed(1)
    x = torch.randn(4, 3, 40, dtype=torch.float64)
    long = torch.cat([x, torch.full((4, 3, 10), 7.0, dtype=torch.float64)], 2).requires_grad_()
    plain, hidden = encoder(x), other(long, torch.full((4,), 40))
    torch.testing.assert_close(hidden, plain, rtol=1e-9, atol=1e-9)
    for z in (plain, hidden):
        z.square().sum().backward()
    for ours, theirs in zip(other.parameters(), encoder.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-9, atol=1e-9)
    for ours, theirs in zip(other.buffers(), encoder.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    assert long.grad[..., :40].any()
    assert not long.grad[..., 40:].any()


def test_bad_lengths():
    encoder, x = built("resnet"), torch.randn(3, 3, 20)
    for lengths, error, message in (
        (torch.tensor([1, 2]), ValueError, r"lengths: shape \(2,\); accepted: \(3,\), as x"),
        (torch.tensor([1, 0, 20]), ValueError, "lengths: 0 to 20; accepted: 1 to T = 20"),
        (torch.tensor([1, 2, 21]), ValueError, "lengths: 1 to 21; accepted: 1 to T = 20"),
        (torch.tensor([1.0, 2, 3]), TypeError, "lengths: torch.float32; accepted: an int64"),
        ([1, 2, 3], TypeError, "lengths: list; accepted: an int64 tensor"),
    ):
        with pytest.raises(error, match=message):
            encoder(x, lengths)


@pytest.mark.parametrize("name", encoders.ENCODERS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_evaluated_features_of_padded_series(name, pooling):
    encoder = built(name).double()
    alone, x, lengths = padded()
    together = evaluate.features(encoder, x, 2, pooling, lengths=lengths)
    own = torch.cat([evaluate.features(encoder, s[None], pooling=pooling) for s in alone])
    torch.testing.assert_close(together, own, rtol=1e-5, atol=1e-5)
    with pytest.raises(TypeError, match="encoder: Flatten has no `features`; accepted: with leng"):
        evaluate.features(torch.nn.Flatten(), x, lengths=lengths)


@pytest.mark.parametrize("channels", [2, 3, 6])
def test_adapted_encoders_stretch_each_series(channels):
    adapted = training.adapt(built("resnet", 40), (3, 40), (channels, 50)).double().eval()
    alone, x, lengths = padded(channels)
    with torch.no_grad():
        together, own = adapted.features(x, lengths), [adapted(s[None]) for s in alone]
    torch.testing.assert_close(together.pooled, torch.cat(own), rtol=0, atol=1e-12)
    assert together.pooled.shape[1] == adapted.out_features
    assert together.steps.shape == (6, 5, adapted.out_features // 2)
    halves = together.steps.unflatten(2, (-1, 128)), together.pooled.unflatten(1, (-1, 2, 128))
    torch.testing.assert_close(halves[0].mean(1), halves[1][:, :, 0])


@pytest.mark.parametrize("method", [*UNEQUAL, "supervised"])
def test_what_stands_in_the_padding_changes_no_training(method):
    """Views, masks, batch statistics and the monitor: the same bits whatever the padding holds."""
    torch.manual_seed(0)
    views = Compose([CropResize((0.6, 1.0)), RandomNoise(0.05)])
    encoder = encoders.ResNet(3, (4, 8))
    start = Supervised.recipe(encoder, 3, views) if method == "supervised" else None
    start = start or METHODS[method](encoder, views)
    data = dataset(12)
    lengths = torch.arange(12) + 20
    settings = Settings(epochs=2, batch_size=6, amp="32", device="cpu")
    found = []
    for fill in (0.0, float("nan"), 1e6):
        trained, x = copy.deepcopy(start), padding.hide(data.x_train, lengths, fill)
        rows = []
        fit(
            trained,
            x,
            settings,
            labels=data.y_train,
            lengths=lengths,
            on_epoch=lambda row, _, rows=rows: rows.append({**row, "seconds": 0}),
            monitor=Monitor(x, data.y_train, lengths=lengths),
        )
        found.append((rows, trained.state_dict()))
    for rows, weights in found[1:]:
        assert rows == found[0][0]
        assert all(torch.equal(weights[k], v) for k, v in found[0][1].items())
    whole = copy.deepcopy(start)
    fit(whole, data.x_train, settings, labels=data.y_train)
    assert not torch.equal(whole.encoder.stem[0].weight, trained.encoder.stem[0].weight)


def test_what_takes_no_lengths_is_told():
    data, settings = dataset(12), Settings(epochs=1, batch_size=6, device="cpu")
    lengths = torch.arange(12) + 20
    refused = METHODS["transform_prediction"](encoders.ResNet(3, (4,)), None)
    with pytest.raises(ValueError, match="unequal length; accepted: of one with TransformPredicti"):
        fit(refused, data.x_train, settings, lengths=lengths)

    class Mean(torch.nn.Module):
        out_features = 3

        def forward(self, x):
            return x.mean(-1)

    with pytest.raises(ValueError, match="accepted: of one with encoder Mean"):
        fit(
            Supervised.recipe(Mean(), 3),
            data.x_train,
            settings,
            labels=data.y_train,
            lengths=lengths,
        )
    # Where no series ends early, nothing is asked of anybody.
    given = torch.full((12,), 40)
    fit(Supervised.recipe(Mean(), 3), data.x_train, settings, labels=data.y_train, lengths=given)


def test_views_without_lengths_are_called_as_ever():
    seen = []

    def views(x, views=2, *, seed, sample_ids):
        seen.append(x.shape)
        return torch.stack([x] * views)

    batch = Batch(torch.randn(4, 3, 20), torch.arange(4), 0)
    METHODS["simclr"](encoders.ResNet(3, (4,)), views).loss(batch)
    with pytest.raises(TypeError, match="unexpected keyword argument 'lengths'"):
        METHODS["simclr"](encoders.ResNet(3, (4,)), views).loss(
            batch._replace(lengths=torch.tensor([20, 3, 4, 5]))
        )
    assert len(seen) == 1


@pytest.mark.parametrize("name", ["resnet", "inception", "causal"])
def test_encoders_are_the_conv1d_network(name, monkeypatch):
    """conv2d with H = 1 and channels_last is a question of speed alone."""
    torch.manual_seed(0)
    encoder = encoders.build(name, 2, 50).double().eval()
    x = torch.randn(3, 2, 50, dtype=torch.float64)
    expected = encoder(x)

    def by_conv1d(x, w, bias, stride, padding, dilation, groups):
        y = nn.functional.conv1d(
            x.squeeze(2), w.squeeze(2), bias, stride[1], padding[1], dilation[1], groups
        )
        return y.unsqueeze(2)

    monkeypatch.setattr(nn.functional, "conv2d", by_conv1d)
    assert torch.allclose(encoder(x), expected, atol=1e-12)


def test_auto_follows_the_length():
    assert [encoders.resolve("auto", t) for t in (315, 128)] == ["inception", "resnet"]
    assert encoders.resolve("resnet", 315) == "resnet"
    accepted = "auto, resnet, inception, causal, channelwise, patch_transformer, scattering"
    with pytest.raises(ValueError, match=f"encoder: 'lstm'; accepted: {accepted}"):
        encoders.build("lstm", 3, 100)
