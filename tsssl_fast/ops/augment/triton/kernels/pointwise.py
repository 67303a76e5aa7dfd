"""Operations that leave every value where it is: reference/pointwise.py in Triton, in place."""

# The body of a kernel is Triton's language, not Python.
# mypy: ignore-errors

import triton
import triton.language as tl

from tsssl_fast.ops.augment.spec import Code
from tsssl_fast.ops.augment.triton.kernels import codes
from tsssl_fast.ops.augment.triton.kernels.arithmetic import (
    divide,
    normals,
    sincos_turns,
    uniform,
)
from tsssl_fast.ops.augment.triton.kernels.moves import at
from tsssl_fast.ops.augment.triton.kernels.rows import interleave, quads, row_mean, row_std

NOISE_BITS = tl.constexpr(codes.bits(Code.RANDOM_NOISE, Code.JITTER))
CUT_BITS = tl.constexpr(codes.bits(Code.BLOCKOUT, Code.RANDOM_CROP, Code.CHANNEL_DROPOUT))
MULTIPLY_BITS = tl.constexpr(
    codes.bits(Code.SIGN_FLIP, Code.SCALE, Code.MAGNITUDE_WARP, Code.MAGNITUDE_SPLINE)
)


@triton.jit
def noise(x, row, code, slot, key, stream, subject, block, CONFIG: tl.constexpr):
    """x += amplitude r, r uniform on [-1, 1) or standard normal; relative to the row's std."""
    channels, steps, length = block
    CB: tl.constexpr = CONFIG[1]
    TB: tl.constexpr = CONFIG[2]
    dtype: tl.constexpr = x.dtype.element_ty
    scale = tl.load(slot + codes.RANDOM_NOISE_MAGNITUDE).to(dtype)
    normal = tl.load(row + codes.FIRST_ARGUMENT + codes.RANDOM_NOISE_NORMAL) != 0
    for c0 in range(0, channels, CB):
        c = (c0 + tl.arange(0, CB))[:, None]
        amplitude = scale + tl.zeros((CB, 1), dtype)
        if codes.occurs(CONFIG[0], codes.RANDOM_NOISE):
            if code == codes.RANDOM_NOISE:
                amplitude = scale * row_std(x, c, block, CB).to(dtype)
                tl.debug_barrier()
        for t0 in range(0, length, TB):
            q = (t0 // 4 + tl.arange(0, TB // 4))[None, :]
            w0, w1, w2, w3 = quads(key, stream, subject, c, q)
            if normal:
                z0, z1 = normals(w0, w1, dtype)
                z2, z3 = normals(w2, w3, dtype)
            else:
                z0, z1 = uniform(w0, dtype) * 2.0 - 1.0, uniform(w1, dtype) * 2.0 - 1.0
                z2, z3 = uniform(w2, dtype) * 2.0 - 1.0, uniform(w3, dtype) * 2.0 - 1.0
            t = (t0 + tl.arange(0, TB))[None, :]
            inside = (c < channels) & (t < length)
            v = tl.load(at(x, c, t, steps), mask=inside)
            v = v + interleave(z0, z1, z2, z3, CB, TB) * amplitude
            tl.store(at(x, c, t, steps), v, mask=inside)


@triton.jit
def cut(x, row, code, slot, block, CONFIG: tl.constexpr, ADJOINT: tl.constexpr):
    """Blockout, random crop, channel dropout: a constant, or the row's mean, where they cut."""
    channels, steps, length = block
    CB: tl.constexpr = CONFIG[1]
    TB: tl.constexpr = CONFIG[2]
    dtype: tl.constexpr = x.dtype.element_ty
    a = row + codes.FIRST_ARGUMENT
    constant = tl.load(a + codes.BLOCKOUT_FILL)
    if codes.occurs(CONFIG[0], codes.RANDOM_CROP):
        if code == codes.RANDOM_CROP:
            constant = tl.load(a + codes.RANDOM_CROP_FILL)
    if codes.occurs(CONFIG[0], codes.CHANNEL_DROPOUT):
        if code == codes.CHANNEL_DROPOUT:
            constant = tl.load(a + codes.CHANNEL_DROPOUT_FILL)
    constant = constant.to(dtype)
    for c0 in range(0, channels, CB):
        c = (c0 + tl.arange(0, CB))[:, None]
        fill = constant + tl.zeros((CB, 1), dtype)
        if codes.occurs(CONFIG[0], codes.BLOCKOUT) and not ADJOINT:
            if (code == codes.BLOCKOUT) & (tl.load(a + codes.BLOCKOUT_FILL_MEAN) != 0):
                fill = row_mean(x, c, block, CB).to(dtype)
                tl.debug_barrier()
        if ADJOINT:
            fill = tl.zeros((CB, 1), dtype)
        for t0 in range(0, length, TB):
            t = (t0 + tl.arange(0, TB))[None, :]
            inside = (c < channels) & (t < length)
            if code == codes.CHANNEL_DROPOUT:
                dropped = slot + codes.CHANNEL_DROPOUT_DROPPED + c
                hit = tl.load(dropped, mask=c < channels, other=0.0) != 0
                hit = hit & (t >= 0)
            else:
                # Blockout has them in the same slots.
                begin = tl.load(slot + codes.RANDOM_CROP_START)
                end = begin + tl.load(slot + codes.RANDOM_CROP_LENGTH)
                step = t.to(tl.float64)
                hit = (step >= begin) & (step < end) & (c >= 0)
                if code == codes.RANDOM_CROP:
                    hit = hit == 0
                else:
                    low = tl.load(slot + codes.BLOCKOUT_FIRST_CHANNEL)
                    high = low + tl.load(slot + codes.BLOCKOUT_CHANNELS)
                    channel = c.to(tl.float64)
                    hit = hit & (channel >= low) & (channel < high)
            tl.store(at(x, c, t, steps), fill + tl.zeros((CB, TB), dtype), mask=inside & hit)


@triton.jit
def _then(a, b):
    """Two maps of a bit to a bit, bit m of each is its value at m: first a, then b."""
    return ((b >> (a & 1)) & 1) | (((b >> (a >> 1)) & 1) << 1)


@triton.jit
def drop_steps(x, row, key, stream, subject, block, CONFIG: tl.constexpr, ADJOINT: tl.constexpr):
    """Masked steps: every step by itself, or spans of geometric length.

    In spans, a word maps the state "masked" of the step before to the next; a scan composes the
    maps, so that a tile of steps is done at a time.
    """
    channels, steps, length = block
    CB: tl.constexpr = CONFIG[1]
    TB: tl.constexpr = CONFIG[2]
    dtype: tl.constexpr = x.dtype.element_ty
    a = row + codes.FIRST_ARGUMENT
    spans = tl.load(a + codes.TIME_DROPOUT_SPANS) != 0
    own = tl.load(a + codes.TIME_DROPOUT_PER_CHANNEL) != 0
    fill = tl.load(a + codes.TIME_DROPOUT_FILL).to(dtype)
    if ADJOINT:
        fill = fill * 0.0
    for c0 in range(0, channels, CB):
        c = (c0 + tl.arange(0, CB))[:, None]
        masked = tl.zeros((CB, 1), tl.int32)
        for t0 in range(0, length, TB):
            q = (t0 // 4 + tl.arange(0, TB // 4))[None, :]
            w0, w1, w2, w3 = quads(key, stream, subject, tl.where(own, c, 0), q)
            word = interleave(w0, w1, w2, w3, CB, TB).to(tl.float64)
            t = (t0 + tl.arange(0, TB))[None, :]
            hit = (word < tl.load(a + codes.TIME_DROPOUT_THRESHOLD)).to(tl.int32)
            if spans:
                stays = word >= tl.load(a + codes.TIME_DROPOUT_LEAVE)
                starts = word < tl.load(a + codes.TIME_DROPOUT_ENTER)
                then = stays.to(tl.int32) * 2 + starts.to(tl.int32)
                then = tl.associative_scan(tl.where(t == 0, hit * 3, then), 1, _then)
                hit = (then >> masked) & 1
                masked = tl.sum(tl.where(t == t0 + TB - 1, hit, 0), axis=1)[:, None]
            inside = (c < channels) & (t < length) & (hit != 0)
            tl.store(at(x, c, t, steps), fill + tl.zeros((CB, TB), dtype), mask=inside)


@triton.jit
def _wave(row, slot, c, t, block, dtype: tl.constexpr):
    """offset + amplitude sin(2 pi (theta + periods t / length))."""
    channels, _, length = block
    amplitude = tl.load(slot + codes.MAGNITUDE_WARP_MAGNITUDE).to(dtype)
    literal = tl.load(row + codes.FIRST_ARGUMENT + codes.MAGNITUDE_WARP_LITERAL) != 0
    offset = tl.where(literal, amplitude, 1.0)
    turns = tl.load(slot + codes.MAGNITUDE_WARP_PERIODS) / length.to(tl.float64)
    step = ((turns - tl.floor(turns)) * 4294967296.0 + 0.5).to(tl.int64).to(tl.uint32)
    theta = slot + codes.MAGNITUDE_WARP_THETA + c
    theta = tl.load(theta, mask=c < channels, other=0.0) * 4294967296.0
    phase = theta.to(tl.int64).to(tl.uint32) + step * t.to(tl.uint32)
    sin, _ = sincos_turns(phase, dtype)
    return offset + amplitude * sin


@triton.jit
def _curve(row, slot, c, t, block, dtype: tl.constexpr):
    """A cubic through equidistant knots, the ends repeated (Catmull-Rom)."""
    channels, _, length = block
    count = tl.load(row + codes.CHANNEL_SLOTS).to(tl.int32)
    last = tl.maximum(length - 1, 1).to(tl.float64)
    w = t.to(tl.float64) * ((count - 1).to(tl.float64) / last)
    segment = tl.minimum(w.to(tl.int32), count - 2)
    f = (w - segment.to(tl.float64)).to(dtype)
    knot, used = slot + codes.DRIFT_KNOTS + c.to(tl.int64) * count, (c < channels) & (t < length)
    p0 = tl.load(knot + tl.maximum(segment - 1, 0), mask=used, other=0.0)
    p1 = tl.load(knot + segment, mask=used, other=0.0)
    p2 = tl.load(knot + segment + 1, mask=used, other=0.0)
    p3 = tl.load(knot + tl.minimum(segment + 2, count - 1), mask=used, other=0.0)
    c0, c1 = p1.to(dtype), ((p2 - p0) * 0.5).to(dtype)
    c2 = ((p0 - p1 * 2.5) + (p2 * 2.0 - p3 * 0.5)).to(dtype)
    c3 = ((p3 - p0) * 0.5 + (p1 - p2) * 1.5).to(dtype)
    return c0 + f * (c1 + f * (c2 + f * c3))


@triton.jit
def multiply(x, row, code, slot, block, CONFIG: tl.constexpr):
    """Sign flip, scale, magnitude warp, magnitude spline."""
    channels, steps, length = block
    MASK: tl.constexpr = CONFIG[0]
    CB: tl.constexpr = CONFIG[1]
    TB: tl.constexpr = CONFIG[2]
    dtype: tl.constexpr = x.dtype.element_ty
    for c0 in range(0, channels, CB):
        c = (c0 + tl.arange(0, CB))[:, None]
        for t0 in range(0, length, TB):
            t = (t0 + tl.arange(0, TB))[None, :]
            inside = (c < channels) & (t < length)
            factor = tl.full((CB, TB), -1.0, dtype)
            if codes.occurs(MASK, codes.SIGN_FLIP):
                if (code == codes.SIGN_FLIP) & (tl.load(row + codes.CHANNEL_SLOTS) != 0):
                    flips = slot + codes.SIGN_FLIP_FLIPS + c
                    flips = tl.load(flips, mask=c < channels, other=0.0) != 0
                    factor = tl.where(flips, factor, 1.0)
            if codes.occurs(MASK, codes.SCALE):
                if code == codes.SCALE:
                    own = slot + codes.SCALE_FACTORS + c
                    own = tl.load(own, mask=c < channels, other=0.0).to(dtype)
                    factor = own + tl.zeros((CB, TB), dtype)
            if codes.occurs(MASK, codes.MAGNITUDE_WARP):
                if code == codes.MAGNITUDE_WARP:
                    factor = _wave(row, slot, c, t, block, dtype)
            if codes.occurs(MASK, codes.MAGNITUDE_SPLINE):
                if code == codes.MAGNITUDE_SPLINE:
                    curve = _curve(row, slot, c, t, block, dtype)
                    factor = (
                        tl.load(slot + codes.MAGNITUDE_SPLINE_MAGNITUDE).to(dtype) * curve + 1.0
                    )
            v = tl.load(at(x, c, t, steps), mask=inside)
            tl.store(at(x, c, t, steps), v * factor, mask=inside)


@triton.jit
def drift(x, row, slot, block, CONFIG: tl.constexpr):
    channels, steps, length = block
    CB: tl.constexpr = CONFIG[1]
    TB: tl.constexpr = CONFIG[2]
    dtype: tl.constexpr = x.dtype.element_ty
    relative = tl.load(row + codes.FIRST_ARGUMENT + codes.DRIFT_RELATIVE) != 0
    for c0 in range(0, channels, CB):
        c = (c0 + tl.arange(0, CB))[:, None]
        size = tl.load(slot + codes.DRIFT_MAGNITUDE).to(dtype) + tl.zeros((CB, 1), dtype)
        if relative:
            size = size * row_std(x, c, block, CB).to(dtype)
            tl.debug_barrier()
        for t0 in range(0, length, TB):
            t = (t0 + tl.arange(0, TB))[None, :]
            inside = (c < channels) & (t < length)
            v = tl.load(at(x, c, t, steps), mask=inside)
            v = v + size * _curve(row, slot, c, t, block, dtype)
            tl.store(at(x, c, t, steps), v, mask=inside)


@triton.jit
def offset(x, row, slot, block, CONFIG: tl.constexpr):
    """x plus a constant, one for all channels or each its own."""
    channels, steps, length = block
    CB: tl.constexpr = CONFIG[1]
    TB: tl.constexpr = CONFIG[2]
    dtype: tl.constexpr = x.dtype.element_ty
    own = tl.load(row + codes.CHANNEL_SLOTS).to(tl.int32)
    for c0 in range(0, channels, CB):
        c = (c0 + tl.arange(0, CB))[:, None]
        value = slot + codes.OFFSET_OFFSETS + c * own
        value = tl.load(value, mask=c < channels, other=0.0).to(dtype)
        for t0 in range(0, length, TB):
            t = (t0 + tl.arange(0, TB))[None, :]
            inside = (c < channels) & (t < length)
            v = tl.load(at(x, c, t, steps), mask=inside)
            tl.store(at(x, c, t, steps), v + value, mask=inside)


@triton.jit
def quantize(x, slot, block, CONFIG: tl.constexpr):
    """Rounds to equidistant values from the least to the greatest of a row without NaN."""
    channels, steps, length = block
    CB: tl.constexpr = CONFIG[1]
    TB: tl.constexpr = CONFIG[2]
    dtype: tl.constexpr = x.dtype.element_ty
    levels = (tl.load(slot + codes.QUANTIZE_LEVELS) - 1.0).to(dtype)
    for c0 in range(0, channels, CB):
        c = (c0 + tl.arange(0, CB))[:, None]
        low = tl.full((CB, TB), float("inf"), dtype)
        high = tl.full((CB, TB), float("-inf"), dtype)
        undefined = tl.zeros((CB, TB), tl.int32)
        for t0 in range(0, length, TB):
            t = (t0 + tl.arange(0, TB))[None, :]
            inside = (c < channels) & (t < length)
            v = tl.load(at(x, c, t, steps), mask=inside, other=0.0)
            low = tl.where(inside & (v < low), v, low)
            high = tl.where(inside & (v > high), v, high)
            undefined += (inside & (v != v)).to(tl.int32)
        bottom, top = tl.min(low, axis=1)[:, None], tl.max(high, axis=1)[:, None]
        defined = (tl.sum(undefined, axis=1)[:, None] == 0) & (top > bottom)
        width = divide(top - bottom, levels + tl.zeros((CB, 1), dtype))
        tl.debug_barrier()
        for t0 in range(0, length, TB):
            t = (t0 + tl.arange(0, TB))[None, :]
            inside = (c < channels) & (t < length) & defined
            v = tl.load(at(x, c, t, steps), mask=inside, other=0.0)
            level = divide(v - bottom, width + tl.zeros((CB, TB), dtype)) + 0.5
            # Not tl.floor, which flushes subnormal float32 on NVIDIA; no level is negative.
            level = tl.where(level == level, level.to(tl.int32).to(dtype), level)
            tl.store(at(x, c, t, steps), bottom + level * width, mask=inside)


@triton.jit
def _rotate_row(r, x0, x1, x2):
    return (r[0] * x0 + r[1] * x1) + r[2] * x2


@triton.jit
def rotate(x, row, slot, block, CONFIG: tl.constexpr, ADJOINT: tl.constexpr):
    """Triples of channels, one rotation for all."""
    _, steps, length = block
    SPAN: tl.constexpr = CONFIG[1] * CONFIG[2]
    dtype: tl.constexpr = x.dtype.element_ty
    w, i = tl.load(slot + codes.ROTATION_W), tl.load(slot + codes.ROTATION_X)
    j, k = tl.load(slot + codes.ROTATION_Y), tl.load(slot + codes.ROTATION_Z)
    r0 = (1.0 - 2.0 * (j * j + k * k), 2.0 * (i * j - k * w), 2.0 * (i * k + j * w))
    r1 = (2.0 * (i * j + k * w), 1.0 - 2.0 * (i * i + k * k), 2.0 * (j * k - i * w))
    r2 = (2.0 * (i * k - j * w), 2.0 * (j * k + i * w), 1.0 - 2.0 * (i * i + j * j))
    if ADJOINT:
        r0, r1, r2 = (r0[0], r1[0], r2[0]), (r0[1], r1[1], r2[1]), (r0[2], r1[2], r2[2])
    r0 = (r0[0].to(dtype), r0[1].to(dtype), r0[2].to(dtype))
    r1 = (r1[0].to(dtype), r1[1].to(dtype), r1[2].to(dtype))
    r2 = (r2[0].to(dtype), r2[1].to(dtype), r2[2].to(dtype))
    a = row + codes.FIRST_ARGUMENT
    for n in range(tl.load(a + codes.ROTATION_TRIPLES).to(tl.int32)):
        triple = a + codes.ROTATION_CHANNELS + 3 * n
        p0 = x + tl.load(triple).to(tl.int64) * steps
        p1 = x + tl.load(triple + 1).to(tl.int64) * steps
        p2 = x + tl.load(triple + 2).to(tl.int64) * steps
        for t0 in range(0, length, SPAN):
            t = t0 + tl.arange(0, SPAN)
            inside = t < length
            x0 = tl.load(p0 + t, mask=inside)
            x1 = tl.load(p1 + t, mask=inside)
            x2 = tl.load(p2 + t, mask=inside)
            tl.store(p0 + t, _rotate_row(r0, x0, x1, x2), mask=inside)
            tl.store(p1 + t, _rotate_row(r1, x0, x1, x2), mask=inside)
            tl.store(p2 + t, _rotate_row(r2, x0, x1, x2), mask=inside)
        tl.debug_barrier()


@triton.jit
def in_place(
    x, row, code, slot, key, view, subject, block, CONFIG: tl.constexpr, ADJOINT: tl.constexpr
):
    """One operation that acts; nothing where it moves steps or channels."""
    MASK: tl.constexpr = CONFIG[0]
    occurrence = tl.load(row + codes.OCCURRENCE).to(tl.int32)
    stream = (code << 24 | occurrence << 16 | codes.ELEMENT_PURPOSE | view).to(tl.uint32)
    if codes.any_of(MASK, CUT_BITS):
        if codes.among(code, CUT_BITS):
            cut(x, row, code, slot, block, CONFIG, ADJOINT)
    if codes.occurs(MASK, codes.TIME_DROPOUT):
        if code == codes.TIME_DROPOUT:
            drop_steps(x, row, key, stream, subject, block, CONFIG, ADJOINT)
    if codes.any_of(MASK, MULTIPLY_BITS):
        if codes.among(code, MULTIPLY_BITS):
            multiply(x, row, code, slot, block, CONFIG)
    if codes.occurs(MASK, codes.ROTATION):
        if code == codes.ROTATION:
            rotate(x, row, slot, block, CONFIG, ADJOINT)
    if not ADJOINT:  # what is added counts as a constant, and so does rounding
        if codes.any_of(MASK, NOISE_BITS):
            if codes.among(code, NOISE_BITS):
                noise(x, row, code, slot, key, stream, subject, block, CONFIG)
        if codes.occurs(MASK, codes.DRIFT):
            if code == codes.DRIFT:
                drift(x, row, slot, block, CONFIG)
        if codes.occurs(MASK, codes.OFFSET):
            if code == codes.OFFSET:
                offset(x, row, slot, block, CONFIG)
        if codes.occurs(MASK, codes.QUANTIZE):
            if code == codes.QUANTIZE:
                quantize(x, slot, block, CONFIG)
