"""VICReg and Barlow Twins by the Triton kernels; the sums over columns alone are torch's.

As in the C++ kernels, a view whose float32 second moments on the n side would cancel is taken again
in float64 (see README.md); finding out waits for the device, as does the operator for its sums.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.triton_columns import Sums, standardise, sums
from tsssl_fast.ops.decorrelation.triton_products import (
    Factors,
    View,
    gradient_of,
    inner_product,
    row_squares,
    second_moments,
)

MAX_CANCELLATION = 8  # of diagonal / off that float32 takes on the n side, as in C++


def _cancels(z: Tensor, off: float, diagonal: float) -> bool:
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
                if _cancels(z[v], *pair):
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
        if product and _cancels(z[v], numbers[1 + count + v], numbers[1 + 2 * count + v]):
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


def _barlow_scale(squares: Tensor, n: int, eps: float, flags: int) -> Tensor:
    return 1 / (squares / (n - bool(flags & spec.UNBIASED)) + eps).sqrt()


def barlow_twins(z1: Tensor, z2: Tensor, eps: float, flags: int) -> tuple[Tensor, Tensor]:
    n, dim = z1.shape
    compute, side = spec.compute_dtype(z1.dtype), spec.side(n, dim)
    found = sums(z1, z2, bool(flags & spec.CENTER))
    scale = [_barlow_scale(s, n, eps, flags) for s in found.squares]
    self = found.product * scale[0] * scale[1] / n
    diagonal = self.square().sum()
    square = z1.new_empty((2, side, side), dtype=compute)

    def views(dtype: torch.dtype) -> list[View]:
        return [
            View(z, standardise(m, s, dtype))
            for z, m, s in zip((z1, z2), found.mean, scale, strict=True)
        ]

    off = _cross(views(compute), square)
    if spec.gram(n, dim):
        off = (off / n**2 - diagonal).clamp_min(0)
        if _cancels(z1, off.item(), diagonal.item()):
            wide = _cross(views(torch.float64), torch.empty_like(square, dtype=torch.float64))
            off = (wide / n**2 - diagonal).clamp_min(0)
    else:
        off = off / n**2
    head = torch.stack([(1 - self).square().sum(), off, diagonal])
    return torch.cat([head, *found.mean, *found.squares, found.product]), square


def _cross(views: Sequence[View], square: Tensor) -> Tensor:
    """Fills the matrices that each view's gradient multiplies with: b bᵀ and a aᵀ, or the transpose
    of aᵀb and aᵀb; <a aᵀ, b bᵀ>, or the squares of aᵀb off the diagonal."""
    a, b = views
    if not spec.gram(*a.z.shape):
        return second_moments(a, b, square[1], square[0], None)
    rows = [row_squares(view) for view in views]
    second_moments(b, b, square[0], square[0], rows[1])
    second_moments(a, a, square[1], square[1], rows[0])
    return inner_product(square[0], square[1]) + (rows[0] * rows[1]).sum()


def barlow_twins_backward(
    upstream: Sequence[float],
    z1: Tensor,
    z2: Tensor,
    moments: Tensor,
    square: Tensor,
    eps: float,
    flags: int,
) -> tuple[Tensor, Tensor]:
    n, dim = z1.shape
    gram = spec.gram(n, dim)
    head, mean, squares, product = moments.split([3, 2 * dim, 2 * dim, dim])
    mean, squares = mean.view(2, dim), squares.view(2, dim)
    _, off, diagonal = head.tolist()
    compute = spec.compute_dtype(z1.dtype)
    if _cancels(z1, off, diagonal):
        compute = torch.float64
    scale = _barlow_scale(squares, n, eps, flags)
    self = product * scale[0] * scale[1] / n
    views = [
        View(z, standardise(m, s, compute)) for z, m, s in zip((z1, z2), mean, scale, strict=True)
    ]
    if square.dtype != compute:
        square = torch.empty_like(square, dtype=compute)
        _cross(views, square)
    # The Gram matrix brings the diagonal along; on the dim side it is left out.
    cross = (-2 * upstream[0] * (1 - self) - (2 * upstream[1] * self if gram else 0)) / n
    project = torch.full_like(self, 1 / (n - bool(flags & spec.UNBIASED)))
    k = Factors(alpha=2 * upstream[1] / n**2, cross=cross, project=project)
    first, second = (gradient_of(views[v], views[1 - v], None, square[v], k) for v in range(2))
    return first, second
