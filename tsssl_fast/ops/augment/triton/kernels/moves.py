"""Operations that move steps or channels: they read the block `x` and write the block `y`.

A block is (channels, steps) of one (view, sample), contiguous, with `length` steps that are no
padding; `block` is (channels, steps, length). CONFIG is (codes that occur, CB, TB): tiles are (CB,
TB), every pass goes over all of them, and whoever calls puts a barrier between passes.
"""

# The body of a kernel is Triton's language, not Python.
# mypy: ignore-errors

import triton
import triton.language as tl

from tsssl_fast.ops.augment.triton.kernels import codes
from tsssl_fast.ops.augment.triton.kernels.positions import (
    interpolated,
    source_channels,
    source_steps,
)


@triton.jit
def at(x, c, t, steps):
    """Addresses of channels c, steps t in a block: 64 bits, whatever its size."""
    return x + c.to(tl.int64) * steps + t


@triton.jit
def gather(x, y, row, code, slot, block, CONFIG: tl.constexpr, ADJOINT: tl.constexpr):
    """y[c, t] = x[source of c, source of t]; the adjoint writes where the forward reads."""
    channels, steps, length = block
    MASK: tl.constexpr = CONFIG[0]
    CB: tl.constexpr = CONFIG[1]
    TB: tl.constexpr = CONFIG[2]
    for t0 in range(0, length, TB):
        t = (t0 + tl.arange(0, TB))[None, :]
        from_t, zero = source_steps(row, code, slot, t, length, MASK)
        for c0 in range(0, channels, CB):
            c = (c0 + tl.arange(0, CB))[:, None]
            from_c = source_channels(code, slot, c, channels, MASK)
            inside = (c < channels) & (t < length)
            if ADJOINT:
                v = tl.load(at(x, c, t, steps), mask=inside)
                tl.store(at(y, from_c, from_t, steps), v, mask=inside)
            else:
                v = tl.load(at(x, from_c, from_t, steps), mask=inside & (zero == 0), other=0.0)
                tl.store(at(y, c, t, steps), v, mask=inside)


@triton.jit
def shift_adjoint(x, y, by, edge, block, CONFIG: tl.constexpr):
    """Of a shift with zeros, or with ends that collect what was copied from them."""
    channels, steps, length = block
    CB: tl.constexpr = CONFIG[1]
    TB: tl.constexpr = CONFIG[2]
    for c0 in range(0, channels, CB):
        c = (c0 + tl.arange(0, CB))[:, None]
        before = tl.zeros((CB, TB), x.dtype.element_ty)
        after = before
        for t0 in range(0, length, TB):
            t = (t0 + tl.arange(0, TB))[None, :]
            inside = (c < channels) & (t < length) & (edge + 0 * t == codes.TIME_SHIFT_REPEAT)
            v = tl.load(at(x, c, t, steps), mask=inside, other=0.0)
            before += tl.where(t < by, v, 0.0)
            after += tl.where(t - by >= length, v, 0.0)
        head, tail = tl.sum(before, axis=1)[:, None], tl.sum(after, axis=1)[:, None]
        for t0 in range(0, length, TB):
            t = (t0 + tl.arange(0, TB))[None, :]
            inside = (c < channels) & (t < length)
            there = (t + by >= 0) & (t + by < length)
            v = tl.load(at(x, c, t + by, steps), mask=inside & there, other=0.0)
            v += tl.where(t == 0, head, 0.0) + tl.where(t == length - 1, tail, 0.0)
            tl.store(at(y, c, t, steps), v, mask=inside)


@triton.jit
def gather_adjoint(x, y, row, code, slot, block, CONFIG: tl.constexpr):
    """The transpose of `gather`: steps that were read twice, or not at all, of a shift alone."""
    edge = tl.load(row + codes.FIRST_ARGUMENT + codes.TIME_SHIFT_EDGE).to(tl.int32)
    edge = tl.where(code == codes.TIME_SHIFT, edge, codes.TIME_SHIFT_WRAP)
    if edge == codes.TIME_SHIFT_WRAP:
        gather(x, y, row, code, slot, block, CONFIG, True)
    elif codes.occurs(CONFIG[0], codes.TIME_SHIFT):
        by = tl.load(slot + codes.TIME_SHIFT_SHIFT).to(tl.int32)
        shift_adjoint(x, y, by, edge, block, CONFIG)


