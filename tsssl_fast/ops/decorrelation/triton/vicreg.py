"""`vicreg` by the Triton kernels."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.spec import VICRegMoments
from tsssl_fast.ops.decorrelation.triton.cancellation import arithmetics, cancels, penalty
from tsssl_fast.ops.decorrelation.triton.columns import Sums, standardise, sums
from tsssl_fast.ops.decorrelation.triton.products import (
    Factors,
    View,
    row_squares,
    second_moments,
    write_gradient,
)


def _scale(squares: Tensor, norm_eps: float, flags: int) -> Tensor:
    if not flags & spec.CORRELATION:
        return torch.ones_like(squares)
    return 1 / squares.sqrt().clamp_min(norm_eps)


def _squares(view: View, out: Tensor) -> Tensor:
    """Fills out with the second moments; the sum of their squares off the diagonal, and on the n
    side on it too."""
    if not spec.gram(*view.z.shape):
        return second_moments(view, view, out, out, None)
    rows = row_squares(view)
    return second_moments(view, view, out, out, rows) + rows.square().sum()


def _off_diagonal(z: Tensor, mean: Tensor, scale: Tensor, diagonal: Tensor, out: Tensor) -> Tensor:
    """Fills out with the second moments; the sum of their squares off the diagonal."""
    total = _squares(View(z, standardise(mean, scale, out.dtype)), out)
    if not spec.gram(*z.shape):
        return total
    off = penalty(total - diagonal)
    wide = cancels(z, off, diagonal)
    if wide is None:
        return off
    again = View(z, standardise(mean, scale, torch.float64), wide)
    total = _squares(again, torch.empty_like(out, dtype=torch.float64))
    return torch.where(wide, penalty(total - diagonal), off)


def vicreg(
    z: Sequence[Tensor], gamma: float, eps: float, norm_eps: float, flags: int
) -> tuple[Tensor, Tensor]:
    n, dim = z[0].shape
    compute, count = spec.compute_dtype(z[0].dtype), len(z)
    size, shape = VICRegMoments.sizes(count, n, dim, flags)
    moments = z[0].new_zeros(size, dtype=torch.float64)
    parts = VICRegMoments.of(moments, count, dim)
    squares = parts.squares
    covariance = bool(flags & spec.COVARIANCE)
    saved = z[0].new_empty(shape, dtype=compute)
    own = bool(flags & (spec.VARIANCE | spec.COVARIANCE))
    if own or flags & spec.INVARIANCE:
        parts.distance[0] = _statistics(z, own, bool(flags & spec.INVARIANCE), parts)
    if flags & spec.VARIANCE:
        deviation = (squares / (n - 1) + eps).sqrt()
        parts.hinge[:] = (gamma - deviation).clamp_min(0).sum(1)
    if covariance:
        unit = 1.0 if flags & spec.CORRELATION else float(n - 1)
        scale = _scale(squares, norm_eps, flags)
        diagonal = (squares * scale * scale).square().sum(1)
        for v in range(count):
            off = _off_diagonal(z[v], parts.mean[v], scale[v], diagonal[v], saved[v])
            parts.off_diagonal[v] = off / unit**2
        parts.diagonal[:] = diagonal / unit**2
    return moments, saved


def _statistics(z: Sequence[Tensor], own: bool, pairs: bool, out: VICRegMoments) -> Tensor:
    """Fills mean and squares of `out`; the squared distances between the views."""
    distance = out.mean.new_zeros(())
    two = len(z) == 2 and pairs
    of_views: list[Sums] = []
    if two:
        of_views = [sums(z[0], z[1], True, own)]
        distance = of_views[0].distance.sum()
    else:
        of_views = [sums(v, None, True) for v in z] if own else []
        for a, first in enumerate(z if pairs else ()):
            for second in z[a + 1 :]:
                distance = distance + sums(first, second, False, False).distance.sum()
    if own:
        for v in range(len(z)):
            each, which = (of_views[0], v) if two else (of_views[v], 0)
            out.mean[v], out.squares[v] = each.mean[which], each.squares[which]
    return distance


def vicreg_backward(
    upstream: Sequence[Tensor | float],
    z: Sequence[Tensor],
    moments: Tensor,
    saved: Tensor,
    gamma: float,
    eps: float,
    norm_eps: float,
    flags: int,
) -> list[Tensor]:
    """upstream: the number 0 where nothing follows in a sum, else tensors of one number."""
    n, dim = z[0].shape
    count = len(z)
    parts = VICRegMoments.of(moments, count, dim)
    distance, hinge, off = (
        u if flags & flag and (isinstance(u, Tensor) or u != 0) else None
        for u, flag in zip(upstream, (spec.INVARIANCE, spec.VARIANCE, spec.COVARIANCE), strict=True)
    )
    alpha = None
    if off is not None:
        alpha = 4 * off / (1.0 if flags & spec.CORRELATION else float(n - 1) ** 2)
    gradients = []
    for v in range(count):
        mean, squares = parts.mean[v], parts.squares[v]
        scale = _scale(squares, norm_eps, flags)
        if alpha is None and hinge is None:
            mean, scale = 0 * mean, 0 * scale
        deviation = (squares / (n - 1) + eps).sqrt()
        outer: Tensor | float = 0.0
        if hinge is not None:
            outer = torch.where(deviation >= gamma, 0.0, -hinge / ((n - 1) * deviation))
        k = Factors(
            alpha=0.0 if alpha is None else alpha,
            invariance=0.0 if distance is None else 2 * distance * (count - 1),
            inner=0.0
            if alpha is None or not spec.gram(n, dim)
            else -alpha * squares * scale * scale,
            outer=outer,
            project=(scale * norm_eps < 1).double() if flags & spec.CORRELATION else None,
        )
        other = None if distance is None else _others(z, v)
        out = z[v].new_empty((n, dim))
        wide = None if alpha is None else cancels(z[v], parts.off_diagonal[v], parts.diagonal[v])
        for compute, active in arithmetics(z[v], wide):
            view = View(z[v], standardise(mean, scale, compute), active)
            matrix = None if alpha is None else _matrix(view, saved[v])
            write_gradient(out, view, None, other, matrix, k)
        gradients.append(out)
    return gradients


def _matrix(view: View, saved: Tensor) -> Tensor:
    """The second moments in the view's arithmetic."""
    if saved.dtype == view.compute:
        return saved
    matrix = torch.empty_like(saved, dtype=view.compute)
    _squares(view, matrix)
    return matrix


def _others(z: Sequence[Tensor], v: int) -> Tensor:
    """The mean of the other views; of several in float64."""
    if len(z) == 2:
        return z[1 - v]
    return torch.stack([u.double() for i, u in enumerate(z) if i != v]).mean(0)
