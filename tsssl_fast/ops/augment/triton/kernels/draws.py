"""The parameters of one (view, sample) in Triton, a row of slots at a time: reference/draws.py.

Float64 throughout. Word i of a row's stream belongs to slot i, so that the slots of a row are drawn
side by side; what needs one word alone comes from the scalar words 0 to 7.
"""

# The body of a kernel is Triton's language, not Python.
# mypy: ignore-errors

import triton
import triton.language as tl

from tsssl_fast.ops.augment.triton.kernels import codes
from tsssl_fast.ops.augment.triton.kernels.arithmetic import normals, root, uniform, words

SLOT_BLOCK = tl.constexpr(64)  # slots drawn at a time


@triton.jit
def _between(word, lo, hi):
    return lo + uniform(word, tl.float64) * (hi - lo)


@triton.jit
def _below(word, count):
    """An integer in [0, count) as float64; count float64."""
    return tl.umulhi(word, count.to(tl.uint32)).to(tl.float64)


@triton.jit
def _whole_between(word, lo, hi):
    return lo + _below(word, hi - lo + 1.0)


@triton.jit
def _clamp(x, lo, hi):
    x = tl.where(x < lo, lo, x)
    return tl.where(x > hi, hi, x)


@triton.jit
def _block_length(word, unit, lo, hi, size):
    """A length out of `size`: unit 0 is a ratio of it, 1 a whole number; at least 1."""
    part = tl.floor(_between(word, lo, hi) * size + 0.5)
    return _clamp(tl.where(unit == 0, part, _whole_between(word, lo, hi)), 1.0, size)


@triton.jit
def _start(word, length, size):
    return _below(word, size - length + 1.0)


@triton.jit
def _row_words(key, stream, lo, hi, i):
    """Word i of a stream, and the pair of words (even, odd) that it belongs to."""
    w0, w1, w2, w3 = words(key, (i >> 2).to(tl.uint32), stream, lo, hi)
    back = (i & 2) != 0
    even, odd = tl.where(back, w2, w0), tl.where(back, w3, w1)
    return tl.where((i & 1) != 0, odd, even), even, odd


@triton.jit
def _rank(keys, place, first, count, key, stream, lo, hi):
    """How many of the words first to first + count - 1 come before `keys`; ties go by place."""
    before = tl.zeros_like(place)
    for j0 in range(0, count, SLOT_BLOCK):
        j = j0 + tl.arange(0, SLOT_BLOCK)
        other, _, _ = _row_words(key, stream, lo, hi, first + j)
        other, own = other[None, :], keys[:, None]
        ahead = (other < own) | ((other == own) & (j[None, :] < place[:, None]))
        before += tl.sum((ahead & (j[None, :] < count)).to(tl.int32), axis=1)
    return before


@triton.jit
def _chosen_by_weight(word, arguments, count):
    """The member whose part of [0, 2^32) holds the word."""
    chosen = tl.full((), 0, tl.int32)
    for k in range(count - 1):
        chosen += (word.to(tl.float64) >= tl.load(arguments + codes.GROUP_WEIGHTS + k)).to(tl.int32)
    return chosen


@triton.jit
def _range(word, a, LOW: tl.constexpr):
    """Uniform between an argument and the next one."""
    return _between(word, tl.load(a + LOW), tl.load(a + LOW + 1))


@triton.jit
def _whole_range(word, a, LOW: tl.constexpr):
    """An integer from an argument to the next one."""
    return _whole_between(word, tl.load(a + LOW), tl.load(a + LOW + 1))


@triton.jit
def _length_range(word, a, UNIT: tl.constexpr, size):
    """A length whose unit and ends are three arguments in a row."""
    lo, hi = tl.load(a + UNIT + 1), tl.load(a + UNIT + 2)
    return _block_length(word, tl.load(a + UNIT), lo, hi, size)


