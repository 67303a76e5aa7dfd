"""The last step of every encoder here: mean and maximum over time."""

import torch
from torch import Tensor

from tsssl_fast.encoders.padding import hide


def mean_max(x: Tensor, lengths: Tensor | None = None) -> Tensor:
    """(N, F, 1, T) -> (N, 2F): [mean over time, maximum over time], before the lengths."""
    x = x.flatten(2)
    if lengths is None:
        return torch.cat([x.mean(-1), x.amax(-1)], dim=1)
    mean = hide(x, lengths).sum(-1) / lengths[:, None]
    return torch.cat([mean, hide(x, lengths, -torch.inf).amax(-1)], dim=1)
