"""The backward of the decorrelation family in numba: rows or columns are standardised, multiplied
and turned into gradients while they lie in L2; no standardised copy of a view is made.

Rows of a loop body are few arrays at a time: with more, LLVM gives up on telling them apart and
the loop stays scalar (1 against 0.2 ns a number).
"""

# mypy: disable-error-code=no-untyped-def

from typing import NamedTuple

import numpy as np

from tsssl_fast._jit import kernel, multiply, part, take
from tsssl_fast.ops.decorrelation.numba_kernels import ROWS, View, standard


class Pull(NamedTuple):
    """g = alpha (product) + (diagonal_i + inner_j) x + cross_j y, then
    out = scale_j (g - project_j <g_j, x_j> x_j) + outer_j x + apart (z - other).

    Arrays without entries: zero, but for inner and outer."""

    alpha: float  # numbers and arrays in the dtype of the product
    diagonal: np.ndarray
    inner: np.ndarray
    cross: np.ndarray
    project: np.ndarray
    outer: np.ndarray
    apart: float  # in the dtype of the gradient
    other: np.ndarray


class Task(NamedTuple):
    """One view's gradient. y: what S multiplies on the dim side and cross elsewhere; without
    entries it is x."""

    view: View
    y: View
    pull: Pull
    out: np.ndarray


@part
def _own(g, alpha, own, inner, x):
    for c in range(len(g)):
        g[c] = alpha * g[c] + (own + inner[c]) * x[c]


@part
def _add_product(g, factor, y):
    for c in range(len(g)):
        g[c] += factor[c] * y[c]


@part
def _add_along(total, g, x):
    for c in range(len(g)):
        total[c] += np.float64(g[c]) * np.float64(x[c])


@part
def _last(out, scale, g, x, outer):
    for c in range(len(out)):
        out[c] = scale[c] * g[c] + outer[c] * x[c]


@part
def _projected(out, scale, g, x, outer, along):
    for c in range(len(out)):
        out[c] = scale[c] * (g[c] - along[c] * x[c]) + outer[c] * x[c]


@part
def _add_apart(out, z, other, factor):
    for c in range(len(out)):
        out[c] += factor * (z[c] - other[c])


@kernel
def strips(counter, thread, work, squares, width, tile, line, sums):
    """The n side, product = square x, of the first len(squares) of two views: a turn owns `width`
    columns."""
    n, dim = work[0].out.shape
    turns = (dim + width - 1) // width
    while True:
        turn = take(counter)
        if turn >= len(squares) * turns:
            break
        v, c0 = turn // turns, turn % turns * width
        c1 = min(c0 + width, dim)
        view, y, pull, out = work[v]
        z, columns = view
        x = tile[thread, 0, : n * (c1 - c0)].reshape((n, c1 - c0))
        g = tile[thread, 1, : n * (c1 - c0)].reshape((n, c1 - c0))
        for i in range(n):
            standard(z[i, c0:c1], columns, c0, x[i])
        multiply(squares[v], False, x, False, 0.0, g)
        along, row = sums[thread, : c1 - c0], line[thread, : c1 - c0]
        along[:] = 0.0
        for i in range(n):
            _own(g[i], pull.alpha, pull.diagonal[i], pull.inner[c0:c1], x[i])
            if pull.cross.size > 0:
                standard(y.z[i, c0:c1], y.columns, c0, row)
                _add_product(g[i], pull.cross[c0:c1], row)
            if pull.project.size > 0:
                _add_along(along, g[i], x[i])
        scale, outer = columns.scale[c0:c1], pull.outer[c0:c1]
        if pull.project.size > 0:
            for c in range(c1 - c0):
                row[c] = pull.project[c0 + c] * along[c]
        for i in range(n):
            to = out[i, c0:c1]
            if pull.project.size > 0:
                _projected(to, scale, g[i], x[i], outer, row)
            else:
                _last(to, scale, g[i], x[i], outer)
            if pull.other.size > 0:
                _add_apart(to, z[i, c0:c1], pull.other[i, c0:c1], pull.apart)


@kernel
def rows(counter, thread, work, count, squares, size, tile, line, along):
    """The dim side, product = y square (without squares: 0), of the first `count` of two views: a
    turn owns `size` rows.

    With `project` out is g alone, and along[v, turn] the columns' sums of g x, for `project_rows`.
    """
    n, dim = work[0].out.shape
    turns = (n + size - 1) // size
    while True:
        turn = take(counter)
        if turn >= count * turns:
            break
        v, turn = turn // turns, turn % turns
        i0, i1 = turn * size, min(turn * size + size, n)
        view, y, pull, out = work[v]
        z, columns = view
        same = y.z.size == 0  # y is x
        a = tile[thread, 0, : (i1 - i0) * dim].reshape((i1 - i0, dim))
        g = tile[thread, 1, : (i1 - i0) * dim].reshape((i1 - i0, dim))
        for i in range(i0, i1):
            if same:
                standard(z[i], columns, 0, a[i - i0])
            else:
                standard(y.z[i], y.columns, 0, a[i - i0])
        if squares.size > 0:
            multiply(a, False, squares[v], False, 0.0, g)
        else:
            g[:] = 0
        if pull.project.size > 0:
            along[v, turn] = 0.0
        for i in range(i0, i1):
            x = a[i - i0]
            if not same:
                x = line[thread, :dim]
                standard(z[i], columns, 0, x)
            _own(g[i - i0], pull.alpha, out.dtype.type(0), pull.inner, x)
            if pull.cross.size > 0:
                _add_product(g[i - i0], pull.cross, a[i - i0])
            if pull.project.size > 0:
                _add_along(along[v, turn], g[i - i0], x)
                for c in range(dim):
                    out[i, c] = g[i - i0, c]
            else:
                _last(out[i], columns.scale, g[i - i0], x, pull.outer)
                if pull.other.size > 0:
                    _add_apart(out[i], z[i], pull.other[i], pull.apart)


@kernel
def project_rows(counter, thread, task, factor, line):
    """out = g, `rows`' result, into gradients; factor: project times the sums of g x."""
    (z, columns), _, pull, out = task
    n = len(z)
    while True:
        begin = take(counter) * ROWS
        if begin >= n:
            break
        x = line[thread, : out.shape[1]]
        for i in range(begin, min(begin + ROWS, n)):
            standard(z[i], columns, 0, x)
            _projected(out[i], columns.scale, out[i], x, pull.outer, factor)
            if pull.other.size > 0:
                _add_apart(out[i], z[i], pull.other[i], pull.apart)
