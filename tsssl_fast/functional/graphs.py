"""Graphs over the rows of a batch: influence as weights of positives, communities."""

import torch
from torch import Tensor

from tsssl_fast.common import checks


def influence(adjacency: Tensor, *, order: int = 2, decay: float = 1.0) -> Tensor:
    """How far rows reach each other in a graph, from powers of its random walk (the
    influence-augmented contrast of SCGC: Self-Supervised Contrastive Graph Clustering, 2022):

        sum_{r=1..order} decay^{r-1} W^r,  W = D^{-1} A,  D_ii = sum_j A_ij

    Args:
        adjacency: A, (N, N) >= 0, weights of edges.
        order: powers, 1 or more. decay: > 0.

    Returns:
        (N, N), the `influence` of :func:`scgc_loss`. A row without an edge stays 0.

    Raises:
        TypeError, ValueError: naming the argument, also for a graph that is not square.
    """
    _square("adjacency", adjacency)
    checks.at_least("order", order, 1)
    decay = checks.positive("decay", decay)
    degree = adjacency.sum(1, keepdim=True)
    walk = adjacency / torch.where(degree > 0, degree, 1.0)
    power = total = walk
    for _ in range(int(order) - 1):
        power = decay * (power @ walk)
        total = total + power
    return total


def dense_community_loss(assignments: Tensor, adjacency: Tensor, *, between: float = 1.0) -> Tensor:
    """Communities that are dense inside and sparse between (the dense community aggregation of
    Graph Communal Contrastive Learning, 2021). With F = R^T A R and sizes c = sum_i R_i:

        loss = between mean_{k != l} F_kl / (c_k c_l) - mean_k F_kk / c_k^2

    Args:
        assignments: R, (N, K), rows sum to 1, as a softmax over K >= 2 communities gives.
        adjacency: A, (N, N) >= 0, a constant. between: weight >= 0 of the density between.

    Returns:
        A scalar. The pairs of a community with itself count its self-edges.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    checks.matrix("assignments", assignments)
    _square("adjacency", adjacency)
    count = assignments.shape[1]
    if count < 2:
        raise ValueError(f"assignments: {count} community; accepted: 2 or more")
    if len(adjacency) != len(assignments):
        raise ValueError(
            f"adjacency: shape {tuple(adjacency.shape)}; accepted: ({len(assignments)}, "
            f"{len(assignments)}) as assignments"
        )
    between = checks.non_negative("between", between)
    edges = assignments.T @ (adjacency.detach().to(assignments.dtype) @ assignments)
    size = assignments.sum(0)
    density = edges / (size[:, None] * size).clamp_min(torch.finfo(size.dtype).tiny)
    inside = density.diagonal()
    outside = (density.sum() - inside.sum()) / (count * (count - 1))
    return between * outside - inside.mean()


def _square(name: str, x: Tensor) -> None:
    checks.matrix(name, x)
    if x.shape[0] != x.shape[1]:
        raise ValueError(f"{name}: shape {tuple(x.shape)}; accepted: (N, N), a square")
