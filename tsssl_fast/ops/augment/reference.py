"""The definition in plain torch: vectorised over views and samples, any device, differentiable.

The order of operations is the kernels', so that the bits are too. Random draws and the noise scale
count as constants in the derivative: the pipeline is affine in the series.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tsssl_fast import rng
from tsssl_fast.dispatch import Backend
from tsssl_fast.ops.augment import arithmetic, draws, spec
from tsssl_fast.ops.augment.spec import Code


@dataclass(frozen=True)
class Call:
    """One operation of a program on (views, N, C, T): its row, its arguments and its slots."""

    row: Sequence[float]
    slots: Tensor  # (views, N, slots of this row) float64, on the device of the series
    subject: draws.Subject

    @property
    def code(self) -> Code:
        return Code(int(self.row[spec.CODE]))

    @property
    def a(self) -> Sequence[float]:
        return self.row[-spec.ARGUMENTS :]

    def slot(self, i: int) -> Tensor:
        """(views, N, 1, 1)"""
        return self.slots[..., i, None, None]


def row_std(x: Tensor) -> Tensor:
    """Standard deviation of every row (..., T), divided by T, in float64: (..., 1).

    32 strided partial sums and then a tree: the order in which the kernels add.
    """
    t = x.shape[-1]
    x = x.detach().double()
    mean = _fixed_sum(x) / t
    d = x - mean
    return arithmetic.root(_fixed_sum(d * d) / t)


def _fixed_sum(x: Tensor) -> Tensor:
    width = spec.STD_PARTIALS
    x = torch.nn.functional.pad(x, (0, -x.shape[-1] % width))
    part = torch.zeros_like(x[..., :width])
    for piece in x.split(width, dim=-1):
        part = part + piece
    while width > 1:
        width //= 2
        part = part[..., :width] + part[..., width : 2 * width]
    return part


def _steps(x: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.arange(x.shape[-1], device=x.device, dtype=dtype)


def _identity(x: Tensor, call: Call) -> Tensor:
    return x


def _time_flip(x: Tensor, call: Call) -> Tensor:
    return x.flip(-1)


def _sign_flip(x: Tensor, call: Call) -> Tensor:
    return -x


def _in_block(x: Tensor, call: Call) -> Tensor:
    t = _steps(x, torch.float64)
    length, start = call.slot(1), call.slot(2)
    return (t >= start) & (t < start + length)


def _blockout(x: Tensor, call: Call) -> Tensor:
    return torch.where(_in_block(x, call), call.a[3], x)


def _blockout_adjoint(g: Tensor, call: Call) -> Tensor:
    return torch.where(_in_block(g, call), 0.0, g)


def _random_noise(x: Tensor, call: Call) -> Tensor:
    words = call.subject.elements(call.row).to(x.device)
    if call.a[2]:
        z = arithmetic.normals(words[..., 0::2], words[..., 1::2], x.dtype)
        r = torch.stack(z, dim=-1).flatten(-2)
    else:
        r = rng.uniform(words, x.dtype) * 2.0 - 1.0
    amplitude = call.slot(1).to(x.dtype) * row_std(x).to(x.dtype)
    return x + r[..., : x.shape[-1]] * amplitude


def _magnitude_warp(x: Tensor, call: Call) -> Tensor:
    """Its own adjoint."""
    amplitude = call.slot(1).to(x.dtype)
    turns = call.slot(2) / x.shape[-1]
    step = ((turns - turns.floor()) * 2.0**32 + 0.5).long() & 0xFFFFFFFF
    theta = (call.slots[..., 3:, None] * 2.0**32).long()
    phase = (theta + step * _steps(x, torch.int64)) & 0xFFFFFFFF
    sin, _ = arithmetic.sincos_turns(phase, x.dtype)
    offset = amplitude if call.a[4] else 1.0
    return x * (offset + amplitude * sin)


def _crop_positions(x: Tensor, call: Call) -> Tensor:
    step = (call.slot(1) - 1.0) / (x.shape[-1] - 1)
    return call.slot(2) + _steps(x, torch.float64) * step


def _warp_positions(x: Tensor, call: Call) -> Tensor:
    t = x.shape[-1]
    speed = call.slots[..., 2:]
    segments = speed.shape[-1] - 1
    begin = [torch.zeros_like(speed[..., 0])]
    for k in range(segments):
        begin.append(begin[-1] + (speed[..., k] + speed[..., k + 1]) * 0.5)
    # A tensor above: torch divides a number by a tensor through the rounded reciprocal.
    scale = (torch.full_like(begin[-1], t - 1) / begin[-1])[..., None]
    start = torch.stack(begin[:-1], dim=-1) * scale
    slope = speed[..., :-1] * scale
    bend = ((speed[..., 1:] - speed[..., :-1]) * 0.5) * scale
    w = _steps(x, torch.float64) * (segments / (t - 1))
    segment = w.long().clamp_max(segments - 1)
    f = w - segment.double()
    position = start[..., segment] + f * (slope[..., segment] + f * bend[..., segment])
    return position[..., None, :]


_POSITIONS = {Code.CROP_RESIZE: _crop_positions, Code.TIME_WARP: _warp_positions}


def _neighbours(x: Tensor, call: Call) -> tuple[Tensor, Tensor]:
    """Left neighbour, in the shape of x, and weight of the right one, per output step."""
    t = x.shape[-1]
    position = _POSITIONS[call.code](x, call).clamp(0.0, t - 1.0)
    left = position.long().clamp_max(t - 2)
    return left.expand(x.shape), (position - left.double()).to(x.dtype)


def _interpolate(x: Tensor, call: Call) -> Tensor:
    if x.shape[-1] < 2:
        return x
    left, weight = _neighbours(x, call)
    a, b = x.gather(-1, left), x.gather(-1, left + 1)
    return a + weight * (b - a)


def _interpolate_adjoint(g: Tensor, call: Call) -> Tensor:
    if g.shape[-1] < 2:
        return g
    left, weight = _neighbours(g, call)
    right = weight * g
    out = torch.zeros_like(g).scatter_add(-1, left, g - right)
    return out.scatter_add(-1, left + 1, right)


def _smooth_weights(x: Tensor, call: Call) -> tuple[Tensor, Tensor]:
    return (1.0 - call.slot(1)).to(x.dtype), (call.slot(1) * 0.5).to(x.dtype)


def _smooth(x: Tensor, call: Call) -> Tensor:
    centre, side = _smooth_weights(x, call)
    for _ in range(int(call.a[2])):
        before = torch.cat([x[..., :1], x[..., :-1]], dim=-1)
        after = torch.cat([x[..., 1:], x[..., -1:]], dim=-1)
        x = centre * x + side * (before + after)
    return x


def _smooth_adjoint(g: Tensor, call: Call) -> Tensor:
    centre, side = _smooth_weights(g, call)
    for _ in range(int(call.a[2])):
        spread = torch.zeros_like(g)
        spread[..., :-1] += g[..., 1:]
        spread[..., 1:] += g[..., :-1]
        spread[..., 0] += g[..., 0]
        spread[..., -1] += g[..., -1]
        g = centre * g + side * spread
    return g


OPERATIONS: dict[Code, Callable[[Tensor, Call], Tensor]] = {
    Code.TIME_FLIP: _time_flip,
    Code.SIGN_FLIP: _sign_flip,
    Code.BLOCKOUT: _blockout,
    Code.RANDOM_NOISE: _random_noise,
    Code.CROP_RESIZE: _interpolate,
    Code.MAGNITUDE_WARP: _magnitude_warp,
    Code.TIME_WARP: _interpolate,
    Code.SMOOTH: _smooth,
}

# An operator runs below autograd: the transposed operations are written out.
ADJOINTS: dict[Code, Callable[[Tensor, Call], Tensor]] = {
    Code.TIME_FLIP: _time_flip,
    Code.SIGN_FLIP: _sign_flip,
    Code.BLOCKOUT: _blockout_adjoint,
    Code.RANDOM_NOISE: _identity,
    Code.CROP_RESIZE: _interpolate_adjoint,
    Code.MAGNITUDE_WARP: _magnitude_warp,
    Code.TIME_WARP: _interpolate_adjoint,
    Code.SMOOTH: _smooth_adjoint,
}


def augment(
    x: Tensor,
    program: Tensor,
    seed: Tensor,
    views: int,
    sample_ids: Tensor | None = None,
    parameters: Tensor | None = None,
) -> Tensor:
    """(N, C, T) -> (views, N, C, T): every operation of the program in order, where it acts."""
    y = x.to(spec.compute_dtype(x.dtype)).expand(views, *x.shape)
    for call in _calls(x, program, seed, views, sample_ids, parameters):
        y = torch.where(call.slot(0) != 0, OPERATIONS[call.code](y, call), y)
    return y.to(x.dtype)


def _calls(
    x: Tensor,
    program: Tensor,
    seed: Tensor,
    views: int,
    sample_ids: Tensor | None,
    parameters: Tensor | None,
) -> list[Call]:
    """The operations on x (N, C, T) with their parameters, drawn unless they are given."""
    rows = program.tolist()
    subject = draws.Subject.of(seed, sample_ids, views, x.shape)
    table = draws.draw(rows, subject) if parameters is None else parameters
    table = table.to(x.device)
    ends = spec.bounds(rows, x.shape[1])
    return [
        Call(row, table[..., begin:end], subject)
        for row, begin, end in zip(rows, ends[:-1], ends[1:], strict=True)
    ]


def _forward(*arguments: Any) -> Tensor:
    return augment(*arguments).clone(memory_format=torch.contiguous_format)


def _backward(
    grad: Tensor,
    program: Tensor,
    seed: Tensor,
    sample_ids: Tensor | None,
    parameters: Tensor | None,
) -> Tensor:
    g = grad.to(spec.compute_dtype(grad.dtype))
    calls = _calls(grad[0], program, seed, grad.shape[0], sample_ids, parameters)
    for call in reversed(calls):
        g = torch.where(call.slot(0) != 0, ADJOINTS[call.code](g, call), g)
    return g.sum(0).to(grad.dtype)


def _sample(
    program: Tensor, seed: Tensor, views: int, shape: Sequence[int], sample_ids: Tensor | None
) -> Tensor:
    return draws.draw(program.tolist(), draws.Subject.of(seed, sample_ids, views, shape))


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    return []


BACKEND = Backend(
    "reference",
    kernels={"augment": _forward, "augment_backward": _backward, "augment_sample": _sample},
    why_not=_why_not,
    devices=frozenset({"cpu", "cuda", "mps", "xpu", "meta"}),
)
