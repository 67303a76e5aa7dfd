"""Sums over the pairs of every row: the forward of `pair_logsumexp`.

A program owns rows [a row_span, ...) against columns [b column_span, ...) and writes their partial
sums to slot b of `row_part`; `combine` adds the slots in their order, so nothing is atomic and two
runs are bit-equal. Where columns have sums too, the same tile serves them: they go to slot a of
`column_part`, which the program updates tile by tile (nobody else touches that slot). One set
against itself has a symmetric tile, so only one of (a, b) and (b, a) is visited: b = a + 0, ...,
slots / 2, around the circle.
"""

# The body of a kernel is Triton's language, not Python.
# mypy: ignore-errors

import triton
import triton.language as tl

from tsssl_fast.ops.contrastive.triton.kernels.tiles import (
    LOG2E,
    LOWEST,
    above,
    classes,
    of_problem,
    rows_of,
    similarities,
    store_fields,
    weights_of,
)

# Fields of the partial sums, in this order: spec.SUM_ROWS, then the first of spec.STATISTICS.
SUMS, STATISTICS = 6, 4


@triton.jit
def _nothing(BM: tl.constexpr):
    """SUMS and STATISTICS of no pair."""
    lowest, zero = tl.full([BM], LOWEST, tl.float32), tl.zeros([BM], tl.float32)
    return (lowest, lowest, zero, zero, zero, zero), (zero, zero, zero, zero)


@triton.jit
def _grow(s, beta, negative, positive, w, sums, AXIS: tl.constexpr):
    """The sums with a tile added, along an axis."""
    shift_n, shift_p, total_n, total_p, count, logit = sums
    a = s * beta
    top_n = above(a, negative, shift_n, AXIS)
    top_p = above(a, positive, shift_p, AXIS)
    # One exponential serves both classes; the product is rounded once, with the subtraction.
    near = tl.where(positive, tl.expand_dims(top_p, AXIS), tl.expand_dims(top_n, AXIS))
    e = tl.exp2(tl.fma(s, tl.zeros_like(s) + beta, -near) * LOG2E)
    one = tl.where(positive, 1.0, 0.0)
    if w is not None:
        e *= w
        one *= w
    total_n *= tl.exp2((shift_n - top_n) * LOG2E)
    total_p *= tl.exp2((shift_p - top_p) * LOG2E)
    total_n += tl.sum(tl.where(negative, e, 0.0), AXIS)
    total_p += tl.sum(tl.where(positive, e, 0.0), AXIS)
    logit += tl.sum(tl.where(positive, a * one, 0.0), AXIS)
    return top_n, top_p, total_n, total_p, count + tl.sum(one, AXIS), logit


@triton.jit
def _count(s, beta, negative, positive, statistics, AXIS: tl.constexpr):
    logit, negatives, positives, uniform = statistics
    spread = tl.exp2(tl.minimum(4 * s - 4, 0.0) * LOG2E)
    logit += tl.sum(tl.where(negative, s * beta, 0.0), AXIS)
    negatives += tl.sum(tl.where(negative, 1.0, 0.0), AXIS)
    positives += tl.sum(tl.where(positive, 1.0, 0.0), AXIS)
    uniform += tl.sum(tl.where(negative | positive, spread, 0.0), AXIS)
    return logit, negatives, positives, uniform


@triton.jit
def _stored(to, step, old):
    """SUMS of columns that a walk before this one has left; of no pair where `old` is False."""
    shift_n = tl.load(to, mask=old, other=LOWEST)
    shift_p = tl.load(to + step, mask=old, other=LOWEST)
    total_n, total_p, count, logit = _counted(to + 2 * step, step, old)
    return shift_n, shift_p, total_n, total_p, count, logit


@triton.jit
def _counted(to, step, old):
    """Four fields that start at 0."""
    return (
        tl.load(to, mask=old, other=0.0),
        tl.load(to + step, mask=old, other=0.0),
        tl.load(to + 2 * step, mask=old, other=0.0),
        tl.load(to + 3 * step, mask=old, other=0.0),
    )


