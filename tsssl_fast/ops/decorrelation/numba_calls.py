"""The operators of the decorrelation family on the numba kernels."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from tsssl_fast import _jit
from tsssl_fast.ops.decorrelation import numba_kernels, numba_views, spec
from tsssl_fast.ops.decorrelation.numba_views import Standard, cancels, difference


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
        x, matrix = Standard(view, mean, scale), square[v].numpy()
        if gram:
            off = difference(x.gram_matrix(matrix), diagonal)
        else:
            off = numba_views.product(x.x, x.x, False, matrix, matrix)
        if cancels(view, off, diagonal):
            wide = Standard(view, mean, scale, np.dtype(np.float64))
            off = difference(wide.gram_matrix(numba_views.empty(n, n)), diagonal)
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
    gradients = [r.new_zeros(r.shape) for r in rows]
    for v, view in enumerate(views):
        out, squares = gradients[v].numpy(), parts["squares"][v]
        if product or hinge:
            scale = _vicreg_scale(squares, eps, correlation)
            wide = product and cancels(view, parts["off"][v], parts["diagonal"][v])
            kind = np.dtype(np.float64) if wide else view.dtype
            x = Standard(view, parts["mean"][v], scale, kind)
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
                    x.gram_matrix(matrix)
            numba_views.gradient(x, x.x, matrix, off, vectors, out)
        for other in views if apart else ():
            if other is not view:
                threads = numba_views.threads(view.size)
                factor = view.dtype.type(apart)
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
    x, y = (Standard(v, m, s) for v, (m, _), s in zip(views, found, scales, strict=True))
    if gram:
        # Each view's gradient multiplies with the other's Gram matrix.
        x.gram_matrix(second)
        y.gram_matrix(first)
        off = difference(_gram_product(x, second, y, first) / n**2, diagonal)
    else:
        off = numba_views.product(x.x, y.x, False, second, first) / n**2
    if cancels(a, off, diagonal):
        wide = [
            Standard(v, m, s, np.dtype(np.float64))
            for v, (m, _), s in zip(views, found, scales, strict=True)
        ]
        grams = [numba_views.empty(n, n) for _ in wide]
        for w, gram_of in zip(wide, grams, strict=True):
            w.gram_matrix(gram_of)
        off = difference(_gram_product(wide[0], grams[0], wide[1], grams[1]) / n**2, diagonal)
    parts = [np.array([on, off, diagonal]), *(m for m, _ in found), *(s for _, s in found), cross]
    return torch.from_numpy(np.concatenate(parts)), square


def _gram_product(x: Standard, a: np.ndarray, y: Standard, b: np.ndarray) -> float:
    """Sum over all i, j of a_ij b_ij, the Gram matrices of x and y."""
    return numba_views.inner_product(a, b) + float(x.row_squares @ y.row_squares)


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
    kind = np.dtype(np.float64) if wide else views[0].dtype
    sides = [Standard(*given, kind) for given in zip(views, mean, scales, strict=True)]
    gradients = [r.new_empty(r.shape) for r in rows]
    for v, (x, out) in enumerate(zip(sides, gradients, strict=True)):
        y = sides[1 - v]
        matrix = numba_views.empty(n, n) if wide else _jit.array(square[v])
        if wide:
            y.gram_matrix(matrix)
        vectors = {
            "cross": on_diagonal / n,
            "project": np.full(dim, 1 / (n - 1 if flags & spec.UNBIASED else n)),
        }
        alpha = 2 * upstream[1] / n**2
        numba_views.gradient(x, y.x, matrix, alpha, vectors, out.numpy())
    return gradients[0].to(z1.dtype), gradients[1].to(z2.dtype)
