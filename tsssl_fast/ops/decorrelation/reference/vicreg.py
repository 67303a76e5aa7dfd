"""`vicreg`: the definition, differentiable to any order, and the same as an operator."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tsssl_fast.backends.precision import product, widest
from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.reference.moments import (
    _columns,
    _off,
    _pairs,
    off_diagonal,
    second_moments,
    smaller_side,
)


def vicreg(
    z: Sequence[Tensor],
    gamma: float,
    eps: float,
    correlation: bool,
    norm_eps: float = spec.NORM_EPS,
) -> tuple[Tensor, Tensor, Tensor]:
    """The raw sums of VICReg: Bardes et al. 2022, equations 1 to 5, without their factors.

    With C = xᵀx / (N - 1), x the centred columns (correlation: C = uᵀu with
    u_j = x_j / max(||x_j||, norm_eps)):
    pairs: sum over views a < b of ||z_a - z_b||²; hinge: sum over views and dimensions of
    max(0, gamma - sqrt(Var(z_j) + eps)), Var unbiased; off: sum over views and i != j of C_ij².
    """
    views = [v.to(spec.compute_dtype(v.dtype)) for v in z]
    hinge = torch.stack([_hinge(v, gamma, eps) for v in views]).sum()
    return _pairs(views), hinge, torch.stack([_off(v, norm_eps, correlation) for v in views]).sum()


def _hinge(z: Tensor, gamma: float, eps: float) -> Tensor:
    return (gamma - (z.var(dim=0) + eps).sqrt()).relu().sum()


def _vicreg(
    z: Sequence[Tensor], gamma: float, eps: float, norm_eps: float, flags: int
) -> tuple[Tensor, Tensor]:
    views = [v.to(spec.compute_dtype(v.dtype)) for v in z]
    correlation = bool(flags & spec.CORRELATION)
    zero = views[0].new_zeros(())
    pairs = _pairs(views) if flags & spec.INVARIANCE else zero
    hinge = [_hinge(v, gamma, eps) if flags & spec.VARIANCE else zero for v in views]
    off, diagonal = [zero] * len(views), [zero] * len(views)
    saved = views[0].new_empty(0)
    if flags & spec.COVARIANCE:
        columns = [_columns(v, correlation, norm_eps) for v in views]
        saved = torch.stack([smaller_side(x, x) for x in columns])
        off = [_off(v, norm_eps, correlation) for v in views]
        c = [second_moments(v, norm_eps, correlation) for v in views]
        diagonal = [m.diagonal().square().sum() for m in c]
    stacked = torch.stack(views)
    mean = stacked.mean(dim=1)
    squares = (stacked - mean[:, None]).square().sum(dim=1)
    sums = torch.stack([pairs, *hinge, *off, *diagonal])
    moments = torch.cat([sums, mean.flatten(), squares.flatten()])
    return moments.to(widest(moments)), saved


def vicreg_backward(
    upstream: Sequence[float | Tensor],
    z: Sequence[Tensor],
    moments: Tensor,
    saved: Tensor,
    gamma: float,
    eps: float,
    norm_eps: float,
    flags: int,
) -> list[Tensor]:
    views = [v.to(spec.compute_dtype(v.dtype)) for v in z]
    n = len(views[0])
    correlation = bool(flags & spec.CORRELATION)
    gradients = []
    for view in views:
        g = torch.zeros_like(view)
        if flags & spec.INVARIANCE:
            for other in views:
                g = g + 2 * upstream[0] * (view - other)
        centred = view - view.mean(dim=0)
        if flags & spec.VARIANCE:
            std = (view.var(dim=0) + eps).sqrt()
            g = g - upstream[1] * torch.where(std < gamma, 1 / ((n - 1) * std), 0.0) * centred
        if flags & spec.COVARIANCE:
            x = _columns(view, correlation, norm_eps)
            du = 4 * upstream[2] * product(x, off_diagonal(product(x.T, x)))
            if correlation:
                norm = centred.norm(dim=0)
                du = torch.where(norm > norm_eps, du - (du * x).sum(dim=0) * x, du)
                du = du / norm.clamp_min(norm_eps)
            else:
                du = du / (n - 1) ** 2
            g = g + du - du.mean(dim=0)
        gradients.append(g.to(z[0].dtype))
    return gradients
