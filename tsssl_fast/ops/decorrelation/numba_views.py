"""Standardised views and their second moments by the numba kernels; vectors with one entry per
column are numpy's."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tsssl_fast import _jit
from tsssl_fast.ops.decorrelation import numba_gradients as gradients
from tsssl_fast.ops.decorrelation import numba_kernels as kernels
from tsssl_fast.ops.decorrelation import numba_parts, spec
from tsssl_fast.ops.decorrelation.numba_gradients import Pull, Task
from tsssl_fast.ops.decorrelation.numba_kernels import Columns, View

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


def pairs(items: Sequence[Any]) -> Iterator[tuple[int, tuple[Any, Any]]]:
    """(how many count, two items): kernels take two views at once, and the last one may be
    alone."""
    for i in range(0, len(items), 2):
        two = tuple(items[i : i + 2])
        yield len(two), (two[0], two[-1])


def column_moments(
    views: Sequence[np.ndarray], center: bool, mean: np.ndarray, squares: np.ndarray
) -> None:
    """Writes mean and sum of squared deviations of the columns: (views, D), float64."""
    begin = 0
    for count, two in pairs(views):
        of = slice(begin, begin + count)
        workers = threads(count * two[0].size)
        _jit.run(kernels.columns, workers, two, center, mean[of], squares[of])
        begin += count


def squared_distance(a: np.ndarray, b: np.ndarray) -> float:
    out = empty(-(-len(a) // kernels.ROWS))
    _jit.run(kernels.distance, threads(a.size), a, b, out)
    return float(out.sum())


def standardising(
    views: Sequence[np.ndarray], mean: np.ndarray, scale: np.ndarray, dtype: np.dtype
) -> list[View]:
    """mean, scale: (views, D), float64."""
    high = mean.astype(dtype)
    parts = high, (mean - high).astype(dtype), scale.astype(dtype)
    return [View(z, Columns(*of)) for z, *of in zip(views, *parts, strict=True)]


def standardised(view: View, squares: np.ndarray) -> np.ndarray:
    """x; with entries in `squares`, also each row's sum of squares."""
    x = empty(*view.z.shape, dtype=view.columns.scale.dtype)
    _jit.run(kernels.standardise, threads(x.size), view, x, squares)
    return x


def gram_matrices(views: Sequence[View], out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Writes every view's x x^T with its diagonal from float64; (the sums of its squares, the
    diagonals)."""
    diagonals = empty(*out.shape[:2])
    off = _own_moments(views, True, out, diagonals)
    every = np.arange(out.shape[1])
    out[:, every, every] = diagonals
    return off + np.square(diagonals).sum(axis=1), diagonals


def covariances(views: Sequence[View], out: np.ndarray) -> np.ndarray:
    """Writes every view's x^T x; returns the sums of squares off the diagonal."""
    return _own_moments(views, False, out, np.empty((len(views), 0)))


def _own_moments(
    views: Sequence[View], gram: bool, out: np.ndarray, squares: np.ndarray
) -> np.ndarray:
    side, depth = views[0].z.shape if gram else views[0].z.shape[::-1]
    if side > PART_SIDE:
        off = []
        for view, matrix, row_squares in zip(views, out, squares, strict=True):
            x = standardised(view, row_squares)
            off.append(product(x, x, gram, matrix, matrix))
        return np.array(off)
    size = -(-depth // min(PARTS, max(1, depth // PART_DEPTH)))
    parts = -(-depth // size)
    sums, begin = empty(len(views), side), 0
    for count, two in pairs(views):
        of = slice(begin, begin + count)
        begin += count
        workers = _jit.threads(min(count * parts, count * side * side * depth // _PRODUCTS))
        shapes = ((workers, side * min(size, kernels.DEPTH)), (count, parts, side, side))
        tile, made = arrays(out.dtype, *shapes)
        by_part = empty(count, parts, squares.shape[1])
        arguments = (two, gram, size, tile, made, by_part)
        _jit.run(numba_parts.moments_in_parts, workers, *arguments, blas=True)
        if gram:
            by_part.sum(axis=1, out=squares[of])
        _jit.run(numba_parts.collect, threads(made.size), made, out[of], sums[of])
    return np.asarray(sums.sum(axis=1))


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


class Gradient(NamedTuple):
    """One view's gradient, as numba_gradients.Pull says; vectors: those of inner, cross, project
    and outer that are not zero. y: the view that S multiplies on the dim side (None: x)."""

    view: View
    y: View | None
    vectors: dict[str, np.ndarray]
    apart: float
    other: np.ndarray | None
    out: np.ndarray


def gradients_of(asked: Sequence[Gradient], matrices: np.ndarray | None, alpha: float) -> None:
    """Writes the gradients of views with second moments S, alpha (S x)_j or, on the dim side,
    alpha (y S)_j without S's diagonal. matrices: (views, side, side)."""
    begin = 0
    for count, two in pairs(asked):
        of = None if matrices is None else matrices[begin : begin + count]
        _gradients_of_two(count, two, of, alpha)
        begin += count


def _gradients_of_two(
    count: int, two: tuple[Gradient, Gradient], matrices: np.ndarray | None, alpha: float
) -> None:
    n, dim = two[0].out.shape
    dtype = two[0].view.columns.scale.dtype
    strips = matrices is not None and spec.gram(n, dim)
    size = STRIP_WIDTH if strips else min(128, max(16, -(-n // 8)))
    turns = -(-(dim if strips else n) // size)
    workers, side = threads(count * n * dim), 0
    if matrices is not None:
        side = matrices.shape[1]
        workers = _jit.threads(min(count * turns, count * side * n * dim // _PRODUCTS))
    squares, diagonals, tile, line = arrays(
        dtype,
        *((count if side else 0, side, side), (2, max(n, dim))),
        *((workers, 2, size * (n if strips else dim)), (workers, size if strips else dim)),
    )
    diagonals[:] = 0
    if matrices is not None:
        split = (matrices, dtype.type(alpha), squares, diagonals)
        _jit.run(kernels.split_diagonal, threads(matrices.size), *split)
    work = tuple(_task(two[v], diagonals[v], alpha, side > 0) for v in range(2))
    if strips:
        sums = empty(workers, size)
        _jit.run(gradients.strips, workers, work, squares, size, tile, line, sums, blas=True)
        return
    project = work[0].pull.project.size > 0
    along = empty(count, turns if project else 0, dim)
    _jit.run(gradients.rows, workers, work, count, squares, size, tile, line, along, blas=True)
    for task, sums in zip(work[:count] if project else (), along, strict=False):
        factors = task.pull.project * sums.sum(axis=0).astype(dtype)
        _jit.run(gradients.project_rows, workers, task, factors, line)


def _task(asked: Gradient, diagonal: np.ndarray, alpha: float, product: bool) -> Task:
    view, y, vectors, apart, other, out = asked
    dtype = view.columns.scale.dtype
    zeros, none = np.zeros(out.shape[1], dtype), np.empty(0, dtype)
    given = {name: v.astype(dtype, copy=False) for name, v in vectors.items()}
    pull = Pull(
        *(dtype.type(alpha), diagonal, given.get("inner", zeros), given.get("cross", none)),
        # Without a product there is nothing to project.
        given.get("project", none) if product else none,
        *(given.get("outer", zeros), out.dtype.type(apart)),
        np.empty((0, 0), out.dtype) if other is None else other,
    )
    if y is None:
        y = View(np.empty((0, 0), view.z.dtype), view.columns)
    return Task(view, y, pull, out)
