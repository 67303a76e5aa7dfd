"""The published scalings of VICReg and Barlow Twins, each written out as its code computes it."""

from collections.abc import Callable

import pytest
import torch
from checks import value_and_gradients
from torch import Tensor
from torch.nn import functional as F

from tsssl_fast import functional, losses

Loss = Callable[[Tensor, Tensor], Tensor]


def off_square(c: Tensor) -> Tensor:
    return c.square().sum() - c.diagonal().square().sum()


def cov(z: Tensor) -> Tensor:
    return torch.cov(z.T)


def hinge(z: Tensor, eps: float = 1e-4) -> Tensor:
    return F.relu(1 - torch.sqrt(z.var(dim=0) + eps)).mean()


def official(a: Tensor, b: Tensor) -> Tensor:
    """facebookresearch/vicreg: mse over all elements, halved hinges, covariances of both views."""
    d = a.shape[1]
    return (
        25 * F.mse_loss(a, b)
        + 25 * (hinge(a) / 2 + hinge(b) / 2)
        + (off_square(cov(a)) / d + off_square(cov(b)) / d)
    )


def unit_weights(a: Tensor, b: Tensor) -> Tensor:
    """Bardes et al., ICLR 2022, equations 1 to 6 as printed, all weights 1."""
    n, d = a.shape
    agreement = (a - b).norm(dim=1).square().sum() / n
    return agreement + hinge(a) + hinge(b) + off_square(cov(a)) / d + off_square(cov(b)) / d


def lightly(a: Tensor, b: Tensor) -> Tensor:
    """lightly: 25 mse + 25 * 0.5 (hinge + hinge) + 1 (covariance + covariance)."""
    d = a.shape[1]
    mask = ~torch.eye(d, dtype=torch.bool)
    penalties = [cov(z)[mask].pow(2).sum() / d for z in (a, b)]
    return 25 * F.mse_loss(a, b) + 25 * 0.5 * (hinge(a) + hinge(b)) + sum(penalties)


def solo_learn(a: Tensor, b: Tensor) -> Tensor:
    """solo-learn: the hinges are not halved."""
    d = a.shape[1]
    penalties = off_square(cov(a)) / d + off_square(cov(b)) / d
    return 25 * F.mse_loss(a, b) + 25 * (hinge(a) + hinge(b)) + penalties


def vicregl(a: Tensor, b: Tensor) -> Tensor:
    """VICRegL: the covariances are halved too."""
    d = a.shape[1]
    penalties = (off_square(cov(a)) / d + off_square(cov(b)) / d) / 2
    return 25 * F.mse_loss(a, b) + 25 * (hinge(a) + hinge(b)) / 2 + penalties


def vibcreg(a: Tensor, b: Tensor) -> Tensor:
    """VIbCReg: correlations of unit columns, mean over all D² entries with the diagonal at 0."""
    penalties = []
    for z in (a, b):
        u = F.normalize(z - z.mean(dim=0), dim=0)
        penalties.append((u.T @ u).fill_diagonal_(0).square().mean())
    return 25 * F.mse_loss(a, b) + 25 * (hinge(a) + hinge(b)) + 200 * sum(penalties)


def batch_norm(z: Tensor) -> Tensor:
    return F.batch_norm(z, None, None, training=True, eps=1e-5)


def barlow(c: Tensor, lambd: float) -> Tensor:
    return (c.diagonal() - 1).square().sum() + lambd * off_square(c)


def barlow_official(a: Tensor, b: Tensor) -> Tensor:
    """facebookresearch/barlowtwins: batch norm without affine parameters, over the batch size."""
    return barlow(batch_norm(a).T @ batch_norm(b) / len(a), 0.0051)


def barlow_lightly(a: Tensor, b: Tensor) -> Tensor:
    return barlow(batch_norm(a).T @ batch_norm(b) / len(a), 5e-3)


def barlow_solo_learn(a: Tensor, b: Tensor) -> Tensor:
    """solo-learn's function: squared difference to the identity, off-diagonal times 0.005; 0.025 of
    it. (Its training method passes 0.0051 and 0.024.)"""
    c = torch.einsum("bi,bj->ij", batch_norm(a), batch_norm(b)) / len(a)
    difference = (c - torch.eye(a.shape[1], dtype=a.dtype)).square()
    weight = torch.full_like(difference, 0.005).fill_diagonal_(1)
    return 0.025 * (difference * weight).sum()


