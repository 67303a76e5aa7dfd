"""`barlow_twins` by the Numba kernels."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from tsssl_fast.backends.numba import arrays, launching
from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.numba import views as numba_views
from tsssl_fast.ops.decorrelation.numba.kernels import moments as numba_kernels
from tsssl_fast.ops.decorrelation.numba.kernels.gradients import Coefficients
from tsssl_fast.ops.decorrelation.numba.kernels.moments import (
    CROSS,
    INNER,
    OUTER,
    PROJECT,
    View,
)
from tsssl_fast.ops.decorrelation.numba.views import WIDE, cancels, difference, standardising
from tsssl_fast.ops.decorrelation.spec import BarlowTwinsMoments


def _barlow_scale(squares: np.ndarray, n: int, eps: float, flags: int) -> np.ndarray:
    return 1 / np.sqrt(squares / (n - 1 if flags & spec.UNBIASED else n) + eps)


def barlow_twins(z: Sequence[Tensor], eps: float, flags: int) -> tuple[Tensor, Tensor]:
    rows = [numba_views.rows_of(v) for v in z]
    views = [arrays.array(r) for r in rows]
    n, dim = views[0].shape
    mean, squares, (cross,) = numba_views.arrays(WIDE, (2, dim), (2, dim), (1, dim))
    numba_views.column_moments(views, bool(flags & spec.CENTER), mean, squares)
    scales = _barlow_scale(squares, n, eps, flags)
    (a, b), threads = views, numba_views.threads(views[0].size)
    launching.run(numba_kernels.cross, threads, a, mean[0], b, mean[1], cross)
    own = cross * scales[0] * scales[1] / n
    on, diagonal = np.square(1 - own).sum(), np.square(own).sum()
    saved = rows[0].new_empty(spec.second_moments(2, n, dim))
    matrices = saved.numpy()
    of = standardising(views, mean, scales, a.dtype)
    if spec.gram(n, dim):
        # Each view's gradient multiplies with the other's Gram matrix.
        off = difference(_gram_product(of[::-1], matrices) / n**2, diagonal)
    else:
        x, y = (numba_views.standardised(view, np.empty(0)) for view in of)
        off = numba_views.product(x, y, False, matrices[1], matrices[0]) / n**2
    if cancels(a, off, diagonal):
        wide = standardising(views, mean, scales, WIDE)
        off = difference(_gram_product(wide, numba_views.empty(2, n, n)) / n**2, diagonal)
    parts = [np.array([on, off, diagonal]), mean.ravel(), squares.ravel(), cross]
    return torch.from_numpy(np.concatenate(parts)), saved


def _gram_product(views: Sequence[View], out: np.ndarray) -> float:
    """Sum over all i, j of a_ij b_ij, the Gram matrices of both views, written to `out`."""
    _, diagonals = numba_views.second_moments(views, out)
    return numba_views.inner_product(*out) + float(diagonals[0] @ diagonals[1])


def barlow_twins_backward(
    upstream: Sequence[float],
    z: Sequence[Tensor],
    moments: Tensor,
    second_moments: Tensor,
    eps: float,
    flags: int,
) -> list[Tensor]:
    rows = [numba_views.rows_of(v) for v in z]
    views = [arrays.array(r) for r in rows]
    n, dim = views[0].shape
    saved = BarlowTwinsMoments.of(moments.numpy(), dim)
    mean = saved.mean
    scales = _barlow_scale(saved.squares, n, eps, flags)
    own = saved.product * scales[0] * scales[1] / n
    # The Gram matrix brings the diagonal along; on the dim side it is left out.
    on_diagonal = -2 * upstream[0] * (1 - own)
    if spec.gram(n, dim):
        on_diagonal = on_diagonal - 2 * upstream[1] * own
    wide = cancels(views[0], float(saved.off_diagonal), float(saved.diagonal))
    of = standardising(views, mean, scales, WIDE if wide else views[0].dtype)
    for view in of:
        view.columns[INNER : OUTER + 1] = 0
        view.columns[CROSS] = on_diagonal / n
        view.columns[PROJECT] = 1 / (n - 1 if flags & spec.UNBIASED else n)
    gradients = [r.new_empty(r.shape) for r in rows]
    tasks = [
        numba_views.task(x, y, None, g.numpy())
        for x, y, g in zip(of, of[::-1], gradients, strict=True)
    ]
    matrices = arrays.array(second_moments)
    if wide:
        matrices = numba_views.empty(2, n, n)
        numba_views.second_moments(of[::-1], matrices)
    number = of[0].columns.dtype.type
    k = Coefficients(number(2 * upstream[1] / n**2), views[0].dtype.type(0), True, True)
    numba_views.gradients_of(tasks, k, None, matrices)
    return [g.to(z[0].dtype) for g in gradients]
