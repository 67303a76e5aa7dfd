"""`barlow_twins` by the Triton kernels."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.triton.columns import standardise, sums
from tsssl_fast.ops.decorrelation.triton.products import (
    Factors,
    View,
    gradient_of,
    inner_product,
    row_squares,
    second_moments,
)
from tsssl_fast.ops.decorrelation.triton.vicreg import cancels


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
        if cancels(z1, off.item(), diagonal.item()):
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
    if cancels(z1, off, diagonal):
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
