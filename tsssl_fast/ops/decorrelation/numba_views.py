"""Standardised views and their second moments by the numba kernels; vectors with one entry per
column are numpy's."""

import math

import numpy as np
import torch
from torch import Tensor

from tsssl_fast import _jit
from tsssl_fast.ops.decorrelation import numba_gradients as gradients
from tsssl_fast.ops.decorrelation import numba_kernels as kernels
from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.numba_gradients import Pull, View
from tsssl_fast.ops.decorrelation.numba_kernels import Columns

# Largest sum_j C_jj^2 / sum_{i != j} C_ij^2 that float32 takes on the n side
# (csrc/kernels/second_moments.h).
MAX_CANCELLATION = 8
# Of a second thread, at least: to start a team takes 20 us.
_ELEMENTS = 1 << 17
_PRODUCTS = 1 << 22
# Matrices up to this side are summed from at most PARTS parts of the depth of at least PART_DEPTH:
# copies of 256 KiB, and half of all products are not made.
PART_SIDE, PARTS, PART_DEPTH = 256, 8, 128
STRIP_WIDTH = 128  # columns that a task of the backward owns on the n side


def rows_of(z: Tensor) -> Tensor:
    return z.to(spec.compute_dtype(z.dtype)).contiguous()


WIDE = np.dtype(np.float64)


def empty(*size: int, dtype: np.dtype = WIDE) -> np.ndarray:
    """Through torch, whose uninitialised memory the tests poison."""
    like = torch.empty(size, dtype=torch.float32 if dtype == np.float32 else torch.float64)
    return _jit.array(like)


