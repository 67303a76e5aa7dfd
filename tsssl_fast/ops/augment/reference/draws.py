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
from tsssl_fast.ops.augment.spec import Code, names


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
        seed: Tensor | tuple[int, ...],
        sample_ids: Tensor | None,
        lengths: Tensor | None,
        views: int,
        shape: Sequence[int],
    ) -> "Subject":
        n, c, t = shape
        ids = torch.arange(n) if sample_ids is None else sample_ids.cpu()
        whole = torch.full((n,), t, dtype=torch.int64)
        return Subject(
            random.fold_seed(*random.numbers(seed)),
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
        """Its arguments."""
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

    def block_length(self, i: int, unit: float, lo: float, hi: float, size: Tensor) -> Tensor:
        """A length out of `size`: unit 0 is a ratio of it, 1 a whole number; at least 1."""
        part = (self.between(i, lo, hi) * size + 0.5).floor()
        length = part if unit == 0 else self.whole_between(i, lo, hi)
        return length.clamp_min(1).minimum(size)

    def start(self, i: int, length: Tensor, size: Tensor) -> Tensor:
        return random.below(self.word(i), (size - length).long() + 1).double()


def _ranks(keys: Tensor) -> Tensor:
    """How many keys come before each; ties go by index."""
    return keys.argsort(dim=-1, stable=True).argsort(dim=-1).double()


def _group(d: _Draw) -> list[Tensor]:
    n, choice = int(d.a[names.GROUP_MEMBERS]), d.a[names.GROUP_CHOICE]
    word, first = d.word(names.GROUP_COUNT), names.GROUP_MEMBERS_ACT
    if choice == names.GROUP_SOME:
        count = d.whole_between(names.GROUP_COUNT, d.a[names.GROUP_LOW], d.a[names.GROUP_HIGH])
        chosen = _ranks(d.words[..., first : first + n]) < count[..., None]
    elif choice == names.GROUP_BY_WEIGHT:
        weights = d.a[names.GROUP_WEIGHTS : names.GROUP_WEIGHTS + n - 1]
        thresholds = torch.tensor(weights, dtype=torch.float64)
        one = (word[..., None].double() >= thresholds).sum(-1)
        count = torch.ones_like(one)
        chosen = one[..., None] == torch.arange(n)
    else:
        count = torch.full_like(word, n)
        chosen = torch.ones_like(d.words[..., :1]).expand(*d.words.shape[:-1], n)
    return [count.double(), *chosen.double().unbind(-1)]


def _sign_flip(d: _Draw) -> list[Tensor]:
    first, count = names.SIGN_FLIP_FLIPS, d.channels * int(d.row[spec.CHANNEL_SLOTS])
    return list((d.words[..., first : first + count] < 1 << 31).double().unbind(-1))


def _blockout(d: _Draw) -> list[Tensor]:
    channels = torch.full_like(d.length, d.channels)
    unit, wide_unit = d.a[names.BLOCKOUT_LENGTH_UNIT], d.a[names.BLOCKOUT_CHANNELS_UNIT]
    ends = d.a[names.BLOCKOUT_LENGTH_LOW], d.a[names.BLOCKOUT_LENGTH_HIGH]
    wide_ends = d.a[names.BLOCKOUT_CHANNELS_LOW], d.a[names.BLOCKOUT_CHANNELS_HIGH]
    if unit == names.BLOCKOUT_SIDE:
        side = (d.between(names.BLOCKOUT_LENGTH, *ends) * d.channels + 0.5).floor() + 1
        length, wide = side.minimum(d.length), side.minimum(channels)
    else:
        length = d.block_length(names.BLOCKOUT_LENGTH, unit, *ends, d.length)
        wide = channels.expand_as(length)
        if wide_unit >= 0:
            wide = d.block_length(names.BLOCKOUT_CHANNELS, wide_unit, *wide_ends, channels)
    start = d.start(names.BLOCKOUT_START, length, d.length)
    return [length, start, wide, d.start(names.BLOCKOUT_FIRST_CHANNEL, wide, channels)]


def _window(d: _Draw) -> list[Tensor]:
    """Of RandomCrop and of WindowWarp."""
    unit = d.a[names.RANDOM_CROP_LENGTH_UNIT]
    ends = d.a[names.RANDOM_CROP_LENGTH_LOW], d.a[names.RANDOM_CROP_LENGTH_HIGH]
    length = d.block_length(names.RANDOM_CROP_LENGTH, unit, *ends, d.length)
    return [length, d.start(names.RANDOM_CROP_START, length, d.length)]


def _crop(d: _Draw) -> list[Tensor]:
    """Of CropResize and of WindowSlice, in real steps."""
    ends = d.a[names.CROP_RESIZE_LOW], d.a[names.CROP_RESIZE_HIGH]
    length = (d.between(names.CROP_RESIZE_LENGTH, *ends) * d.length).clamp_min(1.0)
    turns = random.uniform(d.word(names.CROP_RESIZE_START), torch.float64)
    return [length, turns * (d.length - length)]


def _magnitude_warp(d: _Draw) -> list[Tensor]:
    ends = d.a[names.MAGNITUDE_WARP_MAGNITUDE_LOW], d.a[names.MAGNITUDE_WARP_MAGNITUDE_HIGH]
    amplitude = d.between(names.MAGNITUDE_WARP_MAGNITUDE, *ends)
    ends = d.a[names.MAGNITUDE_WARP_PERIODS_LOW], d.a[names.MAGNITUDE_WARP_PERIODS_HIGH]
    periods, first = d.between(names.MAGNITUDE_WARP_PERIODS, *ends), names.MAGNITUDE_WARP_THETA
    theta = d.words[..., first : first + d.channels].double() * 2.0**-32
    return [amplitude, periods, *theta.unbind(-1)]


def _time_warp(d: _Draw) -> list[Tensor]:
    ends = d.a[names.TIME_WARP_LOW], d.a[names.TIME_WARP_HIGH]
    strength = d.between(names.TIME_WARP_MAGNITUDE, *ends)
    words = d.words[..., names.TIME_WARP_SPEEDS : int(d.row[spec.FIXED_SLOTS])]
    turns = random.uniform(words, torch.float64) * 2.0 - 1.0
    return [strength, *(strength[..., None] * turns + 1.0).unbind(-1)]


def _scale(d: _Draw) -> list[Tensor]:
    ends = d.a[names.SCALE_LOW], d.a[names.SCALE_HIGH]
    count = d.channels if d.a[names.SCALE_PER_CHANNEL] else 1
    if d.a[names.SCALE_NORMAL] == 0:
        magnitude = torch.zeros_like(d.length).expand(d.word(0).shape)
        factors = [d.between(names.SCALE_FACTORS + c, *ends) for c in range(count)]
    else:
        magnitude = d.between(names.SCALE_MAGNITUDE, *ends)
        normals = d.normals(names.SCALE_FACTORS, count)
        factors = list((magnitude[..., None] * normals + 1.0).unbind(-1))
    return [magnitude, *factors, *factors[:1] * (d.channels - count)]


def _channel_permutation(d: _Draw) -> list[Tensor]:
    first = names.CHANNEL_PERMUTATION_SOURCES
    return list(_ranks(d.words[..., first : first + d.channels]).unbind(-1))


def _rotation(d: _Draw) -> list[Tensor]:
    q = d.normals(names.ROTATION_W, 4)
    squares = q * q
    norm = arithmetic.root(
        (squares[..., 0] + squares[..., 1]) + (squares[..., 2] + squares[..., 3])
    )
    return [torch.zeros_like(norm), *(q / norm[..., None]).unbind(-1)]


def _segment_permutation(d: _Draw) -> list[Tensor]:
    first = names.SEGMENT_PERMUTATION_ORDER
    most = int(d.row[spec.FIXED_SLOTS]) - first
    ends = d.a[names.SEGMENT_PERMUTATION_LOW], d.a[names.SEGMENT_PERMUTATION_HIGH]
    count = d.whole_between(names.SEGMENT_PERMUTATION_SEGMENTS, *ends)
    number = torch.arange(most)
    # Segments that are not in use stay behind the others.
    words = d.words[..., first : first + most]
    keys = torch.where(number < count[..., None], words, (1 << 32) + number)
    return [count, *_ranks(keys).unbind(-1)]


def _time_shift(d: _Draw) -> list[Tensor]:
    ends = d.a[names.TIME_SHIFT_SHIFT_LOW], d.a[names.TIME_SHIFT_SHIFT_HIGH]
    if d.a[names.TIME_SHIFT_SHIFT_UNIT] == 0:
        return [(d.between(names.TIME_SHIFT_SHIFT, *ends) * d.length + 0.5).floor()]
    return [d.whole_between(names.TIME_SHIFT_SHIFT, *ends)]


def _window_warp(d: _Draw) -> list[Tensor]:
    length, start = _window(d)
    factors = d.a[names.WINDOW_WARP_FACTOR_0], d.a[names.WINDOW_WARP_FACTOR_1]
    first, second = (torch.full_like(length, factor) for factor in factors)
    coin = d.word(names.WINDOW_WARP_FACTOR) < 1 << 31
    return [length, start, torch.where(coin, first, second)]


def _curve(d: _Draw) -> list[Tensor]:
    """Of Drift and of MagnitudeSpline."""
    count = d.channels * int(d.row[spec.CHANNEL_SLOTS])
    size = d.between(names.DRIFT_MAGNITUDE, d.a[names.DRIFT_LOW], d.a[names.DRIFT_HIGH])
    return [size, *d.normals(names.DRIFT_KNOTS, count).unbind(-1)]


def _partners(d: _Draw, slot: int) -> Tensor:
    """The batch in random order, each followed by its partner: its own only where N = 1."""
    order = d.word(slot).argsort(dim=-1, stable=True)
    return torch.empty_like(order).scatter_(-1, order, order.roll(-1, dims=-1)).double()


def _mixup(d: _Draw) -> list[Tensor]:
    weight = d.between(names.MIXUP_WEIGHT, d.a[names.MIXUP_LOW], d.a[names.MIXUP_HIGH])
    return [_partners(d, names.MIXUP_SOURCE), weight]


def _cutmix(d: _Draw) -> list[Tensor]:
    unit = d.a[names.CUTMIX_LENGTH_UNIT]
    ends = d.a[names.CUTMIX_LENGTH_LOW], d.a[names.CUTMIX_LENGTH_HIGH]
    # From the weight's word, as the weight follows from the length.
    length = d.block_length(names.CUTMIX_WEIGHT, unit, *ends, d.length)
    start = d.start(names.CUTMIX_LENGTH, length, d.length)
    return [_partners(d, names.CUTMIX_SOURCE), 1.0 - length / d.length, length, start]


def _moving_average(d: _Draw) -> list[Tensor]:
    ends = d.a[names.MOVING_AVERAGE_LOW], d.a[names.MOVING_AVERAGE_HIGH]
    return [d.whole_between(names.MOVING_AVERAGE_WIDTH, *ends) * 2.0 + 1.0]


def _channel_dropout(d: _Draw) -> list[Tensor]:
    first = names.CHANNEL_DROPOUT_DROPPED
    words = d.words[..., first : first + d.channels]
    return list((words < int(d.a[names.CHANNEL_DROPOUT_THRESHOLD])).double().unbind(-1))


def _quantize(d: _Draw) -> list[Tensor]:
    ends = d.a[names.QUANTIZE_LOW], d.a[names.QUANTIZE_HIGH]
    return [d.whole_between(names.QUANTIZE_LEVELS, *ends)]


def _uniform(d: _Draw) -> list[Tensor]:
    count = int(d.row[spec.FIXED_SLOTS]) + int(d.row[spec.CHANNEL_SLOTS]) * d.channels
    ends = d.a[names.UNIFORM_LOW], d.a[names.UNIFORM_HIGH]
    return [d.between(i, *ends) for i in range(spec.ACTS + 1, count)]


def _two_ranges(d: _Draw) -> list[Tensor]:
    """Of BandStop, BandPass and ColouredNoise."""
    centre = d.a[names.BAND_STOP_LOW], d.a[names.BAND_STOP_HIGH]
    width = d.a[names.BAND_STOP_WIDTH_LOW], d.a[names.BAND_STOP_WIDTH_HIGH]
    return [d.between(names.BAND_STOP_CENTRE, *centre), d.between(names.BAND_STOP_WIDTH, *width)]


def _tapered_mask(d: _Draw) -> list[Tensor]:
    ends = d.a[names.TAPERED_MASK_LENGTH_LOW], d.a[names.TAPERED_MASK_LENGTH_HIGH]
    unit = d.a[names.TAPERED_MASK_LENGTH_UNIT]
    length = d.block_length(names.TAPERED_MASK_LENGTH, unit, *ends, d.length)
    return [length, d.start(names.TAPERED_MASK_START, length, d.length)]


def _rereference(d: _Draw) -> list[Tensor]:
    return [random.below(d.word(names.REREFERENCE_CHANNEL), d.channels).double()]


def _band_roll(d: _Draw) -> list[Tensor]:
    ends = d.a[names.BAND_ROLL_LOW], d.a[names.BAND_ROLL_HIGH]
    return [d.whole_between(names.BAND_ROLL_SHIFT, *ends)]


_SLOTS: dict[Code, Callable[[_Draw], list[Tensor]]] = {
    **dict.fromkeys(map(Code, names.UNIFORM_CODES), _uniform),
    Code.SIGN_FLIP: _sign_flip,
    Code.BLOCKOUT: _blockout,
    Code.CROP_RESIZE: _crop,
    Code.MAGNITUDE_WARP: _magnitude_warp,
    Code.TIME_WARP: _time_warp,
    Code.GROUP: _group,
    Code.RANDOM_CROP: _window,
    Code.SCALE: _scale,
    Code.CHANNEL_PERMUTATION: _channel_permutation,
    Code.ROTATION: _rotation,
    Code.SEGMENT_PERMUTATION: _segment_permutation,
    Code.TIME_SHIFT: _time_shift,
    Code.WINDOW_SLICE: _crop,
    Code.WINDOW_WARP: _window_warp,
    Code.DRIFT: _curve,
    Code.CHANNEL_DROPOUT: _channel_dropout,
    Code.QUANTIZE: _quantize,
    Code.MAGNITUDE_SPLINE: _curve,
    Code.MIXUP: _mixup,
    Code.CUTMIX: _cutmix,
    Code.MOVING_AVERAGE: _moving_average,
    Code.FIRST_CHANNEL_SEGMENTS: _segment_permutation,
    Code.TAPERED_MASK: _tapered_mask,
    **dict.fromkeys((Code.BAND_STOP, Code.BAND_PASS, Code.COLOURED_NOISE), _two_ranges),
    **dict.fromkeys((Code.FREQUENCY_SHIFT, Code.JITTERED_STAMPS), _uniform),
    **dict.fromkeys((Code.BASELINE_WANDER, Code.POWERLINE_HUM), _magnitude_warp),
    Code.REREFERENCE: _rereference,
    Code.BAND_ROLL: _band_roll,
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
        acts = words[..., spec.ACTS] < int(row[spec.THRESHOLD])
        if row[spec.VIEW] >= 0:
            acts = acts & (torch.arange(subject.views) == int(row[spec.VIEW]))[:, None]
        if row[spec.PARENT] >= 0:
            group = starts[int(row[spec.PARENT])]
            member = columns[group + names.GROUP_MEMBERS_ACT + int(row[spec.CHILD])]
            acts = acts & (columns[group + spec.ACTS] != 0) & (member != 0)
        columns.append(acts.double())
        if make := _SLOTS.get(Code(int(row[spec.CODE]))):
            given = _Draw(words, row, subject.lengths.double(), subject.channels)
            columns += [column.expand(shape) for column in make(given)]
    if not columns:
        return torch.empty((*shape, 0), dtype=torch.float64)
    return torch.stack(columns, dim=-1)
