"""Row statistics from partial sums, and the coefficients of its gradient: one entry a row."""

# The body of a kernel is Triton's language, not Python.
# mypy: ignore-errors

import triton
import triton.language as tl

from tsssl_fast.backends.triton.interpreter import log1p
from tsssl_fast.ops.contrastive.triton.kernels.tiles import LOG2E, LOWEST, store_fields

LN2 = tl.constexpr(0.6931471805599453)
SMALLEST = tl.constexpr(-3.4028234663852886e38)


@triton.jit
def combine(
    part,
    lengths,
    out,
    sums,
    statistics,
    loss,
    one_minus_p,
    n,
    span,
    slots,
    row,
    rows,
    WEIGHTED: tl.constexpr,
    STATS: tl.constexpr,
    BM: tl.constexpr,
):
    """From `part` (fields, slots, n) of every problem to rows [row, row + n) of out (3, rows) or
    (loss, one_minus_p), of sums (6, rows) and, with STATS, of statistics (6, rows).

    span: columns of a slot; a problem with fewer columns (lengths) has fewer slots.
    """
    g = tl.program_id(1).to(tl.int64)
    groups = tl.num_programs(1).to(tl.int64)
    step = slots * groups * n
    total = n
    here = slots
    if lengths is not None:
        n = 2 * tl.load(lengths + g).to(tl.int32)
        here = tl.cdiv(n, span)
    i = tl.program_id(0) * BM + tl.arange(0, BM)
    live = i < n
    at = g * total + i
    shift_n = tl.full([BM], LOWEST, tl.float32)
    shift_p = tl.full([BM], LOWEST, tl.float32)
    for slot in range(0, here):
        there = part + slot * groups * total + at
        shift_n = tl.maximum(shift_n, tl.load(there, mask=live, other=LOWEST))
        shift_p = tl.maximum(shift_p, tl.load(there + step, mask=live, other=LOWEST))
    total_n = tl.zeros([BM], tl.float32)
    total_p, count, logit = total_n, total_n, total_n
    logit_n, count_n, count_p, uniform = total_n, total_n, total_n, total_n
    for slot in range(0, here):
        there = part + slot * groups * total + at
        by_n = tl.exp2((tl.load(there, mask=live, other=LOWEST) - shift_n) * LOG2E)
        by_p = tl.exp2((tl.load(there + step, mask=live, other=LOWEST) - shift_p) * LOG2E)
        total_n += by_n * tl.load(there + 2 * step, mask=live, other=0.0)
        total_p += by_p * tl.load(there + 3 * step, mask=live, other=0.0)
        count += tl.load(there + 4 * step, mask=live, other=0.0)
        logit += tl.load(there + 5 * step, mask=live, other=0.0)
        if STATS:
            there += 6 * step
            logit_n += tl.load(there, mask=live, other=0.0)
            count_n += tl.load(there + step, mask=live, other=0.0)
            count_p += tl.load(there + 2 * step, mask=live, other=0.0)
            uniform += tl.load(there + 3 * step, mask=live, other=0.0)
    no_n, no_p = total_n == 0, total_p == 0
    negative = tl.where(no_n, float("-inf"), shift_n + tl.log(tl.where(no_n, 1.0, total_n)))
    high = shift_p + tl.log(tl.where(no_p, 1.0, total_p))
    gap = tl.where(count == 0, 0.0, high - logit / tl.where(count == 0, 1.0, count))
    if not WEIGHTED:
        # A single positive is its own logit: the gap is 0, not the rounding of two equal numbers.
        high = tl.where(count == 1, logit, high)
        gap = tl.where(count == 1, 0.0, gap)
    positive = tl.where(no_p, float("-inf"), high)
    to = row + g * total + i
    empty_n, empty_p = shift_n == LOWEST, shift_p == LOWEST
    zero_n, zero_p = tl.where(empty_n, 0.0, shift_n), tl.where(empty_p, 0.0, shift_p)
    store_fields(sums + to, rows, (zero_n, zero_p, total_n, total_p, count, logit), live, 6)
    if out is not None:
        store_fields(out + to, rows, (negative, positive, gap), live, 3)
    if loss is not None:
        x = tl.where(no_n, LOWEST, negative - high)
        small = tl.exp2(-tl.abs(x) * LOG2E)
        tl.store(loss + to, tl.maximum(x, 0.0) + log1p(small), mask=live)
        tl.store(one_minus_p + to, tl.where(x > 0, 1.0, small) / (1 + small), mask=live)
    if STATS:
        counts = (logit_n, count_n, count_p, uniform)
        tops = (tl.where(empty_n, SMALLEST, shift_n), tl.where(empty_p, SMALLEST, shift_p))
        store_fields(statistics + to, rows, counts, live, 4)
        store_fields(statistics + 4 * rows + to, rows, tops, live, 2)


@triton.jit
def gradient_coefficients(
    grad,
    sums,
    coefficients,
    grad_step,
    grad_row,
    rows,
    WEIGHTED: tl.constexpr,
    BM: tl.constexpr,
):
    """dL/da of a row's pairs: coefficients (5, rows) = shift_n, to_n, shift_p, to_p, constant.

    A negative gets to_n exp(a - shift_n), a positive to_p exp(a - shift_p) - constant, each times
    the pair's weight.
    """
    i = tl.program_id(0) * BM + tl.arange(0, BM)
    live = i < rows
    at = grad + i.to(tl.int64) * grad_row
    on_n = tl.load(at, mask=live, other=0.0)
    on_p = tl.load(at + grad_step, mask=live, other=0.0)
    on_gap = tl.load(at + 2 * grad_step, mask=live, other=0.0)
    total_n = tl.load(sums + 2 * rows + i, mask=live, other=0.0)
    total_p = tl.load(sums + 3 * rows + i, mask=live, other=0.0)
    count = tl.load(sums + 4 * rows + i, mask=live, other=0.0)
    one = count == 1
    if WEIGHTED:
        one = count != count
    to_n = tl.where(total_n == 0, 0.0, on_n / tl.where(total_n == 0, 1.0, total_n))
    on_p += tl.where(one, 0.0, on_gap)
    to_p = tl.where(total_p == 0, 0.0, on_p / tl.where(total_p == 0, 1.0, total_p))
    constant = tl.where((count == 0) | one, 0.0, on_gap / tl.where(count == 0, 1.0, count))
    tl.store(coefficients + i, tl.load(sums + i, mask=live, other=0.0), mask=live)
    tl.store(coefficients + rows + i, to_n, mask=live)
    tl.store(coefficients + 2 * rows + i, tl.load(sums + rows + i, mask=live), mask=live)
    tl.store(coefficients + 3 * rows + i, to_p, mask=live)
    tl.store(coefficients + 4 * rows + i, constant, mask=live)
