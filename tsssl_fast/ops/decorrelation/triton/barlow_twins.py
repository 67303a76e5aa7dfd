"""`barlow_twins` by the Triton kernels."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.spec import BarlowTwinsMoments
from tsssl_fast.ops.decorrelation.triton.cancellation import arithmetics, cancels, penalty
from tsssl_fast.ops.decorrelation.triton.columns import standardise, sums
from tsssl_fast.ops.decorrelation.triton.products import (
    Factors,
    View,
    inner_product,
    row_squares,
    second_moments,
    write_gradient,
)


def _scale(squares: Tensor, n: int, eps: float, flags: int) -> Tensor:
    return 1 / (squares / (n - bool(flags & spec.UNBIASED)) + eps).sqrt()


def barlow_twins(z: Sequence[Tensor], eps: float, flags: int) -> tuple[Tensor, Tensor]:
    n, dim = z[0].shape
    columns = sums(z[0], z[1], bool(flags & spec.CENTER))
    scale = [_scale(s, n, eps, flags) for s in columns.squares]
    own = columns.product * scale[0] * scale[1] / n
    diagonal = own.square().sum()
    compute = spec.compute_dtype(z[0].dtype)
    saved = z[0].new_empty(spec.second_moments(2, n, dim), dtype=compute)

    def views(dtype: torch.dtype, active: Tensor | None) -> list[View]:
        return [
            View(v, standardise(m, s, dtype), active)
            for v, m, s in zip(z, columns.mean, scale, strict=True)
        ]

    off = _squares(views(compute, None), saved) / n**2
    if spec.gram(n, dim):
        off = penalty(off - diagonal)
        wide = cancels(z[0], off, diagonal)
        if wide is not None:
            again = torch.empty_like(saved, dtype=torch.float64)
            total = _squares(views(torch.float64, wide), again) / n**2
            off = torch.where(wide, penalty(total - diagonal), off)
    head = torch.stack([(1 - own).square().sum(), off, diagonal])
    return torch.cat([head, *columns.mean, *columns.squares, columns.product]), saved


def _squares(views: Sequence[View], out: Tensor) -> Tensor:
    """Fills the matrices that each view's gradient multiplies with: b bᵀ and a aᵀ, or the transpose
    of aᵀb and aᵀb; <a aᵀ, b bᵀ>, or the squares of aᵀb off the diagonal."""
    a, b = views
    if not spec.gram(*a.z.shape):
        return second_moments(a, b, out[1], out[0], None)
    rows = [row_squares(view) for view in views]
    second_moments(b, b, out[0], out[0], rows[1])
    second_moments(a, a, out[1], out[1], rows[0])
    return inner_product(out[0], out[1], a) + (rows[0] * rows[1]).sum()


def barlow_twins_backward(
    upstream: Sequence[Tensor | float],
    z: Sequence[Tensor],
    moments: Tensor,
    saved: Tensor,
    eps: float,
    flags: int,
) -> list[Tensor]:
    """upstream: the number 0 where nothing follows in a sum, else tensors of one number."""
    n, dim = z[0].shape
    parts = BarlowTwinsMoments.of(moments, dim)
    scale = _scale(parts.squares, n, eps, flags)
    own = parts.product * scale[0] * scale[1] / n
    # The Gram matrix brings the diagonal along; on the dim side it is left out.
    cross = -2 * upstream[0] * (1 - own)
    if spec.gram(n, dim):
        cross = cross - 2 * upstream[1] * own
    project = torch.full_like(own, 1 / (n - bool(flags & spec.UNBIASED)))
    k = Factors(alpha=2 * upstream[1] / n**2, cross=cross / n, project=project)
    gradients = [v.new_empty((n, dim)) for v in z]
    wide = cancels(z[0], parts.off_diagonal, parts.diagonal)
    for compute, active in arithmetics(z[0], wide):
        views = [
            View(v, standardise(m, s, compute), active)
            for v, m, s in zip(z, parts.mean, scale, strict=True)
        ]
        matrices = saved
        if saved.dtype != compute:
            matrices = torch.empty_like(saved, dtype=compute)
            _squares(views, matrices)
        for v, out in enumerate(gradients):
            write_gradient(out, views[v], views[1 - v], None, matrices[v], k)
    return gradients
