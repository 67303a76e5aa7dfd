"""Scaling in float64: any unit, any level, constant channels."""

import math

import numpy as np
import pytest
import torch

from tsssl_fast.data import Scaling, Series, stored
from tsssl_fast.data.scaling import constant_channels


def series(n=20, channels=3, steps=50):
    return torch.randn(n, channels, steps, generator=torch.Generator().manual_seed(0)).double()


@pytest.mark.parametrize("unit", [1e-300, 1e-30, 1e-13, 1.0, 1e30, 1e300])
@pytest.mark.parametrize("kind", ["standard", "scale"])
def test_any_unit(unit, kind):
    x = series()
    expected = Scaling.fit(x, kind)(x)
    y = Scaling.fit(x * unit, kind)(x * unit)
    assert y.dtype == torch.float32
    assert y.numpy() == pytest.approx(expected.numpy(), abs=1e-6)


def test_a_small_deviation_at_a_high_level():
    x = series() + 1e9
    y = Scaling.fit(x)(x)
    assert y.std((0, 2), correction=0).tolist() == pytest.approx([1] * 3)
    assert y.numpy() == pytest.approx(Scaling.fit(series())(series()).numpy(), abs=1e-5)
    # float32 at a level of 101325 still holds a deviation of 0.05.
    pressure = (101325 + 0.05 * series()).float()
    assert float(Scaling.fit(pressure)(pressure).std()) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [0.0, 0.1, -1e-9, 123456.7, 1e30])
def test_a_constant_channel_keeps_its_scale(value, dtype):
    x = torch.full((50, 1, 100), value, dtype=dtype)
    scaling = Scaling.fit(x)
    assert scaling.scale.tolist() == [1]
    assert scaling(x).abs().max() == 0
    assert constant_channels(x) == [0]
    other = torch.full((1, 1, 2), value + 0.1, dtype=torch.float64)
    assert scaling(other).tolist() == [[[pytest.approx(0.1, abs=1e-6 * max(1, abs(value)))] * 2]]


def test_groups_share_a_scale_and_one_constant_channel_does_not_end_it():
    x = series()
    x[:, 1] = 0.1
    scaling = Scaling.fit(x, "standard", group=3)
    assert len(set(scaling.scale.tolist())) == 1
    power = (x - x.mean((0, 2))[:, None]).square().mean()
    assert scaling.scale[0].item() == pytest.approx(power.sqrt().item())
    assert constant_channels(x) == [1]


def test_what_float32_can_not_hold_is_refused():
    x = series() * 1e300
    with pytest.raises(ValueError, match="beyond float32 after scaling; accepted: scaling='stand"):
        Scaling.fit(x, "none")(x)


@pytest.mark.parametrize("group", [1, 3])
def test_minmax_is_of_the_train_split(group):
    x = series()
    x[:, 1] = 0.5
    scaling = Scaling.fit(x, "minmax", group)
    y = scaling(x)
    rows = [x] if group == 3 else [x[:, c : c + 1] for c in range(3)]
    for c, part in enumerate(rows):
        low, high = float(part.min()), float(part.max())
        wide = high - low or 1.0  # a constant channel keeps its scale
        mine = y if group == 3 else y[:, c : c + 1]
        assert mine.numpy() == pytest.approx(((part - low) / wide).numpy(), abs=1e-6)
    assert float(scaling(2 * x).max()) > 1


def padded(kind=torch.float64, value=0.0):
    """Series of 3 to 49 steps at a high level, and the value behind them."""
    x = (series(400) + 1e5).to(kind)
    lengths = torch.randint(3, 50, (400,), generator=torch.Generator().manual_seed(1))
    lengths[7] = 50
    x[(torch.arange(50) >= lengths[:, None])[:, None].expand_as(x)] = value
    return x, lengths


@pytest.mark.parametrize("kind", ["standard", "scale", "minmax"])
@pytest.mark.parametrize("group", [1, 3])
def test_padding_does_not_count_whatever_it_is(kind, group):
    x, lengths = padded()
    alone = torch.cat([row[:, :n] for row, n in zip(x, lengths.tolist(), strict=True)], dim=1)
    expected = Scaling.fit(alone[None], kind, group)
    for value in (0.0, -1e300, math.nan, math.inf):
        found = Scaling.fit(padded(value=value)[0], kind, group, lengths)
        torch.testing.assert_close(found.shift, expected.shift, rtol=1e-15, atol=0)
        torch.testing.assert_close(found.scale, expected.scale, rtol=1e-14, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_padded_series_are_read_in_blocks(monkeypatch, dtype):
    x, lengths = padded(dtype)
    most = []

    class Source:
        shape, dtype = x.shape, x.numpy().dtype

        def __len__(self):
            return len(x)

        def __getitem__(self, rows):
            found = x.numpy()[rows]
            most.append(len(found))
            return found

    own = [row[:, :n].double() for row, n in zip(x, lengths.tolist(), strict=True)]
    steps = np.concatenate([part.numpy() for part in own], axis=1)
    mean = [math.fsum(channel) / len(channel) for channel in steps]
    scale = [
        math.sqrt(math.fsum((channel - m) ** 2) / len(channel))
        for channel, m in zip(steps, mean, strict=True)
    ]
    for block in (1, 4 * 150, 1 << 20):
        most.clear()
        monkeypatch.setattr(stored, "BLOCK", block)
        found = Scaling.fit(Series(Source()), lengths=lengths)
        assert max(most) == max(1, min(400, block // 150))
        assert found.shift.tolist() == pytest.approx(mean, rel=1e-15, abs=0)
        assert found.scale.tolist() == pytest.approx(scale, rel=1e-13, abs=0)
