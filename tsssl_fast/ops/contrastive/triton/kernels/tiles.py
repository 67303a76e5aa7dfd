"""Common to the pair kernels: similarities of a tile, which of its pairs count, how sums grow."""

# The body of a kernel is Triton's language, not Python.
# mypy: ignore-errors

import triton
import triton.language as tl

from tsssl_fast.backends.triton.interpreter import dot

LOG2E = tl.constexpr(1.4426950408889634)
# Below every logit; its differences stay finite, where those of -inf are NaN.
LOWEST = tl.constexpr(-1e30)
# How a kernel knows the positives.
NO_IDS, IDS, PAIRED = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)


@triton.jit
def rows_of(x, i0, n, pitch, first, SIZE: tl.constexpr, BK: tl.constexpr):
    """Rows [i0, i0 + SIZE) of x in columns [first, first + BK), zeros outside.

    64 bits reach the tile, 32 what is in it: fewer registers hold the addresses.
    """
    i, d = tl.arange(0, SIZE), first + tl.arange(0, BK)
    at = x + tl.cast(i0, tl.int64) * pitch + (i[:, None] * pitch + d[None, :])
    return tl.load(at, mask=(i0 + i < n)[:, None] & (d < pitch)[None, :], other=0.0)


@triton.jit
def entry_of(x, i0, j0, row, column, BM: tl.constexpr, BN: tl.constexpr):
    """Addresses of the entries of a tile of a matrix with these strides."""
    i, j = tl.arange(0, BM)[:, None], tl.arange(0, BN)[None, :]
    base = x + tl.cast(i0, tl.int64) * row + tl.cast(j0, tl.int64) * column
    return base + (i * row + j * column)


@triton.jit
def product(
    x,
    y,
    i0,
    j0,
    m,
    p,
    pitch,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """<x_i, y_j> of a tile, walking over the columns BK at a time."""
    s = tl.zeros([BM, BN], tl.float32)
    for d in range(0, pitch, BK):
        a = rows_of(x, i0, m, pitch, d, BM, BK)
        b = rows_of(y, j0, p, pitch, d, BN, BK)
        s = dot(a, tl.trans(b), s, PRECISION)
    return s


@triton.jit
def similarities(
    tile,
    keys,
    x,
    y,
    scores,
    i0,
    j0,
    m,
    p,
    pitch,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """<x_i, y_j> of a tile: from `scores` (m, p), from its rows and columns on the chip (tile,
    keys), or walking over the columns of x and y; what is None is not there."""
    if scores is not None:
        inside = (i0 + tl.arange(0, BM) < m)[:, None] & (j0 + tl.arange(0, BN) < p)[None, :]
        s = tl.load(entry_of(scores, i0, j0, p, 1, BM, BN), mask=inside, other=0.0)
    elif tile is not None:
        s = dot(tile, tl.trans(keys), tl.zeros([BM, BN], tl.float32), PRECISION)
    else:
        s = product(x, y, i0, j0, m, p, pitch, BM, BN, BK, PRECISION)
    return s


@triton.jit
def classes(
    i0,
    j0,
    m,
    p,
    half,
    rules,
    SELF: tl.constexpr,
    POSITIVES: tl.constexpr,
    GROUPS: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
):
    """Negatives and positives of a tile: rules.Rules.

    rules: first, the number of row 0, where the rows are a chunk; the arrays of rows and columns;
    (mask, weight, strides of both). SELF: pair (i, i) takes no part.
    POSITIVES: NO_IDS, IDS, or PAIRED (i and i +- half). GROUPS: index into GROUP_RULES.
    """
    first, arrays, matrices = rules
    row_id, column_id, row_group, column_group, row_valid, column_valid = arrays
    mask, _, mask_row, mask_column = matrices
    i, j = i0 + tl.arange(0, BM), j0 + tl.arange(0, BN)
    rows, columns = i < m, j < p
    if row_valid is not None:
        rows = rows & (tl.load(row_valid + i, mask=rows, other=0) != 0)
    if column_valid is not None:
        columns = columns & (tl.load(column_valid + j, mask=columns, other=0) != 0)
    live = rows[:, None] & columns[None, :]
    number = first + i
    if SELF:
        live = live & (number[:, None] != j[None, :])
    if mask is not None:
        at = entry_of(mask, first + i0, j0, mask_row, mask_column, BM, BN)
        live = live & (tl.load(at, mask=live, other=0) != 0)
    if POSITIVES == 1:
        a = tl.load(row_id + i, mask=i < m, other=0)
        b = tl.load(column_id + j, mask=j < p, other=0)
        positive = live & (a[:, None] == b[None, :])
    elif POSITIVES == 2:
        partner = tl.where(number < half, number + half, number - half)
        positive = live & (partner[:, None] == j[None, :])
    else:
        positive = live & (i < 0)[:, None]
    negative = live & (positive == 0)
    if GROUPS != 0:
        a = tl.load(row_group + i, mask=i < m, other=0)
        b = tl.load(column_group + j, mask=j < p, other=0)
        same = a[:, None] == b[None, :]
        negative = negative & (same if GROUPS == 2 else same == 0)
    return negative, positive


@triton.jit
def of_problem(x, y, rx, ry, lengths, g, m, p, pitch):
    """Operands of problem g of a batch, with its rows and half of them."""
    x += g * m * pitch
    y += g * p * pitch
    if rx is not None:
        rx += g * m
        ry += g * p
    half = tl.load(lengths + g).to(tl.int32)
    return x, y, rx, ry, 2 * half, half


@triton.jit
def store_fields(to, step, values, keep, COUNT: tl.constexpr):
    """A tuple of COUNT values, `step` entries apart."""
    for f in tl.static_range(COUNT):
        tl.store(to, values[f], mask=keep)
        to += step


@triton.jit
def weights_of(i0, j0, rules, live, BM: tl.constexpr, BN: tl.constexpr):
    first, _, matrices = rules
    _, weight, row, column = matrices
    at = entry_of(weight, first + i0, j0, row, column, BM, BN)
    return tl.load(at, mask=live, other=0.0)


@triton.jit
def above(a, keep, shift, AXIS: tl.constexpr):
    """The larger of `shift` and the logits a over `keep` along an axis."""
    return tl.maximum(shift, tl.max(tl.where(keep, a, LOWEST), AXIS))
