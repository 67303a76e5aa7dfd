"""The parameters of an operation for one (view, sample), in float64: csrc/augment/draws.h in numba.
The definition is reference/draws.py; slot i belongs to word i."""

# mypy: disable-error-code=no-untyped-def

from typing import NamedTuple

import numpy as np

from tsssl_fast.backends.numba.compiling import part
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.numba.kernels.arithmetic import (
    fold,
    multiply_high,
    normals,
    scattered_words,
    unit,
)
from tsssl_fast.ops.augment.spec import names

A = spec.ARGUMENTS
_HALF = np.uint32(0x80000000)


class Subject(NamedTuple):
    """One sample in one view, and the key; words as uint64."""

    key0: np.uint64
    key1: np.uint64
    id_low: np.uint64
    id_high: np.uint64
    view_word: np.uint64
    channels: int
    length: int  # steps that are no padding


@part
def seed_key(seed):
    """The key of a call from (seed, epoch, step, rank)."""
    v = np.uint64(seed[0])
    k0, k1 = v & np.uint64(0xFFFFFFFF), v >> np.uint64(32)
    for i in range(1, 4):
        k0, k1 = fold(k0, k1, seed[i])
    return k0, k1


@part
def stream_of(row, subject):
    """The operation's stream of parameters for this view."""
    code, occurrence = np.uint64(row[spec.CODE]), np.uint64(row[spec.OCCURRENCE])
    return (code << np.uint64(24)) | (occurrence << np.uint64(16)) | subject.view_word


@part
def _between(word, low, high):
    return low + unit(word) * (high - low)


@part
def _whole_between(word, low, high):
    return low + multiply_high(word, np.int64(high - low) + 1)


@part
def _clamp(x, low, high):
    return low if x < low else (high if x > high else x)


@part
def _length(word, unit_of, low, high, size):
    """A length out of `size`: unit 0 is a ratio of it, 1 a whole number; at least 1."""
    if unit_of == 0:
        length = np.floor(_between(word, low, high) * size + 0.5)
    else:
        length = _whole_between(word, low, high)
    return _clamp(length, 1.0, size)


@part
def _start(word, length, size):
    return multiply_high(word, np.int64(size - length) + 1)


@part
def _rank(words, count, out):
    """How many words come before each; ties go by index."""
    for i in range(count):
        before = 0
        for j in range(count):
            if words[j] < words[i] or (words[j] == words[i] and j < i):
                before += 1
        out[i] = before


@part
def _normals(words, first, count, slot):
    """slot[first:first + count] from the words of the same numbers; first is even."""
    for i in range(first, first + count, 2):
        a, b = normals(words[i], words[i + 1], 1.0)
        slot[i] = a
        if i + 1 < first + count:
            slot[i + 1] = b


@part
def _group(a, words, slot):
    """Which members act: some of them, one by weight, or all."""
    n, first = np.int64(a[names.GROUP_MEMBERS]), names.GROUP_MEMBERS_ACT
    word = words[names.GROUP_COUNT]
    if a[names.GROUP_CHOICE] == names.GROUP_SOME:
        slot[names.GROUP_COUNT] = _whole_between(word, a[names.GROUP_LOW], a[names.GROUP_HIGH])
        _rank(words[first:], n, slot[first:])
        for i in range(n):
            slot[first + i] = 1.0 if slot[first + i] < slot[names.GROUP_COUNT] else 0.0
    elif a[names.GROUP_CHOICE] == names.GROUP_BY_WEIGHT:
        slot[names.GROUP_COUNT] = 1.0
        chosen = 0
        for i in range(n - 1):
            if np.float64(word) >= a[names.GROUP_WEIGHTS + i]:
                chosen += 1
        for i in range(n):
            slot[first + i] = 1.0 if i == chosen else 0.0
    else:
        slot[names.GROUP_COUNT] = n
        slot[first : first + n] = 1.0


@part
def _blockout(a, subject, words, slot):
    length, channels = np.float64(subject.length), np.float64(subject.channels)
    low, high = a[names.BLOCKOUT_LENGTH_LOW], a[names.BLOCKOUT_LENGTH_HIGH]
    word, unit_of = words[names.BLOCKOUT_LENGTH], a[names.BLOCKOUT_LENGTH_UNIT]
    if unit_of == names.BLOCKOUT_SIDE:
        side = np.floor(_between(word, low, high) * channels + 0.5) + 1.0
        slot[names.BLOCKOUT_LENGTH] = _clamp(side, 1.0, length)
        slot[names.BLOCKOUT_CHANNELS] = _clamp(side, 1.0, channels)
    else:
        slot[names.BLOCKOUT_LENGTH] = _length(word, unit_of, low, high, length)
        low, high = a[names.BLOCKOUT_CHANNELS_LOW], a[names.BLOCKOUT_CHANNELS_HIGH]
        word, unit_of = words[names.BLOCKOUT_CHANNELS], a[names.BLOCKOUT_CHANNELS_UNIT]
        slot[names.BLOCKOUT_CHANNELS] = (
            channels if unit_of < 0 else _length(word, unit_of, low, high, channels)
        )
    word = words[names.BLOCKOUT_START]
    slot[names.BLOCKOUT_START] = _start(word, slot[names.BLOCKOUT_LENGTH], length)
    word = words[names.BLOCKOUT_FIRST_CHANNEL]
    slot[names.BLOCKOUT_FIRST_CHANNEL] = _start(word, slot[names.BLOCKOUT_CHANNELS], channels)


