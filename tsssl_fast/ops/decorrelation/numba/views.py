"""Standardised views and their second moments by the numba kernels; vectors with one entry per
column are numpy's."""

import math
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tsssl_fast.backends.numba import arrays as numba_arrays
from tsssl_fast.backends.numba import launching
from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.numba.kernels import columns as numba_vicreg
from tsssl_fast.ops.decorrelation.numba.kernels import gradients
from tsssl_fast.ops.decorrelation.numba.kernels import moments as kernels
from tsssl_fast.ops.decorrelation.numba.kernels import parts as numba_parts
from tsssl_fast.ops.decorrelation.numba.kernels.columns import Factors, Settings
from tsssl_fast.ops.decorrelation.numba.kernels.gradients import Coefficients, Matrices, Task
from tsssl_fast.ops.decorrelation.numba.kernels.moments import View
from tsssl_fast.ops.decorrelation.numba.kernels.parts import Parts, SecondMoments
from tsssl_fast.ops.decorrelation.spec import VICRegMoments

# Of a second thread, at least: to start a team takes 4 us where torch's threads still spin, 20
# where they sleep; without a product an element takes 0.2 ns and more, with one 2 ns and more.
_ELEMENTS = 1 << 15
_PRODUCTS = 1 << 22
# Matrices up to this side are summed from at most PARTS parts of the depth of at least PART_DEPTH:
# copies of 256 KiB, and half of all products are not made.
PART_SIDE, PARTS, PART_DEPTH = 256, 8, 256
# Rows of a task of the backward where OpenBLAS then need not copy the matrix for each: at D = 128
# 112 against 92 GFlop/s.
TURN_ROWS, SMALL_PRODUCT = 32, 1_000_000
STRIP_WIDTH = 128  # columns that a task of the backward owns on the n side


def rows_of(z: Tensor) -> Tensor:
    return z.to(spec.compute_dtype(z.dtype)).contiguous()


WIDE = np.dtype(np.float64)


def empty(*size: int, dtype: np.dtype = WIDE) -> np.ndarray:
    """Through torch, whose uninitialised memory the tests poison."""
    like = torch.empty(size, dtype=torch.float32 if dtype == np.float32 else torch.float64)
    return numba_arrays.array(like)


