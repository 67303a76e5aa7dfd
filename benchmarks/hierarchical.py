"""The hierarchical loss of TS2Vec, forward and backward, float32, against two forms in plain torch.

`eager` is our transcription of the form that TS2Vec's authors published (equations 1 to 3 of Yue et
al., AAAI 2022): both views in one batch, one batched product, the triangles left and right of the
diagonal moved together, log-softmax over everything, then the two entries of each pair picked out.
`lean` is as short as plain torch gets: the diagonal filled with -inf and one cross entropy.
"""

from collections.abc import Callable

import torch
from engine import Loss
from nt_xent import compiled_by_torch, run
from registry import Case, Run, Unavailable
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax, max_pool1d

from tsssl_fast import BackendUnavailableError, functional, use_backend
from tsssl_fast.ops.contrastive import spec

ALPHA = 0.5
Inputs = tuple[Tensor, ...]


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


def kernel(z: Inputs) -> Run:
    try:
        with use_backend("cpp"):
            functional.hierarchical_contrastive_loss(*(x[:, :2] for x in z))
    except BackendUnavailableError as error:
        raise Unavailable(str(error)) from error
    return run(functional.hierarchical_contrastive_loss, z)


def plain(contrast: Loss) -> Callable[[Inputs], Run]:
    return lambda z: run(pyramid(contrast), z)


def make(batch: int, steps: int, dim: int, bars: dict[str, float]) -> Case:
    def inputs() -> Inputs:
        generator = torch.Generator().manual_seed(0)
        first = 0.1 * torch.randn(batch, steps, dim, generator=generator)
        return first, first + 0.05 * torch.randn(batch, steps, dim, generator=generator)

    return Case(
        name=f"hierarchical {batch}x{steps}x{dim}",
        inputs=inputs,
        truth=lambda z: run(pyramid(lean), tuple(x.double() for x in z))(),
        providers={
            "cpp": kernel,
            "eager": plain(published),
            "lean": plain(lean),
            "compiled": lambda z: run(compiled_by_torch(pyramid(published)), z),
        },
        ours="cpp",
        baseline="eager",
        factor=spec.ERROR_FACTOR,
        flops=2.0 * batch * (2 * steps) ** 2 * dim,
        bytes=8.0 * 2 * batch * steps * dim,
        bars=bars,
    )


CASES = [make(4, 64, 32, {}), make(8, 1024, 320, {"ratio": 5.0, "less_memory": 5.0})]
