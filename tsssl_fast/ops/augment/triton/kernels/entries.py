"""The three launches of the family; one program of Triton is one (view, sample).

Its parameters are drawn first, into `table`; then the operations run in order over its block,
between two buffers that stay in L1 and L2. What runs is data: the plan says which operations,
CONFIG only which codes occur at all, so that pipelines of the same codes share a compiled kernel.
"""

# The body of a kernel is Triton's language, not Python.
# mypy: ignore-errors

import triton
import triton.language as tl

from tsssl_fast.backends.triton.interpreter import narrow
from tsssl_fast.ops.augment.triton.kernels import codes, moves, pointwise
from tsssl_fast.ops.augment.triton.kernels.arithmetic import words
from tsssl_fast.ops.augment.triton.kernels.codes import TABLE_DIGEST
from tsssl_fast.ops.augment.triton.kernels.draws import draw_row
from tsssl_fast.ops.augment.triton.kernels.moves import at


@triton.jit
def _sizes(channels, steps):
    """As tensors: Triton turns an argument that is 1 into a constant, which has no methods."""
    tl.static_assert(TABLE_DIGEST >= 0)  # part of what the cache on disk is asked for
    return tl.cast(channels, tl.int32), tl.cast(steps, tl.int32)


@triton.jit
def _sample(ids, lengths, sample, steps, HAS_IDS: tl.constexpr, HAS_LENGTHS: tl.constexpr):
    """The id of a sample as two words, and how many of its steps are no padding."""
    number = sample.to(tl.int64)
    length = steps
    if HAS_IDS:
        number = tl.load(ids + sample)
    if HAS_LENGTHS:
        length = tl.load(lengths + sample).to(tl.int32)
    return number.to(tl.uint32), (number >> 32).to(tl.uint32), length


@triton.jit
def _draw(plan, rows, table, key, subject, view, block, ALL: tl.constexpr, MASK: tl.constexpr):
    lo, hi = subject
    for r in range(rows):
        draw_row(plan, r, table, key, lo, hi, view, block[0], block[2], ALL, MASK)
        tl.debug_barrier()  # a member reads what its group has drawn


@triton.jit
def _times_moved(plan, rows, table, block):
    """How often the block changes its buffer."""
    MOVES: tl.constexpr = codes.GATHER_BITS | codes.INTERPOLATE_BITS
    total = tl.full((), 0, tl.int32)
    for r in range(rows):
        row = plan + r * codes.PLAN_COLUMNS
        code = tl.load(row + codes.CODE).to(tl.int32)
        slot = table + tl.load(row + codes.FIRST_SLOT).to(tl.int64)
        if tl.load(slot + codes.ACTS) != 0:
            once = codes.among(code, MOVES).to(tl.int32)
            if codes.among(code, codes.INTERPOLATE_BITS):
                once = (block[2] > 1).to(tl.int32)
            if code == codes.SMOOTH:
                once = tl.load(row + codes.FIRST_ARGUMENT + codes.SMOOTH_PASSES).to(tl.int32)
            total += once
    return total


@triton.jit
def _apply(
    x, y, row, slot, key, view, subject, scratch, block, CONFIG: tl.constexpr, ADJOINT: tl.constexpr
):
    """An operation that acts, or its transpose; returns the block and the other buffer.

    scratch: of the transpose alone.
    """
    MASK: tl.constexpr = CONFIG[0]
    code = tl.load(row + codes.CODE).to(tl.int32)
    pointwise.in_place(x, row, code, slot, key, view, subject, block, CONFIG, ADJOINT)
    tl.debug_barrier()
    if codes.any_of(MASK, codes.GATHER_BITS):
        if codes.among(code, codes.GATHER_BITS):
            if ADJOINT:
                moves.gather_adjoint(x, y, row, code, slot, block, CONFIG)
            else:
                moves.gather(x, y, row, code, slot, block, CONFIG, False)
            tl.debug_barrier()
            x, y = y, x
    if codes.any_of(MASK, codes.INTERPOLATE_BITS):
        if codes.among(code, codes.INTERPOLATE_BITS) & (block[2] > 1):
            if ADJOINT:
                moves.interpolate_adjoint(x, y, row, code, slot, scratch, block, CONFIG)
            else:
                moves.interpolate(x, y, row, code, slot, block, CONFIG)
            tl.debug_barrier()
            x, y = y, x
    if codes.any_of(MASK, codes.SMOOTH_BITS):
        if code == codes.SMOOTH:
            for _ in range(tl.load(row + codes.FIRST_ARGUMENT + codes.SMOOTH_PASSES).to(tl.int32)):
                moves.smooth(x, y, row, slot, block, CONFIG, ADJOINT)
                tl.debug_barrier()
                x, y = y, x
    return x, y