def arrays(dtype: np.dtype, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Uninitialised arrays side by side: an allocation takes 4 us."""
    sizes = [math.prod(shape) for shape in shapes]
    memory, out, begin = empty(sum(sizes), dtype=dtype), [], 0
    for shape, size in zip(shapes, sizes, strict=True):
        out.append(memory[begin : begin + size].reshape(shape))
        begin += size
    return out


def threads(elements: int) -> int:
    return _jit.threads(elements // _ELEMENTS)


def column_moments(z: np.ndarray, center: bool, mean: np.ndarray, squares: np.ndarray) -> None:
    """Writes mean and sum of squared deviations of the columns, float64."""
    _jit.run(kernels.columns, threads(z.size), z, center, mean, squares)


def squared_distance(a: np.ndarray, b: np.ndarray) -> float:
    out = empty(-(-len(a) // kernels.ROWS))
    _jit.run(kernels.distance, threads(a.size), a, b, out)
    return float(out.sum())


def standardising(mean: np.ndarray, scale: np.ndarray, dtype: np.dtype) -> list[Columns]:
    """Of every view; mean, scale: (views, D), float64."""
    high = mean.astype(dtype)
    parts = high, (mean - high).astype(dtype), scale.astype(dtype)
    return [Columns(*of) for of in zip(*parts, strict=True)]


def standardised(z: np.ndarray, columns: Columns, squares: np.ndarray) -> np.ndarray:
    """(z - mean) scale; with entries in `squares`, also each row's sum of squares."""
    x = empty(*z.shape, dtype=columns.scale.dtype)
    _jit.run(kernels.standardise, threads(z.size), z, columns, x, squares)
    return x


def gram_matrix(z: np.ndarray, columns: Columns, out: np.ndarray) -> tuple[float, np.ndarray]:
    """Writes x x^T with its diagonal from float64; (the sum of its squares, its diagonal)."""
    squares = empty(len(z))
    off = _own_moments(z, columns, True, out, squares)
    np.fill_diagonal(out, squares)
    return off + float(squares @ squares), squares


def covariance(z: np.ndarray, columns: Columns, out: np.ndarray) -> float:
    """Writes x^T x; returns the sum of squares off the diagonal."""
    return _own_moments(z, columns, False, out, np.empty(0))


def _own_moments(
    z: np.ndarray, columns: Columns, gram: bool, out: np.ndarray, squares: np.ndarray
) -> float:
    side, depth = z.shape if gram else z.shape[::-1]
    if side > PART_SIDE:
        x = standardised(z, columns, squares)
        return product(x, x, gram, out, out)
    size = -(-depth // min(PARTS, max(1, depth // PART_DEPTH)))
    count = -(-depth // size)
    workers = _jit.threads(min(count, side * side * depth // _PRODUCTS))
    shapes = ((workers, side * min(size, kernels.DEPTH)), (count, side, side))
    tile, part = arrays(out.dtype, *shapes)
    by_part, sums = arrays(WIDE, (count, len(squares)), (side,))
    arguments = (z, columns, gram, size, tile, part, by_part)
    _jit.run(kernels.moments_in_parts, workers, *arguments, blas=True)
    if gram:
        by_part.sum(axis=0, out=squares)
    _jit.run(kernels.collect, threads(part.size), part, out, sums)
    return float(sums.sum())


def product(a: np.ndarray, b: np.ndarray, gram: bool, out: np.ndarray, mirror: np.ndarray) -> float:
    """out = a b^T where `gram`, a^T b otherwise, mirror its transpose; returns the sum of squares
    off the diagonal."""
    side, depth = a.shape if gram else a.shape[::-1]
    symmetric = out is mirror
    block = kernels.block_size(side)
    count = -(-side // block)
    sums = empty(count * (count + 1) // 2 if symmetric else count * count)
    workers = _jit.threads(min(sums.size, side * side * depth // _PRODUCTS))
    tile = empty(workers, block * block, dtype=a.dtype)
    arguments = (a, b, gram, block, symmetric, tile, out, mirror, sums)
    _jit.run(kernels.second_moments, workers, *arguments, blas=True)
    return float(sums.sum())


def inner_product(a: np.ndarray, b: np.ndarray) -> float:
    """Sum over i != j of a_ij b_ij."""
    sums = empty(len(a))
    _jit.run(kernels.inner_product, threads(a.size), a, b, sums)
    return float(sums.sum())


def difference(total: float, diagonal: float) -> float:
    """The penalty as the difference of two sums: never negative by rounding, NaN stays."""
    off = total - diagonal
    return 0.0 if off < 0 else off


def cancels(z: np.ndarray, off: float, diagonal: float) -> bool:
    return z.dtype == np.float32 and spec.gram(*z.shape) and bool(diagonal > MAX_CANCELLATION * off)


def gradient(
    view: View,
    y: View | None,
    matrix: np.ndarray | None,
    alpha: float,
    vectors: dict[str, np.ndarray],
    apart: float,
    other: np.ndarray | None,
    out: np.ndarray,
) -> None:
    """out_j = scale_j (g_j - project_j <g_j, x_j> x_j) + outer_j x_j + apart (z - other) with
    g_j = alpha (S x)_j + inner_j x_j + cross_j y_j; on the dim side (y S)_j without S's diagonal.

    vectors: those of inner, cross, project, outer that are not zero; y: the view that S multiplies
    on the dim side (None: x).
    """
    n, dim = view.z.shape
    dtype = view.columns.scale.dtype
    strips = matrix is not None and spec.gram(n, dim)
    given = {name: v.astype(dtype, copy=False) for name, v in vectors.items()}
    zeros, none = np.zeros(max(n, dim), dtype), np.empty(0, dtype)
    size = STRIP_WIDTH if strips else min(128, max(16, -(-n // 8)))
    tasks, longest = -(-(dim if strips else n) // size), size if strips else dim
    workers = threads(out.size)
    if matrix is not None:
        workers = _jit.threads(min(tasks, len(matrix) * n * dim // _PRODUCTS))
    side = 0 if matrix is None else len(matrix)
    shapes = ((side, side), (side,), (workers, 2, size * (n if strips else dim)))
    square, own, tile, line = arrays(dtype, *shapes, (workers, longest))
    diagonal = zeros
    if matrix is not None:
        _jit.run(kernels.split_diagonal, threads(matrix.size), matrix, square, own)
        diagonal = own * dtype.type(alpha)
    pull = Pull(
        *(dtype.type(alpha), diagonal, given.get("inner", zeros), given.get("cross", none)),
        # Without a product there is nothing to project.
        given.get("project", none) if matrix is not None else none,
        *(given.get("outer", zeros), out.dtype.type(apart)),
        np.empty((0, 0), out.dtype) if other is None else other,
    )
    if y is None:
        y = View(np.empty((0, 0), view.z.dtype), view.columns)
    if strips:
        sums = empty(workers, size)
        arguments = (view, y, square, pull, size, tile, line, sums, out)
        _jit.run(gradients.strips, workers, *arguments, blas=True)
        return
    along = empty(tasks if pull.project.size else 0, dim)
    arguments = (view, y, square, pull, size, tile, line, out, along)
    _jit.run(gradients.rows, workers, *arguments, blas=True)
    if pull.project.size:
        factor = pull.project * along.sum(axis=0).astype(dtype)
        _jit.run(gradients.project_rows, workers, view, pull, factor, line, out)
