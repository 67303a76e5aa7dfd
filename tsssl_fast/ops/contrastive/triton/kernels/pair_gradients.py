"""Gradients of every row: the backward of `pair_logsumexp`.

A program owns rows and walks over the columns: it recomputes the similarities, computes
V_ij = r_j dL/da_ij (of the row's own statistics and, where columns have statistics too, of theirs)
and adds V X to an accumulator on the chip. Splits of the columns fill a GPU when rows are few;
`finish` adds them in their order. Keys get their gradient by the same kernel with the roles
exchanged: no atomics, two runs are bit-equal. Of a row chunk V stays in memory, for torch's
product.
"""

# The body of a kernel is Triton's language, not Python.
# mypy: ignore-errors

import triton
import triton.language as tl

from tsssl_fast.backends.triton.interpreter import dot, narrow
from tsssl_fast.ops.contrastive.triton.kernels.tiles import (
    LOG2E,
    classes,
    entry_of,
    of_problem,
    rows_of,
    similarities,
    weights_of,
)


@triton.jit
def _slope(s, beta, negative, positive, w, coefficients, step, at, keep, AXIS: tl.constexpr):
    """dL/da of a tile's pairs from the statistics of its rows (AXIS 1) or columns (0)."""
    shift_n = tl.expand_dims(tl.load(coefficients + at, mask=keep, other=0.0), AXIS)
    to_n = tl.expand_dims(tl.load(coefficients + step + at, mask=keep, other=0.0), AXIS)
    shift_p = tl.expand_dims(tl.load(coefficients + 2 * step + at, mask=keep, other=0.0), AXIS)
    to_p = tl.expand_dims(tl.load(coefficients + 3 * step + at, mask=keep, other=0.0), AXIS)
    constant = tl.expand_dims(tl.load(coefficients + 4 * step + at, mask=keep, other=0.0), AXIS)
    near = tl.where(positive, shift_p, shift_n)
    e = tl.exp2(tl.fma(s, tl.zeros_like(s) + beta, -near) * LOG2E)
    slope = tl.where(negative, e * to_n, 0.0)
    slope = tl.where(positive, e * to_p - constant, slope)
    if w is not None:
        slope = tl.where(negative | positive, slope * w, 0.0)
    return slope


@triton.jit
def _slopes(
    s,
    beta,
    place,
    rules,
    row_slopes,
    column_slopes,
    row_step,
    column_step,
    SELF: tl.constexpr,
    POSITIVES: tl.constexpr,
    GROUPS: tl.constexpr,
    HALVE: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
):
    """dL/da of a tile, and what its pairs add to dL/dbeta of the rows."""
    i0, j0, m, p, _ = place
    i, j = i0 + tl.arange(0, BM), j0 + tl.arange(0, BN)
    negative, positive = classes(*place, rules, SELF, POSITIVES, GROUPS, BM, BN)
    mask, weight, mask_row, mask_column = rules[2]
    w = None
    if weight is not None:
        w = weights_of(i0, j0, rules, negative | positive, BM, BN)
    slope = tl.zeros_like(s)
    if row_slopes is not None:
        slope += _slope(s, beta, negative, positive, w, row_slopes, row_step, i, i < m, 1)
    if HALVE:  # one set: both parts are the same pairs' seen from two sides
        along = tl.sum(slope * s, 1)
    if column_slopes is not None:
        back = (rules[0], rules[1], (mask, weight, mask_column, mask_row))
        if mask is not None and HALVE:
            negative, positive = classes(*place, back, SELF, POSITIVES, GROUPS, BM, BN)
        if weight is not None and HALVE:
            w = weights_of(i0, j0, back, negative | positive, BM, BN)
        slope += _slope(s, beta, negative, positive, w, column_slopes, column_step, j, j < p, 0)
    if not HALVE:
        along = tl.sum(slope * s, 1)
    return slope, along


@triton.jit
def pair_gradients(
    x,
    y,
    rx,
    ry,
    scores,
    beta,
    gain,
    row_slopes,
    column_slopes,
    row_id,
    column_id,
    row_group,
    column_group,
    row_valid,
    column_valid,
    mask,
    weight,
    lengths,
    part,
    beta_part,
    m,
    p,
    half,
    first,
    pitch,
    mask_row,
    mask_column,
    column_span,
    row_step,
    column_step,
    SELF: tl.constexpr,
    POSITIVES: tl.constexpr,
    GROUPS: tl.constexpr,
    ONE_SET: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    BD: tl.constexpr,
    RESIDENT: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """part (splits, rows of all problems, pitch) = V X of a split, beta_part = sum_j dL/da_ij s_ij.

    With `scores` (a chunk's similarities without r): part (m, p) = r_i r_j dL/da_ij instead, and no
    product. row_slopes, column_slopes: from `gradient_coefficients`, row_step and
    column_step entries a field.
    """
    g = tl.program_id(2).to(tl.int64)
    groups = tl.num_programs(2).to(tl.int64)
    split = tl.program_id(1).to(tl.int64)
    beta_part += (split * groups + g) * m
    if scores is None:
        part += (split * groups + g) * m * pitch
    if lengths is not None:
        if row_slopes is not None:
            row_slopes += g * m
        if column_slopes is not None:
            column_slopes += g * p
        x, y, rx, ry, m, half = of_problem(x, y, rx, ry, lengths, g, m, p, pitch)
        p = m
    i0 = tl.program_id(0) * BM
    i = i0 + tl.arange(0, BM)
    strength = tl.load(beta).to(tl.float32)
    amount = 1.0
    if gain is not None:
        amount = tl.load(gain)
    if rx is not None:
        by_row = tl.load(rx + i, mask=i < m, other=0.0)
    tile = rows_of(x, i0, m, pitch, 0, BM, BK) if RESIDENT else None
    arrays = (row_id, column_id, row_group, column_group, row_valid, column_valid)
    rules = (first, arrays, (mask, weight, mask_row, mask_column))
    if scores is None:
        acc = tl.zeros([BM, BD], tl.float32)
    along = tl.zeros([BM], tl.float32)
    for j0 in range(split * column_span, tl.minimum((split + 1) * column_span, p), BN):
        j = j0 + tl.arange(0, BN)
        keys = rows_of(y, j0, p, pitch, 0, BN, BK) if RESIDENT else None
        s = similarities(tile, keys, x, y, scores, i0, j0, m, p, pitch, BM, BN, BK, PRECISION)
        if rx is not None:
            by_column = tl.load(ry + j, mask=j < p, other=0.0)
            s *= by_row[:, None] * by_column[None, :]
        slope, more = _slopes(
            *(s, strength, (i0, j0, m, p, half), rules),
            *(row_slopes, column_slopes, row_step, column_step),
            *(SELF, POSITIVES, GROUPS, ONE_SET, BM, BN),
        )
        along += more
        if rx is not None:
            slope *= by_column[None, :]
        slope *= amount
        if scores is not None:
            if rx is not None:
                slope *= by_row[:, None]
            to = entry_of(part, i0, j0, p, 1, BM, BN)
            inside = (i < m)[:, None] & (j < p)[None, :]
            tl.store(to, narrow(slope, part.dtype.element_ty), mask=inside)
        else:
            if not RESIDENT:
                keys = rows_of(y, j0, p, pitch, 0, BN, BD)
            acc = dot(slope, keys, acc, PRECISION)
    if scores is None:
        d = tl.arange(0, BD)
        to = entry_of(part, i0, 0, pitch, 1, BM, BD)
        tl.store(to, acc, mask=(i < m)[:, None] & (d < pitch)[None, :])
    tl.store(beta_part + i, along, mask=i < m)
