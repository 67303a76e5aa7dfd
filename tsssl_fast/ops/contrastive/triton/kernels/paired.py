"""NT-Xent of two views at temperatures where one shift serves all rows: the pairs of `nt_xent`.
Of wide rows `paired_weights` stands between torch's products of a row chunk.

Unit rows have logits of at most beta in absolute value, so 2^-K with K = ceil(beta log2 e) scales
every exponential into float32's range while 2 beta < 60; a power of two rounds nothing. One
exponential then serves a pair's row and its column, and sums of programs just add. The positive is
one pair a row: `paired_rows` takes its logit from the two rows, and `finish` its gradient, so that
the tiles hold negatives only. Tiles that meet neither the diagonal nor the pairs of views nor an
edge (all but 3 of N / BN) need no comparison.

Programs, slots and the circle are those of pair_sums.
"""

# The body of a kernel is Triton's language, not Python.
# mypy: ignore-errors

import triton
import triton.language as tl

from tsssl_fast.backends.triton.interpreter import dot, log1p, narrow
from tsssl_fast.ops.contrastive.triton.kernels.reduce import LN2
from tsssl_fast.ops.contrastive.triton.kernels.tiles import entry_of, product, rows_of


@triton.jit
def _negatives(i, j, n, half):
    partner = tl.where(i < half, i + half, i - half)[:, None]
    inside = (i < n)[:, None] & (j < n)[None, :]
    return inside & (i[:, None] != j[None, :]) & (partner != j[None, :])


@triton.jit
def _special(i0, j0, n, half, BM: tl.constexpr, BN: tl.constexpr):
    """Whether a tile holds an edge, a pair (i, i), or a pair of views."""
    d = i0 - j0
    meets = (d < BN) & (d > -BM)
    meets = meets | ((d - half < BN) & (d - half > -BM)) | ((d + half < BN) & (d + half > -BM))
    return meets | (i0 + BM > n) | (j0 + BN > n)


