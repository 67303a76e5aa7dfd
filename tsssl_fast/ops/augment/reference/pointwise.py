"""Operations that leave every value where it is: the definition of csrc/augment/pointwise.h.

x is (views, N, C, T); every function has the adjoint's flag: constants that are written become
zero, everything else is its own derivative's transpose.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tsssl_fast.backends.precision import widest
from tsssl_fast.common import random
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.reference import arithmetic, draws
from tsssl_fast.ops.augment.spec import Code, names


@dataclass(frozen=True)
class Call:
    """One operation of a program on (views, N, C, T): its row, its arguments and its slots."""

    row: Sequence[float]
    slots: Tensor  # (views, N, slots of this row) float64, on the device of `precision.host_of`
    subject: draws.Subject
    length: Tensor  # (1, N, 1, 1) int64, on the device of the series

    @property
    def code(self) -> Code:
        return Code(int(self.row[spec.CODE]))

    @property
    def a(self) -> Sequence[float]:
        """Its arguments."""
        return self.row[-spec.ARGUMENTS :]

    @property
    def host_length(self) -> Tensor:
        """`length`, on the device of the slots."""
        return self.subject.lengths.to(self.slots.device)[:, None, None][None]

    def steps(self, x: Tensor) -> Tensor:
        """(T,) float64, on the device of the slots."""
        return torch.arange(x.shape[-1], device=self.slots.device, dtype=torch.float64)

    def slot(self, i: int) -> Tensor:
        """(views, N, 1, 1)"""
        return self.slots[..., i, None, None]

    def per_channel(self, first: int) -> Tensor:
        """(views, N, C, 1): the slots from `first`, one per channel."""
        return self.slots[..., first : first + self.subject.channels, None]


def steps(x: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.arange(x.shape[-1], device=x.device, dtype=dtype)


def beside(values: Tensor, x: Tensor) -> Tensor:
    """Numbers from slots, rounded to the dtype of x, on its device."""
    return values.to(x.dtype).to(x.device)


def fixed_sum(x: Tensor) -> Tensor:
    """Sum of every row, (..., T) -> (..., 1): 32 strided partial sums and then a tree."""
    width = spec.STD_PARTIALS
    x = torch.nn.functional.pad(x, (0, -x.shape[-1] % width))
    part = torch.zeros_like(x[..., :width])
    for piece in x.split(width, dim=-1):
        part = part + piece
    while width > 1:
        width //= 2
        part = part[..., :width] + part[..., width : 2 * width]
    return part


def row_mean(x: Tensor, length: Tensor) -> Tensor:
    """Mean over the first `length` steps in float64, where the device has it: (..., T) -> (..., 1);
    a constant."""
    inside, wide = steps(x, torch.int64) < length, widest(x)
    return fixed_sum(torch.where(inside, x.detach().to(wide), 0.0)) / length.to(wide)


def row_std(x: Tensor, length: Tensor) -> Tensor:
    """Standard deviation, divided by the length, in the same: (..., T) -> (..., 1); a constant."""
    inside, wide = steps(x, torch.int64) < length, widest(x)
    d = x.detach().to(wide) - row_mean(x, length)
    return arithmetic.root(fixed_sum(torch.where(inside, d * d, 0.0)) / length.to(wide))


def identity(x: Tensor, call: Call, adjoint: bool) -> Tensor:
    return x


def sign_flip(x: Tensor, call: Call, adjoint: bool) -> Tensor:
    if not call.row[spec.CHANNEL_SLOTS]:
        return -x
    flips = call.per_channel(names.SIGN_FLIP_FLIPS) != 0
    return torch.where(flips.to(x.device), -x, x)


def blockout(x: Tensor, call: Call, adjoint: bool) -> Tensor:
    t = call.steps(x)
    c = torch.arange(x.shape[-2], device=t.device, dtype=t.dtype)[:, None]
    start, first = call.slot(names.BLOCKOUT_START), call.slot(names.BLOCKOUT_FIRST_CHANNEL)
    inside = (t >= start) & (t < start + call.slot(names.BLOCKOUT_LENGTH))
    inside = inside & (c >= first) & (c < first + call.slot(names.BLOCKOUT_CHANNELS))
    fill = torch.full_like(x[..., :1], call.a[names.BLOCKOUT_FILL])
    if call.a[names.BLOCKOUT_FILL_MEAN]:
        fill = row_mean(x, call.length).to(x.dtype)
    return torch.where(inside.to(x.device), 0.0 if adjoint else fill, x)


def random_crop(x: Tensor, call: Call, adjoint: bool) -> Tensor:
    t, start = call.steps(x), call.slot(names.RANDOM_CROP_START)
    inside = (t >= start) & (t < start + call.slot(names.RANDOM_CROP_LENGTH))
    return torch.where(inside.to(x.device), x, 0.0 if adjoint else call.a[names.RANDOM_CROP_FILL])


def channel_dropout(x: Tensor, call: Call, adjoint: bool) -> Tensor:
    dropped = (call.per_channel(names.CHANNEL_DROPOUT_DROPPED) != 0).to(x.device)
    return torch.where(dropped, 0.0 if adjoint else call.a[names.CHANNEL_DROPOUT_FILL], x)


def time_dropout(x: Tensor, call: Call, adjoint: bool) -> Tensor:
    words = call.subject.elements(call.row)[..., : x.shape[-1]].to(x.device)
    words = words if call.a[names.TIME_DROPOUT_PER_CHANNEL] else words[..., :1, :]
    masked = words < int(call.a[names.TIME_DROPOUT_THRESHOLD])
    if call.a[names.TIME_DROPOUT_SPANS]:
        leave, enter = int(call.a[names.TIME_DROPOUT_LEAVE]), int(call.a[names.TIME_DROPOUT_ENTER])
        column, columns = masked[..., 0], [masked[..., 0]]
        for word in words.unbind(-1)[1:]:
            column = torch.where(column, word >= leave, word < enter)
            columns.append(column)
        masked = torch.stack(columns, dim=-1)
    return torch.where(masked, 0.0 if adjoint else call.a[names.TIME_DROPOUT_FILL], x)


def scale(x: Tensor, call: Call, adjoint: bool) -> Tensor:
    return x * beside(call.per_channel(names.SCALE_FACTORS), x)


def magnitude_warp(x: Tensor, call: Call, adjoint: bool) -> Tensor:
    amplitude = beside(call.slot(names.MAGNITUDE_WARP_MAGNITUDE), x)
    turns = call.slot(names.MAGNITUDE_WARP_PERIODS) / call.host_length
    step = ((turns - turns.floor()) * 2.0**32 + 0.5).long() & 0xFFFFFFFF
    theta = (call.per_channel(names.MAGNITUDE_WARP_THETA) * 2.0**32).long()
    phase = (theta.to(x.device) + step.to(x.device) * steps(x, torch.int64)) & 0xFFFFFFFF
    sin, _ = arithmetic.sincos_turns(phase, x.dtype)
    offset = amplitude if call.a[names.MAGNITUDE_WARP_LITERAL] else 1.0
    return x * (offset + amplitude * sin)


def _curve(x: Tensor, call: Call) -> Tensor:
    """A cubic through equidistant knots, the ends repeated (Catmull-Rom): (views, N, C, T)."""
    count = int(call.row[spec.CHANNEL_SLOTS])
    segments = count - 1
    knots = call.slots[..., names.DRIFT_KNOTS :].unflatten(-1, (x.shape[-2], count))
    before = torch.cat([knots[..., :1], knots[..., :-2]], dim=-1)
    after = torch.cat([knots[..., 2:], knots[..., -1:]], dim=-1)
    p0, p1, p2, p3 = before, knots[..., :-1], knots[..., 1:], after
    length = call.host_length
    step = torch.full_like(length, segments).double() / (length - 1).clamp_min(1)
    w = call.steps(x) * step
    segment = w.long().clamp_max(segments - 1)
    f = beside(w - segment.double(), x)
    segment = segment.to(x.device).expand(x.shape)
    c0, c1, c2, c3 = (
        beside(c, x).gather(-1, segment)
        for c in (
            p1,
            (p2 - p0) * 0.5,
            (p0 - p1 * 2.5) + (p2 * 2.0 - p3 * 0.5),
            (p3 - p0) * 0.5 + (p1 - p2) * 1.5,
        )
    )
    return c0 + f * (c1 + f * (c2 + f * c3))


def magnitude_spline(x: Tensor, call: Call, adjoint: bool) -> Tensor:
    magnitude = beside(call.slot(names.MAGNITUDE_SPLINE_MAGNITUDE), x)
    return x * (magnitude * _curve(x, call) + 1.0)


def drift(x: Tensor, call: Call, adjoint: bool) -> Tensor:
    size = beside(call.slot(names.DRIFT_MAGNITUDE), x)
    if call.a[names.DRIFT_RELATIVE]:
        size = size * row_std(x, call.length).to(x.dtype)
    return x + size * _curve(x, call)


def noise(x: Tensor, call: Call, adjoint: bool) -> Tensor:
    words = call.subject.elements(call.row).to(x.device)
    if call.a[names.RANDOM_NOISE_NORMAL]:
        z = arithmetic.normals(words[..., 0::2], words[..., 1::2], x.dtype)
        r = torch.stack(z, dim=-1).flatten(-2)
    else:
        r = random.uniform(words, x.dtype) * 2.0 - 1.0
    amplitude = beside(call.slot(names.RANDOM_NOISE_MAGNITUDE), x)
    if call.code == Code.RANDOM_NOISE:
        amplitude = amplitude * row_std(x, call.length).to(x.dtype)
    return x + r[..., : x.shape[-1]] * amplitude


def offset(x: Tensor, call: Call, adjoint: bool) -> Tensor:
    own = call.row[spec.CHANNEL_SLOTS] != 0
    offsets = (call.per_channel if own else call.slot)(names.OFFSET_OFFSETS)
    return x + beside(offsets, x)


def quantize(x: Tensor, call: Call, adjoint: bool) -> Tensor:
    inside = steps(x, torch.int64) < call.length
    low = torch.where(inside, x, torch.inf).amin(-1, keepdim=True)
    high = torch.where(inside, x, -torch.inf).amax(-1, keepdim=True)
    width = (high - low) / beside(call.slot(names.QUANTIZE_LEVELS) - 1.0, x)
    rounded = low + ((x - low) / width + 0.5).floor() * width
    if x.requires_grad:  # its derivative counts as one
        rounded = rounded.detach() + (x - x.detach())
    return torch.where(high > low, rounded, x)


def rotation(x: Tensor, call: Call, adjoint: bool) -> Tensor:
    w, i, j, k = (call.slots[..., names.ROTATION_W + n] for n in range(4))
    m = [
        [1.0 - 2.0 * (j * j + k * k), 2.0 * (i * j - k * w), 2.0 * (i * k + j * w)],
        [2.0 * (i * j + k * w), 1.0 - 2.0 * (i * i + k * k), 2.0 * (j * k - i * w)],
        [2.0 * (i * k - j * w), 2.0 * (j * k + i * w), 1.0 - 2.0 * (i * i + j * j)],
    ]
    rows = list(x.unbind(-2))
    for n in range(int(call.a[names.ROTATION_TRIPLES])):
        first = names.ROTATION_CHANNELS + 3 * n
        triple = [int(c) for c in call.a[first : first + 3]]
        old = [rows[c] for c in triple]
        for p in range(3):
            r = [beside(m[q][p] if adjoint else m[p][q], x)[..., None] for q in range(3)]
            rows[triple[p]] = (r[0] * old[0] + r[1] * old[1]) + r[2] * old[2]
    return torch.stack(rows, dim=-2)


OPERATIONS: dict[Code, Callable[[Tensor, Call, bool], Tensor]] = {
    Code.SIGN_FLIP: sign_flip,
    Code.BLOCKOUT: blockout,
    Code.RANDOM_NOISE: noise,
    Code.MAGNITUDE_WARP: magnitude_warp,
    Code.GROUP: identity,
    Code.JITTER: noise,
    Code.RANDOM_CROP: random_crop,
    Code.SCALE: scale,
    Code.ROTATION: rotation,
    Code.DRIFT: drift,
    Code.CHANNEL_DROPOUT: channel_dropout,
    Code.TIME_DROPOUT: time_dropout,
    Code.QUANTIZE: quantize,
    Code.MAGNITUDE_SPLINE: magnitude_spline,
    Code.IDENTITY: identity,
    Code.OFFSET: offset,
}

# What is added counts as a constant, and so does rounding.
IDENTITY_DERIVATIVE = {Code.RANDOM_NOISE, Code.JITTER, Code.DRIFT, Code.QUANTIZE, Code.OFFSET}
