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
from tsssl_fast.ops.augment.spec import Code

A = spec.ARGUMENTS
_HALF = np.uint32(0x80000000)
(SIGN_FLIP, BLOCKOUT, CROP_RESIZE, MAGNITUDE_WARP, TIME_WARP, GROUP, RANDOM_CROP, SCALE) = (
    *(int(Code.SIGN_FLIP), int(Code.BLOCKOUT), int(Code.CROP_RESIZE), int(Code.MAGNITUDE_WARP)),
    *(int(Code.TIME_WARP), int(Code.GROUP), int(Code.RANDOM_CROP), int(Code.SCALE)),
)
(CHANNEL_PERMUTATION, ROTATION, SEGMENT_PERMUTATION, TIME_SHIFT, WINDOW_SLICE, WINDOW_WARP) = (
    *(int(Code.CHANNEL_PERMUTATION), int(Code.ROTATION), int(Code.SEGMENT_PERMUTATION)),
    *(int(Code.TIME_SHIFT), int(Code.WINDOW_SLICE), int(Code.WINDOW_WARP)),
)
DRIFT, CHANNEL_DROPOUT, QUANTIZE = int(Code.DRIFT), int(Code.CHANNEL_DROPOUT), int(Code.QUANTIZE)
MAGNITUDE_SPLINE, TIME_SCALE, SMOOTH = (
    *(int(Code.MAGNITUDE_SPLINE), int(Code.TIME_SCALE), int(Code.SMOOTH)),
)
RANDOM_NOISE, JITTER = int(Code.RANDOM_NOISE), int(Code.JITTER)


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
def _length(word, mode, low, high, size):
    """A length out of `size`: mode 0 is a share of it, 1 a whole number; at least 1."""
    if mode == 0:
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
    """Which children act: some of them, one by weight, or all."""
    n = np.int64(a[3])
    if a[0] == 0:
        slot[1] = _whole_between(words[1], a[1], a[2])
        _rank(words[2:], n, slot[2:])
        for i in range(n):
            slot[2 + i] = 1.0 if slot[2 + i] < slot[1] else 0.0
    elif a[0] == 1:
        slot[1] = 1.0
        chosen = 0
        for i in range(n - 1):
            if np.float64(words[1]) >= a[4 + i]:
                chosen += 1
        for i in range(n):
            slot[2 + i] = 1.0 if i == chosen else 0.0
    else:
        slot[1] = n
        slot[2 : 2 + n] = 1.0


@part
def _blockout(a, subject, words, slot):
    length, channels = np.float64(subject.length), np.float64(subject.channels)
    if a[0] == 2:
        side = np.floor(_between(words[1], a[1], a[2]) * channels + 0.5) + 1.0
        slot[1] = _clamp(side, 1.0, length)
        slot[3] = _clamp(side, 1.0, channels)
    else:
        slot[1] = _length(words[1], a[0], a[1], a[2], length)
        slot[3] = channels if a[4] < 0 else _length(words[3], a[4], a[5], a[6], channels)
    slot[2] = _start(words[2], slot[1], length)
    slot[4] = _start(words[4], slot[3], channels)


@part
def _scale(a, channels, words, slot):
    count = 1 if a[3] == 0 else channels
    if a[2] == 0:
        slot[1] = 0.0
        for c in range(count):
            slot[2 + c] = _between(words[2 + c], a[0], a[1])
    else:
        slot[1] = _between(words[1], a[0], a[1])
        _normals(words, 2, count, slot)
        for c in range(count):
            slot[2 + c] = 1.0 + slot[1] * slot[2 + c]
    for c in range(count, channels):
        slot[2 + c] = slot[2]


@part
def _rotation(words, slot):
    """A unit quaternion, uniform on the sphere."""
    _normals(words, 2, 4, slot)
    q = slot[2:6]
    norm = np.sqrt((q[0] * q[0] + q[1] * q[1]) + (q[2] * q[2] + q[3] * q[3]))
    for i in range(4):
        q[i] = q[i] / norm
    slot[1] = 0.0


@part
def _slots(row, subject, words, slot):
    """Slots 1, 2, ... of one operation."""
    code, a, channels = np.int64(row[spec.CODE]), row[-A:], subject.channels
    length = np.float64(subject.length)
    if code == GROUP:
        _group(a, words, slot)
    elif code == SIGN_FLIP:
        for c in range(channels * np.int64(row[spec.CHANNEL_SLOTS])):
            slot[1 + c] = 1.0 if words[1 + c] < _HALF else 0.0
    elif code == BLOCKOUT:
        _blockout(a, subject, words, slot)
    elif code in (RANDOM_CROP, WINDOW_WARP):
        slot[1] = _length(words[1], a[0], a[1], a[2], length)
        slot[2] = _start(words[2], slot[1], length)
        if code == WINDOW_WARP:
            slot[3] = a[3] if words[3] < _HALF else a[4]
    elif code in (CROP_RESIZE, WINDOW_SLICE):
        crop = _between(words[1], a[0], a[1]) * length
        slot[1] = 1.0 if crop < 1 else crop
        slot[2] = unit(words[2]) * (length - slot[1])
    elif code == MAGNITUDE_WARP:
        slot[1] = _between(words[1], a[0], a[1])
        slot[2] = _between(words[2], a[2], a[3])
        for c in range(channels):
            slot[3 + c] = np.float64(words[3 + c]) * 2.0**-32
    elif code == TIME_WARP:
        slot[1] = _between(words[1], a[0], a[1])
        for k in range(2, np.int64(row[spec.FIXED_SLOTS])):
            slot[k] = 1.0 + slot[1] * (unit(words[k]) * 2.0 - 1.0)
    elif code == SCALE:
        _scale(a, channels, words, slot)
    elif code == CHANNEL_PERMUTATION:
        _rank(words[1:], channels, slot[1:])
    elif code == ROTATION:
        _rotation(words, slot)
    elif code == SEGMENT_PERMUTATION:
        slot[1] = _whole_between(words[1], a[0], a[1])
        count = np.int64(slot[1])
        _rank(words[2:], count, slot[2:])
        for i in range(count, np.int64(row[spec.FIXED_SLOTS]) - 2):
            slot[2 + i] = i
    elif code == TIME_SHIFT and a[0] == 0:
        slot[1] = np.floor(_between(words[1], a[1], a[2]) * length + 0.5)
    elif code == TIME_SHIFT:
        slot[1] = _whole_between(words[1], a[1], a[2])
    elif code in (DRIFT, MAGNITUDE_SPLINE):
        slot[1] = _between(words[1], a[0], a[1])
        _normals(words, 2, channels * np.int64(row[spec.CHANNEL_SLOTS]), slot)
    elif code == CHANNEL_DROPOUT:
        for c in range(channels):
            slot[1 + c] = 1.0 if np.float64(words[1 + c]) < a[0] else 0.0
    elif code == QUANTIZE:
        slot[1] = _whole_between(words[1], a[0], a[1])
    elif code in (TIME_SCALE, RANDOM_NOISE, JITTER, SMOOTH):
        slot[1] = _between(words[1], a[0], a[1])


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
            acts = acts and group[0] != 0 and group[2 + np.int64(row[spec.CHILD])] != 0
        acts = acts and np.float64(own[0]) < row[spec.THRESHOLD]
        slot[0] = 1.0 if acts else 0.0
        if everything or acts:
            _slots(row, subject, own, slot)