@triton.jit
def interpolate(x, y, row, code, slot, block, CONFIG: tl.constexpr):
    channels, steps, length = block
    CB: tl.constexpr = CONFIG[1]
    TB: tl.constexpr = CONFIG[2]
    for t0 in range(0, length, TB):
        t = (t0 + tl.arange(0, TB))[None, :]
        left, weight, cut = interpolated(row, code, slot, t, length, x.dtype.element_ty, CONFIG[0])
        for c0 in range(0, channels, CB):
            c = (c0 + tl.arange(0, CB))[:, None]
            inside = (c < channels) & (t < length)
            a = tl.load(at(x, c, left, steps), mask=inside)
            b = tl.load(at(x, c, left + 1, steps), mask=inside)
            tl.store(at(y, c, t, steps), tl.where(cut, 0.0, a + weight * (b - a)), mask=inside)


@triton.jit
def interpolate_adjoint(x, y, row, code, slot, scratch, block, CONFIG: tl.constexpr):
    """Every step gives its gradient to its two neighbours, in ascending order and without atomics.

    The steps that share a left neighbour j stand side by side, from begins[j] to ends[j] - 1, so
    that j collects from its own run and from that of j - 1. Where a replayed map goes back in time
    they do not, and one step follows the other.
    """
    steps, length = block[1], block[2]
    TB: tl.constexpr = CONFIG[1] * CONFIG[2]
    lefts, begins, ends, weights = scratch
    for t0 in range(0, length, TB):
        t = t0 + tl.arange(0, TB)
        inside = t < length
        left, weight, cut = interpolated(row, code, slot, t, length, x.dtype.element_ty, CONFIG[0])
        tl.store(lefts + t, left, mask=inside)
        tl.store(weights + t, tl.where(cut, -1.0, weight), mask=inside)
        tl.store(begins + t, 0 * t, mask=inside)
        tl.store(ends + t, 0 * t, mask=inside)
    tl.debug_barrier()
    descents = tl.zeros((TB,), tl.int32)
    for t0 in range(0, length, TB):
        t = t0 + tl.arange(0, TB)
        inside = t < length
        left = tl.load(lefts + t, mask=inside, other=0)
        behind = tl.load(lefts + t - 1, mask=inside & (t > 0), other=-1)
        ahead = tl.load(lefts + t + 1, mask=t + 1 < length, other=steps)
        descents += (inside & (behind > left)).to(tl.int32)
        tl.store(begins + left, t, mask=inside & (behind < left))
        tl.store(ends + left, t + 1, mask=inside & (ahead > left))
    tl.debug_barrier()
    if tl.sum(descents, axis=0) == 0:
        _collect_runs(x, y, scratch, block, CONFIG)
    else:
        _scatter_steps(x, y, scratch, block, CONFIG)


@triton.jit
def _gives(x, weights, c, t, used, steps):
    """What steps t give to their left and to their right neighbour."""
    weight = tl.load(weights + t, mask=used, other=-1.0)
    g = tl.load(at(x, c, t, steps), mask=used, other=0.0)
    g = tl.where(weight < 0.0, 0.0, g)  # cut off: a zero, whatever it read
    onward = weight * g
    return g - onward, onward


@triton.jit
def _collect_runs(x, y, scratch, block, CONFIG: tl.constexpr):
    channels, steps, length = block
    CB: tl.constexpr = CONFIG[1]
    TB: tl.constexpr = CONFIG[2]
    _, begins, ends, weights = scratch
    for j0 in range(0, length, TB):
        j = (j0 + tl.arange(0, TB))[None, :]
        own, other = j < length, (j > 0) & (j < length)
        begin = tl.load(begins + j, mask=own, other=0)
        end = tl.load(ends + j, mask=own, other=0)
        begin_before = tl.load(begins + j - 1, mask=other, other=0)
        end_before = tl.load(ends + j - 1, mask=other, other=0)
        longest = tl.max(tl.max(tl.maximum(end - begin, end_before - begin_before), 1), 0)
        for c0 in range(0, channels, CB):
            c = (c0 + tl.arange(0, CB))[:, None]
            total = tl.zeros((CB, TB), x.dtype.element_ty)
            for k in range(longest):
                t = begin_before + k
                used = (t < end_before) & (c < channels)
                total += _gives(x, weights, c, t, used, steps)[1]
            for k in range(longest):
                t = begin + k
                used = (t < end) & (c < channels)
                total += _gives(x, weights, c, t, used, steps)[0]
            tl.store(at(y, c, j, steps), total, mask=(c < channels) & own)


