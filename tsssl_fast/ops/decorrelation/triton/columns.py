"""Column statistics on torch tensors, from the sums of statistics_kernel."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tsssl_fast.backends.triton import availability
from tsssl_fast.ops.decorrelation.triton import tuning as configs
from tsssl_fast.ops.decorrelation.triton.kernels import statistics as kernels


@dataclass(frozen=True)
class Sums:
    """Float64, (dim,) each; of views a and b, the second only where both were asked for."""

    mean: tuple[Tensor, Tensor]
    squares: tuple[Tensor, Tensor]
    distance: Tensor
    product: Tensor


def sums(a: Tensor, b: Tensor | None, centre: bool, own: bool = True) -> Sums:
    """Means and sums around them; those of different rows are combined in order
    (Chan, Golub, LeVeque 1983)."""
    n, dim = a.shape
    config = configs.CONFIGS[availability.family(a)][torch.float64]
    blocks = -(-dim // config.columns)
    count, split = configs.splits(config, blocks, n, config.rows)
    parts = a.new_empty((count, 6, dim), dtype=torch.float64)
    other = a if b is None else b
    with availability.on(a):
        kernels.statistics_kernel[(blocks, count)](
            *(a, other, *a.stride(), *other.stride(), parts, n, dim, split),
            CENTRE=centre,
            OWN=own,
            PAIR=b is not None,
            ROWS=config.rows,
            COLUMNS=config.columns,
            **config.options,
        )
    rows = torch.full((count, 1), float(split), dtype=torch.float64, device=a.device)
    rows[-1] = n - (count - 1) * split
    mean = (parts[:, 0::2][:, :2] * rows[:, :, None]).sum(0) / n
    if count == 1:
        mean = parts[0, 0:4:2]
    shift = parts[:, 0:4:2] - mean
    squares = (parts[:, 1:4:2] + rows[:, :, None] * shift * shift).sum(0)
    product = (parts[:, 5] + rows * shift[:, 0] * shift[:, 1]).sum(0)
    return Sums(
        *((mean[0], mean[1]), (squares[0], squares[1])),
        *(parts[:, 4].sum(0), product),
    )


def standardise(mean: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """(3, dim): the mean in two parts, and the scale, for kernels.tiles.standardised."""
    high = mean.to(dtype)
    return torch.stack([high, (mean - high.double()).to(dtype), scale.to(dtype)])
