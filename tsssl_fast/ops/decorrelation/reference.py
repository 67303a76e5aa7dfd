"""The definition in plain torch: any device, any floating dtype, differentiable to any order.

`vicreg` and `barlow_twins` are what the tests hold every kernel to. BACKEND runs the same
mathematics as operators, with the gradients in closed form; both build the D x D matrix.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from tsssl_fast.dispatch import Backend, without_autocast
from tsssl_fast.ops.decorrelation import spec


def off_diagonal(matrix: Tensor) -> Tensor:
    return matrix - torch.diag(matrix.diagonal())


def _columns(z: Tensor, correlation: bool, eps: float) -> Tensor:
    x = z - z.mean(dim=0)
    return torch.nn.functional.normalize(x, dim=0, eps=eps) if correlation else x


def vicreg(
    z: Sequence[Tensor], gamma: float, eps: float, correlation: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The raw sums of VICReg, equations (12) to (15) of the report without their factors.

    With C = xᵀx / (N - 1), x the centred columns (correlation: C = uᵀu with
    u_j = x_j / max(||x_j||, eps)):
    pairs: sum over views a < b of ||z_a - z_b||²; hinge: sum over views and dimensions of
    max(0, gamma - sqrt(Var(z_j) + eps)), Var unbiased; off: sum over views and i != j of C_ij².
    """
    views = [v.to(spec.compute_dtype(v.dtype)) for v in z]
    hinge = torch.stack([_hinge(v, gamma, eps) for v in views]).sum()
    return _pairs(views), hinge, torch.stack([_off(v, eps, correlation) for v in views]).sum()


def _pairs(views: Sequence[Tensor]) -> Tensor:
    total = views[0].new_zeros(())
    for a, first in enumerate(views):
        for second in views[a + 1 :]:
            total = total + (first - second).square().sum()
    return total


def _hinge(z: Tensor, gamma: float, eps: float) -> Tensor:
    return (gamma - (z.var(dim=0) + eps).sqrt()).relu().sum()


def _second_moments(z: Tensor, eps: float, correlation: bool) -> Tensor:
    x = _columns(z, correlation, eps)
    return x.T @ x if correlation else x.T @ x / (len(z) - 1)


def _off(z: Tensor, eps: float, correlation: bool) -> Tensor:
    return off_diagonal(_second_moments(z, eps, correlation)).square().sum()


def barlow_twins(
    z1: Tensor, z2: Tensor, eps: float, center: bool, unbiased: bool
) -> tuple[Tensor, Tensor]:
    """The sums of Barlow Twins, equations (10) and (11): of (1 - C_ii)², and of C_ij² for i != j.

    C = aᵀb / N with columns z_j / sqrt(sum over the batch of z_j² / m + eps), m = N or N - 1 where
    unbiased, centred first on request.
    """
    a, b = (_standard(z, eps, center, unbiased) for z in (z1, z2))
    c = a.T @ b / len(a)
    return (1 - c.diagonal()).square().sum(), off_diagonal(c).square().sum()


def _standard(z: Tensor, eps: float, center: bool, unbiased: bool) -> Tensor:
    x = z.to(spec.compute_dtype(z.dtype))
    x = x - x.mean(dim=0) if center else x
    return x / (x.square().sum(dim=0) / (len(x) - unbiased) + eps).sqrt()


def _kept(left: Tensor, right: Tensor) -> Tensor:
    """The second moments on the side that the kernels keep."""
    return right @ right.T if spec.gram(*left.shape) else right.T @ left


