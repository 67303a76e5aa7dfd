"""`barlow_twins`: the definition, differentiable to any order, and the same as an operator."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from tsssl_fast.backends.precision import product, widest
from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.reference.moments import off_diagonal, smaller_side


def barlow_twins(
    z1: Tensor, z2: Tensor, eps: float, center: bool, unbiased: bool
) -> tuple[Tensor, Tensor]:
    """The raw sums of Barlow Twins: of (1 - C_ii)², and of C_ij² for i != j.

    Source: Zbontar et al. 2021, equations 1 and 2.

    C = aᵀb / N with columns z_j / sqrt(sum over the batch of z_j² / m + eps), m = N or N - 1 where
    unbiased, centred first on request.
    """
    a, b = (_standard(z, eps, center, unbiased) for z in (z1, z2))
    c = product(a.T, b) / len(a)
    return (1 - c.diagonal()).square().sum(), off_diagonal(c).square().sum()


def _centred(z: Tensor, center: bool) -> tuple[Tensor, Tensor]:
    """Columns in the arithmetic's dtype, times the power of two that keeps their squares from
    overflowing, which is 1 but for columns of huge numbers; and that power, (1, D)."""
    x = z.to(spec.compute_dtype(z.dtype))
    half = math.frexp(torch.finfo(x.dtype).max)[1] // 2
    huge = x.detach().abs().amax(dim=0, keepdim=True) > 2.0 ** (half - 4)
    factor = torch.where(huge, 2.0 ** -(half + 16), 1.0).to(x.dtype)
    x = x * factor
    return (x - x.mean(dim=0) if center else x), factor


def _inverse_deviation(x: Tensor, factor: Tensor, eps: float, unbiased: bool) -> Tensor:
    """1 / sqrt(mean square + eps) of what `_centred` gave, in its unit."""
    return 1 / (x.square().sum(dim=0) / (len(x) - unbiased) + eps * factor[0].square()).sqrt()


def _standard(z: Tensor, eps: float, center: bool, unbiased: bool) -> Tensor:
    x, factor = _centred(z, center)
    return x * _inverse_deviation(x, factor, eps, unbiased)


def _barlow_twins(z: Sequence[Tensor], eps: float, flags: int) -> tuple[Tensor, Tensor]:
    center, unbiased = bool(flags & spec.CENTER), bool(flags & spec.UNBIASED)
    a, b = (_standard(v, eps, center, unbiased) for v in z)
    c = product(a.T, b) / len(a)
    sums = [*barlow_twins(z[0], z[1], eps, center, unbiased), c.diagonal().square().sum()]
    raw = torch.stack([*z]).to(a.dtype)
    mean = raw.mean(dim=1) if center else torch.zeros_like(raw[:, 0])
    x = raw - mean[:, None]
    columns = [mean, x.square().sum(dim=1), (x[0] * x[1]).sum(dim=0)]
    moments = torch.cat([torch.stack(sums), *(m.flatten() for m in columns)]).to(widest(a))
    return moments, torch.stack([smaller_side(a, b), smaller_side(b, a)])


def barlow_twins_backward(
    upstream: Sequence[float | Tensor],
    z: Sequence[Tensor],
    moments: Tensor,
    second_moments: Tensor,
    eps: float,
    flags: int,
) -> list[Tensor]:
    n = len(z[0])
    center, unbiased = bool(flags & spec.CENTER), bool(flags & spec.UNBIASED)
    a, b = (_standard(v, eps, center, unbiased) for v in z)
    c = product(a.T, b) / n
    dc = 2 * upstream[1] * off_diagonal(c) - torch.diag(2 * upstream[0] * (1 - c.diagonal()))
    gradients = []
    for v, x, g in ((z[0], a, product(b, dc.T) / n), (z[1], b, product(a, dc) / n)):
        raw, factor = _centred(v, center)
        scale = factor[0] * _inverse_deviation(raw, factor, eps, unbiased)
        g = scale * (g - x * (g * x).sum(dim=0) / (n - unbiased))
        gradients.append((g - g.mean(dim=0) if center else g).to(v.dtype))
    return gradients