@triton.jit
def _scatter_steps(x, y, scratch, block, CONFIG: tl.constexpr):
    channels, steps, length = block
    CB: tl.constexpr = CONFIG[1]
    TB: tl.constexpr = CONFIG[2]
    SPAN: tl.constexpr = CB * TB
    for c0 in range(0, channels, CB):
        c = (c0 + tl.arange(0, CB))[:, None]
        for t0 in range(0, length, TB):
            t = (t0 + tl.arange(0, TB))[None, :]
            zero = tl.zeros((CB, TB), x.dtype.element_ty)
            tl.store(at(y, c, t, steps), zero, mask=(c < channels) & (t < length))
    for t in range(length):
        left = tl.load(scratch[0] + t)
        for c0 in range(0, channels, SPAN):
            c = c0 + tl.arange(0, SPAN)
            used = c < channels
            to_left, to_right = _gives(x, scratch[3], c, t + 0 * c, used, steps)
            for side in tl.static_range(2):
                part = to_right if side else to_left
                there = at(y, c, left + side, steps)
                tl.debug_barrier()
                v = tl.load(there, mask=used, other=0.0) + part
                tl.debug_barrier()
                tl.store(there, v, mask=used)


@triton.jit
def smooth(x, y, row, slot, block, CONFIG: tl.constexpr, ADJOINT: tl.constexpr):
    """(1 - s) x[t] + (s / 2) (x[t-1] + x[t+1]); beyond an end stands it, a zero, or its mirror."""
    channels, steps, length = block
    CB: tl.constexpr = CONFIG[1]
    TB: tl.constexpr = CONFIG[2]
    dtype: tl.constexpr = x.dtype.element_ty
    magnitude = tl.load(slot + codes.SMOOTH_MAGNITUDE)
    centre, side = (1.0 - magnitude).to(dtype), (magnitude * 0.5).to(dtype)
    edge = tl.load(row + codes.FIRST_ARGUMENT + codes.SMOOTH_EDGE).to(tl.int32)
    last = length - 1
    mirror = ((last > 0) & (edge == codes.SMOOTH_REFLECT)).to(tl.int32)
    for c0 in range(0, channels, CB):
        c = (c0 + tl.arange(0, CB))[:, None]
        for t0 in range(0, length, TB):
            t = (t0 + tl.arange(0, TB))[None, :]
            inside = (c < channels) & (t < length)
            v = tl.load(at(x, c, t, steps), mask=inside)
            if ADJOINT:
                ends = inside & (edge + 0 * t != codes.SMOOTH_ZERO)
                before = tl.load(at(x, c, t - 1, steps), mask=inside & (t > 0), other=0.0)
                after = tl.load(at(x, c, t + 1, steps), mask=inside & (t < last), other=0.0)
                # What stands beyond the ends gives its part to the step that it repeats.
                first = tl.load(at(x, c, 0 * t, steps), mask=ends & (t == mirror), other=0.0)
                final = tl.load(
                    at(x, c, 0 * t + last, steps), mask=ends & (t == last - mirror), other=0.0
                )
                total = (before + after) + (first + final)
            else:
                from_left = tl.where(t > 0, t - 1, mirror)
                from_right = tl.where(t < last, t + 1, tl.maximum(last - mirror, 0))
                zero = edge + 0 * t == codes.SMOOTH_ZERO
                no_left, no_right = (t == 0) & zero, (t == last) & zero
                before = tl.load(
                    at(x, c, from_left, steps), mask=inside & (no_left == 0), other=0.0
                )
                after = tl.load(
                    at(x, c, from_right, steps), mask=inside & (no_right == 0), other=0.0
                )
                total = before + after
            tl.store(at(y, c, t, steps), centre * v + side * total, mask=inside)