@triton.jit
def _blockout_slots(a, w1, w2, w3, w4, channels, steps):
    side = _range(w1, a, codes.BLOCKOUT_LENGTH_LOW)
    side = tl.floor(side * channels + 0.5) + 1.0
    is_side = tl.load(a + codes.BLOCKOUT_LENGTH_UNIT) == codes.BLOCKOUT_SIDE
    long = _length_range(w1, a, codes.BLOCKOUT_LENGTH_UNIT, steps)
    wide = _length_range(w3, a, codes.BLOCKOUT_CHANNELS_UNIT, channels)
    wide = tl.where(tl.load(a + codes.BLOCKOUT_CHANNELS_UNIT) < 0, channels, wide)
    long = tl.where(is_side, _clamp(side, 1.0, steps), long)
    wide = tl.where(is_side, _clamp(side, 1.0, channels), wide)
    return long, _start(w2, long, steps), wide, _start(w4, wide, channels)


@triton.jit
def _group_slots(a, w1):
    """How many members act, and how many there are."""
    choice, members = tl.load(a + codes.GROUP_CHOICE), tl.load(a + codes.GROUP_MEMBERS)
    fixed = tl.where(choice == codes.GROUP_BY_WEIGHT, 1.0, members)
    some = _whole_range(w1, a, codes.GROUP_LOW)
    return tl.where(choice == codes.GROUP_SOME, some, fixed), members.to(tl.int32)


@triton.jit
def _window_slots(a, w1, w2, w3, steps):
    """Of RandomCrop, and with a factor of WindowWarp."""
    length = _length_range(w1, a, codes.RANDOM_CROP_LENGTH_UNIT, steps)
    first, second = a + codes.WINDOW_WARP_FACTOR_0, a + codes.WINDOW_WARP_FACTOR_1
    factor = tl.where(w3 < 0x80000000, tl.load(first), tl.load(second))
    return length, _start(w2, length, steps), factor


@triton.jit
def _quaternion(w2, w3, w4, w5):
    """A unit quaternion, uniform on the sphere."""
    w, x = normals(w2, w3, tl.float64)
    y, z = normals(w4, w5, tl.float64)
    norm = root((w * w + x * x) + (y * y + z * z))
    return w / norm, x / norm, y / norm, z / norm


@triton.jit
def _shift(a, w1, steps):
    part = tl.floor(_range(w1, a, codes.TIME_SHIFT_SHIFT_LOW) * steps + 0.5)
    whole = _whole_range(w1, a, codes.TIME_SHIFT_SHIFT_LOW)
    return tl.where(tl.load(a + codes.TIME_SHIFT_SHIFT_UNIT) == 0, part, whole)