@triton.jit
def paired_sums(
    x,
    r,
    lengths,
    part,
    strength,
    power,
    n,
    half,
    pitch,
    span,
    slots,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    RESIDENT: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """part (slots, rows of all problems): sum over negatives of 2^(strength s_ij - power).

    strength = beta log2 e. half may be what `lengths` gives.
    """
    g = tl.program_id(2).to(tl.int64)
    groups = tl.num_programs(2).to(tl.int64)
    a, b = tl.program_id(0), tl.program_id(1)
    with_columns = b > 0
    if (2 * b == slots) & (2 * a >= slots):
        return  # visited as (b, a)
    b = (a + b) % slots
    row_part = part + (b * groups + g) * n
    column_part = part + (a * groups + g) * n
    x += g * n * pitch
    if r is not None:
        r += g * n
    if lengths is not None:
        half = tl.load(lengths + g).to(tl.int32)
        n = 2 * half
    for i0 in range(a * span, tl.minimum((a + 1) * span, n), BM):
        i = i0 + tl.arange(0, BM)
        by_row = tl.zeros([BM], tl.float32) + strength
        if r is not None:
            by_row *= tl.load(r + i, mask=i < n, other=0.0)
        if RESIDENT:
            tile = rows_of(x, i0, n, pitch, 0, BM, BK)
        total = tl.zeros([BM], tl.float32)
        for j0 in range(b * span, tl.minimum((b + 1) * span, n), BN):
            j = j0 + tl.arange(0, BN)
            empty = tl.zeros([BM, BN], tl.float32)
            if RESIDENT:
                s = dot(tile, tl.trans(rows_of(x, j0, n, pitch, 0, BN, BK)), empty, PRECISION)
            else:
                s = product(x, x, i0, j0, n, n, pitch, BM, BN, BK, PRECISION)
            if r is not None:
                s *= tl.load(r + j, mask=j < n, other=0.0)[None, :]
            e = tl.exp2(s * by_row[:, None] - power)
            if _special(i0, j0, n, half, BM, BN):
                e = tl.where(_negatives(i, j, n, half), e, 0.0)
            total += tl.sum(e, 1)
            if with_columns:
                known = tl.where(i0 > a * span, n, 0)
                before = tl.load(column_part + j, mask=j < known, other=0.0)
                tl.store(column_part + j, before + tl.sum(e, 0), mask=j < n)
                # The next walk over the columns reads what other threads have written.
                tl.debug_barrier()
        tl.store(row_part + i, total, mask=i < n)


@triton.jit
def paired_rows(
    x,
    r,
    lengths,
    part,
    beta,
    power,
    loss,
    saved,
    n,
    half,
    pitch,
    span,
    slots,
    BM: tl.constexpr,
    BD: tl.constexpr,
):
    """loss and the rows of spec.NT_XENT_ROWS but scale, from the slots of `part`.

    x_i = log sum over the negatives - a_ip, with the sum's exponent apart: no digit is lost where
    it is far below 1.
    """
    g = tl.program_id(1).to(tl.int64)
    groups = tl.num_programs(1).to(tl.int64)
    base, rows = g * n, n * groups
    here = slots
    if lengths is not None:
        half = tl.load(lengths + g).to(tl.int32)
        n = 2 * half
        here = tl.cdiv(n, span)
    i = tl.program_id(0) * BM + tl.arange(0, BM)
    live = i < n
    at = base + i
    partner = base + tl.where(i < half, i + half, i - half)
    total = tl.zeros([BM], tl.float32)
    for slot in range(0, here):
        total += tl.load(part + slot * rows + at, mask=live, other=0.0)
    s = tl.zeros([BM], tl.float32)
    for d0 in range(0, pitch, BD):
        d = (d0 + tl.arange(0, BD)).to(tl.int64)
        keep = live[:, None] & (d < pitch)[None, :]
        u = tl.load(x + at[:, None] * pitch + d, mask=keep, other=0.0).to(tl.float32)
        v = tl.load(x + partner[:, None] * pitch + d, mask=keep, other=0.0).to(tl.float32)
        s += tl.sum(u * v, 1)
    if r is not None:
        s *= tl.load(r + at, mask=live, other=0.0) * tl.load(r + partner, mask=live, other=0.0)
    logit = s * beta
    none = total == 0
    bits = tl.where(none, 1.0, total).to(tl.int32, bitcast=True)
    exponent = ((bits >> 23) & 255) - 127
    mantissa = ((bits & 0x7FFFFF) | 0x3F800000).to(tl.float32, bitcast=True)
    log_total = tl.log(mantissa) + (exponent.to(tl.float32) + power) * LN2
    log_total = tl.where(total != total, total, log_total)
    x_i = tl.where(none, -1e30, log_total - logit)
    small = tl.exp(-tl.abs(x_i))
    tl.store(loss + at, tl.maximum(x_i, 0.0) + log1p(small), mask=live)
    tl.store(saved + at, tl.where(x_i > 0, 1.0, small) / (1 + small), mask=live)
    to = saved + 2 * rows + at
    tl.store(to, tl.zeros([BM], tl.float32) + power * LN2, mask=live)
    tl.store(to + rows, logit, mask=live)
    tl.store(to + 2 * rows, total, mask=live)
    tl.store(to + 3 * rows, tl.where(logit != logit, logit, 1.0), mask=live)
    tl.store(to + 4 * rows, tl.full([BM], 1.0, tl.float32), mask=live)
    tl.store(to + 5 * rows, logit, mask=live)


@triton.jit
def paired_gradients(
    x,
    r,
    lengths,
    to_negative,
    gain,
    part,
    strength,
    power,
    n,
    half,
    pitch,
    span,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    BD: tl.constexpr,
    RESIDENT: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """part (splits, rows of all problems, pitch) = sum over a split's negatives of
    e_ij (c_i + c_j) r_j x_j, with c = dL/dx / total in `to_negative`."""
    g = tl.program_id(2).to(tl.int64)
    groups = tl.num_programs(2).to(tl.int64)
    split = tl.program_id(1).to(tl.int64)
    part += (split * groups + g) * n * pitch
    x += g * n * pitch
    to_negative += g * n
    if r is not None:
        r += g * n
    if lengths is not None:
        half = tl.load(lengths + g).to(tl.int32)
        n = 2 * half
    i0 = tl.program_id(0) * BM
    i = i0 + tl.arange(0, BM)
    by_row = tl.zeros([BM], tl.float32) + strength
    if r is not None:
        by_row *= tl.load(r + i, mask=i < n, other=0.0)
    amount = 1.0
    if gain is not None:
        amount = tl.load(gain)
    on_row = tl.load(to_negative + i, mask=i < n, other=0.0) * amount
    if RESIDENT:
        tile = rows_of(x, i0, n, pitch, 0, BM, BK)
    acc = tl.zeros([BM, BD], tl.float32)
    for j0 in range(split * span, tl.minimum((split + 1) * span, n), BN):
        j = j0 + tl.arange(0, BN)
        empty = tl.zeros([BM, BN], tl.float32)
        on_column = tl.load(to_negative + j, mask=j < n, other=0.0) * amount
        if RESIDENT:
            keys = rows_of(x, j0, n, pitch, 0, BN, BK)
            s = dot(tile, tl.trans(keys), empty, PRECISION)
        else:
            s = product(x, x, i0, j0, n, n, pitch, BM, BN, BK, PRECISION)
        slope = on_row[:, None] + on_column[None, :]
        if r is not None:
            by_column = tl.load(r + j, mask=j < n, other=0.0)[None, :]
            s *= by_column
            slope *= by_column
        slope *= tl.exp2(s * by_row[:, None] - power)
        if _special(i0, j0, n, half, BM, BN):
            slope = tl.where(_negatives(i, j, n, half), slope, 0.0)
        if not RESIDENT:
            keys = rows_of(x, j0, n, pitch, 0, BN, BD)
        acc = dot(slope, keys, acc, PRECISION)
    d = tl.arange(0, BD)
    to = entry_of(part, i0, 0, pitch, 1, BM, BD)
    tl.store(to, acc, mask=(i < n)[:, None] & (d < pitch)[None, :])


@triton.jit
def paired_weights(
    scores,
    r,
    to_negative,
    gain,
    weights,
    strength,
    power,
    m,
    n,
    half,
    first,
    BM: tl.constexpr,
    BN: tl.constexpr,
):
    """weights (m, n) = e_ij (c_i + c_j) r_i r_j over the negatives of rows first to first + m - 1,
    else 0; scores: their similarities without r, in the same memory where dtypes agree."""
    i0, j0 = tl.program_id(0) * BM, tl.program_id(1) * BN
    row, j = i0 + tl.arange(0, BM), j0 + tl.arange(0, BN)
    inside = (row < m)[:, None] & (j < n)[None, :]
    i = first + row
    amount = 1.0
    if gain is not None:
        amount = tl.load(gain)
    s = tl.load(entry_of(scores, i0, j0, n, 1, BM, BN), mask=inside, other=0.0)
    on_row = tl.load(to_negative + i, mask=row < m, other=0.0) * amount
    on_column = tl.load(to_negative + j, mask=j < n, other=0.0) * amount
    slope = on_row[:, None] + on_column[None, :]
    if r is not None:
        by_row = tl.load(r + i, mask=row < m, other=0.0)
        by = by_row[:, None] * tl.load(r + j, mask=j < n, other=0.0)[None, :]
        s *= by
        slope *= by
    slope *= tl.exp2(s * strength - power)
    if _special(first + i0, j0, n, half, BM, BN):
        slope = tl.where(_negatives(i, j, n, half), slope, 0.0)
    to = entry_of(weights, i0, j0, n, 1, BM, BN)
    tl.store(to, narrow(slope, weights.dtype.element_ty), mask=inside)
