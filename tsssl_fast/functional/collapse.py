"""Signs of collapse in a batch of embeddings.

`collapse_report(z)` works in float64, where the device has it, without gradients and in O(N D +
min(N, D)²) memory; its largest cost is the mean correlation, N D² / 2 multiply-adds. The losses
give the same report from their own sums (`return_stats=True`).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from tsssl_fast.backends.precision import widest
from tsssl_fast.common import checks

# RankMe's guard of the logarithm (Garrido et al., ICML 2023).
RANK_EPS = 1e-7
_BLOCK = 512  # columns whose correlations with all others are held at a time


@dataclass(frozen=True)
class CollapseReport:
    """Statistics of embeddings z (N, D) with centred columns x.

    std: (D,) unbiased standard deviation of every dimension.
    mean_abs_correlation: mean over i != j of |<x_i, x_j>| / (||x_i|| ||x_j||), over the
        dimensions that have not collapsed; 0 where fewer than two are left.
    effective_rank: exp(-sum_k p_k log(p_k + 1e-7)) with p = sigma / sum(sigma), sigma the singular
        values of x (RankMe, on centred columns); 0 for a constant batch.
    participation_ratio: (sum_k l_k)² / sum_k l_k², l the eigenvalues of the covariance; 0 for a
        constant batch.
    collapsed_fraction: share of dimensions with std < `threshold` (see collapse_report).
    """

    std: Tensor
    mean_abs_correlation: float
    effective_rank: float
    participation_ratio: float
    collapsed_fraction: float


@torch.no_grad()
def collapse_report(z: Tensor, threshold: float = 1e-2) -> CollapseReport:
    """How far a batch of embeddings is from using all its dimensions.

    Args:
        z: (N, D) with N >= 2, floating.
        threshold: a dimension with a smaller standard deviation counts as collapsed, > 0.

    Raises:
        TypeError, ValueError: z is no floating (N, D) tensor, N < 2, threshold not positive.
    """
    checks.matrix("z", z)
    if z.shape[0] < 2:
        raise ValueError(f"z: shape {tuple(z.shape)}; accepted: (N, D) with N >= 2")
    return report_from_moments(z, None, None, None, checks.positive("threshold", threshold))


@torch.no_grad()
def report_from_moments(
    z: Tensor,
    mean: Tensor | None,
    squares: Tensor | None,
    moments: Tensor | None,
    threshold: float = 1e-2,
) -> CollapseReport:
    """The report from what a loss has summed already; None is computed here.

    mean, squares: (D,) column means and sums of squared deviations.
    moments: x xᵀ or xᵀ x, whichever is smaller.
    """
    n, dim = z.shape
    x = z.detach().to(widest(z))
    x = x - (x.mean(dim=0) if mean is None else mean)
    if squares is None:
        squares = x.square().sum(dim=0)
    if moments is None:
        moments = x @ x.T if n < dim else x.T @ x
    std = (squares / (n - 1)).sqrt()
    alive = std >= threshold
    eigenvalues = torch.linalg.eigvalsh(moments.to(x.dtype))
    # Below the rounding of the largest an eigenvalue is noise, and its root would count.
    noise = torch.finfo(moments.dtype).eps * len(eigenvalues) * eigenvalues[-1]
    eigenvalues = torch.where(eigenvalues > noise, eigenvalues, 0.0)
    total, root = eigenvalues.sum(), eigenvalues.sqrt()
    if total > 0:
        p = root / root.sum()
        rank = torch.exp(-(p * (p + RANK_EPS).log()).sum()).item()
        participation = (total.square() / eigenvalues.square().sum()).item()
    else:
        rank = participation = 0.0
    return CollapseReport(
        std=std.to(z.dtype),
        mean_abs_correlation=_mean_abs_correlation((x / squares.sqrt())[:, alive].to(z.dtype)),
        effective_rank=rank,
        participation_ratio=participation,
        collapsed_fraction=1 - alive.to(x.dtype).mean().item(),
    )


def _mean_abs_correlation(u: Tensor) -> float:
    """u: unit columns. Half of the symmetric product, a block of columns at a time."""
    dim = u.shape[1]
    if dim < 2:
        return 0.0
    if u.dtype in (torch.float16, torch.bfloat16):
        u = u.float()
    total = 0.0
    for first in range(0, dim, _BLOCK):
        block = u[:, first : first + _BLOCK]
        width = block.shape[1]
        within = (block.T @ block).abs()
        total += (within.sum() - within.diagonal().sum()).item()
        if first + width < dim:
            total += 2 * (block.T @ u[:, first + width :]).abs().sum().item()
    return total / (dim * (dim - 1))
