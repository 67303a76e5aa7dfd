"""The random numbers of a program in plain torch: the definition of csrc/augment/draws.h.

Counter of a block of four words: (block, stream, sample id low, high); key: rng.fold_seed. Stream:
code << 24 | occurrence << 16 | purpose << 15 | view, with the occurrence counted among the
operations of the same code. Purpose 0 holds parameters, word i for slot i; purpose 1 one word per
element, block = channel << 17 | step // 4.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tsssl_fast.common import random
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.reference import arithmetic
from tsssl_fast.ops.augment.spec import Code


@dataclass(frozen=True)
class Subject:
    """What the draws of a batch depend on: views x samples, C channels, T steps."""

    key: random.Key
    ids: Tensor  # (N,) int64
    lengths: Tensor  # (N,) int64: steps that are no padding
    views: int
    channels: int
    steps: int

    @staticmethod
    def of(
        seed: Tensor,
        sample_ids: Tensor | None,
        lengths: Tensor | None,
        views: int,
        shape: Sequence[int],
    ) -> "Subject":
        n, c, t = shape
        ids = torch.arange(n) if sample_ids is None else sample_ids.cpu()
        whole = torch.full((n,), t, dtype=torch.int64)
        return Subject(
            random.fold_seed(*seed.tolist()),
            ids,
            whole if lengths is None else lengths.cpu(),
            *(views, c, t),
        )

    def words(self, row: Sequence[float], purpose: int, blocks: Tensor) -> Tensor:
        """(views, N, *blocks.shape, 4) int64."""
        stream = int(row[spec.CODE]) << 24 | int(row[spec.OCCURRENCE]) << 16 | purpose
        lift = (1,) * blocks.dim()
        view = torch.arange(self.views).view(-1, 1, *lift)
        ids = self.ids.view(1, -1, *lift)
        c0, c1, c2, c3 = torch.broadcast_tensors(
            blocks, stream | view, ids & 0xFFFFFFFF, (ids >> 32) & 0xFFFFFFFF
        )
        return torch.stack(random.philox((c0, c1, c2, c3), self.key), dim=-1)

    def elements(self, row: Sequence[float]) -> Tensor:
        """One word per element: (views, N, C, T rounded up to a multiple of 4)."""
        quads = torch.arange((self.steps + 3) // 4)
        channels = torch.arange(self.channels) << spec.CHANNEL_SHIFT
        return self.words(row, spec.ELEMENT_PURPOSE, channels[:, None] + quads).flatten(-2)


@dataclass(frozen=True)
class _Draw:
    """One row's words, (views, N, words), and what its parameters depend on."""

    words: Tensor
    row: Sequence[float]
    length: Tensor  # (N,) float64
    channels: int

    @property
    def a(self) -> Sequence[float]:
        return self.row[-spec.ARGUMENTS :]

    def word(self, i: int) -> Tensor:
        return self.words[..., i]

    def between(self, i: int, lo: float, hi: float) -> Tensor:
        return lo + random.uniform(self.word(i), torch.float64) * (hi - lo)

    def whole_between(self, i: int, lo: float, hi: float) -> Tensor:
        return lo + random.below(self.word(i), int(hi - lo) + 1).double()

    def normals(self, first: int, count: int) -> Tensor:
        """(views, N, count) normals from the words first, first + 1, ...; first is even."""
        pairs = self.words[..., first : first + count + count % 2]
        z = arithmetic.normals(pairs[..., 0::2], pairs[..., 1::2], torch.float64)
        return torch.stack(z, dim=-1).flatten(-2)[..., :count]

    def block_length(self, i: int, mode: float, lo: float, hi: float, size: Tensor) -> Tensor:
        """A length out of `size`: mode 0 is a share of it, 1 a whole number; at least 1."""
        share = (self.between(i, lo, hi) * size + 0.5).floor()
        length = share if mode == 0 else self.whole_between(i, lo, hi)
        return length.clamp_min(1).minimum(size)

    def start(self, i: int, length: Tensor, size: Tensor) -> Tensor:
        return random.below(self.word(i), (size - length).long() + 1).double()


def _ranks(keys: Tensor) -> Tensor:
    """How many keys come before each; ties go by index."""
    return keys.argsort(dim=-1, stable=True).argsort(dim=-1).double()


