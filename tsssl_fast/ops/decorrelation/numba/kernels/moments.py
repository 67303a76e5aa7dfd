"""The kernels of the decorrelation family in numba: csrc/decorrelation.

Every task owns what it writes, and its sums go to a place of their own: the same bits for any
number of threads. Matrices of one or two sides are products of row blocks by BLAS.
"""

# mypy: disable-error-code=no-untyped-def

from typing import NamedTuple

import numpy as np

from tsssl_fast.backends.numba.blas import multiply
from tsssl_fast.backends.numba.compiling import SUMS, part
from tsssl_fast.backends.numba.launching import kernel, take

STRIP = 128  # columns whose statistics one task takes
ROWS = 32  # rows that one task standardises
BLOCK = 192  # rows of a block of second moments, at most
# Depth that is summed in one go: BLAS takes a 16 x 16 product of 2048 rows as one chain, 9 ulp off.
DEPTH = 256


def block_size(side: int) -> int:
    """Small matrices in a few blocks, so that two or four threads find equal work."""
    return min(BLOCK, max(32, -(-side // 4 + 15) // 16 * 16))


# Sums over the rows of columns first to last - 1; four rows at a time, or every addition waits for
# the store of the one before. `last` is len(total) past `first`.


@part
def _add_rows(z, i, first, total):
    last = first + len(total)
    if i + 4 <= len(z):
        a, b = z[i, first:last], z[i + 1, first:last]
        c, d = z[i + 2, first:last], z[i + 3, first:last]
        for j in range(len(total)):
            pair = (total[j] + np.float64(a[j])) + np.float64(b[j])
            total[j] = (pair + np.float64(c[j])) + np.float64(d[j])
    else:
        for row in range(i, len(z)):
            a = z[row, first:last]
            for j in range(len(total)):
                total[j] += np.float64(a[j])


@part
def _add_squares(z, i, first, mean, total):
    last = first + len(total)
    if i + 4 <= len(z):
        a, b = z[i, first:last], z[i + 1, first:last]
        c, d = z[i + 2, first:last], z[i + 3, first:last]
        for j in range(len(total)):
            p, q = np.float64(a[j]) - mean[j], np.float64(b[j]) - mean[j]
            r, s = np.float64(c[j]) - mean[j], np.float64(d[j]) - mean[j]
            total[j] = (((total[j] + p * p) + q * q) + r * r) + s * s
    else:
        for row in range(i, len(z)):
            a = z[row, first:last]
            for j in range(len(total)):
                p = np.float64(a[j]) - mean[j]
                total[j] += p * p


@part
def column_moments(z, first, center, mean, squares):
    """Mean (0 without `center`) and sum of squared deviations, in float64, of len(mean) columns
    from `first` on."""
    n, count = len(z), len(mean)
    for c in range(count):
        mean[c] = squares[c] = 0.0
    for i in range(0, n if center else 0, 4):
        _add_rows(z, i, first, mean)
    for c in range(count):
        mean[c] = mean[c] / n
    for i in range(0, n, 4):
        _add_squares(z, i, first, mean, squares)


@kernel
def columns(counter, thread, views, center, mean, squares):
    """Mean and sum of squared deviations of every column of the first len(mean) of two views."""
    dim = views[0].shape[1]
    strips = (dim + STRIP - 1) // STRIP
    while True:
        task = take(counter)
        if task >= len(mean) * strips:
            break
        v, first = task // strips, task % strips * STRIP
        last = min(first + STRIP, dim)
        column_moments(views[v], first, center, mean[v, first:last], squares[v, first:last])


@kernel
def cross(counter, thread, a, mean_a, b, mean_b, out):
    """Sum over the rows of (a - mean_a)(b - mean_b) for every column."""
    n, dim = a.shape
    while True:
        first = take(counter) * STRIP
        if first >= dim:
            break
        last = min(first + STRIP, dim)
        for c in range(first, last):
            out[c] = 0.0
        for i in range(n):
            for c in range(first, last):
                out[c] += (np.float64(a[i, c]) - mean_a[c]) * (np.float64(b[i, c]) - mean_b[c])


@part(fastmath=SUMS)
def _distance(a, b):
    total = 0.0
    for c in range(len(a)):
        d = np.float64(a[c]) - np.float64(b[c])
        total += d * d
    return total


@part
def distance_of_rows(a, b, begin):
    """Sum of (a - b)^2 over ROWS rows."""
    total = 0.0
    for i in range(begin, min(begin + ROWS, len(a))):
        total += _distance(a[i], b[i])
    return total


@kernel
def distance(counter, thread, a, b, out):
    """out[task]: the sum of (a - b)^2 over the task's rows."""
    while True:
        task = take(counter)
        if task >= len(out):
            break
        out[task] = distance_of_rows(a, b, task * ROWS)


# Rows of a view's `columns`, one number a column in the dtype of the result. The first three
# standardise it, with the mean in two parts: without its rest half an ulp of it stays behind. The
# others are the gradient's (gradients.Coefficients).
MEAN, REST, SCALE, INNER, OUTER, CROSS, PROJECT = range(7)
STANDARDISING, FACTORS = 3, 7


class View(NamedTuple):
    """x = standardised z."""

    z: np.ndarray
    columns: np.ndarray


@part
def standard(view, i0, c0, out):
    """x = ((z - mean) - rest) scale of as many rows and columns as `out` has, from i0, c0 on."""
    z, columns = view
    number, c1 = out.dtype.type, c0 + out.shape[1]
    mean, rest, scale = columns[MEAN, c0:c1], columns[REST, c0:c1], columns[SCALE, c0:c1]
    for i in range(len(out)):
        row, to = z[i0 + i, c0:c1], out[i]
        for c in range(len(to)):
            to[c] = ((number(row[c]) - mean[c]) - rest[c]) * scale[c]


@part(fastmath=SUMS)
def square_sum(x):
    total = 0.0
    for c in range(len(x)):
        total += np.float64(x[c]) * np.float64(x[c])
    return total


@kernel
def standardise(counter, thread, view, out, squares):
    """Standardised rows and, where asked, the sum of each row's squares in float64."""
    n = len(out)
    while True:
        begin = take(counter) * ROWS
        if begin >= n:
            break
        end = min(begin + ROWS, n)
        standard(view, begin, 0, out[begin:end])
        for i in range(begin, end if squares.size > 0 else begin):
            squares[i] = square_sum(out[i])


@part(fastmath=SUMS)
def _off_diagonal(a, b, i):
    """Sum of a_j b_j without j = i."""
    total = 0.0
    for j in range(min(i, len(a))):
        total += np.float64(a[j]) * np.float64(b[j])
    for j in range(max(0, i + 1), len(a)):
        total += np.float64(a[j]) * np.float64(b[j])
    return total


@kernel
def second_moments(counter, thread, a, b, gram, block, symmetric, tile, out, mirror, sums):
    """out = a b^T where `gram`, a^T b otherwise (mirror: its transpose), in blocks; sums[task]: of
    the squares off the diagonal. Symmetric (a is b, out is mirror): the upper blocks, mirrored."""
    side = len(out)
    count = (side + block - 1) // block
    while True:
        task = take(counter)
        if task >= sums.size:
            break
        bi, bj = task // count, task % count
        if symmetric:
            bi, bj = 0, task
            while bj >= count - bi:
                bj -= count - bi
                bi += 1
            bj += bi
        i0, j0 = bi * block, bj * block
        i1, j1 = min(i0 + block, side), min(j0 + block, side)
        height, width = i1 - i0, j1 - j0
        product = tile[thread][: height * width].reshape((height, width))
        depth = a.shape[1] if gram else len(a)
        for k0 in range(0, depth, DEPTH):
            k1 = min(k0 + DEPTH, depth)
            before = 0.0 if k0 == 0 else 1.0
            if gram:
                multiply(a[i0:i1, k0:k1], False, b[j0:j1, k0:k1], True, before, product)
            else:
                multiply(a[k0:k1, i0:i1], True, b[k0:k1, j0:j1], False, before, product)
        total = 0.0
        for i in range(height):
            total += _off_diagonal(product[i], product[i], i0 + i - j0)
            for j in range(width):
                out[i0 + i, j0 + j] = product[i, j]
        for j in range(width):
            for i in range(height):
                mirror[j0 + j, i0 + i] = product[i, j]
        sums[task] = 2 * total if symmetric and bi != bj else total


@kernel
def inner_product(counter, thread, a, b, sums):
    """sums[i]: of a_ij b_ij over j != i."""
    while True:
        begin = take(counter) * ROWS
        if begin >= len(a):
            break
        for i in range(begin, min(begin + ROWS, len(a))):
            sums[i] = _off_diagonal(a[i], b[i], i)


@kernel
def add_difference(counter, thread, z, other, factor, out):
    """out += factor (z - other)."""
    n, dim = z.shape
    while True:
        begin = take(counter) * ROWS
        if begin >= n:
            break
        for i in range(begin, min(begin + ROWS, n)):
            for c in range(dim):
                out[i, c] += factor * (z[i, c] - other[i, c])
