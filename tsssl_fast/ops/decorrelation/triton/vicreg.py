"""`vicreg` by the Triton kernels."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.triton.columns import Sums, standardise, sums
from tsssl_fast.ops.decorrelation.triton.products import (
    Factors,
    View,
    gradient_of,
    row_squares,
    second_moments,
)

MAX_CANCELLATION = 8  # of diagonal / off that float32 takes on the n side, as in C++


def cancels(z: Tensor, off: float, diagonal: float) -> bool:
    single = spec.compute_dtype(z.dtype) == torch.float32
    return single and spec.gram(*z.shape) and diagonal > MAX_CANCELLATION * off


def _vicreg_scale(squares: Tensor, eps: float, flags: int) -> Tensor:
    if not flags & spec.CORRELATION:
        return torch.ones_like(squares)
    return 1 / squares.sqrt().clamp_min(eps)


def _off(view: View, out: Tensor) -> Tensor:
    """Sum of squares off the diagonal of the kept side, and on the n side on it too."""
    if not spec.gram(*view.z.shape):
        return second_moments(view, view, out, out, None)
    rows = row_squares(view)
    return second_moments(view, view, out, out, rows) + rows.square().sum()


def vicreg(z: Sequence[Tensor], gamma: float, eps: float, flags: int) -> tuple[Tensor, Tensor]:
    n, dim = z[0].shape
    compute, count, gram = spec.compute_dtype(z[0].dtype), len(z), spec.gram(n, dim)
    side = spec.side(n, dim)
    moments = z[0].new_zeros(spec.vicreg_moments(count, dim), dtype=torch.float64)
    head, mean, squares = moments.split([1 + 3 * count, count * dim, count * dim])
    mean, squares = mean.view(count, dim), squares.view(count, dim)
    covariance = bool(flags & spec.COVARIANCE)
    square = z[0].new_empty((count, side, side) if covariance else 0, dtype=compute)
    own = bool(flags & (spec.VARIANCE | spec.COVARIANCE))
    if own or flags & spec.INVARIANCE:
        head[0] = _statistics(z, own, bool(flags & spec.INVARIANCE), mean, squares)
    if flags & spec.VARIANCE:
        deviation = (squares / (n - 1) + eps).sqrt()
        head[1 : 1 + count] = (gamma - deviation).clamp_min(0).sum(1)
    if covariance:
        unit = 1.0 if flags & spec.CORRELATION else float(n - 1)
        scale = _vicreg_scale(squares, eps, flags)
        diagonal = (squares * scale * scale).square().sum(1)
        off = torch.stack(
            [
                _off(View(z[v], standardise(mean[v], scale[v], compute)), square[v])
                for v in range(count)
            ]
        )
        if gram:
            off = (off - diagonal).clamp_min(0)
            for v, pair in enumerate(zip(off.tolist(), diagonal.tolist(), strict=True)):
                if cancels(z[v], *pair):
                    wide = View(z[v], standardise(mean[v], scale[v], torch.float64))
                    out = square.new_empty((side, side), dtype=torch.float64)
                    off[v] = (_off(wide, out) - diagonal[v]).clamp_min(0)
        head[1 + count : 1 + 2 * count] = off / unit**2
        head[1 + 2 * count :] = diagonal / unit**2
    return moments, square


def _statistics(
    z: Sequence[Tensor], own: bool, pairs: bool, mean: Tensor, squares: Tensor
) -> Tensor:
    """Fills mean and squares (views, dim); the squared distances between the views."""
    distance = mean.new_zeros(())
    two = len(z) == 2 and pairs
    found: list[Sums] = []
    if two:
        found = [sums(z[0], z[1], True, own)]
        distance = found[0].distance.sum()
    else:
        found = [sums(v, None, True) for v in z] if own else []
        for a, first in enumerate(z if pairs else ()):
            for second in z[a + 1 :]:
                distance = distance + sums(first, second, False, False).distance.sum()
    if own:
        for v in range(len(z)):
            each, which = (found[0], v) if two else (found[v], 0)
            mean[v], squares[v] = each.mean[which], each.squares[which]
    return distance


vicreg_views = vicreg


def vicreg_backward(
    upstream: Sequence[float],
    z: Sequence[Tensor],
    moments: Tensor,
    square: Tensor,
    gamma: float,
    eps: float,
    flags: int,
) -> list[Tensor]:
    n, dim = z[0].shape
    count, gram = len(z), spec.gram(n, dim)
    head, mean, squares = moments.split([1 + 3 * count, count * dim, count * dim])
    mean, squares = mean.view(count, dim), squares.view(count, dim)
    numbers = head.tolist()
    alpha = 4 * upstream[2] / (1.0 if flags & spec.CORRELATION else float(n - 1) ** 2)
    product = bool(flags & spec.COVARIANCE) and alpha != 0
    hinge = bool(flags & spec.VARIANCE) and upstream[1] != 0
    gradients = []
    for v in range(count):
        compute = spec.compute_dtype(z[v].dtype)
        if product and cancels(z[v], numbers[1 + count + v], numbers[1 + 2 * count + v]):
            compute = torch.float64
        scale = _vicreg_scale(squares[v], eps, flags)
        used = product or hinge
        view = View(z[v], standardise(mean[v] * used, scale if used else 0 * scale, compute))
        matrix = None
        if product:
            matrix = square[v]
            if matrix.dtype != compute:
                matrix = torch.empty_like(matrix, dtype=compute)
                _off(view, matrix)
        deviation = (squares[v] / (n - 1) + eps).sqrt()
        k = Factors(
            alpha=alpha if product else 0.0,
            apart=2 * upstream[0] * (count - 1),
            inner=-alpha * squares[v] * scale * scale if gram and product else 0.0,
            outer=torch.where(deviation >= gamma, 0.0, -upstream[1] / ((n - 1) * deviation))
            if hinge
            else 0.0,
            project=(scale * eps < 1).double() if flags & spec.CORRELATION else None,
        )
        other = _others(z, v) if flags & spec.INVARIANCE and upstream[0] != 0 else None
        gradients.append(gradient_of(view, None, other, matrix, k))
    return gradients


def _others(z: Sequence[Tensor], v: int) -> Tensor:
    """The mean of the other views; of several in float64."""
    if len(z) == 2:
        return z[1 - v]
    return torch.stack([u.double() for i, u in enumerate(z) if i != v]).mean(0)
