"""What the tests of the decorrelation family share: embeddings, losses by backend, definitions."""

from collections.abc import Callable

import torch
from checks import accept_all
from torch import Tensor

from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.reference import barlow_twins
from tsssl_fast.ops.decorrelation.reference import vicreg as reference_vicreg

WEIGHTS = (0.7, 1.3, 0.9)


def views(n: int, dim: int, count: int = 2, noise: float = 0.3, mean: float = 0.5) -> list[Tensor]:
    """Correlated columns with standard deviations on both sides of gamma = 1."""
    base = torch.randn(n, dim, dtype=torch.float64)
    base = base + 0.5 * base.roll(1, dims=1) + mean
    base = base * torch.linspace(0.3, 1.5, dim, dtype=torch.float64)
    return [(base + noise * torch.randn_like(base)).float() for _ in range(count)]


def draws_of(n: int, dim: int) -> int:
    """The rule judges the mean error of some draws; small ones, and N = 2 most, scatter."""
    return 64 if n == 2 else 16 if n * dim < 1000 else 4


def vicreg(
    kernel: str, correlation: bool = False, norm_eps: float = spec.NORM_EPS
) -> Callable[..., Tensor]:
    def loss(*z: Tensor) -> Tensor:
        settings = spec.VICRegSettings(1.0, 1.0, 1.0, *WEIGHTS, 1.0, 1e-4, norm_eps)
        flags = spec.ALL_TERMS | (spec.CORRELATION * correlation)
        if len(z) == 2:
            return torch.ops.tsssl_fast.vicreg(*z, settings, flags, "", kernel)[0]
        return torch.ops.tsssl_fast.vicreg_views(z, settings, flags, "", kernel)[0]

    return loss


def vicreg_definition(
    correlation: bool = False, norm_eps: float = spec.NORM_EPS
) -> Callable[..., Tensor]:
    def loss(*z: Tensor) -> Tensor:
        terms = reference_vicreg.vicreg(z, 1.0, 1e-4, correlation, norm_eps)
        return sum(w * t for w, t in zip(WEIGHTS, terms, strict=True))

    return loss


def barlow(kernel: str, center: bool, unbiased: bool) -> Callable[..., Tensor]:
    def loss(z1: Tensor, z2: Tensor) -> Tensor:
        settings = spec.BarlowTwinsSettings(1.0, 1.0, 1.0, 0.4, eps=1e-5)
        flags = spec.CENTER * center | spec.UNBIASED * unbiased
        return torch.ops.tsssl_fast.barlow_twins(z1, z2, settings, flags, "", kernel)[0]

    return loss


def barlow_definition(center: bool, unbiased: bool) -> Callable[..., Tensor]:
    def loss(z1: Tensor, z2: Tensor) -> Tensor:
        on, off = barlow_twins.barlow_twins(z1, z2, 1e-5, center, unbiased)
        return on + 0.4 * off

    return loss


def check_vicreg(
    kernel: str,
    draws: list[list[Tensor]],
    correlation: bool = False,
    norm_eps: float = spec.NORM_EPS,
) -> None:
    accept_all(
        vicreg(kernel, correlation, norm_eps),
        vicreg_definition(correlation, norm_eps),
        [(z, torch.tensor(1.7, dtype=torch.float64)) for z in draws],
        spec.ERROR_FACTOR,
    )


def check_barlow(kernel: str, draws: list[list[Tensor]], center: bool, unbiased: bool) -> None:
    accept_all(
        barlow(kernel, center, unbiased),
        barlow_definition(center, unbiased),
        [(z, torch.tensor(1.7, dtype=torch.float64)) for z in draws],
        spec.ERROR_FACTOR,
    )


def orthogonal(n: int, dim: int) -> Tensor:
    """Part of an orthogonal matrix: its columns are as uncorrelated as the rank allows."""
    return torch.linalg.qr(torch.randn(max(n, dim), max(n, dim)))[0][:n, :dim]


# What float32 loses on the n side unless it is taken again in float64.
HARD = {
    "one large column": lambda n, d: torch.randn(n, d) * torch.tensor([1000.0] + [1.0] * (d - 1)),
    "orthogonal columns": lambda n, d: 3 * orthogonal(n, d),
    "equal columns": lambda n, d: torch.randn(n, 1).expand(n, d).contiguous(),
    "std 1000": lambda n, d: 1000 * torch.randn(n, d),
    "mean 1000": lambda n, d: 1000 + torch.randn(n, d),
    "tiny": lambda n, d: 1e-6 * torch.randn(n, d),
    "one row apart": lambda n, d: torch.cat([torch.ones(n - 1, d), torch.randn(1, d)]),
}
