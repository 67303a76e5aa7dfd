"""The last step of every encoder here: mean and maximum over time."""

import torch
from torch import Tensor


def mean_max(x: Tensor) -> Tensor:
    """(N, F, 1, T) -> (N, 2F): [mean over time, maximum over time]."""
    x = x.flatten(2)
    return torch.cat([x.mean(-1), x.amax(-1)], dim=1)