@part
def _window(a, length, words, slot):
    """Of RandomCrop and of WindowWarp."""
    slot[names.RANDOM_CROP_LENGTH] = _length(
        words[names.RANDOM_CROP_LENGTH],
        a[names.RANDOM_CROP_LENGTH_UNIT],
        a[names.RANDOM_CROP_LENGTH_LOW],
        a[names.RANDOM_CROP_LENGTH_HIGH],
        length,
    )
    word = words[names.RANDOM_CROP_START]
    slot[names.RANDOM_CROP_START] = _start(word, slot[names.RANDOM_CROP_LENGTH], length)


@part
def _scale(a, channels, words, slot):
    count = 1 if a[names.SCALE_PER_CHANNEL] == 0 else channels
    low, high, first = a[names.SCALE_LOW], a[names.SCALE_HIGH], names.SCALE_FACTORS
    if a[names.SCALE_NORMAL] == 0:
        slot[names.SCALE_MAGNITUDE] = 0.0
        for c in range(first, first + count):
            slot[c] = _between(words[c], low, high)
    else:
        slot[names.SCALE_MAGNITUDE] = _between(words[names.SCALE_MAGNITUDE], low, high)
        _normals(words, first, count, slot)
        for c in range(first, first + count):
            slot[c] = 1.0 + slot[names.SCALE_MAGNITUDE] * slot[c]
    for c in range(first + count, first + channels):
        slot[c] = slot[first]


@part
def _rotation(words, slot):
    """A unit quaternion, uniform on the sphere."""
    first = names.ROTATION_W
    _normals(words, first, 4, slot)
    q = slot[first : first + 4]
    norm = np.sqrt((q[0] * q[0] + q[1] * q[1]) + (q[2] * q[2] + q[3] * q[3]))
    for i in range(4):
        q[i] = q[i] / norm
    slot[first - 1] = 0.0


@part
def _segments(a, words, slot):
    word, first = words[names.SEGMENT_PERMUTATION_SEGMENTS], names.SEGMENT_PERMUTATION_ORDER
    low, high = a[names.SEGMENT_PERMUTATION_LOW], a[names.SEGMENT_PERMUTATION_HIGH]
    slot[names.SEGMENT_PERMUTATION_SEGMENTS] = _whole_between(word, low, high)
    count = np.int64(slot[names.SEGMENT_PERMUTATION_SEGMENTS])
    _rank(words[first:], count, slot[first:])
    for i in range(count, len(slot) - first):
        slot[first + i] = i


@part
def _waves(code, a, channels, words, slot):
    """Of MagnitudeWarp and of TimeWarp."""
    if code == names.MAGNITUDE_WARP:
        low, high = a[names.MAGNITUDE_WARP_MAGNITUDE_LOW], a[names.MAGNITUDE_WARP_MAGNITUDE_HIGH]
        word = words[names.MAGNITUDE_WARP_MAGNITUDE]
        slot[names.MAGNITUDE_WARP_MAGNITUDE] = _between(word, low, high)
        low, high = a[names.MAGNITUDE_WARP_PERIODS_LOW], a[names.MAGNITUDE_WARP_PERIODS_HIGH]
        word = words[names.MAGNITUDE_WARP_PERIODS]
        slot[names.MAGNITUDE_WARP_PERIODS] = _between(word, low, high)
        for c in range(names.MAGNITUDE_WARP_THETA, names.MAGNITUDE_WARP_THETA + channels):
            slot[c] = np.float64(words[c]) * 2.0**-32
    else:
        low, high = a[names.TIME_WARP_LOW], a[names.TIME_WARP_HIGH]
        strength = _between(words[names.TIME_WARP_MAGNITUDE], low, high)
        slot[names.TIME_WARP_MAGNITUDE] = strength
        for k in range(names.TIME_WARP_SPEEDS, len(slot)):
            slot[k] = 1.0 + strength * (unit(words[k]) * 2.0 - 1.0)


@part
def _crop(a, length, words, slot):
    """Of CropResize and of WindowSlice, in real steps."""
    low, high = a[names.CROP_RESIZE_LOW], a[names.CROP_RESIZE_HIGH]
    crop = _between(words[names.CROP_RESIZE_LENGTH], low, high) * length
    crop = 1.0 if crop < 1 else crop
    slot[names.CROP_RESIZE_LENGTH] = crop
    slot[names.CROP_RESIZE_START] = unit(words[names.CROP_RESIZE_START]) * (length - crop)


