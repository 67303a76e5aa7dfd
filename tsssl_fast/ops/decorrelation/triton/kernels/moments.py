"""Second moments on the smaller side, half of them where they are symmetric.

sides x sides tiles of X Yᵀ, X and Y the standardised columns (dim side: transposed), with the sum
of squares off the diagonal in the epilogue. Where few tiles have a long depth, it is split among
programs, whose partial tiles `collect_kernel` adds in order: no atomics.
"""

# The body of a kernel is Triton's language, not Python.
# mypy: ignore-errors

import triton
import triton.language as tl

from tsssl_fast.ops.decorrelation.triton.kernels.tiles import standardised, total, triangle


@triton.jit
def _tile(number, side, SYMMETRIC: tl.constexpr, BLOCK: tl.constexpr):
    """Rows (BLOCK, 1) and columns (1, BLOCK) of a tile; whether its mirror image is another."""
    if SYMMETRIC:
        row, column = triangle(number)
    else:
        across = tl.cdiv(side, BLOCK)
        row, column = number // across, number % across
    i = row * BLOCK + tl.arange(0, BLOCK)[:, None]
    j = column * BLOCK + tl.arange(0, BLOCK)[None, :]
    return i, j, row != column


@triton.jit
def _finish(
    tile,
    i,
    j,
    mirrored,
    number,
    side,
    diagonal,
    out,
    mirror,
    sums,
    SYMMETRIC: tl.constexpr,
    GRAM: tl.constexpr,
):
    """Stores a tile and its mirror image, and the sum of its squares off the diagonal."""
    inside = (i < side) & (j < side)
    squares = tl.where(inside & (i != j), tile, 0.0).to(tl.float64)
    weight = 1.0
    if SYMMETRIC:
        weight = tl.where(mirrored, 2.0, 1.0)
    tl.store(sums + number, total(squares * squares) * weight)
    if GRAM:  # its largest entries come from float64
        own = tl.load(diagonal + i, mask=i < side, other=0.0).to(tile.dtype)
        tile = tl.where(i == j, own, tile)
    tl.store(out + i.to(tl.int64) * side + j, tile, mask=inside)
    tl.store(mirror + j.to(tl.int64) * side + i, tile, mask=inside)


@triton.jit
def moments_kernel(
    a,
    b,
    stride_ai,
    stride_ac,
    stride_bi,
    stride_bc,
    columns_a,  # (3, dim) each, see tiles.standardised
    columns_b,
    diagonal,  # (side,) float64, with GRAM
    out,  # (side, side); (splits, side, side) partial tiles where SPLIT
    mirror,  # the transpose: `out` itself where symmetric
    sums,  # (tiles,) float64
    active,
    n,
    dim,
    split,  # depth of one program
    GUARDED: tl.constexpr,
    GRAM: tl.constexpr,
    SYMMETRIC: tl.constexpr,
    SPLIT: tl.constexpr,
    COMPUTE: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK: tl.constexpr,
    DEPTH: tl.constexpr,
):
    if GUARDED and tl.load(active) == 0:
        return
    number = tl.program_id(0)
    side, depth = dim, n
    if GRAM:
        side, depth = n, dim
    i, j, mirrored = _tile(number, side, SYMMETRIC, BLOCK)
    first = tl.program_id(1) * split
    view_a, view_b = (a, stride_ai, stride_ac, columns_a), (b, stride_bi, stride_bc, columns_b)
    tile = tl.zeros((BLOCK, BLOCK), COMPUTE)
    for k0 in range(first, tl.minimum(first + split, depth), DEPTH):
        down = k0 + tl.arange(0, DEPTH)[:, None]
        along = k0 + tl.arange(0, DEPTH)[None, :]
        if GRAM:
            left, right = (i < n) & (along < dim), (j < n) & (down < dim)
            x = standardised(view_a, i, along, left, dim, COMPUTE)
            y = standardised(view_b, j, down, right, dim, COMPUTE)
        else:
            left, right = (i < dim) & (along < n), (j < dim) & (down < n)
            x = standardised(view_a, along, i, left, dim, COMPUTE)
            y = standardised(view_b, down, j, right, dim, COMPUTE)
        tile = tl.dot(x, y, tile, input_precision=PRECISION, out_dtype=COMPUTE)
    if SPLIT:
        at = out + tl.program_id(1).to(tl.int64) * side * side + i.to(tl.int64) * side + j
        tl.store(at, tile, mask=(i < side) & (j < side))
    else:
        _finish(tile, i, j, mirrored, number, side, diagonal, out, mirror, sums, SYMMETRIC, GRAM)


@triton.jit
def collect_kernel(
    parts,  # (splits, side, side)
    splits,
    side,
    diagonal,
    out,
    mirror,
    sums,
    active,
    GUARDED: tl.constexpr,
    GRAM: tl.constexpr,
    SYMMETRIC: tl.constexpr,
    BLOCK: tl.constexpr,
):
    if GUARDED and tl.load(active) == 0:
        return
    number = tl.program_id(0)
    i, j, mirrored = _tile(number, side, SYMMETRIC, BLOCK)
    inside = (i < side) & (j < side)
    tile = tl.zeros((BLOCK, BLOCK), parts.dtype.element_ty)
    for split in range(splits):
        at = parts + tl.cast(split, tl.int64) * side * side + i.to(tl.int64) * side + j
        tile += tl.load(at, mask=inside, other=0.0)
    _finish(tile, i, j, mirrored, number, side, diagonal, out, mirror, sums, SYMMETRIC, GRAM)


@triton.jit
def inner_product_kernel(
    a,
    b,
    sums,
    active,
    side,
    GUARDED: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """sums: per block of rows, of a_ij b_ij off the diagonal in float64."""
    if GUARDED and tl.load(active) == 0:
        return
    i = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    products = tl.zeros((ROWS, COLUMNS), tl.float64)
    for j0 in range(0, side, COLUMNS):
        j = j0 + tl.arange(0, COLUMNS)[None, :]
        inside = (i < side) & (j < side)
        at = i.to(tl.int64) * side + j
        x = tl.load(a + at, mask=inside, other=0.0).to(tl.float64)
        y = tl.load(b + at, mask=inside, other=0.0).to(tl.float64)
        # Not in the mask, with which every number was a load of its own.
        products += tl.where(i != j, x * y, 0.0)
    tl.store(sums + tl.program_id(0), total(products))