@triton.jit
def _load(x, strides, out, block, CONFIG: tl.constexpr):
    """A block of x in the dtype of `out`, padding included."""
    channels, steps, _ = block
    stride_c, stride_t = strides
    CB: tl.constexpr = CONFIG[1]
    TB: tl.constexpr = CONFIG[2]
    for c0 in range(0, channels, CB):
        c = (c0 + tl.arange(0, CB))[:, None]
        for t0 in range(0, steps, TB):
            t = (t0 + tl.arange(0, TB))[None, :]
            inside = (c < channels) & (t < steps)
            v = tl.load(x + c.to(tl.int64) * stride_c + t.to(tl.int64) * stride_t, mask=inside)
            tl.store(at(out, c, t, steps), v.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _finish(x, strides, y, out, block, number, CONFIG: tl.constexpr):
    """Writes the result y, and what x has in the padding; adds it where `number` is not 0."""
    channels, steps, length = block
    stride_c, stride_t = strides
    CB: tl.constexpr = CONFIG[1]
    TB: tl.constexpr = CONFIG[2]
    dtype: tl.constexpr = y.dtype.element_ty
    for c0 in range(0, channels, CB):
        c = (c0 + tl.arange(0, CB))[:, None]
        for t0 in range(0, steps, TB):
            t = (t0 + tl.arange(0, TB))[None, :]
            own, padding = (c < channels) & (t < length), (c < channels) & (t >= length)
            padding = padding & (t < steps)
            v = tl.load(at(y, c, t, steps), mask=own, other=0.0)
            given = x + c.to(tl.int64) * stride_c + t.to(tl.int64) * stride_t
            v = tl.where(own, v, tl.load(given, mask=padding, other=0.0).to(dtype))
            if number > 0:
                v += tl.load(at(out, c, t, steps), mask=own | padding).to(dtype)
            tl.store(at(out, c, t, steps), narrow(v, out.dtype.element_ty), mask=own | padding)


@triton.jit
def _call_key(key):
    """The key of a call: `key`, or what seed, epoch, step and rank fold to where it points to them.

    Folding as in common/random.py. A step in memory is read here, when a captured graph replays.
    """
    if key.dtype.is_ptr():
        folded, zero = tl.load(key), tl.full((), 0, tl.uint32)
        for i in tl.static_range(1, 4):
            value = tl.load(key + i)
            low, high = value.to(tl.uint32), (value >> 32).to(tl.uint32)
            w0, w1, _, _ = words(folded, low, high, zero, zero)
            folded = w0.to(tl.int64) | (w1.to(tl.int64) << 32)
        return folded
    else:
        return key


@triton.jit(do_not_specialize=["key"])
def augment_forward_kernel(
    x,  # (views, N, C, T); a stride of 0 between the views gives all of them the same series
    stride_v,
    stride_n,
    stride_c,
    stride_t,
    out,  # (views, N, C, T)
    buffers,  # one block per program in the dtype of the arithmetic; two where `out` is narrower
    plan,
    rows,
    table,  # (views, N, slots)
    slots,
    ids,
    lengths,
    key,
    views,
    samples,
    channels,
    steps,
    DRAW: tl.constexpr,
    HAS_IDS: tl.constexpr,
    HAS_LENGTHS: tl.constexpr,
    CONFIG: tl.constexpr,
):
    WIDE: tl.constexpr = out.dtype.element_ty != buffers.dtype.element_ty
    channels, steps = _sizes(channels, steps)
    key = _call_key(key)
    # The views of one sample follow each other: its series is still in L2 for the second.
    program = tl.program_id(0).to(tl.int64)
    sample, view = program // views, (program % views).to(tl.int32)
    item = view * samples + sample
    size = channels.to(tl.int64) * steps
    lo, hi, length = _sample(ids, lengths, sample, steps, HAS_IDS, HAS_LENGTHS)
    subject, block = (lo, hi), (channels, steps, length)
    own = table + item * slots
    if DRAW:
        _draw(plan, rows, own, key, subject, view, block, False, CONFIG[0])
    series, strides = x + view * stride_v + sample * stride_n, (stride_c, stride_t)
    if WIDE:
        a, b = buffers + 2 * item * size, buffers + (2 * item + 1) * size
    else:
        # Start in the buffer from which the last move ends in the output.
        a, b = out + item * size, buffers + item * size
        if _times_moved(plan, rows, own, block) % 2 != 0:
            a, b = b, a
    _load(series, strides, a, block, CONFIG)
    tl.debug_barrier()
    for r in range(rows):
        row = plan + r * codes.PLAN_COLUMNS
        slot = own + tl.load(row + codes.FIRST_SLOT).to(tl.int64)
        if tl.load(slot + codes.ACTS) != 0:
            a, b = _apply(a, b, row, slot, key, view, subject, None, block, CONFIG, False)
    if WIDE or HAS_LENGTHS:
        _finish(series, strides, a, out + item * size, block, 0, CONFIG)


@triton.jit(do_not_specialize=["key"])
def augment_backward_kernel(
    grad,  # (views, N, C, T)
    stride_v,
    stride_n,
    stride_c,
    stride_t,
    out,  # (N, C, T) where SUM, else (views, N, C, T)
    buffers,  # two blocks per program
    lefts,  # 3 T int32 per program
    weights,  # T per program, in the dtype of `buffers`
    plan,
    rows,
    table,
    slots,
    ids,
    lengths,
    key,
    views,
    samples,
    channels,
    steps,
    DRAW: tl.constexpr,
    HAS_IDS: tl.constexpr,
    HAS_LENGTHS: tl.constexpr,
    SUM: tl.constexpr,
    CONFIG: tl.constexpr,
):
    """The transposed operations in reverse order; SUM adds the views of a sample in order."""
    channels, steps = _sizes(channels, steps)
    key = _call_key(key)
    program = tl.program_id(0).to(tl.int64)
    size = channels.to(tl.int64) * steps
    first, count = program // samples, 1
    sample = program % samples
    if SUM:
        first, count = first * 0, views
    lo, hi, length = _sample(ids, lengths, sample, steps, HAS_IDS, HAS_LENGTHS)
    subject, block = (lo, hi), (channels, steps, length)
    strides = (stride_c, stride_t)
    result = out + program * size
    own_lefts = lefts + program * 3 * steps
    scratch = (own_lefts, own_lefts + steps, own_lefts + 2 * steps, weights + program * steps)
    for n in range(count):
        number = first + n
        view = number.to(tl.int32)
        own = table + (number * samples + sample) * slots
        if DRAW:
            _draw(plan, rows, own, key, subject, view, block, False, CONFIG[0])
        a, b = buffers + 2 * program * size, buffers + (2 * program + 1) * size
        series = grad + number * stride_v + sample * stride_n
        _load(series, strides, a, block, CONFIG)
        tl.debug_barrier()
        for k in range(rows):
            row = plan + (rows - 1 - k) * codes.PLAN_COLUMNS
            slot = own + tl.load(row + codes.FIRST_SLOT).to(tl.int64)
            if tl.load(slot + codes.ACTS) != 0:
                a, b = _apply(a, b, row, slot, key, view, subject, scratch, block, CONFIG, True)
        _finish(series, strides, a, result, block, n, CONFIG)
        tl.debug_barrier()


@triton.jit(do_not_specialize=["key"])
def augment_sample_kernel(
    plan,
    rows,
    table,  # (views, N, slots)
    slots,
    ids,
    lengths,
    key,
    views,
    samples,
    channels,
    steps,
    HAS_IDS: tl.constexpr,
    HAS_LENGTHS: tl.constexpr,
    MASK: tl.constexpr,
):
    channels, steps = _sizes(channels, steps)
    key = _call_key(key)
    program = tl.program_id(0).to(tl.int64)
    sample, view = program % samples, (program // samples).to(tl.int32)
    lo, hi, length = _sample(ids, lengths, sample, steps, HAS_IDS, HAS_LENGTHS)
    block = (channels, steps, length)
    _draw(plan, rows, table + program * slots, key, (lo, hi), view, block, True, MASK)
