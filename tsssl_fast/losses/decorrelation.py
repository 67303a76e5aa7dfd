"""Decorrelation losses as modules, with the names that the field uses."""

from torch import Tensor, nn

from tsssl_fast import functional
from tsssl_fast.common import checks
from tsssl_fast.functional.decorrelation import BarlowTwinsTerms, VICRegTerms
from tsssl_fast.ops.decorrelation import spec as decorrelation_spec

__all__ = ["BarlowTwinsLoss", "VICRegLoss"]


class VICRegLoss(nn.Module):
    """VICReg of two or more views; see :func:`tsssl_fast.functional.vicreg_loss`.

    Args: as there; None takes the convention's weights.

    forward(*views): (N, D) each -> scalar, or VICRegTerms with `return_terms` or `return_stats`.
    """

    def __init__(
        self,
        invariance_weight: float | None = None,
        variance_weight: float | None = None,
        covariance_weight: float | None = None,
        *,
        gamma: float = 1.0,
        eps: float = 1e-4,
        convention: str = "official",
        correlation: bool | None = None,
        return_terms: bool = False,
        return_stats: bool = False,
        backend: str | None = None,
    ) -> None:
        super().__init__()
        checks.choice("convention", convention, tuple(decorrelation_spec.VICREG))
        given = (invariance_weight, variance_weight, covariance_weight)
        names = ("invariance_weight", "variance_weight", "covariance_weight")
        defaults = decorrelation_spec.VICREG[convention].weights
        self.weights = {
            name: default if value is None else checks.non_negative(name, value)
            for name, value, default in zip(names, given, defaults, strict=True)
        }
        self.gamma = checks.positive("gamma", gamma)
        self.eps = checks.positive("eps", eps)
        self.convention = convention
        self.correlation = correlation
        self.return_terms = return_terms
        self.return_stats = return_stats
        self.backend = backend

    def forward(self, *views: Tensor) -> Tensor | VICRegTerms:
        return functional.vicreg_loss(
            *views,
            **self.weights,
            gamma=self.gamma,
            eps=self.eps,
            convention=self.convention,
            correlation=self.correlation,
            return_terms=self.return_terms,
            return_stats=self.return_stats,
            backend=self.backend,
        )

    def extra_repr(self) -> str:
        weights = ", ".join(f"{name}={value}" for name, value in self.weights.items())
        return f"{weights}, gamma={self.gamma}, eps={self.eps}, convention={self.convention!r}"


class BarlowTwinsLoss(nn.Module):
    """Barlow Twins of two views; see :func:`tsssl_fast.functional.barlow_twins_loss`.

    Args: as there; None takes the convention's value.

    forward(z1, z2): (N, D), (N, D) -> scalar, or BarlowTwinsTerms with `return_terms` or
    `return_stats`.
    """

    def __init__(
        self,
        lambd: float | None = None,
        *,
        scale_loss: float | None = None,
        convention: str = "official",
        center: bool | None = None,
        unbiased: bool | None = None,
        eps: float | None = None,
        return_terms: bool = False,
        return_stats: bool = False,
        backend: str | None = None,
    ) -> None:
        super().__init__()
        checks.choice("convention", convention, tuple(decorrelation_spec.BARLOW_TWINS))
        chosen = decorrelation_spec.BARLOW_TWINS[convention]
        self.lambd = chosen.lambd if lambd is None else checks.non_negative("lambd", lambd)
        self.scale_loss = (
            chosen.scale_loss if scale_loss is None else checks.positive("scale_loss", scale_loss)
        )
        self.eps = chosen.eps if eps is None else checks.positive("eps", eps)
        self.convention = convention
        self.center = chosen.center if center is None else center
        self.unbiased = chosen.unbiased if unbiased is None else unbiased
        self.return_terms = return_terms
        self.return_stats = return_stats
        self.backend = backend

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor | BarlowTwinsTerms:
        return functional.barlow_twins_loss(
            z1,
            z2,
            self.lambd,
            scale_loss=self.scale_loss,
            convention=self.convention,
            center=self.center,
            unbiased=self.unbiased,
            eps=self.eps,
            return_terms=self.return_terms,
            return_stats=self.return_stats,
            backend=self.backend,
        )

    def extra_repr(self) -> str:
        return (
            f"lambd={self.lambd}, scale_loss={self.scale_loss}, center={self.center}, "
            f"unbiased={self.unbiased}, eps={self.eps}, convention={self.convention!r}"
        )
