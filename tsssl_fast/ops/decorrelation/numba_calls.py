"""The operators of the decorrelation family on the numba kernels."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from tsssl_fast import _jit
from tsssl_fast.ops.decorrelation import numba_kernels, numba_views, spec
from tsssl_fast.ops.decorrelation.numba_kernels import View
from tsssl_fast.ops.decorrelation.numba_views import (
    WIDE,
    Gradient,
    cancels,
    difference,
    standardising,
)


def _moments(moments: Tensor, count: int, dim: int) -> dict[str, np.ndarray]:
    """Parts of VICReg's vector of moments, as views of its memory."""
    array = moments.numpy()
    head = array[1 : 1 + 3 * count].reshape(3, count)
    columns = array[1 + 3 * count :].reshape(2, count, dim)
    names = ("apart", "hinge", "off", "diagonal", "mean", "squares")
    return dict(zip(names, (array[:1], *head, *columns), strict=True))


def _vicreg_scale(squares: np.ndarray, eps: float, correlation: bool) -> np.ndarray:
    return 1 / np.maximum(np.sqrt(squares), eps) if correlation else np.ones_like(squares)


def vicreg(z: Sequence[Tensor], gamma: float, eps: float, flags: int) -> tuple[Tensor, Tensor]:
    rows = [numba_views.rows_of(v) for v in z]
    views = [_jit.array(r) for r in rows]
    count, (n, dim) = len(views), views[0].shape
    side = spec.side(n, dim)
    moments = torch.zeros(spec.vicreg_moments(count, dim), dtype=torch.float64)
    square = rows[0].new_empty((count, side, side) if flags & spec.COVARIANCE else 0)
    parts = _moments(moments, count, dim)
    if flags & spec.INVARIANCE:
        pairs = [(a, b) for i, a in enumerate(views) for b in views[i + 1 :]]
        parts["apart"][0] = sum(numba_views.squared_distance(a, b) for a, b in pairs)
    if not flags & (spec.VARIANCE | spec.COVARIANCE):
        return moments, square
    squares = parts["squares"]
    numba_views.column_moments(views, True, parts["mean"], squares)
    if flags & spec.VARIANCE:
        deviation = np.sqrt(squares / (n - 1) + eps)
        parts["hinge"][:] = np.where(deviation >= gamma, 0, gamma - deviation).sum(axis=1)
    if flags & spec.COVARIANCE:
        correlation = bool(flags & spec.CORRELATION)
        scale = _vicreg_scale(squares, eps, correlation)
        diagonal = np.square(squares * scale * scale).sum(axis=1)
        with _jit.serial_blas():
            parts["off"][:] = _penalties(views, parts["mean"], scale, diagonal, square.numpy())
        parts["diagonal"][:] = diagonal
        if not correlation:
            parts["off"] /= float(n - 1) ** 2
            parts["diagonal"] /= float(n - 1) ** 2
    return moments, square


def _penalties(
    views: Sequence[np.ndarray],
    mean: np.ndarray,
    scale: np.ndarray,
    diagonals: np.ndarray,
    square: np.ndarray,
) -> list[float]:
    """Every view's sum of squares off the diagonal; writes its second moments."""
    of = standardising(views, mean, scale, views[0].dtype)
    if not spec.gram(*views[0].shape):
        return list(numba_views.covariances(of, square))
    totals, _ = numba_views.gram_matrices(of, square)
    found = [difference(*sums) for sums in zip(totals, diagonals, strict=True)]
    for v, view in enumerate(views):
        if cancels(view, found[v], diagonals[v]):
            wide = standardising(views, mean, scale, WIDE)[v : v + 1]
            (total,), _ = numba_views.gram_matrices(wide, numba_views.empty(1, *square[v].shape))
            found[v] = difference(total, diagonals[v])
    return found


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
    correlation, dtype = bool(flags & spec.CORRELATION), views[0].dtype
    parts = _moments(moments.contiguous(), count, dim)
    off = 4 * upstream[2] / (1.0 if correlation else float(n - 1)) ** 2
    product = bool(flags & spec.COVARIANCE) and off != 0
    hinge = bool(flags & spec.VARIANCE) and upstream[1] != 0
    apart = 2 * upstream[0] if flags & spec.INVARIANCE else 0.0
    squares = parts["squares"]
    scale = _vicreg_scale(squares, eps, correlation)
    vectors = {}
    if hinge:
        deviation = np.sqrt(squares / (n - 1) + eps)
        slope = np.where(deviation >= gamma, 0, -upstream[1] / ((n - 1) * deviation))
        vectors["outer"] = slope / scale
    if product and spec.gram(n, dim):
        vectors["inner"] = -off * squares * scale * scale
    if product and correlation:
        vectors["project"] = np.where(scale * eps < 1, 1.0, 0.0)
    gradients = [r.new_empty(r.shape) for r in rows]
    outs = [g.numpy() for g in gradients]
    if product or hinge:
        asked = []
        for v, view in enumerate(standardising(views, parts["mean"], scale, dtype)):
            own = {name: x[v] for name, x in vectors.items()}
            other = views[0 if v else 1] if apart and count > 1 else None
            asked.append(Gradient(view, None, own, apart, other, outs[v]))
        matrices = _jit.array(square) if product else None
        cancel = [
            v
            for v in range(count if product else 0)
            if cancels(views[v], parts["off"][v], parts["diagonal"][v])
        ]
        with _jit.serial_blas():
            numba_views.gradients_of(asked, matrices, off)
            for v in cancel:
                wide = standardising(views, parts["mean"], scale, WIDE)[v]
                matrices = numba_views.empty(1, n, n)
                numba_views.gram_matrices([wide], matrices)
                numba_views.gradients_of([asked[v]._replace(view=wide)], matrices, off)
    for v, out in enumerate(outs):
        # The first of the others is in the gradient already.
        others = [x for i, x in enumerate(views) if apart and i != v]
        if product or hinge:
            others = others[1:]
        else:
            out[:] = 0
        for other in others:
            threads, factor = numba_views.threads(out.size), dtype.type(apart)
            _jit.run(numba_kernels.add_difference, threads, views[v], other, factor, out)
    return [g.to(v.dtype) for g, v in zip(gradients, z, strict=True)]


