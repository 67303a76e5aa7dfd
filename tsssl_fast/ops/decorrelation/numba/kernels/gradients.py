"""The backward of the decorrelation family in numba, one launch for two views: rows or columns are
standardised, multiplied and turned into gradients while they lie in L2; no standardised copy of a
view is made.

Rows of a loop body are few arrays at a time: with more, LLVM gives up on telling them apart and
the loop stays scalar (1 against 0.2 ns a number).
"""

# mypy: disable-error-code=no-untyped-def

from typing import NamedTuple

import numpy as np

from tsssl_fast.backends.numba.blas import multiply
from tsssl_fast.backends.numba.compiling import part
from tsssl_fast.backends.numba.launching import finish, kernel, take, wait_for
from tsssl_fast.ops.decorrelation.numba.kernels import moments as kernels
from tsssl_fast.ops.decorrelation.numba.kernels.columns import write_factors
from tsssl_fast.ops.decorrelation.numba.kernels.moments import ROWS, STRIP, View, standard


class Task(NamedTuple):
    """The gradient of own's z. y: what S multiplies on the dim side and cross elsewhere; without
    entries it is x. other: the view that it is to agree with, or without entries."""

    own: View
    y: View
    other: np.ndarray
    out: np.ndarray


class Coefficients(NamedTuple):
    """g = alpha (product) + (alpha S_ii + INNER_j) x + CROSS_j y, then
    out = SCALE_j (g - PROJECT_j <g_j, x_j> x_j) + OUTER_j x + invariance (z - other).

    INNER and S_ii on the n side alone; CROSS where `crossed`, PROJECT where `projected`."""

    alpha: float  # in the dtype of the product
    invariance: float  # in the dtype of the gradient
    crossed: bool
    projected: bool


class Matrices(NamedTuple):
    """S of every view, or of none; alpha S without the diagonal, and that."""

    given: np.ndarray
    split: np.ndarray
    diagonals: np.ndarray


@kernel
def gradients(counter, thread, work, k, factors, matrices, gram, size, tile, along):
    """Of the first len(along) of two views. On the n side (`gram`: product = S x) a turn owns
    `size` columns, on the dim side (product = y S, without S 0) `size` rows.

    along[v, 0] (on the dim side along[v, turn], where `projected`): the columns' sums of g x.
    """
    n, dim = work[0].out.shape
    memory, count, side = tile[thread], len(along), matrices.split.shape[1]
    strips, blocks = (dim + STRIP - 1) // STRIP, (side + ROWS - 1) // ROWS
    filled = len(factors.columns) * strips
    prepared = filled + len(matrices.split) * blocks
    task = take(counter)
    while task < prepared:
        if task < filled:
            v, first = task // strips, task % strips * STRIP
            write_factors(factors, v, n, first, min(first + STRIP, dim))
        else:
            v, begin = (task - filled) // blocks, (task - filled) % blocks * ROWS
            _split(matrices, v, begin, min(begin + ROWS, side), k.alpha)
        finish(counter, 1)
        task = take(counter)
    wait_for(counter, 1, prepared)
    turns = ((dim if gram else n) + size - 1) // size
    once = gram or not k.projected  # else the projection waits for the sums of all rows
    multiplied = prepared + count * turns
    while task < (multiplied if once else multiplied + count * turns):
        first = task < multiplied
        v, turn = (task - prepared) // turns % count, (task - prepared) % turns
        i0, c0 = (0, turn * size) if gram else (turn * size, 0)
        height, width = (n, min(size, dim - c0)) if gram else (min(size, n - i0), dim)
        sums = along[v, turn if first and not once else 0, c0 : c0 + width]
        if not first:
            wait_for(counter, 3, 1)
        at = i0, height, c0, width
        _turn(work[v], k, matrices, v, gram, first, once, at, memory, sums)
        if first and finish(counter, 2) == count * turns:
            _add_up(along)
            finish(counter, 3)
        task = take(counter)


@part
def _add_up(along):
    """along[v, 0]: the sum of all."""
    for v in range(len(along)):
        for turn in range(1, along.shape[1]):
            for c in range(along.shape[2]):
                along[v, 0, c] += along[v, turn, c]


@part
def _split(matrices, v, begin, end, alpha):
    given, split, diagonal = matrices.given[v], matrices.split[v], matrices.diagonals[v]
    for i in range(begin, end):
        for j in range(len(split)):
            split[i, j] = alpha * given[i, j]
        diagonal[i] = split[i, i]
        split[i, i] = 0.0


@part
def _turn(task, k, matrices, v, gram, first, once, at, memory, along):
    """`height` rows and `width` columns of out from i0, c0 on. Where not `once`: at first g alone,
    which the second turn finishes. along: the columns' sums of g x."""
    i0, height, c0, width = at
    columns, size = task.own.columns, height * width
    x, g = memory[0, :size].reshape((height, width)), memory[1, :size].reshape((height, width))
    y = memory[2, :size].reshape((height, width))
    standard(task.own, i0, c0, x)
    if first:
        if k.crossed:
            standard(task.y, i0, c0, y)
        if len(matrices.split) == 0:
            g[:] = 0.0
        elif gram:
            multiply(matrices.split[v], False, x, False, 0.0, g)
            _add_own(g, matrices.diagonals[v], columns[kernels.INNER, c0 : c0 + width], x)
        elif k.crossed:
            multiply(y, False, matrices.split[v], False, 0.0, g)
        else:
            multiply(x, False, matrices.split[v], False, 0.0, g)
        if k.crossed:
            _add_product(g, columns[kernels.CROSS, c0 : c0 + width], y)
        if k.projected:
            along[:] = 0.0
            _add_along(along, g, x)
    if once or not first:
        line = memory[2, :width]  # of x: scale (g - p x) + outer x
        for c in range(width):
            line[c] = columns[kernels.OUTER, c0 + c]
            if k.projected:
                projected = columns[kernels.PROJECT, c0 + c] * along[c]
                line[c] -= columns[kernels.SCALE, c0 + c] * projected
    for i in range(height):
        to, row = task.out[i0 + i, c0 : c0 + width], g[i]
        if not first:
            _copy(row, to)
        if once or not first:
            _scaled(to, columns[kernels.SCALE, c0 : c0 + width], row, line, x[i])
            if task.other.size > 0:
                z, other = task.own.z[i0 + i, c0 : c0 + width], task.other[i0 + i, c0 : c0 + width]
                _add_difference(to, z, other, k.invariance)
        else:
            _copy(to, row)


@part
def _add_own(g, own, inner, x):
    for i in range(len(g)):
        to, row, factor = g[i], x[i], own[i]
        for c in range(len(to)):
            to[c] += (factor + inner[c]) * row[c]


@part
def _add_product(g, factor, y):
    for i in range(len(g)):
        to, row = g[i], y[i]
        for c in range(len(to)):
            to[c] += factor[c] * row[c]


@part
def _add_along(total, g, x):
    for i in range(len(g)):
        a, b = g[i], x[i]
        for c in range(len(total)):
            total[c] += np.float64(a[c]) * np.float64(b[c])


@part
def _copy(out, x):
    for c in range(len(out)):
        out[c] = x[c]


@part
def _scaled(out, scale, g, factor, x):
    for c in range(len(out)):
        out[c] = scale[c] * g[c] + factor[c] * x[c]


@part
def _add_difference(out, z, other, factor):
    for c in range(len(out)):
        out[c] += factor * (z[c] - other[c])
