"""VICReg in numba: what it takes from every column (the hinge, what standardises the views, the
vectors of its gradient), and a forward of one launch where the side is small.

In numpy the columns were dozens of calls of a microsecond and more each.
"""

# mypy: disable-error-code=no-untyped-def

import math
from typing import NamedTuple

import numpy as np

from tsssl_fast.backends.numba.compiling import part
from tsssl_fast.backends.numba.launching import finish, kernel, take, wait_for
from tsssl_fast.ops.decorrelation.numba.kernels import moments as kernels
from tsssl_fast.ops.decorrelation.numba.kernels.moments import ROWS, STRIP, View
from tsssl_fast.ops.decorrelation.numba.kernels.parts import moments_phases
from tsssl_fast.ops.decorrelation.spec import VICRegMoments


class Settings(NamedTuple):
    gamma: float
    eps: float
    norm_eps: float
    correlation: bool


@kernel
def forward(counter, thread, views, settings, moments, columns, sums, parts, result):
    """Of the first len(columns) of two views: `moments` without off_diagonal, what standardises
    them in columns[v], and then second moments where `result` has room for any view's.

    sums: two numbers a task; with those past the columns' tasks, of the squared distance of both.
    """
    n, dim = views[0].shape
    count, strips = len(columns), (dim + STRIP - 1) // STRIP
    task = take(counter)
    while task < len(sums):
        v, first = task // strips, task % strips * STRIP
        if v < count:
            last = min(first + STRIP, dim)
            mean, squares = moments.mean[v, first:last], moments.squares[v, first:last]
            kernels.column_moments(views[v], first, True, mean, squares)
            sums[task, 0] = sums[task, 1] = 0.0
            for c in range(last - first):
                scale = _standardising(mean[c], squares[c], settings, columns[v], first + c)
                sums[task, 1] += (squares[c] * scale * scale) ** 2
                deviation = _deviation(squares[c], n, settings)
                if not deviation >= settings.gamma:
                    sums[task, 0] += settings.gamma - deviation
        else:
            begin = (task - count * strips) * ROWS
            sums[task, 0] = kernels.distance_of_rows(views[0], views[1], begin)
        if finish(counter, 1) == len(sums):
            _add_up(sums, count, strips, moments)
        task = take(counter)
    if len(result.total) > 0:
        wait_for(counter, 1, len(sums))
        own = View(views[0], columns[0]), View(views[1], columns[count - 1])
        moments_phases(counter, thread, task, len(sums), 2, own, parts, result)


@part
def _add_up(sums, count, strips, moments):
    for v in range(count):
        moments.hinge[v] = moments.diagonal[v] = 0.0
        for task in range(v * strips, (v + 1) * strips):
            moments.hinge[v] += sums[task, 0]
            moments.diagonal[v] += sums[task, 1]
    for task in range(count * strips, len(sums)):
        moments.distance[0] += sums[task, 0]


@part
def _standardising(mean, squares, settings, out, j):
    """Writes what standardises column j; returns the scale in float64."""
    scale = 1.0
    if settings.correlation:
        norm = math.sqrt(squares)
        scale = 1.0 / (settings.norm_eps if norm < settings.norm_eps else norm)  # NaN stays
    number = out.dtype.type
    out[kernels.MEAN, j] = number(mean)
    out[kernels.REST, j] = number(mean - out[kernels.MEAN, j])
    out[kernels.SCALE, j] = number(scale)
    return scale


@part
def _deviation(squares, n, settings):
    return math.sqrt(squares / (n - 1) + settings.eps)


class Factors(NamedTuple):
    """What the gradient's factors of a column are made of; they are written to `columns` (as many
    views as that has). hinge: the derivative of the loss in the hinge's raw sum; inner: four times
    that in the raw sum of squares, on the n side alone."""

    settings: Settings
    moments: VICRegMoments
    hinge: float
    inner: float
    columns: np.ndarray


@part
def write_factors(factors, v, n, first, last):
    """columns[v] from column `first` to `last` - 1, without CROSS."""
    settings, moments, hinge, inner, columns = factors
    out = columns[v]
    for c in range(first, last):
        squares = moments.squares[v, c]
        scale = _standardising(moments.mean[v, c], squares, settings, out, c)
        deviation = _deviation(squares, n, settings)
        slope = 0.0 if deviation >= settings.gamma else -hinge / ((n - 1) * deviation)
        out[kernels.INNER, c] = -inner * squares * scale * scale
        out[kernels.OUTER, c] = slope / scale
        out[kernels.PROJECT, c] = 1.0 if scale * settings.norm_eps < 1 else 0.0
