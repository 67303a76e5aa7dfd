"""The hierarchical loss of TS2Vec, forward and backward, float32, against two forms in plain torch.

`eager` is our transcription of the form that TS2Vec's authors published (equations 1 to 3 of Yue et
al., AAAI 2022): both views in one batch, one batched product, the triangles left and right of the
diagonal moved together, log-softmax over everything, then the two entries of each pair picked out.
`lean` is as short as plain torch gets: the diagonal filled with -inf and one cross entropy.
"""

import torch
from registry import Case, Inputs
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax, max_pool1d

from suite.common import Loss, in_double, of_loss, pairs_bytes, plain
from tsssl_fast import functional
from tsssl_fast.ops.contrastive import spec

ALPHA = 0.5


def published(z1: Tensor, z2: Tensor) -> Tensor:
    """The mean loss of G problems, views (G, L, D)."""
    n = z1.shape[1]
    z = torch.cat([z1, z2], dim=1)
    s = torch.matmul(z, z.transpose(1, 2))
    others = s.tril(-1)[:, :, :-1] + s.triu(1)[:, :, 1:]  # (G, 2L, 2L - 1), without the diagonal
    cost = -log_softmax(others, dim=-1)
    i = torch.arange(n)
    return (cost[:, i, n + i - 1].mean() + cost[:, n + i, i].mean()) / 2


def lean(z1: Tensor, z2: Tensor) -> Tensor:
    n = z1.shape[1]
    z = torch.cat([z1, z2], dim=1)
    itself = torch.eye(2 * n, dtype=torch.bool)
    a = (z @ z.transpose(1, 2)).masked_fill(itself, -torch.inf)
    return cross_entropy(a.flatten(0, 1), torch.arange(2 * n).roll(n).repeat(len(z)))


def pyramid(contrast: Loss) -> Loss:
    """Both contrasts on every level, the mean over levels."""

    def loss(z1: Tensor, z2: Tensor) -> Tensor:
        total, levels = z1.new_zeros(()), 0
        while True:
            levels += 1
            total = total + ALPHA * contrast(z1.transpose(0, 1), z2.transpose(0, 1))
            if z1.shape[1] == 1:
                return total / levels
            total = total + (1 - ALPHA) * contrast(z1, z2)
            z1, z2 = (max_pool1d(z.transpose(1, 2), 2).transpose(1, 2) for z in (z1, z2))

    return loss


def make(batch: int, steps: int, dim: int, bars: dict[str, float], quick: bool = False) -> Case:
    def inputs() -> Inputs:
        generator = torch.Generator().manual_seed(0)
        first = 0.1 * torch.randn(batch, steps, dim, generator=generator)
        return first, first + 0.05 * torch.randn(batch, steps, dim, generator=generator)

    eager = pyramid(published)
    return Case(
        family="contrastive",
        operator="hierarchical",
        shape=(batch, steps, dim),
        inputs=inputs,
        truth=in_double(pyramid(lean)),
        providers={
            **of_loss(functional.hierarchical_contrastive_loss, eager),
            "lean": plain(pyramid(lean)),
        },
        baseline="eager",
        factor=spec.ERROR_FACTOR,
        flops=2.0 * batch * (2 * steps) ** 2 * dim,
        bars=bars,
        needs=2 * pairs_bytes(batch * (2 * steps) ** 2),
        quick=quick,
    )


CASES = [
    make(4, 64, 32, {}, quick=True),
    make(8, 1024, 320, {"ratio": 5.0, "less_memory": 5.0}),
]