@triton.jit
def _grow_stored(to, step, old, keep, s, beta, negative, positive, w, STATS: tl.constexpr):
    """The sums of columns in memory with a tile added."""
    after = _grow(s, beta, negative, positive, w, _stored(to, step, old), 0)
    store_fields(to, step, after, keep, 6)
    if STATS:
        to += 6 * step
        counted = _count(s, beta, negative, positive, _counted(to, step, old), 0)
        store_fields(to, step, counted, keep, 4)
    # The next walk over the columns reads what other threads have written.
    tl.debug_barrier()


@triton.jit
def pair_sums(
    x,
    y,
    rx,
    ry,
    scores,
    beta,
    row_id,
    column_id,
    row_group,
    column_group,
    row_valid,
    column_valid,
    mask,
    weight,
    lengths,
    row_part,
    column_part,
    m,
    p,
    half,
    first,
    pitch,
    mask_row,
    mask_column,
    row_span,
    column_span,
    row_slots,
    column_slots,
    SELF: tl.constexpr,
    POSITIVES: tl.constexpr,
    GROUPS: tl.constexpr,
    ONE_SET: tl.constexpr,
    COLUMNS: tl.constexpr,
    STATS: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    RESIDENT: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Fields SUMS (and STATISTICS) of the rows, with COLUMNS also of the columns.

    x, y: operands of `prepare`, with rx, ry (None: 1); or `scores`, their product (m, p), already
    there. mask_row, mask_column: strides of mask and weight. ONE_SET: y is x, only half the tiles
    are visited. RESIDENT: BK spans all columns of x, whose tile then stays on the chip.
    Parts are (fields, slots, rows of all problems).
    """
    g = tl.program_id(2).to(tl.int64)
    groups = tl.num_programs(2).to(tl.int64)
    a, b = tl.program_id(0), tl.program_id(1)
    with_columns = COLUMNS
    if ONE_SET:
        with_columns = b > 0
        if (2 * b == row_slots) & (2 * a >= row_slots):
            return  # visited as (b, a)
        b = (a + b) % row_slots
    row_step, column_step = row_slots * groups * m, column_slots * groups * p
    row_part += (b * groups + g) * m
    if COLUMNS:
        column_part += (a * groups + g) * p
    if lengths is not None:
        x, y, rx, ry, m, half = of_problem(x, y, rx, ry, lengths, g, m, p, pitch)
        p = m
    arrays = (row_id, column_id, row_group, column_group, row_valid, column_valid)
    rules = (first, arrays, (mask, weight, mask_row, mask_column))
    strength = tl.load(beta).to(tl.float32)
    low, high = b * column_span, tl.minimum((b + 1) * column_span, p)
    for i0 in range(a * row_span, tl.minimum((a + 1) * row_span, m), BM):
        i = i0 + tl.arange(0, BM)
        tile = rows_of(x, i0, m, pitch, 0, BM, BK) if RESIDENT else None
        if rx is not None:
            by_row = tl.load(rx + i, mask=i < m, other=0.0)
        sums, statistics = _nothing(BM)
        for j0 in range(low, high, BN):
            j = j0 + tl.arange(0, BN)
            keys = rows_of(y, j0, p, pitch, 0, BN, BK) if RESIDENT else None
            s = similarities(tile, keys, x, y, scores, i0, j0, m, p, pitch, BM, BN, BK, PRECISION)
            if rx is not None:
                s *= by_row[:, None] * tl.load(ry + j, mask=j < p, other=0.0)[None, :]
            negative, positive = classes(
                *(i0, j0, m, p, half, rules), SELF, POSITIVES, GROUPS, BM, BN
            )
            w = None
            if weight is not None:
                w = weights_of(i0, j0, rules, negative | positive, BM, BN)
            sums = _grow(s, strength, negative, positive, w, sums, 1)
            if STATS:
                statistics = _count(s, strength, negative, positive, statistics, 1)
            if COLUMNS:  # noqa: SIM102  at compile time
                if with_columns:
                    old = j < tl.where(i0 > a * row_span, p, 0)
                    to = column_part + j
                    _grow_stored(
                        to, column_step, old, j < p, s, strength, negative, positive, w, STATS
                    )
        store_fields(row_part + i, row_step, sums, i < m, 6)
        if STATS:
            store_fields(row_part + 6 * row_step + i, row_step, statistics, i < m, 4)
