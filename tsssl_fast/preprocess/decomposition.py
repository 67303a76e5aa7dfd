"""A series as trend, season and what remains."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import conv1d

from tsssl_fast.augment import inputs
from tsssl_fast.backends.precision import widest
from tsssl_fast.common import checks


class Decomposition(NamedTuple):
    """Parts (N, C, T) that sum to the series."""

    trend: Tensor
    seasonal: Tensor
    residual: Tensor


def seasonal_decompose(x: Tensor, period: int) -> Decomposition:
    """Classical additive decomposition: x = trend + seasonal + residual.

        trend:    mean over one period around the step (of an even one both end steps count half);
                  in the first and last half period the straight line through the nearest `period`
                  of its values
        seasonal: mean of x - trend over the steps of a phase, where the trend is a mean; minus
                  the mean of all phases
        residual: the rest

    It sees the future: for cleaning whole series, not for forecasting. Source: moving-average
    decomposition (Macaulay, The Smoothing of Time Series, 1931).

    Args:
        x: (N, C, T) floating, without NaN. period: steps of a season, 2 to T / 2.

    Returns:
        A Decomposition in x's dtype, computed in float64 where the device has it, without gradient.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    checks.floating("x", x)
    inputs.check_series(x, "NCT")
    steps = x.shape[2]
    if isinstance(period, bool) or not isinstance(period, int):
        raise TypeError(f"period: {type(period).__name__}; accepted: an integer")
    if not 2 <= period <= steps // 2:
        raise ValueError(f"period: {period}; accepted: 2 to {steps // 2}, two seasons of {steps}")
    wide = x.detach().to(widest(x)).flatten(0, 1)
    half = period // 2
    kernel = torch.ones(2 * half + 1, dtype=wide.dtype, device=x.device)
    if period % 2 == 0:
        kernel[0] = kernel[-1] = 0.5
    inner = conv1d(wide[:, None], kernel[None, None] / period)[:, 0]
    trend = torch.cat(
        [_line(inner, period, half, True), inner, _line(inner, period, half, False)], 1
    )
    phase = torch.arange(steps, device=x.device) % period
    known = torch.zeros(steps, period, dtype=wide.dtype, device=x.device)
    known[torch.arange(steps), phase] = 1
    known[:half] = 0
    known[steps - half :] = 0
    means = (wide - trend) @ known / known.sum(0)
    seasonal = (means - means.mean(1, keepdim=True))[:, phase]
    parts = (trend, seasonal, wide - trend - seasonal)
    return Decomposition(*(p.view(x.shape).to(x.dtype) for p in parts))


def _line(inner: Tensor, period: int, count: int, before: bool) -> Tensor:
    """`count` steps before or after the trend, on the least-squares line of its nearest values."""
    near = inner[:, :period] if before else inner[:, -period:]
    at = torch.arange(near.shape[1], dtype=inner.dtype, device=inner.device)
    off = at - at.mean()
    slope = near @ off / off.square().sum().clamp_min(1)
    to = torch.arange(-count, 0) if before else near.shape[1] + torch.arange(count)
    return near.mean(1, keepdim=True) + slope[:, None] * (to.to(at) - at.mean())
