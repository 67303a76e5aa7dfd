"""Rows for the low-label protocols: stratified and drawn by a seed."""

import math

import torch
from torch import Tensor

FRACTIONS = (0.01, 0.05, 0.1, 0.5, 1.0)


def stratified(y: Tensor, fraction: float, seed: int = 0) -> Tensor:
    """Positions of a share of the rows of every class, ascending: (n,) int64.

    Args:
        y: (N,) integer labels.
        fraction: in (0, 1]; a class of m rows keeps round(fraction * m), at least one.
        seed: of the draw. With one seed, the rows of a smaller fraction are among those of a
            larger one.

    Raises ValueError for a fraction out of range or labels that are no vector of integers.
    """
    if y.dim() != 1 or y.is_floating_point() or len(y) == 0:
        raise ValueError(f"y: {y.dtype} {tuple(y.shape)}; accepted: integers (N,) with N >= 1")
    if not 0 < fraction <= 1 or math.isnan(fraction):
        raise ValueError(f"fraction: {fraction}; accepted: above 0, at most 1")
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(y), generator=generator)
    kept = []
    for label in y.unique():
        rows = order[y[order] == label]
        kept.append(rows[: max(1, round(fraction * len(rows)))])
    return torch.cat(kept).sort().values
