"""`vicreg` by the Numba kernels."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from tsssl_fast.backends.numba import arrays, launching
from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.numba import views as numba_views
from tsssl_fast.ops.decorrelation.numba.kernels import moments as numba_kernels
from tsssl_fast.ops.decorrelation.numba.kernels.columns import Factors, Settings
from tsssl_fast.ops.decorrelation.numba.kernels.gradients import Coefficients
from tsssl_fast.ops.decorrelation.numba.kernels.moments import FACTORS, View
from tsssl_fast.ops.decorrelation.numba.views import WIDE, cancels, difference, standardising
from tsssl_fast.ops.decorrelation.spec import VICRegMoments


def vicreg(
    z: Sequence[Tensor], gamma: float, eps: float, norm_eps: float, flags: int
) -> tuple[Tensor, Tensor]:
    rows = [numba_views.rows_of(v) for v in z]
    views = [arrays.array(r) for r in rows]
    count, (n, dim) = len(views), views[0].shape
    size, shape = VICRegMoments.sizes(count, n, dim, flags)
    moments = torch.zeros(size, dtype=torch.float64)
    saved = rows[0].new_empty(shape)
    parts = VICRegMoments.of(moments.numpy(), count, dim)
    by_column = bool(flags & (spec.VARIANCE | spec.COVARIANCE))
    if flags & spec.INVARIANCE and not (count == 2 and by_column):
        pairs = [(a, b) for i, a in enumerate(views) for b in views[i + 1 :]]
        parts.distance[0] = sum(numba_views.squared_distance(a, b) for a, b in pairs)
    if not by_column:
        return moments, saved
    settings = Settings(gamma, eps, norm_eps, bool(flags & spec.CORRELATION))
    second = saved.numpy() if flags & spec.COVARIANCE else None
    both = bool(flags & spec.INVARIANCE) and count == 2
    numba_views.vicreg_forward(views, settings, parts, both, second)
    if not flags & spec.VARIANCE:
        parts.hinge[:] = 0
    if second is None:
        parts.diagonal[:] = 0
        return moments, saved
    if spec.gram(n, dim):
        _subtract_diagonal(views, settings, parts, second)
    if not settings.correlation:
        divisor = float(n - 1) ** 2
        parts.off_diagonal[:] /= divisor
        parts.diagonal[:] /= divisor
    return moments, saved


def _subtract_diagonal(
    views: Sequence[np.ndarray], settings: Settings, parts: VICRegMoments, second: np.ndarray
) -> None:
    """Takes the diagonal from parts.off_diagonal, which is the sum of all squares so far; in
    float64 again where float32 cancels."""
    for v, (view, diagonal) in enumerate(zip(views, parts.diagonal, strict=True)):
        parts.off_diagonal[v] = difference(parts.off_diagonal[v], diagonal)
        if cancels(view, parts.off_diagonal[v], diagonal):
            wide = _wide(view, settings, parts, v)
            (total,), _ = numba_views.second_moments([wide], numba_views.empty(1, *second[v].shape))
            parts.off_diagonal[v] = difference(total, diagonal)


def _wide(view: np.ndarray, settings: Settings, parts: VICRegMoments, v: int) -> View:
    squares, one = parts.squares[v : v + 1], slice(v, v + 1)
    scale = np.ones_like(squares)
    if settings.correlation:
        scale = 1 / np.maximum(np.sqrt(squares), settings.norm_eps)
    return standardising([view], parts.mean[one], scale, WIDE)[0]


def vicreg_backward(
    upstream: Sequence[float],
    z: Sequence[Tensor],
    moments: Tensor,
    second_moments: Tensor,
    gamma: float,
    eps: float,
    norm_eps: float,
    flags: int,
) -> list[Tensor]:
    rows = [numba_views.rows_of(v) for v in z]
    views = [arrays.array(r) for r in rows]
    count, (n, dim) = len(views), views[0].shape
    settings = Settings(gamma, eps, norm_eps, bool(flags & spec.CORRELATION))
    parts = VICRegMoments.of(moments.contiguous().numpy(), count, dim)
    off = 4 * upstream[2] / (1.0 if settings.correlation else float(n - 1)) ** 2
    product = bool(flags & spec.COVARIANCE) and off != 0
    hinge = upstream[1] if flags & spec.VARIANCE else 0.0
    invariance = 2 * upstream[0] if flags & spec.INVARIANCE and count > 1 else 0.0
    gradients = [r.new_empty(r.shape) for r in rows]
    outs = [g.numpy() for g in gradients]

    def write_gradients(dtype: np.dtype, which: Sequence[int], matrices: np.ndarray | None) -> None:
        columns = numba_views.empty(len(which), FACTORS, dim, dtype=dtype)
        own = parts
        if len(which) < count:
            own = VICRegMoments(parts.distance, *(part[list(which)] for part in parts[1:]))
        inner = off if product and spec.gram(n, dim) else 0.0
        factors = Factors(settings, own, float(hinge), inner, columns)
        tasks = [
            numba_views.task(
                View(views[v], of), None, views[0 if v else 1] if invariance else None, outs[v]
            )
            for v, of in zip(which, columns, strict=True)
        ]
        k = Coefficients(
            dtype.type(off), outs[0].dtype.type(invariance), False, settings.correlation and product
        )
        numba_views.gradients_of(tasks, k, factors, matrices)

    if product or hinge:
        matrices = arrays.array(second_moments) if product else None
        write_gradients(views[0].dtype, range(count), matrices)
        for v in range(count if product else 0):
            if cancels(views[v], parts.off_diagonal[v], parts.diagonal[v]):
                matrices = numba_views.empty(1, n, n)
                numba_views.second_moments([_wide(views[v], settings, parts, v)], matrices)
                write_gradients(WIDE, [v], matrices)
    for v, out in enumerate(outs):
        # The first of the others is in the gradient already.
        others = [x for i, x in enumerate(views) if invariance and i != v]
        if product or hinge:
            others = others[1:]
        else:
            out[:] = 0
        for other in others:
            threads, factor = numba_views.threads(out.size), out.dtype.type(invariance)
            launching.run(numba_kernels.add_difference, threads, views[v], other, factor, out)
    return [g.to(v.dtype) for g, v in zip(gradients, z, strict=True)]
