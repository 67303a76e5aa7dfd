"""Where each step of a series reads in Triton: positions in float64, whole steps, and channels."""

# The body of a kernel is Triton's language, not Python.
# mypy: ignore-errors

import triton
import triton.language as tl

from tsssl_fast.ops.augment.triton.kernels import codes


@triton.jit
def _warp_positions(row, slot, t, length):
    """The integral of a speed that is linear between equidistant values."""
    segments = tl.load(row + codes.FIXED_SLOTS).to(tl.int32) - codes.TIME_WARP_SPEEDS - 1
    speed = slot + codes.TIME_WARP_SPEEDS
    total = tl.full((), 0, tl.float64)
    for k in range(segments):
        total = total + (tl.load(speed + k) + tl.load(speed + k + 1)) * 0.5
    last = (length - 1).to(tl.float64)
    scale = last / total
    w = t.to(tl.float64) * (segments.to(tl.float64) / last)
    segment = tl.minimum(w.to(tl.int32), segments - 1)
    f = w - segment.to(tl.float64)
    before = tl.full((), 0, tl.float64)
    begin = f * 0.0
    for k in range(segments):
        begin = tl.where(segment == k, before, begin)
        before = before + (tl.load(speed + k) + tl.load(speed + k + 1)) * 0.5
    here, there = tl.load(speed + segment), tl.load(speed + segment + 1)
    bend = ((there - here) * 0.5) * scale
    return begin * scale + f * (here * scale + f * bend)


@triton.jit
def _window_positions(slot, t, length):
    width = tl.load(slot + codes.WINDOW_WARP_LENGTH)
    start = tl.load(slot + codes.WINDOW_WARP_START)
    factor = tl.load(slot + codes.WINDOW_WARP_FACTOR)
    stretched = width * factor
    whole = (length.to(tl.float64) - width) + stretched
    u = t.to(tl.float64) * ((whole - 1.0) / (length - 1).to(tl.float64))
    inside, after = start + (u - start) / factor, (u - stretched) + width
    return tl.where(u < start, u, tl.where(u < start + stretched, inside, after))


@triton.jit
def interpolated(row, code, slot, t, length, dtype: tl.constexpr, MASK: tl.constexpr):
    """Left neighbour and weight of steps t; where the series ends before. For length >= 2."""
    last = (length - 1).to(tl.float64)
    x = t.to(tl.float64)
    position = x
    cut = t < 0
    if codes.occurs(MASK, codes.CROP_RESIZE, codes.WINDOW_SLICE):
        if (code == codes.CROP_RESIZE) | (code == codes.WINDOW_SLICE):
            step = (tl.load(slot + codes.CROP_RESIZE_LENGTH) - 1.0) / last
            position = tl.load(slot + codes.CROP_RESIZE_START) + x * step
    if codes.occurs(MASK, codes.TIME_SCALE):
        if code == codes.TIME_SCALE:
            position = x * tl.load(slot + codes.TIME_SCALE_SPEED)
            if tl.load(row + codes.FIRST_ARGUMENT + codes.TIME_SCALE_ZERO) != 0:
                cut = position > last
    if codes.occurs(MASK, codes.TIME_WARP):
        if code == codes.TIME_WARP:
            position = _warp_positions(row, slot, t, length)
    if codes.occurs(MASK, codes.WINDOW_WARP):
        if code == codes.WINDOW_WARP:
            position = _window_positions(slot, t, length)
    position = tl.where(position < 0.0, 0.0, position)
    position = tl.where(position > last, last, position)
    left = tl.maximum(tl.minimum(position.to(tl.int32), length - 2), 0)
    return left, (position - left.to(tl.float64)).to(dtype), cut


@triton.jit
def _segment_sources(slot, t, length):
    """Segments in their new order: every place's length in turn, until t lies in it."""
    count = tl.load(slot + codes.SEGMENT_PERMUTATION_SEGMENTS).to(tl.int32)
    k = tl.arange(0, 64)
    order = slot + codes.SEGMENT_PERMUTATION_ORDER
    order = tl.load(order + k, mask=k < count, other=-1.0).to(tl.int32)
    size = length.to(tl.int64)
    source = t
    end = tl.full((), 0, tl.int32)
    for place in range(count):
        segment = tl.sum(tl.where(order == place, k, 0), axis=0).to(tl.int64)
        begin = (segment * size // count).to(tl.int32)
        source = tl.where(t >= end, t - end + begin, source)
        end += ((segment + 1) * size // count).to(tl.int32) - begin
    return source


@triton.jit
def _shifted(slot, edge, t, length):
    at = t.to(tl.int64) - tl.load(slot + codes.TIME_SHIFT_SHIFT).to(tl.int64)
    size = length.to(tl.int64)
    around = ((at % size) + size) % size
    clamped = tl.minimum(tl.maximum(at, 0), size - 1)
    outside = (at < 0) | (at >= size)
    source = tl.where(edge == codes.TIME_SHIFT_WRAP, around, clamped).to(tl.int32)
    return source, outside & (edge == codes.TIME_SHIFT_ZERO)


@triton.jit
def source_steps(row, code, slot, t, length, MASK: tl.constexpr):
    """The step that each step t reads, and whether it is zero instead."""
    source = t
    zero = t < 0
    if codes.occurs(MASK, codes.TIME_FLIP, codes.BIDIRECTIONAL_FLIP):
        if (code == codes.TIME_FLIP) | (code == codes.BIDIRECTIONAL_FLIP):
            source = length - 1 - t
    if codes.occurs(MASK, codes.SEGMENT_PERMUTATION):
        if code == codes.SEGMENT_PERMUTATION:
            source = _segment_sources(slot, t, length)
    if codes.occurs(MASK, codes.TIME_SHIFT):
        if code == codes.TIME_SHIFT:
            edge = tl.load(row + codes.FIRST_ARGUMENT + codes.TIME_SHIFT_EDGE).to(tl.int32)
            source, zero = _shifted(slot, edge + 0 * t, t, length)
    return source, zero


@triton.jit
def source_channels(code, slot, c, channels, MASK: tl.constexpr):
    source = c
    if codes.occurs(MASK, codes.CHANNEL_FLIP, codes.BIDIRECTIONAL_FLIP):
        if (code == codes.CHANNEL_FLIP) | (code == codes.BIDIRECTIONAL_FLIP):
            source = channels - 1 - c
    if codes.occurs(MASK, codes.CHANNEL_PERMUTATION):
        if code == codes.CHANNEL_PERMUTATION:
            sources = slot + codes.CHANNEL_PERMUTATION_SOURCES
            source = tl.load(sources + c, mask=c < channels, other=0.0).to(tl.int32)
    return source
