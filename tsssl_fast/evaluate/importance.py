"""Which channels a prediction needs."""

from collections.abc import Callable

import torch
from torch import Tensor

from tsssl_fast.common import checks


@torch.no_grad()
def channel_importance(
    predict: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, *, repeats: int = 5, seed: int = 0
) -> Tensor:
    """Permutation importance (Breiman, Random Forests, 2001): by how much accuracy falls when a
    channel's series are exchanged between the samples.

    Args:
        predict: (N, C, T) -> (N,) labels. x: (N, C, T) of the test set. y: (N,) labels.
        repeats: permutations that are averaged, 1 or more. seed: of them.

    Returns:
        (C,) float64, accuracy with all channels minus accuracy with the channel permuted.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    checks.floating("x", x)
    if x.dim() != 3 or len(x) < 2:
        raise ValueError(f"x: shape {tuple(x.shape)}; accepted: (N, C, T) with N >= 2")
    if y.shape != x.shape[:1]:
        raise ValueError(f"y: shape {tuple(y.shape)}; accepted: ({len(x)},)")
    checks.at_least("repeats", repeats, 1)
    generator = torch.Generator().manual_seed(seed)

    def accuracy(series: Tensor) -> Tensor:
        return (predict(series) == y).double().mean()

    falls = torch.zeros(x.shape[1], dtype=torch.float64)
    for _ in range(repeats):
        order = torch.randperm(len(x), generator=generator).to(x.device)
        for channel in range(x.shape[1]):
            other = x.clone()
            other[:, channel] = x[order, channel]
            falls[channel] -= accuracy(other).cpu() / repeats
    return falls + accuracy(x).cpu()