def _barlow_scale(squares: np.ndarray, n: int, eps: float, flags: int) -> np.ndarray:
    return 1 / np.sqrt(squares / (n - 1 if flags & spec.UNBIASED else n) + eps)


def barlow_twins(z1: Tensor, z2: Tensor, eps: float, flags: int) -> tuple[Tensor, Tensor]:
    rows = [numba_views.rows_of(v) for v in (z1, z2)]
    views = [_jit.array(r) for r in rows]
    n, dim = views[0].shape
    side, gram = spec.side(n, dim), spec.gram(n, dim)
    mean, squares, (cross,) = numba_views.arrays(WIDE, (2, dim), (2, dim), (1, dim))
    numba_views.column_moments(views, bool(flags & spec.CENTER), mean, squares)
    scales = _barlow_scale(squares, n, eps, flags)
    (a, b), threads = views, numba_views.threads(views[0].size)
    _jit.run(numba_kernels.cross, threads, a, mean[0], b, mean[1], cross)
    own = cross * scales[0] * scales[1] / n
    on, diagonal = np.square(1 - own).sum(), np.square(own).sum()
    square = rows[0].new_empty((2, side, side))
    matrices = square.numpy()
    of = standardising(views, mean, scales, a.dtype)
    if gram:
        # Each view's gradient multiplies with the other's Gram matrix.
        off = difference(_gram_product(of[::-1], matrices) / n**2, diagonal)
    else:
        x, y = (numba_views.standardised(view, np.empty(0)) for view in of)
        off = numba_views.product(x, y, False, matrices[1], matrices[0]) / n**2
    if cancels(a, off, diagonal):
        wide = standardising(views, mean, scales, WIDE)
        off = difference(_gram_product(wide, numba_views.empty(2, n, n)) / n**2, diagonal)
    parts = [np.array([on, off, diagonal]), mean.ravel(), squares.ravel(), cross]
    return torch.from_numpy(np.concatenate(parts)), square


def _gram_product(views: Sequence[View], out: np.ndarray) -> float:
    """Sum over all i, j of a_ij b_ij, the Gram matrices of both views, written to `out`."""
    _, diagonals = numba_views.gram_matrices(views, out)
    return numba_views.inner_product(*out) + float(diagonals[0] @ diagonals[1])


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
    scales = _barlow_scale(squares, n, eps, flags)
    own = cross * scales[0] * scales[1] / n
    # The Gram matrix brings the diagonal along; on the dim side it is left out.
    on_diagonal = -2 * upstream[0] * (1 - own)
    if spec.gram(n, dim):
        on_diagonal = on_diagonal - 2 * upstream[1] * own
    wide = cancels(views[0], float(array[1]), float(array[2]))
    of = standardising(views, mean, scales, WIDE if wide else views[0].dtype)
    gradients = [r.new_empty(r.shape) for r in rows]
    vectors = {
        "cross": on_diagonal / n,
        "project": np.full(dim, 1 / (n - 1 if flags & spec.UNBIASED else n)),
    }
    asked = [
        Gradient(x, y, vectors, 0.0, None, g.numpy())
        for x, y, g in zip(of, of[::-1], gradients, strict=True)
    ]
    matrices = _jit.array(square)
    if wide:
        matrices = numba_views.empty(2, n, n)
        numba_views.gram_matrices(of[::-1], matrices)
    numba_views.gradients_of(asked, matrices, 2 * upstream[1] / n**2)
    return gradients[0].to(z1.dtype), gradients[1].to(z2.dtype)
