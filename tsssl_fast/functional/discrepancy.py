"""How far two sets of rows are apart as distributions; which device is nearest to which."""

import torch
from torch import Tensor

from tsssl_fast.backends.precision import product
from tsssl_fast.common import checks


def maximum_mean_discrepancy(x: Tensor, y: Tensor, *, bandwidth: float | None = None) -> Tensor:
    """Squared maximum mean discrepancy with a Gaussian kernel (A Kernel Two-Sample Test, 2012), the
    biased estimate, >= 0:

        mean_ij k(x_i, x_j) + mean_ij k(y_i, y_j) - 2 mean_ij k(x_i, y_j)
        k(a, b) = exp(-|a - b|^2 / (2 bandwidth^2))

    Args:
        x, y: (M, D), (N, D), floating.
        bandwidth: > 0, in the unit of the rows; None: the root of half the median squared distance
            between all rows of both, without the zeros.

    Returns:
        A scalar with gradient.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    checks.matrix("x", x)
    checks.matrix("y", y)
    if y.shape[1] != x.shape[1]:
        raise ValueError(f"y: {y.shape[1]} columns; accepted: {x.shape[1]} as x")
    distance, some = _squared_distances(torch.cat(checks.promoted(x, y)))
    if bandwidth is None:
        apart = distance.detach()[some]
        twice: Tensor | float = apart.median() if len(apart) else 1.0
    else:
        twice = 2 * checks.positive("bandwidth", bandwidth) ** 2
    k = (-distance / twice).exp()
    m = len(x)
    return k[:m, :m].mean() + k[m:, m:].mean() - 2 * k[:m, m:].mean()


def _squared_distances(rows: Tensor) -> tuple[Tensor, Tensor]:
    """(M, M) between all rows, and which are no zeros: from the product of the centred rows, whose
    rounding is all that is left between two rows that are the same."""
    rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
    rows = rows - rows.detach().mean(0)
    square = rows.square().sum(1)
    sums = square[:, None] + square
    distance = sums - 2 * product(rows, rows.T)
    some = distance.detach() > 32 * torch.finfo(rows.dtype).eps * sums.detach()
    some &= ~torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    return torch.where(some, distance, 0.0), some


@torch.no_grad()
def rank_devices(anchor: Tensor, devices: Tensor, *, bandwidth: float | None = None) -> Tensor:
    """Discrepancy of each device's rows from an anchor's: the choice of devices of Collaborative
    Self-Supervised Learning for Human Activity Recognition, 2022, where the nearest is the positive
    and the others are negatives.

    Args:
        anchor: (N, D) rows of one device. devices: (G, M, D) rows of the others.
        bandwidth: as in :func:`maximum_mean_discrepancy`.

    Returns:
        (G,) squared discrepancies; `argsort()` ranks the devices.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    checks.matrix("anchor", anchor)
    checks.floating("devices", devices)
    if devices.dim() != 3 or devices.shape[2] != anchor.shape[1] or 0 in devices.shape:
        raise ValueError(
            f"devices: shape {tuple(devices.shape)}; accepted: (G, M, {anchor.shape[1]})"
        )
    found = [maximum_mean_discrepancy(anchor, d, bandwidth=bandwidth) for d in devices]
    return torch.stack(found)
