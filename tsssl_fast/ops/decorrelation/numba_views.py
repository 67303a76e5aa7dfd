"""Standardised views and their second moments by the numba kernels; vectors with one entry per
column are numpy's."""

import numpy as np
import torch
from torch import Tensor

from tsssl_fast import _jit
from tsssl_fast.ops.decorrelation import numba_kernels as kernels
from tsssl_fast.ops.decorrelation import spec

# Largest sum_j C_jj^2 / sum_{i != j} C_ij^2 that float32 takes on the n side
# (csrc/kernels/second_moments.h).
MAX_CANCELLATION = 8
# Of a second thread, at least: to start a team takes 20 us.
_ELEMENTS = 1 << 17
_PRODUCTS = 1 << 22


def rows_of(z: Tensor) -> Tensor:
    return z.to(spec.compute_dtype(z.dtype)).contiguous()


_WIDE = np.dtype(np.float64)


def empty(*size: int, dtype: np.dtype = _WIDE) -> np.ndarray:
    """Through torch, whose uninitialised memory the tests poison."""
    like = torch.empty(size, dtype=torch.float32 if dtype == np.float32 else torch.float64)
    return _jit.array(like)


def threads(elements: int) -> int:
    return _jit.threads(elements // _ELEMENTS)


def column_moments(z: np.ndarray, center: bool) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sum of squared deviations of the columns, float64."""
    mean, squares = empty(z.shape[1]), empty(z.shape[1])
    _jit.run(kernels.columns, threads(z.size), z, center, mean, squares)
    return mean, squares


def squared_distance(a: np.ndarray, b: np.ndarray) -> float:
    out = empty(-(-len(a) // kernels.ROWS))
    _jit.run(kernels.distance, threads(a.size), a, b, out)
    return float(out.sum())


class Standard:
    """One view with standardised columns: x = (z - mean) scale in `dtype`, (N, D)."""

    def __init__(
        self, z: np.ndarray, mean: np.ndarray, scale: np.ndarray, dtype: np.dtype | None = None
    ) -> None:
        dtype = z.dtype if dtype is None else dtype
        self.scale = scale.astype(dtype)
        high = mean.astype(dtype)
        low = (mean - high).astype(dtype)
        self.x = empty(*z.shape, dtype=dtype)
        self.row_squares = empty(len(z))
        arguments = (z, high, low, self.scale, self.x, self.row_squares)
        _jit.run(kernels.standardise, threads(z.size), *arguments)

    def gram_matrix(self, out: np.ndarray) -> float:
        """Writes x x^T with its diagonal from float64; returns the sum of its squares."""
        off = product(self.x, self.x, True, out, out)
        np.fill_diagonal(out, self.row_squares)
        return off + float(self.row_squares @ self.row_squares)


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
    x: Standard,
    y: np.ndarray,
    matrix: np.ndarray | None,
    alpha: float,
    vectors: dict[str, np.ndarray],
    out: np.ndarray,
) -> None:
    """out_j = scale_j (g_j - project_j <g_j, x_j> x_j) + outer_j x_j with
    g_j = alpha (S x)_j + inner_j x_j + cross_j y_j; on the dim side (y S)_j without S's diagonal.

    vectors: those of inner, cross, project, outer that are not zero; y: the view that S multiplies.
    """
    n, dim = x.x.shape
    dtype, gram = x.x.dtype, spec.gram(n, dim)
    zeros, none = np.zeros(dim, dtype), np.empty(0, dtype)
    given = {name: v.astype(dtype) for name, v in vectors.items()}
    g = out if out.dtype == dtype else empty(n, dim, dtype=dtype)
    rows = min(128, max(16, -(-n // 8)))
    along = empty(-(-n // rows), dim)
    if matrix is None:
        g[:] = 0
    else:
        square = empty(*matrix.shape, dtype=dtype)
        diagonal = empty(len(matrix), dtype=dtype)
        _jit.run(kernels.split_diagonal, threads(matrix.size), matrix, square, diagonal)
        left, right = (square, x.x) if gram else (y, square)
        diagonal = diagonal * dtype.type(alpha) if gram else np.zeros(n, dtype)
        factors = (diagonal, given.get("inner", zeros), given.get("cross", none))
        workers = _jit.threads(min(len(along), len(matrix) * n * dim // _PRODUCTS))
        scalar = dtype.type(alpha)
        factored = (left, right, x.x, y, scalar, factors, rows, g, along)
        _jit.run(kernels.product, workers, *factored, blas=True)
    project = given.get("project", zeros)
    if matrix is not None and "project" in given:
        project = project * along.sum(axis=0).astype(dtype)
    last = (g, x.x, x.scale, project, given.get("outer", zeros), out)
    _jit.run(kernels.finish, threads(out.size), *last)