@triton.jit
def _scalar_slots(code, a, w1, w2, w3, w4, w5, channels, length, MASK: tl.constexpr):
    """Slots 1 to 5 from their words, as far as they are no list; where the list begins (`head`),
    its first word, and how many words are ranked."""
    steps, size = length.to(tl.float64), channels.to(tl.float64)
    # What most operations have: a range of slot 1 in the first two arguments.
    s1 = _range(w1, a, codes.UNIFORM_LOW)
    s2 = tl.full((), 0, tl.float64)
    s3, s4, s5 = s2, s2, s2
    head, first = tl.full((), 2, tl.int32), tl.full((), 2, tl.int32)
    ranked = tl.full((), 0, tl.int32)
    if codes.any_of(MASK, codes.LISTS_BITS):
        if codes.among(code, codes.LISTS_BITS):
            head, first = tl.full((), 1, tl.int32), tl.full((), 1, tl.int32)
    if codes.occurs(MASK, codes.GROUP):
        if code == codes.GROUP:
            s1, ranked = _group_slots(a, w1)
    if codes.occurs(MASK, codes.BLOCKOUT):
        if code == codes.BLOCKOUT:
            s1, s2, s3, s4 = _blockout_slots(a, w1, w2, w3, w4, size, steps)
            head = tl.full((), 5, tl.int32)
    if codes.occurs(MASK, codes.RANDOM_CROP, codes.WINDOW_WARP):
        if (code == codes.RANDOM_CROP) | (code == codes.WINDOW_WARP):
            s1, s2, s3 = _window_slots(a, w1, w2, w3, steps)
            head = tl.full((), 4, tl.int32)
    if codes.occurs(MASK, codes.CROP_RESIZE, codes.WINDOW_SLICE):
        if (code == codes.CROP_RESIZE) | (code == codes.WINDOW_SLICE):
            s1 = s1 * steps
            s1 = tl.where(s1 < 1.0, 1.0, s1)
            s2 = uniform(w2, tl.float64) * (steps - s1)
            head = tl.full((), 3, tl.int32)
    if codes.occurs(MASK, codes.MAGNITUDE_WARP):
        if code == codes.MAGNITUDE_WARP:
            s2 = _range(w2, a, codes.MAGNITUDE_WARP_PERIODS_LOW)
            head = tl.full((), 3, tl.int32)
    if codes.occurs(MASK, codes.SCALE):
        if code == codes.SCALE:
            z, _ = normals(w2, w3, tl.float64)
            uniform_factors = tl.load(a + codes.SCALE_NORMAL) == 0
            s2 = tl.where(uniform_factors, _range(w2, a, codes.SCALE_LOW), s1 * z + 1.0)
            s1 = tl.where(uniform_factors, 0.0, s1)
    if codes.occurs(MASK, codes.CHANNEL_PERMUTATION):
        if code == codes.CHANNEL_PERMUTATION:
            ranked = channels
    if codes.occurs(MASK, codes.ROTATION):
        if code == codes.ROTATION:
            s1 = tl.full((), 0, tl.float64)
            s2, s3, s4, s5 = _quaternion(w2, w3, w4, w5)
            head = tl.full((), 6, tl.int32)
    if codes.occurs(MASK, codes.SEGMENT_PERMUTATION):
        if code == codes.SEGMENT_PERMUTATION:
            s1 = _whole_range(w1, a, codes.SEGMENT_PERMUTATION_LOW)
            ranked = s1.to(tl.int32)
    if codes.occurs(MASK, codes.TIME_SHIFT):
        if code == codes.TIME_SHIFT:
            s1 = _shift(a, w1, steps)
    if codes.occurs(MASK, codes.QUANTIZE):
        if code == codes.QUANTIZE:
            s1 = _whole_range(w1, a, codes.QUANTIZE_LOW)
    return s1, s2, s3, s4, s5, head, first, ranked


@triton.jit
def _list_slots(code, a, i, w1, s1, s2, first, ranked, key, stream, lo, hi, MASK: tl.constexpr):
    """Slots i of the codes whose slots are a list: one per channel, knot, segment or member."""
    word, even, odd = _row_words(key, stream, lo, hi, i)
    v = word.to(tl.float64) * (1 / 4294967296.0)  # a phase in turns
    if codes.occurs(MASK, codes.SIGN_FLIP):
        if code == codes.SIGN_FLIP:
            v = (word < 0x80000000).to(tl.float64)
    if codes.occurs(MASK, codes.CHANNEL_DROPOUT):
        if code == codes.CHANNEL_DROPOUT:
            v = word.to(tl.float64)
            v = (v < tl.load(a + codes.CHANNEL_DROPOUT_THRESHOLD)).to(tl.float64)
    if codes.occurs(MASK, codes.TIME_WARP):
        if code == codes.TIME_WARP:
            v = s1 * (uniform(word, tl.float64) * 2.0 - 1.0) + 1.0
    if codes.any_of(MASK, codes.UNIFORMS_BITS):
        if codes.among(code, codes.UNIFORMS_BITS):
            v = _range(word, a, codes.UNIFORM_LOW)
    if codes.any_of(MASK, codes.NORMALS_BITS):
        if codes.among(code, codes.NORMALS_BITS):
            z, other = normals(even, odd, tl.float64)
            z = tl.where((i & 1) != 0, other, z)
            v = z
            if codes.occurs(MASK, codes.SCALE):
                if code == codes.SCALE:
                    own = _range(word, a, codes.SCALE_LOW)
                    own = tl.where(tl.load(a + codes.SCALE_NORMAL) == 0, own, s1 * z + 1.0)
                    v = tl.where(tl.load(a + codes.SCALE_PER_CHANNEL) == 0, s2, own)
    if codes.any_of(MASK, codes.RANK_BITS):
        if ranked > 0:
            place = i - first
            v = place.to(tl.float64)
            rank = _rank(word, place, first, ranked, key, stream, lo, hi).to(tl.float64)
            v = tl.where(place < ranked, rank, v)
            if codes.occurs(MASK, codes.GROUP):
                if code == codes.GROUP:
                    choice = tl.load(a + codes.GROUP_CHOICE)
                    by_weight = choice == codes.GROUP_BY_WEIGHT
                    chosen = _chosen_by_weight(w1, a, tl.where(by_weight, ranked, 0))
                    one = (place == chosen).to(tl.float64)
                    one = tl.where(choice == codes.GROUP_ALL, 1.0, one)
                    v = tl.where(choice == codes.GROUP_SOME, (v < s1).to(tl.float64), one)
    return v