def arrays(dtype: np.dtype, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Uninitialised arrays side by side: an allocation takes 4 us."""
    sizes = [math.prod(shape) for shape in shapes]
    memory, out, begin = empty(sum(sizes), dtype=dtype), [], 0
    for shape, size in zip(shapes, sizes, strict=True):
        out.append(memory[begin : begin + size].reshape(shape))
        begin += size
    return out


def threads(elements: int) -> int:
    return launching.threads(elements // _ELEMENTS)


def pairs(items: Sequence[Any]) -> Iterator[tuple[slice, tuple[Any, Any]]]:
    """(which count, two items): kernels take two views at once, and the last one may be alone."""
    for i in range(0, len(items), 2):
        two = tuple(items[i : i + 2])
        yield slice(i, i + len(two)), (two[0], two[-1])


def column_moments(
    views: Sequence[np.ndarray], center: bool, mean: np.ndarray, squares: np.ndarray
) -> None:
    """Writes mean and sum of squared deviations of the columns: (views, D), float64."""
    for of, two in pairs(views):
        workers = threads(len(mean[of]) * two[0].size)
        launching.run(kernels.columns, workers, two, center, mean[of], squares[of])


def squared_distance(a: np.ndarray, b: np.ndarray) -> float:
    out = empty(-(-len(a) // kernels.ROWS))
    launching.run(kernels.distance, threads(a.size), a, b, out)
    return float(out.sum())


def standardising(
    views: Sequence[np.ndarray], mean: np.ndarray, scale: np.ndarray, dtype: np.dtype
) -> list[View]:
    """mean, scale: (views, D), float64. The rows of the gradient are left to be written."""
    columns = empty(len(views), kernels.FACTORS, mean.shape[1], dtype=dtype)
    columns[:, kernels.MEAN] = mean
    columns[:, kernels.REST] = mean - columns[:, kernels.MEAN]
    columns[:, kernels.SCALE] = scale
    return [View(z, own) for z, own in zip(views, columns, strict=True)]


def vicreg_forward(
    views: Sequence[np.ndarray],
    settings: Settings,
    moments: VICRegMoments,
    with_distance: bool,
    out: np.ndarray | None,
) -> None:
    """Writes second moments to `out` and everything else to `moments` (the distance where asked, of
    two views; off_diagonal with `out` alone)."""
    n, dim = views[0].shape
    dtype = views[0].dtype
    distance = -(-n // kernels.ROWS) if with_distance else 0
    strips = -(-dim // kernels.STRIP)
    small = out is not None and out.shape[1] <= PART_SIDE
    standardised_views: list[View] = []
    for of, two in pairs(views):
        own = moments_of(moments, of)
        count = len(own.mean)
        workers = threads(count * n * dim)
        parts, result = _nothing(dtype)
        shapes = (count, kernels.STANDARDISING, dim), (count * strips + distance, 2)
        if out is not None and small:
            parts, result, columns, sums = in_parts(
                workers, out[of], own.off_diagonal, (n, dim), *shapes
            )
        else:
            (columns,), (sums,) = arrays(dtype, shapes[0]), arrays(WIDE, shapes[1])
        arguments = (two, settings, own, columns, sums, parts, result)
        launching.run(numba_vicreg.forward, workers, *arguments, blas=small)
        standardised_views += [View(z, x) for z, x in zip(views[of], columns, strict=True)]
    if out is not None and not small:
        moments.off_diagonal[:] = second_moments(standardised_views, out)[0]


def standardised(view: View, squares: np.ndarray) -> np.ndarray:
    """x; with entries in `squares`, also each row's sum of squares."""
    x = empty(*view.z.shape, dtype=view.columns.dtype)
    launching.run(kernels.standardise, threads(x.size), view, x, squares)
    return x


def second_moments(views: Sequence[View], out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Writes every view's x x^T with its diagonal from float64 (n side), or x^T x; (the sums of its
    squares, on the dim side without the diagonal, the diagonals of the n side)."""
    shape, side = views[0].z.shape, out.shape[1]
    gram = spec.gram(*shape)
    total, diagonals = arrays(WIDE, (len(views),), (len(views), side if gram else 0))
    if side <= PART_SIDE:
        for of, two in pairs(views):
            workers = threads(len(total[of]) * math.prod(shape))
            parts, result, *_ = in_parts(workers, out[of], total[of], shape)
            launching.run(numba_parts.moments_in_parts, workers, two, parts, result, blas=True)
            diagonals[of] = result.squares[:, 0]
        return total, diagonals
    for v, (view, matrix, diagonal) in enumerate(zip(views, out, diagonals, strict=True)):
        x = standardised(view, diagonal)
        total[v] = product(x, x, gram, matrix, matrix) + np.square(diagonal).sum()
        if gram:
            np.fill_diagonal(matrix, diagonal)
    return total, diagonals


def in_parts(
    workers: int,
    out: np.ndarray,
    total: np.ndarray,
    shape: tuple[int, ...],
    columns: tuple[int, ...] = (0,),
    sums: tuple[int, ...] = (0,),
) -> tuple[Parts, SecondMoments, np.ndarray, np.ndarray]:
    """What as many views of this shape as `out` has need for their second moments, and beside it
    two arrays, in the dtype of `out` and in float64."""
    count, side, _ = out.shape
    gram, depth = spec.gram(*shape), shape[0] * shape[1] // side
    size = -(-depth // min(PARTS, max(1, depth // PART_DEPTH)))
    parts = -(-depth // size)
    partial, tile, first = arrays(
        out.dtype,
        (count if parts > 1 else 0, parts, side, side),
        (workers, side * min(size, numba_parts.DEPTH)),
        columns,
    )
    squares, row_sums, second = arrays(
        WIDE, (count, parts, side if gram else 0), (count, side), sums
    )
    return (
        Parts(gram, size, partial, tile),
        SecondMoments(out, squares, row_sums, total),
        first,
        second,
    )


@cache
def _nothing(dtype: np.dtype) -> tuple[Parts, SecondMoments]:
    """For a launch without second moments."""
    parts = Parts(False, 1, np.empty((0, 0, 0, 0), dtype), np.empty((0, 0), dtype))
    none = np.empty((0, 0, 0)), np.empty((0, 0)), np.empty(0)
    return parts, SecondMoments(np.empty((0, 0, 0), dtype), *none)


def product(a: np.ndarray, b: np.ndarray, gram: bool, out: np.ndarray, mirror: np.ndarray) -> float:
    """out = a b^T where `gram`, a^T b otherwise, mirror its transpose; returns the sum of squares
    off the diagonal."""
    side, depth = a.shape if gram else a.shape[::-1]
    symmetric = out is mirror
    block = kernels.block_size(side)
    count = -(-side // block)
    sums = empty(count * (count + 1) // 2 if symmetric else count * count)
    workers = launching.threads(min(sums.size, side * side * depth // _PRODUCTS))
    tile = empty(workers, block * block, dtype=a.dtype)
    arguments = (a, b, gram, block, symmetric, tile, out, mirror, sums)
    launching.run(kernels.second_moments, workers, *arguments, blas=True)
    return float(sums.sum())


def inner_product(a: np.ndarray, b: np.ndarray) -> float:
    """Sum over i != j of a_ij b_ij."""
    sums = empty(len(a))
    launching.run(kernels.inner_product, threads(a.size), a, b, sums)
    return float(sums.sum())


def difference(total: float, diagonal: float) -> float:
    """The penalty as the difference of two sums: never negative by rounding, NaN stays."""
    off = total - diagonal
    return 0.0 if off < 0 else off


def cancels(z: np.ndarray, off: float, diagonal: float) -> bool:
    if not (z.dtype == np.float32 and spec.gram(*z.shape)):
        return False
    return bool(diagonal > spec.MAX_CANCELLATION * off)


def task(view: View, y: View | None, other: np.ndarray | None, out: np.ndarray) -> Task:
    """None: without entries."""
    none = _none(out.dtype)
    y = View(none, view.columns) if y is None else y
    return Task(view, y, none if other is None else other, out)


@cache
def _none(dtype: np.dtype) -> np.ndarray:
    return np.empty((0, 0), dtype)


def gradients_of(
    work: Sequence[Task], k: Coefficients, factors: Factors | None, matrices: np.ndarray | None
) -> None:
    """Writes the gradients of views with second moments S (views, side, side), or without.

    factors: of all views, for those whose columns are to be written."""
    n, dim = work[0].out.shape
    dtype = work[0].own.columns.dtype
    strips = matrices is not None and spec.gram(n, dim)
    size = STRIP_WIDTH if strips else min(128, max(16, -(-n // 8)))
    if not strips and matrices is not None and TURN_ROWS * dim * dim <= SMALL_PRODUCT:
        size = TURN_ROWS
    turns = -(-n // size) if k.projected and not strips else 1
    if matrices is None:
        matrices = np.empty((0, 0, 0), dtype)
    for of, two in pairs(work):
        count, given = of.stop - of.start, matrices[of]
        workers = threads(count * n * dim)
        split, diagonals, tile = arrays(
            dtype,
            *(given.shape, given.shape[:2], (workers, 3, size * (n if strips else dim))),
        )
        along = empty(count, turns, dim)
        own = _no_factors(dtype) if factors is None else factors_of(factors, of)
        arguments = (own, Matrices(given, split, diagonals), strips, size, tile, along)
        launching.run(gradients.gradients, workers, two, k, *arguments, blas=True)


def moments_of(moments: VICRegMoments, views: slice) -> VICRegMoments:
    if len(moments.mean) <= 2:
        return moments
    return VICRegMoments(moments.distance, *(part[views] for part in moments[1:]))


def factors_of(factors: Factors, views: slice) -> Factors:
    if len(factors.columns) <= 2:
        return factors
    columns = factors.columns[views]
    return factors._replace(moments=moments_of(factors.moments, views), columns=columns)


@cache
def _no_factors(dtype: np.dtype) -> Factors:
    """For a launch whose columns are written."""
    none = VICRegMoments(*(np.empty(0) for _ in range(4)), *(np.empty((0, 0)) for _ in range(2)))
    columns = np.empty((0, kernels.FACTORS, 0), dtype)
    return Factors(Settings(1.0, 1.0, 1.0, False), none, 0.0, 0.0, columns)