def _vicreg(z: Sequence[Tensor], gamma: float, eps: float, flags: int) -> tuple[Tensor, Tensor]:
    views = [v.to(spec.compute_dtype(v.dtype)) for v in z]
    correlation = bool(flags & spec.CORRELATION)
    zero = views[0].new_zeros(())
    pairs = _pairs(views) if flags & spec.INVARIANCE else zero
    hinge = [_hinge(v, gamma, eps) if flags & spec.VARIANCE else zero for v in views]
    off, diagonal = [zero] * len(views), [zero] * len(views)
    square = views[0].new_empty(0)
    if flags & spec.COVARIANCE:
        columns = [_columns(v, correlation, eps) for v in views]
        square = torch.stack([_kept(x, x) for x in columns])
        off = [_off(v, eps, correlation) for v in views]
        c = [_second_moments(v, eps, correlation) for v in views]
        diagonal = [m.diagonal().square().sum() for m in c]
    stacked = torch.stack(views)
    mean = stacked.mean(dim=1)
    squares = (stacked - mean[:, None]).square().sum(dim=1)
    sums = torch.stack([pairs, *hinge, *off, *diagonal])
    return torch.cat([sums.double(), mean.double().flatten(), squares.double().flatten()]), square


def _vicreg_backward(
    upstream: Sequence[float],
    z: Sequence[Tensor],
    moments: Tensor,
    square: Tensor,
    gamma: float,
    eps: float,
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
            x = _columns(view, correlation, eps)
            du = 4 * upstream[2] * (x @ off_diagonal(x.T @ x))
            if correlation:
                norm = centred.norm(dim=0)
                du = torch.where(norm > eps, du - (du * x).sum(dim=0) * x, du)
                du = du / norm.clamp_min(eps)
            else:
                du = du / (n - 1) ** 2
            g = g + du - du.mean(dim=0)
        gradients.append(g.to(z[0].dtype))
    return gradients


def _barlow_twins(z1: Tensor, z2: Tensor, eps: float, flags: int) -> tuple[Tensor, Tensor]:
    center, unbiased = bool(flags & spec.CENTER), bool(flags & spec.UNBIASED)
    a, b = (_standard(z, eps, center, unbiased) for z in (z1, z2))
    c = a.T @ b / len(a)
    sums = [*barlow_twins(z1, z2, eps, center, unbiased), c.diagonal().square().sum()]
    raw = torch.stack([z1, z2]).to(a.dtype)
    mean = raw.mean(dim=1) if center else torch.zeros_like(raw[:, 0])
    x = raw - mean[:, None]
    columns = [mean, x.square().sum(dim=1), (x[0] * x[1]).sum(dim=0)]
    moments = torch.cat([torch.stack(sums).double(), *(m.double().flatten() for m in columns)])
    return moments, torch.stack([_kept(a, b), _kept(b, a)])


def _barlow_twins_backward(
    upstream: Sequence[float],
    z1: Tensor,
    z2: Tensor,
    moments: Tensor,
    square: Tensor,
    eps: float,
    flags: int,
) -> tuple[Tensor, Tensor]:
    n = len(z1)
    center, unbiased = bool(flags & spec.CENTER), bool(flags & spec.UNBIASED)
    a, b = (_standard(z, eps, center, unbiased) for z in (z1, z2))
    c = a.T @ b / n
    dc = 2 * upstream[1] * off_diagonal(c) - torch.diag(2 * upstream[0] * (1 - c.diagonal()))
    gradients = []
    for z, x, g in ((z1, a, b @ dc.T / n), (z2, b, a @ dc / n)):
        raw = z.to(x.dtype)
        raw = raw - raw.mean(dim=0) if center else raw
        scale = (raw.square().sum(dim=0) / (n - unbiased) + eps).rsqrt()
        g = scale * (g - x * (g * x).sum(dim=0) / (n - unbiased))
        gradients.append((g - g.mean(dim=0) if center else g).to(z.dtype))
    return gradients[0], gradients[1]


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    return []


BACKEND = Backend(
    "reference",
    kernels=without_autocast(
        {
            "vicreg": _vicreg,
            "vicreg_views": _vicreg,
            "vicreg_backward": _vicreg_backward,
            "barlow_twins": _barlow_twins,
            "barlow_twins_backward": _barlow_twins_backward,
        }
    ),
    why_not=_why_not,
    devices=frozenset({"cpu", "cuda", "xpu", "meta"}),
)