@triton.jit
def draw_row(
    plan, r, table, key, lo, hi, view, channels, length, ALL: tl.constexpr, MASK: tl.constexpr
):
    """Draws row `r` into table: whether it acts and, where it does or ALL is set, its slots."""
    row = plan + r * codes.PLAN_COLUMNS
    a = row + codes.FIRST_ARGUMENT
    code = tl.load(row + codes.CODE).to(tl.int32)
    slot = table + tl.load(row + codes.FIRST_SLOT).to(tl.int64)
    stream = (code << 24 | tl.load(row + codes.OCCURRENCE).to(tl.int32) << 16 | view).to(tl.uint32)
    w0, w1, w2, w3 = words(key, tl.full((), 0, tl.uint32), stream, lo, hi)
    acts = w0.to(tl.float64) < tl.load(row + codes.THRESHOLD)
    only = tl.load(row + codes.VIEW).to(tl.int32)
    acts = acts & ((only < 0) | (only == view))
    parent = tl.load(row + codes.PARENT).to(tl.int32)
    if parent >= 0:
        group = table + tl.load(plan + parent * codes.PLAN_COLUMNS + codes.FIRST_SLOT).to(tl.int64)
        member = group + codes.GROUP_MEMBERS_ACT + tl.load(row + codes.CHILD).to(tl.int64)
        acts = acts & (tl.load(group + codes.ACTS) != 0) & (tl.load(member) != 0)
    if acts | ALL:
        w4, w5, _, _ = words(key, tl.full((), 1, tl.uint32), stream, lo, hi)
        s1, s2, s3, s4, s5, head, first, ranked = _scalar_slots(
            code, a, w1, w2, w3, w4, w5, channels, length, MASK
        )
        count = tl.load(row + codes.FIXED_SLOTS).to(tl.int32)
        count += tl.load(row + codes.CHANNEL_SLOTS).to(tl.int32) * channels
        for begin in range(0, count, SLOT_BLOCK):
            i = begin + tl.arange(0, SLOT_BLOCK)
            v = tl.where(i == 1, s1, tl.where(i == 2, s2, tl.where(i == 3, s3, s4)))
            v = tl.where(i == codes.ACTS, acts.to(tl.float64), tl.where(i == 5, s5, v))
            if codes.any_of(MASK, codes.LISTED_BITS):
                listed = _list_slots(
                    code, a, i, w1, s1, s2, first, ranked, key, stream, lo, hi, MASK
                )
                v = tl.where(i < head, v, listed)
            tl.store(slot + i, v, mask=i < count)
    else:
        tl.store(slot + codes.ACTS, tl.full((), 0, tl.float64))
