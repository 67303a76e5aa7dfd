"""The decorrelation losses as modules: each takes the options of its function under the same names,
in the same order and with the same defaults; a call takes tensors and says what it returns."""

from __future__ import annotations

from typing import Literal, overload

from torch import Tensor, nn

from tsssl_fast import functional
from tsssl_fast.common import checks
from tsssl_fast.common.collectives import Group
from tsssl_fast.functional.decorrelation.barlow_twins import (
    BarlowTwinsTerms,
    barlow_twins_convention,
)
from tsssl_fast.functional.decorrelation.vicreg import VICRegTerms, vicreg_convention
from tsssl_fast.losses.base import AcrossProcesses, shown_group

__all__ = ["BarlowTwinsLoss", "VICRegLoss"]


class VICRegLoss(nn.Module, AcrossProcesses):
    """VICReg of two or more views; see :func:`tsssl_fast.functional.vicreg_loss`.

    Args: as there; None takes the convention's weights.

    forward(z1, z2, *more): (N, D) each -> scalar, or VICRegTerms with `return_terms` or
    `return_stats`.
    """

    def __init__(
        self,
        *,
        invariance_weight: float | None = None,
        variance_weight: float | None = None,
        covariance_weight: float | None = None,
        gamma: float = 1.0,
        eps: float = 1e-4,
        convention: str = "official",
        correlation: bool | None = None,
        process_group: Group = None,
        ddp: bool = True,
        backend: str | None = None,
    ) -> None:
        super().__init__()
        _, weights = vicreg_convention(
            convention, invariance_weight, variance_weight, covariance_weight
        )
        self.invariance_weight, self.variance_weight, self.covariance_weight = weights
        self.gamma = checks.positive("gamma", gamma)
        self.eps = checks.positive("eps", eps)
        self.convention = convention
        self.correlation = correlation
        self.process_group = process_group
        self.ddp = ddp
        self.backend = backend

    @overload
    def forward(
        self,
        z1: Tensor,
        z2: Tensor,
        *more: Tensor,
        return_terms: Literal[False] = ...,
        return_stats: Literal[False] = ...,
    ) -> Tensor: ...
    @overload
    def forward(
        self, z1: Tensor, z2: Tensor, *more: Tensor, return_terms: bool, return_stats: bool = ...
    ) -> Tensor | VICRegTerms: ...
    @overload
    def forward(
        self, z1: Tensor, z2: Tensor, *more: Tensor, return_stats: bool
    ) -> Tensor | VICRegTerms: ...
    def forward(
        self,
        z1: Tensor,
        z2: Tensor,
        *more: Tensor,
        return_terms: bool = False,
        return_stats: bool = False,
    ) -> Tensor | VICRegTerms:
        return functional.vicreg_loss(
            z1,
            z2,
            *more,
            invariance_weight=self.invariance_weight,
            variance_weight=self.variance_weight,
            covariance_weight=self.covariance_weight,
            gamma=self.gamma,
            eps=self.eps,
            convention=self.convention,
            correlation=self.correlation,
            return_terms=return_terms,
            return_stats=return_stats,
            process_group=self.process_group,
            ddp=self.ddp,
            backend=self.backend,
        )

    def extra_repr(self) -> str:
        return (
            f"invariance_weight={self.invariance_weight}, variance_weight={self.variance_weight}, "
            f"covariance_weight={self.covariance_weight}, gamma={self.gamma}, eps={self.eps}, "
            f"convention={self.convention!r}{shown_group(self)}"
        )


class BarlowTwinsLoss(nn.Module, AcrossProcesses):
    """Barlow Twins of two views; see :func:`tsssl_fast.functional.barlow_twins_loss`.

    Args: as there; None takes the convention's value.

    forward(z1, z2): (N, D), (N, D) -> scalar, or BarlowTwinsTerms with `return_terms` or
    `return_stats`.
    """

    def __init__(
        self,
        *,
        lambd: float | None = None,
        scale_loss: float | None = None,
        convention: str = "official",
        center: bool | None = None,
        unbiased: bool | None = None,
        eps: float | None = None,
        process_group: Group = None,
        ddp: bool = True,
        backend: str | None = None,
    ) -> None:
        super().__init__()
        chosen = barlow_twins_convention(convention, lambd, scale_loss, center, unbiased, eps)
        self.lambd = chosen.lambd
        self.scale_loss = chosen.scale_loss
        self.convention = convention
        self.center = chosen.center
        self.unbiased = chosen.unbiased
        self.eps = chosen.eps
        self.process_group = process_group
        self.ddp = ddp
        self.backend = backend

    @overload
    def forward(
        self,
        z1: Tensor,
        z2: Tensor,
        *,
        return_terms: Literal[False] = ...,
        return_stats: Literal[False] = ...,
    ) -> Tensor: ...
    @overload
    def forward(
        self, z1: Tensor, z2: Tensor, *, return_terms: bool, return_stats: bool = ...
    ) -> Tensor | BarlowTwinsTerms: ...
    @overload
    def forward(
        self, z1: Tensor, z2: Tensor, *, return_stats: bool
    ) -> Tensor | BarlowTwinsTerms: ...
    def forward(
        self, z1: Tensor, z2: Tensor, *, return_terms: bool = False, return_stats: bool = False
    ) -> Tensor | BarlowTwinsTerms:
        return functional.barlow_twins_loss(
            z1,
            z2,
            lambd=self.lambd,
            scale_loss=self.scale_loss,
            convention=self.convention,
            center=self.center,
            unbiased=self.unbiased,
            eps=self.eps,
            return_terms=return_terms,
            return_stats=return_stats,
            process_group=self.process_group,
            ddp=self.ddp,
            backend=self.backend,
        )

    def extra_repr(self) -> str:
        return (
            f"lambd={self.lambd}, scale_loss={self.scale_loss}, center={self.center}, "
            f"unbiased={self.unbiased}, eps={self.eps}, convention={self.convention!r}"
            f"{shown_group(self)}"
        )
