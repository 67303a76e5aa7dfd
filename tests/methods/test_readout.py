"""Encoders of one channel for all: resampling, read-outs of any series, amplitude, projection."""

import pytest
import torch

from tsssl_fast import encoders
from tsssl_fast.encoders import padding, readout
from tsssl_fast.encoders.resample import resample, standardized, weights


def built(**options):
    torch.manual_seed(0)
    encoder = encoders.Channelwise(1, width=8, depth=2, groups=2).double()
    return encoders.ReadOut(encoder, **options).eval()


def series(n, channels, steps, seed=1):
    return torch.randn(
        n, channels, steps, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def test_a_finer_grid_is_linear_interpolation():
    x = series(3, 2, 9)
    wanted = torch.nn.functional.interpolate(x, size=31, mode="linear", align_corners=True)
    torch.testing.assert_close(resample(x, 31), wanted, rtol=0, atol=1e-12)
    assert resample(x, 9) is x
    assert torch.equal(resample(x[..., :1], 5), x[..., :1].expand(-1, -1, 5))


def test_a_coarser_grid_takes_means():
    """What alternates from step to step vanishes; a line stays a line, apart from its ends."""
    alternating = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(200)[None, None, :-1]
    assert resample(alternating, 100)[..., 1:-1].abs().max() < 0.02
    line = torch.linspace(0, 1, 401, dtype=torch.float64)[None, None]
    wanted = torch.linspace(0, 1, 101, dtype=torch.float64)
    torch.testing.assert_close(resample(line, 101)[0, 0, 1:-1], wanted[1:-1])
    for given, steps in ((400, 100), (7, 50), (50, 7), (1, 8)):
        w = weights(given, steps, line.device)
        torch.testing.assert_close(w.sum(1), torch.ones(steps).double())
        assert (w >= 0).all()


@pytest.mark.parametrize("unit", [1e-30, 1.0, 1e30])
def test_standardised(unit):
    x = series(4, 2, 50) + 3
    wanted = (x - x.mean(-1, keepdim=True)) / x.std(-1, correction=0, keepdim=True)
    torch.testing.assert_close(standardized(x * unit), wanted, rtol=1e-9, atol=1e-9)
    y = torch.cat([x, torch.full((4, 2, 3), torch.nan)], 2)
    short = standardized(y, torch.full((4,), 50))
    torch.testing.assert_close(short[..., :50], wanted, rtol=1e-9, atol=1e-9)
    assert not short[..., 50:].any()
    assert not standardized(torch.full((1, 1, 7), 0.1, dtype=torch.float64)).any()


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(("channels", "steps"), [(1, 8), (3, 50), (30, 9), (600, 8), (2, 1)])
def test_any_number_of_channels_and_steps(channels, steps, full):
    read = built(channels=channels, lengths=(16, 32), full=full)
    z = read(series(2, channels, steps))
    every = channels * (2 * 2 * 6 * 8 + 2)
    assert z.shape == (2, every if full else min(every, 2048))
    assert z.shape[1] == read.out_features == read.features_of(channels)
    assert torch.isfinite(z).all()


@pytest.mark.parametrize("channels", [2, 40])
def test_padding_and_the_rest_of_a_batch_change_nothing(channels):
    read, x = built(lengths=(16, 32)), series(6, channels, 50)
    lengths = torch.tensor((50, 1, 2, 7, 49, 7))
    padded = torch.where(padding.over(x, lengths), x, torch.nan)
    together = read.features(padded, lengths)
    assert torch.equal(read(padded, lengths), together.pooled)
    for i, n in enumerate(lengths.tolist()):
        own = read.features(x[i : i + 1, :, :n])
        torch.testing.assert_close(together.pooled[i], own.pooled[0], rtol=0, atol=1e-12)
        torch.testing.assert_close(together.steps[i], own.steps[0], rtol=0, atol=1e-12)


def test_half_of_the_maps_see_the_amplitude():
    read, x = built(lengths=(16,), full=True), series(5, 1, 40)
    first, other = read(x), read(3 * x + 1)
    given, alone, moments = first.split((48, 48, 2), dim=1)
    given_3, alone_3, moments_3 = other.split((48, 48, 2), dim=1)
    torch.testing.assert_close(alone, alone_3, rtol=0, atol=1e-9)
    assert not torch.allclose(given, given_3, atol=1e-2)
    torch.testing.assert_close(moments_3, 3 * moments + torch.tensor([1.0, 0.0]).double())


def test_a_channel_has_the_features_that_it_has_alone():
    read, x = built(lengths=(16,), full=True), series(2, 3, 20)
    together = read(x)[:, :-6].unflatten(1, (3, -1))
    for c in range(3):
        alone = read(x[:, c : c + 1])[:, :-2]
        torch.testing.assert_close(together[:, c], alone, rtol=0, atol=1e-12)


def test_thirds_of_time():
    """Means, then maxima, of the last block's map."""
    read, x = built(lengths=(24,), full=True), series(3, 1, 24)
    h = read.encoder.series(x[:, 0])[-1][:, :, 0]
    thirds = h.unflatten(2, (3, 4))
    wanted = torch.cat([thirds.mean(-1).flatten(1), thirds.amax(-1).flatten(1)], 1)
    torch.testing.assert_close(read(x)[:, :48], wanted)


def test_the_projection_keeps_inner_products_on_average():
    z = series(40, 1, 20_000)[:, 0]
    found = readout._projected(z, 2000)
    assert found.shape == (40, 2000)
    # An inner product of rows of length sqrt(D) is off by D / sqrt(size) in one deviation.
    error = (found @ found.T - z @ z.T).abs().max() / z.shape[1]
    assert error < 5 / 2000**0.5
    assert torch.equal(found, readout._projected(z, 2000))
    one = torch.zeros(1, 20_000).double()
    one[0, 7] = 2.0
    assert readout._projected(one, 2000).abs().sum() == 2


def test_gradients_reach_the_encoder():
    read = built(lengths=(16,))
    read(series(3, 2, 20)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in read.encoder.parameters())


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: built(lengths=(4,)), ValueError, "lengths: 4; accepted: a finite number >= 8"),
        (
            lambda: built()(torch.ones(3, 4)),
            ValueError,
            r"x: shape \(3, 4\); accepted: \(N, C, T\)",
        ),
        (lambda: built()(torch.ones(1, 2, 3).long()), TypeError, "x: dtype torch.int64"),
        (lambda: built(channels=3)(series(1, 2, 9)), ValueError, "x: 2 channels; accepted: 3"),
        (lambda: built().out_features, ValueError, "channels: None; accepted: a number"),
        (
            lambda: built()(series(1, 2, 9), torch.tensor([10])),
            ValueError,
            "lengths: 10 to 10; accepted: 1 to T = 9",
        ),
    ],
)
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()
