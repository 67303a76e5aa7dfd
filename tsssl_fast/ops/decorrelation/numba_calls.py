"""The operators of the decorrelation family on the numba kernels."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from tsssl_fast import _jit
from tsssl_fast.ops.decorrelation import numba_kernels, numba_views, spec
from tsssl_fast.ops.decorrelation.numba_gradients import View
from tsssl_fast.ops.decorrelation.numba_kernels import Columns
from tsssl_fast.ops.decorrelation.numba_views import cancels, difference, standardising

_WIDE = np.dtype(np.float64)


def _moments(moments: Tensor, count: int, dim: int) -> dict[str, np.ndarray]:
    """Parts of VICReg's vector of moments, as views of its memory."""
    array = moments.numpy()
    head = array[1 : 1 + 3 * count].reshape(3, count)
    columns = array[1 + 3 * count :].reshape(2, count, dim)
    names = ("hinge", "off", "diagonal", "mean", "squares")
    return dict(zip(names, (*head, *columns), strict=True))


def _vicreg_scale(squares: np.ndarray, eps: float, correlation: bool) -> np.ndarray:
    return 1 / np.maximum(np.sqrt(squares), eps) if correlation else np.ones_like(squares)


def vicreg(z: Sequence[Tensor], gamma: float, eps: float, flags: int) -> tuple[Tensor, Tensor]:
    rows = [numba_views.rows_of(v) for v in z]
    views = [_jit.array(r) for r in rows]
    count, (n, dim) = len(views), views[0].shape
    side, gram = spec.side(n, dim), spec.gram(n, dim)
    correlation = bool(flags & spec.CORRELATION)
    moments = torch.zeros(spec.vicreg_moments(count, dim), dtype=torch.float64)
    square = rows[0].new_empty((count, side, side) if flags & spec.COVARIANCE else 0)
    parts = _moments(moments, count, dim)
    if flags & spec.INVARIANCE:
        pairs = [(a, b) for i, a in enumerate(views) for b in views[i + 1 :]]
        moments[0] = sum(numba_views.squared_distance(a, b) for a, b in pairs)
    if not flags & (spec.VARIANCE | spec.COVARIANCE):
        return moments, square
    unit = 1.0 if correlation else float(n - 1)
    for v, view in enumerate(views):
        mean, squares = numba_views.column_moments(view, True)
        parts["mean"][v], parts["squares"][v] = mean, squares
        deviation = np.sqrt(squares / (n - 1) + eps)
        if flags & spec.VARIANCE:
            parts["hinge"][v] = np.where(deviation >= gamma, 0, gamma - deviation).sum()
        if not flags & spec.COVARIANCE:
            continue
        scale = _vicreg_scale(squares, eps, correlation)
        diagonal = np.square(squares * scale * scale).sum()
        columns, matrix = standardising(mean, scale, view.dtype), square[v].numpy()
        if gram:
            off = difference(numba_views.gram_matrix(view, columns, matrix)[0], diagonal)
        else:
            off = numba_views.covariance(view, columns, matrix)
        if cancels(view, off, diagonal):
            wide = standardising(mean, scale, _WIDE)
            total, _ = numba_views.gram_matrix(view, wide, numba_views.empty(n, n))
            off = difference(total, diagonal)
        parts["off"][v], parts["diagonal"][v] = off / unit**2, diagonal / unit**2
    return moments, square


def vicreg_backward(
    upstream: Sequence[float],
    z: Sequence[Tensor],
    moments: Tensor,
    square: Tensor,
    gamma: float,
    eps: float,
    flags: int,
) -> list[Tensor]:
    rows = [numba_views.rows_of(v) for v in z]
    views = [_jit.array(r) for r in rows]
    count, (n, dim) = len(views), views[0].shape
    correlation = bool(flags & spec.CORRELATION)
    parts = _moments(moments.contiguous(), count, dim)
    unit = 1.0 if correlation else float(n - 1)
    off = 4 * upstream[2] / unit**2
    product = bool(flags & spec.COVARIANCE) and off != 0
    hinge = bool(flags & spec.VARIANCE) and upstream[1] != 0
    apart = 2 * upstream[0] if flags & spec.INVARIANCE else 0.0
    gradients = [r.new_empty(r.shape) for r in rows]
    for v, view in enumerate(views):
        out, squares = gradients[v].numpy(), parts["squares"][v]
        others = [x for i, x in enumerate(views) if apart and i != v]
        if product or hinge:
            scale = _vicreg_scale(squares, eps, correlation)
            wide = product and cancels(view, parts["off"][v], parts["diagonal"][v])
            columns = standardising(parts["mean"][v], scale, _WIDE if wide else view.dtype)
            vectors = {}
            if hinge:
                deviation = np.sqrt(squares / (n - 1) + eps)
                slope = np.where(deviation >= gamma, 0, -upstream[1] / ((n - 1) * deviation))
                vectors["outer"] = slope / scale
            if spec.gram(n, dim):
                vectors["inner"] = -off * squares * scale * scale
            if correlation:
                vectors["project"] = np.where(scale * eps < 1, 1.0, 0.0)
            matrix = None
            if product:
                matrix = numba_views.empty(n, n) if wide else _jit.array(square[v])
                if wide:
                    numba_views.gram_matrix(view, columns, matrix)
            first = others.pop(0) if others else None
            view_of = View(view, columns)
            numba_views.gradient(view_of, None, matrix, off, vectors, apart, first, out)
        else:
            out[:] = 0
        for other in others:
            threads, factor = numba_views.threads(view.size), view.dtype.type(apart)
            _jit.run(numba_kernels.add_difference, threads, view, other, factor, out)
    return [g.to(v.dtype) for g, v in zip(gradients, z, strict=True)]


