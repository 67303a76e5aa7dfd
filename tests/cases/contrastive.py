"""Batches of two views, and NT-Xent held to its definition on them."""

from collections.abc import Iterable, Iterator

import torch
from checks import Draw, accept_all
from torch import Tensor

from tsssl_fast import functional
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.reference import nt_xent

# On both sides of the fixed exponent shift's end (2 / tau between 58 and 100).
TEMPERATURES = [1.0, 0.1, 0.034, 0.03, 0.02, 0.005, 1e-3]


def views(
    n: int, dim: int, noise: float = 0.5, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    z1 = torch.randn(n, dim, dtype=torch.float64)
    z2 = z1 + noise * torch.randn(n, dim, dtype=torch.float64)
    return z1.to(dtype), z2.to(dtype)


def orders(z1: Tensor, z2: Tensor, count: int = 6) -> Iterator[Draw]:
    """The batch with its columns in several orders: the same loss, rounded differently."""
    upstream = torch.randn(2 * len(z1), dtype=torch.float64)
    for _ in range(count):
        columns = torch.randperm(z1.shape[1])
        yield (z1[:, columns], z2[:, columns]), upstream


def check(draws: Iterable[Draw], temperature: float, kernel: str) -> None:
    accept_all(
        lambda a, b: functional.nt_xent_loss(
            a, b, temperature=temperature, reduction="none", backend=kernel
        ),
        lambda a, b: nt_xent.nt_xent(a, b, temperature),
        draws,
        spec.ERROR_FACTOR,
        name=("nt_xent", temperature),
    )
