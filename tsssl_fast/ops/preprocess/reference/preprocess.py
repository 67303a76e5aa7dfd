"""The definition in plain torch: rows of (N, C, T) in float64, or float32 on a device without,
`inside` marks the steps in use."""

from collections.abc import Callable

import torch
from torch import Tensor

from tsssl_fast.backends.precision import widest
from tsssl_fast.ops.augment.reference import arithmetic
from tsssl_fast.ops.augment.reference.pointwise import fixed_sum, steps
from tsssl_fast.ops.preprocess import spec
from tsssl_fast.ops.preprocess.spec import Task


def _moments(x: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the known steps of every row: (N, C, 1)."""
    known = inside & ~x.isnan()
    n = fixed_sum(known.to(x.dtype))
    mean = fixed_sum(torch.where(known, x, 0.0)) / n
    d = x - mean
    return mean, arithmetic.root(fixed_sum(torch.where(known, d * d, 0.0)) / n)


def _fill_constant(x: Tensor, inside: Tensor, first: float, second: float) -> Tensor:
    return torch.where(x.isnan(), first, x)


def _last_known(x: Tensor, inside: Tensor) -> Tensor:
    """The last known step at or before every step, -1 for none."""
    return torch.where(inside & ~x.isnan(), steps(x, torch.int64), -1).cummax(-1).values


def _next_known(x: Tensor, inside: Tensor) -> Tensor:
    """The next known step at or after every step, T for none."""
    t = x.shape[-1]
    known = torch.where(inside & ~x.isnan(), steps(x, torch.int64), t)
    return known.flip(-1).cummin(-1).values.flip(-1)


def _at(x: Tensor, index: Tensor) -> Tensor:
    return x.gather(-1, index.clamp(0, x.shape[-1] - 1))


def _fill_forward(x: Tensor, inside: Tensor, first: float, second: float) -> Tensor:
    last = _last_known(x, inside)
    return torch.where(last >= 0, _at(x, last), x)


def _fill_backward(x: Tensor, inside: Tensor, first: float, second: float) -> Tensor:
    following = _next_known(x, inside)
    return torch.where(following < x.shape[-1], _at(x, following), x)


def _fill_both(x: Tensor, inside: Tensor, first: float, second: float) -> Tensor:
    return _fill_backward(_fill_forward(x, inside, 0, 0), inside, 0, 0)


def _fill_linear(x: Tensor, inside: Tensor, first: float, second: float) -> Tensor:
    last, following = _last_known(x, inside), _next_known(x, inside)
    a, b = _at(x, last), _at(x, following)
    w = (steps(x, torch.int64) - last).to(x.dtype) / (following - last).to(x.dtype)
    y = torch.where(following < x.shape[-1], torch.where(last >= 0, a + w * (b - a), b), a)
    return torch.where(x.isnan() & ((last >= 0) | (following < x.shape[-1])), y, x)


def _standardize(x: Tensor, inside: Tensor, first: float, second: float) -> Tensor:
    mean, deviation = _moments(x, inside)
    constant = deviation <= first * mean.abs()
    return torch.where(constant, x - x, (x - mean) / deviation)  # NaN stays


def _minmax(x: Tensor, inside: Tensor, first: float, second: float) -> Tensor:
    known = inside & ~x.isnan()
    least = torch.where(known, x, torch.inf).amin(-1, keepdim=True)
    greatest = torch.where(known, x, -torch.inf).amax(-1, keepdim=True)
    width = torch.where(greatest > least, greatest - least, 1.0)
    return first + (x - least) / width * (second - first)


def _moving_average(x: Tensor, inside: Tensor, first: float, second: float) -> Tensor:
    t, half = steps(x, torch.int64), int(first) // 2
    last = inside.sum(-1, keepdim=True) - 1
    total, count = torch.zeros_like(x), torch.zeros_like(x)
    for offset in range(-half, half + 1):
        index = t + offset
        use = torch.ones_like(x, dtype=torch.bool) if second else (index >= 0) & (index <= last)
        value = _at(x, index.clamp_min(0).minimum(last).expand(x.shape))
        total = torch.where(use, total + value, total)
        count = count + use
    return total / count


def _exponential(x: Tensor, inside: Tensor, first: float, second: float) -> Tensor:
    level, columns = x[..., 0], []
    for value in x.unbind(-1):
        level = level + first * (value - level)
        columns.append(level)
    return torch.stack(columns, dim=-1)


def _clip(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return torch.where(x < low, low, torch.where(x > high, high, x))


def _clip_deviations(x: Tensor, inside: Tensor, first: float, second: float) -> Tensor:
    mean, deviation = _moments(x, inside)
    return _clip(x, mean - first * deviation, mean + first * deviation)


def _clip_interquartile(x: Tensor, inside: Tensor, first: float, second: float) -> Tensor:
    known = inside & ~x.isnan()
    ordered = torch.where(known, x, torch.inf).sort(-1).values
    n = known.sum(-1, keepdim=True)

    def quantile(q: float) -> Tensor:
        place = q * (n - 1).clamp_min(0).to(x.dtype)
        k = place.long()
        low, high = _at(ordered, k), _at(ordered, torch.minimum(k + 1, (n - 1).clamp_min(0)))
        return torch.where(k + 1 < n, low + (place - k.to(x.dtype)) * (high - low), low)

    lower, upper = quantile(0.25), quantile(0.75)
    clipped = _clip(x, lower - first * (upper - lower), upper + first * (upper - lower))
    return torch.where(n > 0, clipped, x)


TASKS: dict[Task, Callable[[Tensor, Tensor, float, float], Tensor]] = {
    Task.FILL_CONSTANT: _fill_constant,
    Task.FILL_FORWARD: _fill_forward,
    Task.FILL_BACKWARD: _fill_backward,
    Task.FILL_BOTH: _fill_both,
    Task.FILL_LINEAR: _fill_linear,
    Task.STANDARDIZE: _standardize,
    Task.MINMAX: _minmax,
    Task.MOVING_AVERAGE: _moving_average,
    Task.EXPONENTIAL: _exponential,
    Task.CLIP_DEVIATIONS: _clip_deviations,
    Task.CLIP_INTERQUARTILE: _clip_interquartile,
}


def preprocess(x: Tensor, task: int, first: float, second: float, lengths: Tensor | None) -> Tensor:
    """(N, C, T) -> (N, C, T), row by row; padding keeps its values."""
    if lengths is None:
        inside = torch.ones_like(x, dtype=torch.bool)
    else:
        inside = (steps(x, torch.int64) < lengths.to(x.device)[:, None, None]).expand(x.shape)
    wide = x.to(widest(x))
    y = TASKS[Task(task)](wide, inside, first, second)
    # By way of the dtype that the kernels write: one rounding more for 16-bit series, the same one.
    y = y.to(spec.compute_dtype(x.dtype)).to(x.dtype)
    return torch.where(inside, y, x).contiguous()
