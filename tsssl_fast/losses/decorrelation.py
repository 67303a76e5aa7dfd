"""The decorrelation losses as modules: each takes the options of its function under the same names,
in the same order and with the same defaults; a call takes tensors and says what it returns."""

from typing import Annotated

from torch import Tensor

from tsssl_fast import functional
from tsssl_fast.common import checks
from tsssl_fast.common.collectives import Group
from tsssl_fast.functional.decorrelation.barlow_twins import (
    BarlowTwinsTerms,
    barlow_twins_convention,
)
from tsssl_fast.functional.decorrelation.vicreg import VICRegTerms, vicreg_convention
from tsssl_fast.losses.base import AcrossProcesses, LossModule, Precision
from tsssl_fast.ops.decorrelation.spec import NORM_EPS

_Positive = Annotated[float, checks.positive]


class VICRegLoss(LossModule, AcrossProcesses, kw_only=True):
    """VICReg of two or more views; see :func:`tsssl_fast.functional.vicreg_loss`.

    Args: as there; None takes the convention's weights.

    forward(z1, z2, *more): (N, D) or (N, ..., D) each -> scalar, or VICRegTerms with
    `return_terms` or `return_stats`.
    """

    invariance_weight: float | None = None
    variance_weight: float | None = None
    covariance_weight: float | None = None
    gamma: _Positive = 1.0
    eps: _Positive = 1e-4
    norm_eps: _Positive = NORM_EPS
    convention: str = "official"
    correlation: bool | None = None
    precision: Precision = None
    process_group: Group = None
    ddp: bool = True
    backend: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _, weights = vicreg_convention(
            self.convention, self.invariance_weight, self.variance_weight, self.covariance_weight
        )
        self.invariance_weight, self.variance_weight, self.covariance_weight = weights

    def forward(
        self,
        z1: Tensor,
        z2: Tensor,
        *more: Tensor,
        return_terms: bool = False,
        return_stats: bool = False,
    ) -> Tensor | VICRegTerms:
        # Without a call: a loss of 8 x 16 takes as long as a dozen of them.
        return functional.vicreg_loss(
            z1,
            z2,
            *more,
            invariance_weight=self.invariance_weight,
            variance_weight=self.variance_weight,
            covariance_weight=self.covariance_weight,
            gamma=self.gamma,
            eps=self.eps,
            norm_eps=self.norm_eps,
            convention=self.convention,
            correlation=self.correlation,
            return_terms=return_terms,
            return_stats=return_stats,
            precision=self.precision,
            process_group=self.process_group,
            ddp=self.ddp,
            backend=self.backend,
        )


class BarlowTwinsLoss(LossModule, AcrossProcesses, kw_only=True):
    """Barlow Twins of two views; see :func:`tsssl_fast.functional.barlow_twins_loss`.

    Args: as there; None takes the convention's value.

    forward(z1, z2): (N, D) or (N, ..., D) each -> scalar, or BarlowTwinsTerms with `return_terms`
    or `return_stats`.
    """

    lambd: float | None = None
    scale_loss: float | None = None
    convention: str = "official"
    center: bool | None = None
    unbiased: bool | None = None
    eps: float | None = None
    precision: Precision = None
    process_group: Group = None
    ddp: bool = True
    backend: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        chosen = barlow_twins_convention(
            self.convention, self.lambd, self.scale_loss, self.center, self.unbiased, self.eps
        )
        for name, value in chosen._asdict().items():
            setattr(self, name, value)

    def forward(
        self, z1: Tensor, z2: Tensor, *, return_terms: bool = False, return_stats: bool = False
    ) -> Tensor | BarlowTwinsTerms:
        return functional.barlow_twins_loss(
            z1, z2, return_terms=return_terms, return_stats=return_stats, **self._options()
        )
