"""Second moments of a small side in numba: summed from parts of the depth, whose rows or columns
are standardised as they are multiplied with themselves, little more than half of the products.

A part has its own place, and the parts are added in order: the same bits for any number of threads.
"""

# mypy: disable-error-code=no-untyped-def

from typing import NamedTuple

import numpy as np

from tsssl_fast.backends.numba.blas import add_own_product, multiply
from tsssl_fast.backends.numba.compiling import part
from tsssl_fast.backends.numba.launching import finish, kernel, take, wait_for
from tsssl_fast.ops.decorrelation.numba.kernels.moments import ROWS, square_sum, standard

# Up to 1e6 products OpenBLAS multiplies without copying its operands: 112 GFlop/s in blocks of
# ROWS x WIDTH x DEPTH, where its syrk at 128 x 128 x 256 has 63.
DEPTH, WIDTH = 128, 128


class Parts(NamedTuple):
    """size: terms of the depth of a part; partial[v, p]: upper triangles of the parts, without
    entries where there is one part; tile: a thread's standardised rows or columns."""

    gram: bool
    size: int
    partial: np.ndarray
    tile: np.ndarray


class SecondMoments(NamedTuple):
    """matrix: of every view x x^T (`gram`), whose diagonal is summed in float64, or x^T x; total:
    the sum of its squares, with the diagonal where `gram`.

    squares[v, p] (gram): of part p the diagonal, in the end squares[v, 0] that of all; sums:
    of a row, what it adds to total."""

    matrix: np.ndarray
    squares: np.ndarray
    sums: np.ndarray
    total: np.ndarray


@kernel
def moments_in_parts(counter, thread, views, parts, result):
    """x x^T where `gram`, x^T x otherwise, of the first len(result.total) of two views."""
    moments_phases(counter, thread, take(counter), 0, 1, views, parts, result)


@part
def moments_phases(counter, thread, task, begin, phase, views, parts, result):
    """The same in two phases of a kernel, whose tasks begin with number `begin`: parts, then ROWS
    rows of their sum, mirrored, with their diagonal and their squares."""
    views_of, count, side = len(result.total), result.squares.shape[1], result.matrix.shape[1]
    summed = begin + views_of * count
    while task < summed:
        v, p = (task - begin) // count, (task - begin) % count
        out = result.matrix[v] if count == 1 else parts.partial[v, p]
        _part_of_moments(views[v], parts, p, parts.tile[thread], out, result.squares[v, p])
        finish(counter, phase)
        task = take(counter)
    wait_for(counter, phase, summed - begin)
    strips = (side + ROWS - 1) // ROWS
    while task < summed + views_of * strips:
        v, i0 = (task - summed) // strips, (task - summed) % strips * ROWS
        out, squares, sums = result.matrix[v], result.squares[v], result.sums[v]
        i1 = min(i0 + ROWS, side)
        for i in range(i0, i1):
            row = out[i, i:side]
            if count > 1:
                row[:] = 0.0
                for p in range(count):
                    _add(row, parts.partial[v, p, i, i:side])
            sums[i] = 2 * square_sum(row[1:])
            if parts.gram:
                for p in range(1, count):
                    squares[0, i] += squares[p, i]
                row[0] = squares[0, i]
                sums[i] += squares[0, i] ** 2
        for j in range(i0, side):
            for i in range(i0, min(i1, j)):  # the inner loop writes side by side
                out[j, i] = out[i, j]
        if finish(counter, phase + 1) == views_of * strips:
            for view in range(views_of):
                total = 0.0
                for i in range(side):
                    total += result.sums[view, i]
                result.total[view] = total
        task = take(counter)


@part
def _part_of_moments(view, parts, p, tile, out, squares):
    """The upper triangle of part p; its rows' sums of squares where `gram`."""
    n, dim = view.z.shape
    end = min((p + 1) * parts.size, dim if parts.gram else n)
    before = 0.0
    squares[:] = 0.0
    for k0 in range(p * parts.size, end, DEPTH):
        depth = min(DEPTH, end - k0)
        i0, c0, height, width = (0, k0, n, depth) if parts.gram else (k0, 0, depth, dim)
        x = tile[: height * width].reshape((height, width))
        standard(view, i0, c0, x)
        if parts.gram:
            for i in range(n):
                squares[i] += square_sum(x[i])
            add_own_product(x, False, before, out)
        else:
            for i in range(0, dim, ROWS):
                for j in range(i, dim, WIDTH):
                    a, b = x[:, i : min(i + ROWS, dim)], x[:, j : min(j + WIDTH, dim)]
                    to = out[i : min(i + ROWS, dim), j : min(j + WIDTH, dim)]
                    multiply(a, True, b, False, before, to)
        before = 1.0


@part
def _add(total, x):
    for c in range(len(total)):
        total[c] += x[c]