def _group(d: _Draw) -> list[Tensor]:
    n = int(d.a[3])
    if d.a[0] == 0:
        count = d.whole_between(1, d.a[1], d.a[2])
        chosen = _ranks(d.words[..., 2 : 2 + n]) < count[..., None]
    elif d.a[0] == 1:
        thresholds = torch.tensor(d.a[4 : 3 + n], dtype=torch.float64)
        choice = (d.word(1)[..., None].double() >= thresholds).sum(-1)
        count = torch.ones_like(choice)
        chosen = choice[..., None] == torch.arange(n)
    else:
        count = torch.full_like(d.word(1), n)
        chosen = torch.ones_like(d.words[..., :1]).expand(*d.words.shape[:-1], n)
    return [count.double(), *chosen.double().unbind(-1)]


def _sign_flip(d: _Draw) -> list[Tensor]:
    count = d.channels * int(d.row[spec.CHANNEL_SLOTS])
    return list((d.words[..., 1 : 1 + count] < 1 << 31).double().unbind(-1))


def _blockout(d: _Draw) -> list[Tensor]:
    channels = torch.full_like(d.length, d.channels)
    if d.a[0] == 2:
        side = (d.between(1, d.a[1], d.a[2]) * d.channels + 0.5).floor() + 1
        length, wide = side.minimum(d.length), side.minimum(channels)
    else:
        length = d.block_length(1, d.a[0], d.a[1], d.a[2], d.length)
        wide = channels.expand_as(length)
        if d.a[4] >= 0:
            wide = d.block_length(3, d.a[4], d.a[5], d.a[6], channels)
    return [length, d.start(2, length, d.length), wide, d.start(4, wide, channels)]


def _random_crop(d: _Draw) -> list[Tensor]:
    length = d.block_length(1, d.a[0], d.a[1], d.a[2], d.length)
    return [length, d.start(2, length, d.length)]


def _crop_resize(d: _Draw) -> list[Tensor]:
    length = (d.between(1, d.a[0], d.a[1]) * d.length).clamp_min(1.0)
    return [length, random.uniform(d.word(2), torch.float64) * (d.length - length)]


def _magnitude_warp(d: _Draw) -> list[Tensor]:
    amplitude, periods = d.between(1, d.a[0], d.a[1]), d.between(2, d.a[2], d.a[3])
    theta = d.words[..., 3 : 3 + d.channels].double() * 2.0**-32
    return [amplitude, periods, *theta.unbind(-1)]


def _time_warp(d: _Draw) -> list[Tensor]:
    strength = d.between(1, d.a[0], d.a[1])
    words = d.words[..., 2 : int(d.row[spec.FIXED_SLOTS])]
    turns = random.uniform(words, torch.float64) * 2.0 - 1.0
    return [strength, *(strength[..., None] * turns + 1.0).unbind(-1)]


def _scale(d: _Draw) -> list[Tensor]:
    count = d.channels if d.a[3] else 1
    if d.a[2] == 0:
        first = torch.zeros_like(d.length).expand(d.word(0).shape)
        factors = [d.between(2 + c, d.a[0], d.a[1]) for c in range(count)]
    else:
        first = d.between(1, d.a[0], d.a[1])
        factors = list((first[..., None] * d.normals(2, count) + 1.0).unbind(-1))
    return [first, *factors, *factors[:1] * (d.channels - count)]


def _channel_permutation(d: _Draw) -> list[Tensor]:
    return list(_ranks(d.words[..., 1 : 1 + d.channels]).unbind(-1))


def _rotation(d: _Draw) -> list[Tensor]:
    q = d.normals(2, 4)
    squares = q * q
    norm = arithmetic.root(
        (squares[..., 0] + squares[..., 1]) + (squares[..., 2] + squares[..., 3])
    )
    return [torch.zeros_like(norm), *(q / norm[..., None]).unbind(-1)]


def _segment_permutation(d: _Draw) -> list[Tensor]:
    most = int(d.row[spec.FIXED_SLOTS]) - 2
    count = d.whole_between(1, d.a[0], d.a[1])
    number = torch.arange(most)
    # Segments that are not in use stay behind the others.
    keys = torch.where(number < count[..., None], d.words[..., 2 : 2 + most], (1 << 32) + number)
    return [count, *_ranks(keys).unbind(-1)]


def _time_shift(d: _Draw) -> list[Tensor]:
    if d.a[0] == 0:
        return [(d.between(1, d.a[1], d.a[2]) * d.length + 0.5).floor()]
    return [d.whole_between(1, d.a[1], d.a[2])]