@part
def _shift(a, length, word):
    low, high = a[names.TIME_SHIFT_SHIFT_LOW], a[names.TIME_SHIFT_SHIFT_HIGH]
    if a[names.TIME_SHIFT_SHIFT_UNIT] == 0:
        return np.floor(_between(word, low, high) * length + 0.5)
    return _whole_between(word, low, high)


@part
def _slots(row, subject, words, slot):
    """Slots 1, 2, ... of one operation."""
    code, a, channels = np.int64(row[spec.CODE]), row[-A:], subject.channels
    length = np.float64(subject.length)
    if code == names.GROUP:
        _group(a, words, slot)
    elif code == names.SIGN_FLIP:
        for c in range(names.SIGN_FLIP_FLIPS, len(slot)):
            slot[c] = 1.0 if words[c] < _HALF else 0.0
    elif code == names.BLOCKOUT:
        _blockout(a, subject, words, slot)
    elif code in (names.RANDOM_CROP, names.WINDOW_WARP):
        _window(a, length, words, slot)
        if code == names.WINDOW_WARP:
            first = words[names.WINDOW_WARP_FACTOR] < _HALF
            factor = a[names.WINDOW_WARP_FACTOR_0] if first else a[names.WINDOW_WARP_FACTOR_1]
            slot[names.WINDOW_WARP_FACTOR] = factor
    elif code in (names.CROP_RESIZE, names.WINDOW_SLICE):
        _crop(a, length, words, slot)
    elif code in (names.MAGNITUDE_WARP, names.TIME_WARP):
        _waves(code, a, channels, words, slot)
    elif code == names.SCALE:
        _scale(a, channels, words, slot)
    elif code == names.CHANNEL_PERMUTATION:
        first = names.CHANNEL_PERMUTATION_SOURCES
        _rank(words[first:], channels, slot[first:])
    elif code == names.ROTATION:
        _rotation(words, slot)
    elif code == names.SEGMENT_PERMUTATION:
        _segments(a, words, slot)
    elif code == names.TIME_SHIFT:
        slot[names.TIME_SHIFT_SHIFT] = _shift(a, length, words[names.TIME_SHIFT_SHIFT])
    elif code in (names.DRIFT, names.MAGNITUDE_SPLINE):
        word = words[names.DRIFT_MAGNITUDE]
        slot[names.DRIFT_MAGNITUDE] = _between(word, a[names.DRIFT_LOW], a[names.DRIFT_HIGH])
        _normals(words, names.DRIFT_KNOTS, len(slot) - names.DRIFT_KNOTS, slot)
    elif code == names.CHANNEL_DROPOUT:
        threshold = a[names.CHANNEL_DROPOUT_THRESHOLD]
        for c in range(names.CHANNEL_DROPOUT_DROPPED, len(slot)):
            slot[c] = 1.0 if np.float64(words[c]) < threshold else 0.0
    elif code == names.QUANTIZE:
        low, high = a[names.QUANTIZE_LOW], a[names.QUANTIZE_HIGH]
        slot[names.QUANTIZE_LEVELS] = _whole_between(words[names.QUANTIZE_LEVELS], low, high)
    elif code in names.UNIFORM_CODES:
        for i in range(spec.ACTS + 1, len(slot)):
            slot[i] = _between(words[i], a[names.UNIFORM_LOW], a[names.UNIFORM_HIGH])


@part
def word_blocks(slots):
    """Blocks that a row's slots are drawn from: a word more, as normals come in pairs of words."""
    return slots // 4 + 1


@part
def plan_words(program, bounds, plan):
    """What `scattered_words` takes, for every row of the program; the rest is filled up."""
    plan[:] = np.uint64(0)
    q = 0
    for r in range(len(program)):
        code, occurrence = np.uint64(program[r, spec.CODE]), np.uint64(program[r, spec.OCCURRENCE])
        stream = (code << np.uint64(24)) | (occurrence << np.uint64(16))
        for block in range(word_blocks(bounds[r + 1] - bounds[r])):
            plan[q] = (stream << np.uint64(32)) | np.uint64(block)
            q += 1


@part
def draw(program, bounds, subject, everything, plan, words, slots):
    """Decides for every row whether it acts and, where it does or `everything` is set, draws its
    parameters."""
    scattered_words(subject, plan, words)
    first = 0
    for r in range(len(program)):
        row, slot, own = program[r], slots[bounds[r] : bounds[r + 1]], words[first:]
        first += 4 * word_blocks(len(slot))
        acts = row[spec.VIEW] < 0 or np.uint64(row[spec.VIEW]) == subject.view_word
        if row[spec.PARENT] >= 0:
            group = slots[bounds[np.int64(row[spec.PARENT])] :]
            member = names.GROUP_MEMBERS_ACT + np.int64(row[spec.CHILD])
            acts = acts and group[spec.ACTS] != 0 and group[member] != 0
        acts = acts and np.float64(own[spec.ACTS]) < row[spec.THRESHOLD]
        slot[spec.ACTS] = 1.0 if acts else 0.0
        if everything or acts:
            _slots(row, subject, own, slot)
