"""TS2Vec's losses (zhihanyue/ts2vec, models/losses.py).

Where the results differ from its code, on purpose:

* The loss of float64 inputs is float64, where the code sums in float32: z of torch.randn(4, 6, 5)
  in float64 after torch.manual_seed(0), against z.flip(0) + 1, is 6.152223714067, there
  6.152223587036.

Series are floating, (B, T, D). Errors are those of `functional.grouped_nt_xent_loss` and
`functional.hierarchical_contrastive_loss`: TypeError for another dtype, ValueError for another
shape or value, NotImplementedError under torch.jit.trace with lengths.
"""

import torch
from torch import Tensor
from torch.nn.functional import max_pool1d

from tsssl_fast import functional

__all__ = [
    "hierarchical_contrastive_loss",
    "instance_contrastive_loss",
    "temporal_contrastive_loss",
]


def hierarchical_contrastive_loss(
    z1: Tensor, z2: Tensor, alpha: float = 0.5, temporal_unit: int = 0
) -> Tensor:
    """See :func:`tsssl_fast.functional.hierarchical_contrastive_loss`.

    Args:
        z1, z2: (B, T, D). alpha: weight of the instance contrast, in [0, 1].
        temporal_unit: levels from this one on have the temporal contrast.
    """
    if temporal_unit <= 0:
        return functional.hierarchical_contrastive_loss(z1, z2, alpha=alpha)
    losses = []
    for level in range(z1.shape[1].bit_length()):
        loss = alpha * instance_contrastive_loss(z1, z2)
        if level >= temporal_unit and z1.shape[1] > 1:
            loss = loss + (1 - alpha) * temporal_contrastive_loss(z1, z2)
        losses.append(loss)
        if z1.shape[1] > 1:
            z1, z2 = (max_pool1d(z.transpose(1, 2), 2).transpose(1, 2) for z in (z1, z2))
    return torch.stack(losses).mean()


def instance_contrastive_loss(z1: Tensor, z2: Tensor) -> Tensor:
    """NT-Xent of dot products between the series of a batch, at each step. (B, T, D)."""
    return temporal_contrastive_loss(z1.transpose(0, 1), z2.transpose(0, 1))


def temporal_contrastive_loss(z1: Tensor, z2: Tensor) -> Tensor:
    """NT-Xent of dot products between the steps of each series. (B, T, D)."""
    return functional.grouped_nt_xent_loss(z1, z2, temperature=1.0, normalize=False).mean()