def _window_warp(d: _Draw) -> list[Tensor]:
    length, start = _random_crop(d)
    first, second = (torch.full_like(length, factor) for factor in d.a[3:5])
    return [length, start, torch.where(d.word(3) < 1 << 31, first, second)]


def _curve(d: _Draw) -> list[Tensor]:
    count = d.channels * int(d.row[spec.CHANNEL_SLOTS])
    return [d.between(1, d.a[0], d.a[1]), *d.normals(2, count).unbind(-1)]


def _partners(d: _Draw) -> Tensor:
    """The batch in random order, each followed by its partner: nobody meets itself but at N = 1."""
    order = d.word(1).argsort(dim=-1, stable=True)
    return torch.empty_like(order).scatter_(-1, order, order.roll(-1, dims=-1)).double()


def _mixup(d: _Draw) -> list[Tensor]:
    return [_partners(d), d.between(2, d.a[0], d.a[1])]


def _cutmix(d: _Draw) -> list[Tensor]:
    length = d.block_length(2, d.a[0], d.a[1], d.a[2], d.length)
    return [_partners(d), 1.0 - length / d.length, length, d.start(3, length, d.length)]


def _moving_average(d: _Draw) -> list[Tensor]:
    return [d.whole_between(1, d.a[0], d.a[1]) * 2.0 + 1.0]


def _channel_dropout(d: _Draw) -> list[Tensor]:
    return list((d.words[..., 1 : 1 + d.channels] < int(d.a[0])).double().unbind(-1))


def _whole_range(d: _Draw) -> list[Tensor]:
    return [d.whole_between(1, d.a[0], d.a[1])]


def _range(d: _Draw) -> list[Tensor]:
    return [d.between(1, d.a[0], d.a[1])]


_SLOTS: dict[Code, Callable[[_Draw], list[Tensor]]] = {
    Code.SIGN_FLIP: _sign_flip,
    Code.BLOCKOUT: _blockout,
    Code.RANDOM_NOISE: _range,
    Code.CROP_RESIZE: _crop_resize,
    Code.MAGNITUDE_WARP: _magnitude_warp,
    Code.TIME_WARP: _time_warp,
    Code.SMOOTH: _range,
    Code.GROUP: _group,
    Code.JITTER: _range,
    Code.RANDOM_CROP: _random_crop,
    Code.SCALE: _scale,
    Code.TIME_SCALE: _range,
    Code.CHANNEL_PERMUTATION: _channel_permutation,
    Code.ROTATION: _rotation,
    Code.SEGMENT_PERMUTATION: _segment_permutation,
    Code.TIME_SHIFT: _time_shift,
    Code.WINDOW_SLICE: _crop_resize,
    Code.WINDOW_WARP: _window_warp,
    Code.DRIFT: _curve,
    Code.CHANNEL_DROPOUT: _channel_dropout,
    Code.QUANTIZE: _whole_range,
    Code.MAGNITUDE_SPLINE: _curve,
    Code.MIXUP: _mixup,
    Code.CUTMIX: _cutmix,
    Code.MOVING_AVERAGE: _moving_average,
    Code.INDEX_NOISE: _range,
    Code.STEP_SCALE: _range,
    Code.FIRST_CHANNEL_SEGMENTS: _segment_permutation,
}


def draw(program: Sequence[Sequence[float]], subject: Subject) -> Tensor:
    """Parameters of every row, acting or not: (views, N, slots) float64."""
    shape = (subject.views, len(subject.ids))
    columns: list[Tensor] = []
    starts: list[int] = []
    for row in program:
        starts.append(len(columns))
        count = int(row[spec.FIXED_SLOTS]) + int(row[spec.CHANNEL_SLOTS]) * subject.channels
        words = subject.words(row, 0, torch.arange((count + 3) // 4)).flatten(-2)
        acts = words[..., 0] < int(row[spec.THRESHOLD])
        if row[spec.VIEW] >= 0:
            acts = acts & (torch.arange(subject.views) == int(row[spec.VIEW]))[:, None]
        if row[spec.PARENT] >= 0:
            group = starts[int(row[spec.PARENT])]
            child = columns[group + 2 + int(row[spec.CHILD])]
            acts = acts & (columns[group] != 0) & (child != 0)
        columns.append(acts.double())
        if make := _SLOTS.get(Code(int(row[spec.CODE]))):
            given = _Draw(words, row, subject.lengths.double(), subject.channels)
            columns += [column.expand(shape) for column in make(given)]
    if not columns:
        return torch.empty((*shape, 0), dtype=torch.float64)
    return torch.stack(columns, dim=-1)
