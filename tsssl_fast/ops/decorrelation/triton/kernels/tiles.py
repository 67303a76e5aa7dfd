"""Tiles of standardised columns, and which tile a program has."""

# The body of a kernel is Triton's language, not Python.
# mypy: ignore-errors

import triton
import triton.language as tl


@triton.jit
def standardised(view, i, c, mask, dim, COMPUTE: tl.constexpr):
    """((z - mean) - rest) scale of rows i and columns c; 0 outside the mask.

    view: z, its strides of rows and columns, and (3, dim) numbers of its columns: the mean in two
    parts, since subtracting its rounding alone would leave a residual of half an ulp of the mean
    in every centred value, and the scale.
    """
    columns = view[3]
    at = view[0] + i.to(tl.int64) * view[1] + c.to(tl.int64) * view[2]
    v = tl.load(at, mask=mask, other=0.0)
    inside = c < dim
    mean = tl.load(columns + c, mask=inside, other=0.0)
    rest = tl.load(columns + dim + c, mask=inside, other=0.0)
    scale = tl.load(columns + 2 * dim + c, mask=inside, other=0.0)
    return tl.where(mask, ((v.to(COMPUTE) - mean) - rest) * scale, 0.0)


@triton.jit
def triangle(number):
    """Row and column of tile `number` of a lower triangle, row after row."""
    row = ((tl.sqrt((8 * number + 1).to(tl.float64)) - 1.0) * 0.5).to(tl.int32)
    row = tl.where(row * (row + 1) // 2 > number, row - 1, row)
    row = tl.where((row + 1) * (row + 2) // 2 <= number, row + 1, row)
    return row, number - row * (row + 1) // 2


@triton.jit
def total(x):
    """The sum of a tile in float64, in an order that the compiled kernel fixes."""
    return tl.sum(tl.sum(x.to(tl.float64), axis=1), axis=0)
