"""The features made by hand against loops over their formulas."""

import math

import numpy as np
import pytest
import torch

from tsssl_fast.evaluate import series_statistics


def expected(x):
    """One series (C, T), kind by kind."""
    x = x.double().numpy()
    channels, steps = x.shape
    values = [f(row) for f in (np.mean, np.std, np.min, np.max) for row in x]
    power = np.zeros((channels, steps // 2 + 1))
    for c, row in enumerate(x):
        for k in range(1, steps):  # bins k and T - k are one frequency
            wave = np.exp(-2j * math.pi * k * np.arange(steps) / steps)
            power[c, min(k, steps - k)] += abs((row - row.mean()) @ wave) ** 2 / steps**2
    low, high = 0, 1
    while low < max(1, steps // 2):
        values += [math.log(1e-7 + power[c, low + 1 : high + 1].sum()) for c in range(channels)]
        low, high = high, 2 * high
    centred = x - x.mean(1, keepdims=True)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    for lag in (1, 2, 4, 8, 16):
        values += [sum(u[t] * u[t - lag] for t in range(lag, steps)) for u in unit]
    values += [unit[c] @ unit[d] for c in range(channels) for d in range(c + 1, channels)]
    return values


@pytest.mark.parametrize("steps", [2, 3, 12, 37, 64])
def test_statistics_are_their_formulas(steps):
    x = torch.randn(4, 3, steps, generator=torch.Generator().manual_seed(steps))
    z = series_statistics(x)
    assert z.dtype == torch.float32
    for row, series in zip(z, x, strict=True):
        assert row.numpy() == pytest.approx(np.array(expected(series)), rel=1e-4, abs=1e-5)
    # The bands share out the variance of a channel.
    bands = (z.shape[1] - 3 - 3 * 9) // 3
    levels = z[:, 12 : 12 + 3 * bands].unflatten(1, (bands, 3)).exp().sum(1)
    assert levels.numpy() == pytest.approx(x.var(-1, correction=0).numpy(), rel=1e-4)


def test_constant_and_single_steps_are_finite():
    x = torch.full((2, 3, 20), 5.3)
    x[:, 1] = torch.arange(20.0)
    z = series_statistics(x)
    assert torch.isfinite(z).all()
    assert z[:, -3:].abs().max() < 1e-6  # a constant channel correlates with nothing
    assert torch.isfinite(series_statistics(x[..., :1])).all()


def test_what_is_no_batch_of_series_is_refused():
    with pytest.raises(ValueError, match=r"x: shape \(3, 20\); accepted: \(N, C, T\)"):
        series_statistics(torch.zeros(3, 20))
    with pytest.raises(ValueError, match=r"x: shape \(0, 3, 20\)"):
        series_statistics(torch.zeros(0, 3, 20))
    with pytest.raises(TypeError, match=r"x: dtype torch\.int64"):
        series_statistics(torch.zeros(2, 3, 20, dtype=torch.int64))
