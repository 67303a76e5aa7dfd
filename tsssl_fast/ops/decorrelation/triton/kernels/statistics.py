"""Sums over the batch: column means, squares and products, and distances between views.

Float64 throughout. A program takes a block of columns and a part of the rows;
`triton/columns.py` combines the parts in order.
"""

# The body of a kernel is Triton's language, not Python.
# mypy: ignore-errors

import triton
import triton.language as tl

from tsssl_fast.ops.decorrelation.triton.kernels.tiles import standardised


@triton.jit
def _rows(z, i, c, stride_i, stride_c, inside):
    at = z + i.to(tl.int64) * stride_i + c.to(tl.int64) * stride_c
    return tl.load(at, mask=inside, other=0.0).to(tl.float64)


@triton.jit
def statistics_kernel(
    a,
    b,
    stride_ai,
    stride_ac,
    stride_bi,
    stride_bc,
    parts,  # (splits, 6, dim): mean and squares of a, of b; sums of (a - b)^2 and of products
    n,
    dim,
    split,  # rows of one program
    CENTRE: tl.constexpr,
    OWN: tl.constexpr,
    PAIR: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """One pass for the means, one for what is summed around them (the second finds it in L2).

    OWN: means and squares; PAIR: of both views, with their distance and products.
    """
    c = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    first = tl.program_id(1) * split
    last = tl.minimum(first + split, n)
    count = (last - first).to(tl.float64)
    mean_a = tl.zeros((1, COLUMNS), tl.float64)
    mean_b = mean_a
    if OWN and CENTRE:
        sum_a = tl.zeros((ROWS, COLUMNS), tl.float64)
        sum_b = sum_a
        for i0 in range(first, last, ROWS):
            i = i0 + tl.arange(0, ROWS)[:, None]
            inside = (i < last) & (c < dim)
            sum_a += _rows(a, i, c, stride_ai, stride_ac, inside)
            if PAIR:
                sum_b += _rows(b, i, c, stride_bi, stride_bc, inside)
        mean_a = tl.sum(sum_a, axis=0)[None, :] / count
        mean_b = tl.sum(sum_b, axis=0)[None, :] / count
    squares_a = tl.zeros((ROWS, COLUMNS), tl.float64)
    squares_b, distance, product = squares_a, squares_a, squares_a
    for i0 in range(first, last, ROWS):
        i = i0 + tl.arange(0, ROWS)[:, None]
        inside = (i < last) & (c < dim)
        x = _rows(a, i, c, stride_ai, stride_ac, inside)
        centred = tl.where(inside, x - mean_a, 0.0)
        squares_a += centred * centred
        if PAIR:
            y = _rows(b, i, c, stride_bi, stride_bc, inside)
            other = tl.where(inside, y - mean_b, 0.0)
            squares_b += other * other
            product += centred * other
            distance += (x - y) * (x - y)
    out = parts + tl.program_id(1).to(tl.int64) * 6 * dim + c
    tl.store(out, mean_a, mask=c < dim)
    tl.store(out + dim, tl.sum(squares_a, axis=0)[None, :], mask=c < dim)
    tl.store(out + 2 * dim, mean_b, mask=c < dim)
    tl.store(out + 3 * dim, tl.sum(squares_b, axis=0)[None, :], mask=c < dim)
    tl.store(out + 4 * dim, tl.sum(distance, axis=0)[None, :], mask=c < dim)
    tl.store(out + 5 * dim, tl.sum(product, axis=0)[None, :], mask=c < dim)


@triton.jit
def row_squares_kernel(
    z,
    stride_i,
    stride_c,
    columns,  # (3, dim), see tiles.standardised
    out,  # (n,) float64
    active,
    n,
    dim,
    GUARDED: tl.constexpr,
    COMPUTE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """out_i = sum_j x_ij^2: the diagonal of the Gram matrix, whose entries are the largest."""
    if GUARDED and tl.load(active) == 0:
        return
    i = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    squares = tl.zeros((ROWS, COLUMNS), tl.float64)
    for c0 in range(0, dim, COLUMNS):
        c = c0 + tl.arange(0, COLUMNS)[None, :]
        inside = (i < n) & (c < dim)
        view = (z, stride_i, stride_c, columns)
        x = standardised(view, i, c, inside, dim, COMPUTE).to(tl.float64)
        squares += x * x
    tl.store(out + i, tl.sum(squares, axis=1)[:, None], mask=i < n)