def barlow_stable_pretraining(a: Tensor, b: Tensor) -> Tensor:
    """stable-pretraining: unbiased deviations, yet over N: C_ii of equal views is (N - 1)/N."""
    u, v = ((z - z.mean(dim=0)) / z.std(dim=0) for z in (a, b))
    return barlow(u.T @ v / len(a), 0.0051)


def barlow_uncentered(a: Tensor, b: Tensor) -> Tensor:
    """Zbontar et al., ICML 2021, equation 2: cosines of the columns as they are."""
    return barlow(F.normalize(a, dim=0).T @ F.normalize(b, dim=0), 0.0051)


VICREG = {
    "official": official,
    "unit-weights": unit_weights,
    "lightly": lightly,
    "solo-learn": solo_learn,
    "vicregl": vicregl,
    "vibcreg": vibcreg,
}
BARLOW = {
    "official": barlow_official,
    "uncentered": barlow_uncentered,
    "lightly": barlow_lightly,
    "solo-learn": barlow_solo_learn,
    "stable-pretraining": barlow_stable_pretraining,
}


def pair(n: int, d: int) -> list[Tensor]:
    a = torch.randn(n, d, dtype=torch.float64) * torch.linspace(0.4, 1.6, d) + 0.3
    return [a, a + 0.4 * torch.randn_like(a)]


def same(function: Loss, published: Loss, n: int, d: int) -> None:
    z = pair(n, d)
    actual, expected = value_and_gradients(function, z), value_and_gradients(published, z)
    for x, y in zip(actual, expected, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("shape", [(24, 40), (40, 24)])
@pytest.mark.parametrize("convention", VICREG)
def test_vicreg(kernel: str, convention: str, shape: tuple[int, int]) -> None:
    same(
        lambda a, b: functional.vicreg_loss(a, b, convention=convention, backend=kernel),
        VICREG[convention],
        *shape,
    )
    same(losses.VICRegLoss(convention=convention, backend=kernel), VICREG[convention], *shape)


@pytest.mark.parametrize("shape", [(24, 40), (40, 24)])
@pytest.mark.parametrize("convention", BARLOW)
def test_barlow(kernel: str, convention: str, shape: tuple[int, int]) -> None:
    same(
        lambda a, b: functional.barlow_twins_loss(a, b, convention=convention, backend=kernel),
        BARLOW[convention],
        *shape,
    )
    same(losses.BarlowTwinsLoss(convention=convention, backend=kernel), BARLOW[convention], *shape)


@pytest.mark.parametrize("names", [VICREG, BARLOW])
def test_conventions_differ(names: dict[str, Loss]) -> None:
    z = pair(24, 40)
    values = {name: round(f(*z).item(), 6) for name, f in names.items() if name != "lightly"}
    assert len(set(values.values())) == len(values)


def test_every_convention_is_tested() -> None:
    from tsssl_fast.ops.decorrelation import spec

    assert set(spec.VICREG) == set(VICREG)
    assert set(spec.BARLOW_TWINS) == set(BARLOW)


@pytest.mark.parametrize("convention", VICREG)
def test_repeated_views_keep_the_scale_of_two(convention: str) -> None:
    a, b = pair(24, 40)
    two = functional.vicreg_loss(a, b, convention=convention, return_terms=True)
    four = functional.vicreg_loss(a, b, a, b, convention=convention, return_terms=True)
    assert four.variance.item() == pytest.approx(two.variance.item())
    assert four.covariance.item() == pytest.approx(two.covariance.item())
    # Of the six pairs, four differ.
    assert four.invariance.item() == pytest.approx(two.invariance.item() * 4 / 6)


def test_old_names_say_the_new_one() -> None:
    for loss, new in (
        (functional.vicreg_loss, "unit-weights"),
        (functional.barlow_twins_loss, "uncentered"),
    ):
        with pytest.raises(ValueError, match=f"'document' is now '{new}'"):
            loss(*pair(4, 5), convention="document")
    with pytest.raises(ValueError, match="is now 'unit-weights'"):
        losses.VICRegLoss(convention="document")
    with pytest.raises(AttributeError, match=r"functional\.invariance_penalty"):
        functional.invariance  # noqa: B018  reading it is the test
