"""Preprocessing of time series along time, per sample and channel; and of a data set, in `dataset`.

    from tsssl_fast import preprocess
    x = preprocess.standardize(preprocess.fill_missing(x, method="linear"))

Every function takes and gives (N, C, T), works on the steps of one channel of one sample alone, and
is not differentiable. A table with a sample per row and `DataFrame.ffill()` fills from the sample
above, that is from another person; a scaler fitted before the split knows the test set. Neither can
happen here; what has to be learnt from many samples is fitted in `dataset`, on the training set.

Arguments that all of them share: x, (N, C, T) floating; lengths, (N,) int64 in 1 to T, the steps
that are no padding (padding keeps its values); backend, "reference", "cpp" or None. Errors:
TypeError for another dtype, ValueError for another shape or a value out of range, each naming the
argument.
"""

import math

from torch import Tensor

from tsssl_fast import ops as ops  # registers the operators
from tsssl_fast.augment import inputs, validation
from tsssl_fast.backends import dispatch
from tsssl_fast.common import checks
from tsssl_fast.ops.preprocess.operators.preprocess import preprocess
from tsssl_fast.ops.preprocess.spec import Task
from tsssl_fast.preprocess import trailing
from tsssl_fast.preprocess.decomposition import Decomposition, seasonal_decompose
from tsssl_fast.preprocess.wavelets import WAVELETS, inverse_wavelet, wavelet

__all__ = [
    "WAVELETS",
    "Decomposition",
    "clip_outliers",
    "exponential_smoothing",
    "fill_missing",
    "inverse_wavelet",
    "minmax",
    "moving_average",
    "seasonal_decompose",
    "standardize",
    "wavelet",
]

_FILLS = {
    "forward_backward": Task.FILL_BOTH,
    "linear": Task.FILL_LINEAR,
    "constant": Task.FILL_CONSTANT,
    "forward": Task.FILL_FORWARD,
    "backward": Task.FILL_BACKWARD,
}


def _run(
    x: Tensor, task: Task, first: float, second: float, lengths: Tensor | None, backend: str | None
) -> Tensor:
    checks.floating("x", x)
    inputs.check_series(x, "NCT")
    return preprocess(
        *(x.detach(), int(task), first, second, inputs.per_sample("lengths", lengths, len(x))),
        dispatch.backend_name(backend),
    )


def fill_missing(
    x: Tensor,
    *,
    method: str = "forward_backward",
    value: float = 0.0,
    lengths: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """Replaces NaN in x (N, C, T) floating.

    method: "forward_backward" repeats the last known value, and before the first known step the
    first; "linear" draws a straight line between known steps and repeats the outer ones; "constant"
    writes `value`; "forward" and "backward" leave what has no known step on that side. A channel
    without any known step stays NaN, except with "constant". Raises as the module says.
    """
    checks.choice("method", method, tuple(_FILLS))
    return _run(x, _FILLS[method], validation.number("value", value), 0.0, lengths, backend)


def standardize(
    x: Tensor,
    *,
    least_std: float = 1e-12,
    lengths: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """(x - mean) / std over the known steps of x (N, C, T); std divides by their number.

    A channel whose std is not above `least_std` times its |mean| is constant, whatever its unit,
    and becomes 0. NaN stays. Raises as the module says.
    """
    validation.interval("least_std", validation.number("least_std", least_std), 0)
    return _run(x, Task.STANDARDIZE, float(least_std), 0.0, lengths, backend)


def minmax(
    x: Tensor,
    *,
    low: float = 0.0,
    high: float = 1.0,
    lengths: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """Maps the least known value to `low`, the greatest to `high`; a constant channel to `low`.

    x: (N, C, T). Raises as the module says; ValueError where low is not below high.
    """
    if validation.number("low", low) >= validation.number("high", high):
        raise ValueError(f"low: {low}; accepted: below high = {high}")
    return _run(x, Task.MINMAX, float(low), float(high), lengths, backend)


def moving_average(
    x: Tensor,
    window: int,
    *,
    edge: str = "shrink",
    align: str = "centred",
    min_periods: int | None = None,
    lengths: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """Mean of `window` neighbouring steps, (N, C, T) as x.

    align: "centred", around the step, which sees the future: not for forecasting or anything else
    that must not know what comes next; "trailing", the step and those before it (pandas' rolling),
    in plain torch.
    window: odd where centred. edge, where centred: "shrink" averages the steps that exist (no NaN
    at the head), "repeat" repeats the end values. min_periods, where trailing: steps that the head
    needs, 1 to window, else it is NaN; None: 1. NaN reaches its neighbours: fill before.
    """
    validation.integer("window", window, 1, (1 << 31) - 1)
    checks.choice("align", align, ("centred", "trailing"))
    if align == "trailing":
        if edge != "shrink":
            raise ValueError(f"edge: {edge!r} with align='trailing'; accepted: 'shrink'")
        return trailing.moving_average(x, window, min_periods, lengths)
    if min_periods is not None:
        raise ValueError(f"min_periods: {min_periods} with align='centred'; accepted: None")
    if window % 2 == 0:
        raise ValueError(f"window: {window}; accepted: an odd number")
    checks.choice("edge", edge, ("shrink", "repeat"))
    return _run(x, Task.MOVING_AVERAGE, float(window), float(edge == "repeat"), lengths, backend)


def exponential_smoothing(
    x: Tensor, alpha: float, *, lengths: Tensor | None = None, backend: str | None = None
) -> Tensor:
    """y[0] = x[0], y[t] = y[t-1] + alpha (x[t] - y[t-1]); a NaN stays on: fill before.

    x: (N, C, T). alpha: in (0, 1]. Raises as the module says.
    """
    validation.interval("alpha", validation.number("alpha", alpha), 0, 1, open_low=True)
    return _run(x, Task.EXPONENTIAL, float(alpha), 0.0, lengths, backend)


def clip_outliers(
    x: Tensor,
    *,
    method: str = "zscore",
    factor: float | None = None,
    lengths: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """Moves outliers to the border; dropping them would break the time grid.

    method: "zscore", borders mean +- factor * std (default 3); "iqr", borders q1 - factor * (q3 -
    q1) and q3 + factor * (q3 - q1) (default 1.5), quantiles interpolated linearly. NaN is ignored
    and stays. x: (N, C, T). Raises as the module says.
    """
    checks.choice("method", method, ("zscore", "iqr"))
    if factor is None:
        factor = 3.0 if method == "zscore" else 1.5
    if not validation.number("factor", factor) > 0 or math.isinf(factor):
        raise ValueError(f"factor: {factor}; accepted: a finite number > 0")
    task = Task.CLIP_DEVIATIONS if method == "zscore" else Task.CLIP_INTERQUARTILE
    return _run(x, task, float(factor), 0.0, lengths, backend)