def _barlow_scale(squares: np.ndarray, n: int, eps: float, flags: int) -> np.ndarray:
    return 1 / np.sqrt(squares / (n - 1 if flags & spec.UNBIASED else n) + eps)


def barlow_twins(z1: Tensor, z2: Tensor, eps: float, flags: int) -> tuple[Tensor, Tensor]:
    rows = [numba_views.rows_of(v) for v in (z1, z2)]
    views = [_jit.array(r) for r in rows]
    n, dim = views[0].shape
    side, gram = spec.side(n, dim), spec.gram(n, dim)
    found = [numba_views.column_moments(v, bool(flags & spec.CENTER)) for v in views]
    scales = [_barlow_scale(squares, n, eps, flags) for _, squares in found]
    cross = numba_views.empty(dim)
    (a, mean_a), (b, mean_b) = ((v, m) for v, (m, _) in zip(views, found, strict=True))
    threads = numba_views.threads(a.size)
    _jit.run(numba_kernels.cross, threads, a, mean_a, b, mean_b, cross)
    own = cross * scales[0] * scales[1] / n
    on, diagonal = np.square(1 - own).sum(), np.square(own).sum()
    square = rows[0].new_empty((2, side, side))
    first, second = square[0].numpy(), square[1].numpy()
    of = [standardising(m, s, a.dtype) for (m, _), s in zip(found, scales, strict=True)]
    if gram:
        # Each view's gradient multiplies with the other's Gram matrix.
        off = difference(_gram_product(views, of, (second, first)) / n**2, diagonal)
    else:
        none = np.empty(0)
        x, y = (numba_views.standardised(*given, none) for given in zip(views, of, strict=True))
        off = numba_views.product(x, y, False, second, first) / n**2
    if cancels(a, off, diagonal):
        of = [standardising(m, s, _WIDE) for (m, _), s in zip(found, scales, strict=True)]
        grams = [numba_views.empty(n, n) for _ in of]
        off = difference(_gram_product(views, of, grams) / n**2, diagonal)
    parts = [np.array([on, off, diagonal]), *(m for m, _ in found), *(s for _, s in found), cross]
    return torch.from_numpy(np.concatenate(parts)), square


def _gram_product(
    views: Sequence[np.ndarray], columns: Sequence[Columns], grams: Sequence[np.ndarray]
) -> float:
    """Sum over all i, j of a_ij b_ij, the Gram matrices of both views, written to `grams`."""
    diagonals = [
        numba_views.gram_matrix(*given)[1] for given in zip(views, columns, grams, strict=True)
    ]
    return numba_views.inner_product(*grams) + float(diagonals[0] @ diagonals[1])


def barlow_twins_backward(
    upstream: Sequence[float],
    z1: Tensor,
    z2: Tensor,
    moments: Tensor,
    square: Tensor,
    eps: float,
    flags: int,
) -> tuple[Tensor, Tensor]:
    rows = [numba_views.rows_of(v) for v in (z1, z2)]
    views = [_jit.array(r) for r in rows]
    n, dim = views[0].shape
    array = moments.numpy()
    mean, squares = array[3 : 3 + 4 * dim].reshape(2, 2, dim)
    cross = array[3 + 4 * dim :]
    scales = [_barlow_scale(s, n, eps, flags) for s in squares]
    own = cross * scales[0] * scales[1] / n
    # The Gram matrix brings the diagonal along; on the dim side it is left out.
    on_diagonal = -2 * upstream[0] * (1 - own)
    if spec.gram(n, dim):
        on_diagonal = on_diagonal - 2 * upstream[1] * own
    wide = cancels(views[0], float(array[1]), float(array[2]))
    kind = _WIDE if wide else views[0].dtype
    sides = [
        View(view, standardising(m, s, kind))
        for view, m, s in zip(views, mean, scales, strict=True)
    ]
    gradients = [r.new_empty(r.shape) for r in rows]
    for v, (x, out) in enumerate(zip(sides, gradients, strict=True)):
        y = sides[1 - v]
        matrix = numba_views.empty(n, n) if wide else _jit.array(square[v])
        if wide:
            numba_views.gram_matrix(*y, matrix)
        vectors = {
            "cross": on_diagonal / n,
            "project": np.full(dim, 1 / (n - 1 if flags & spec.UNBIASED else n)),
        }
        alpha = 2 * upstream[1] / n**2
        numba_views.gradient(x, y, matrix, alpha, vectors, 0.0, None, out.numpy())
    return gradients[0].to(z1.dtype), gradients[1].to(z2.dtype)
