"""Losses of the newer contrastive papers as modules.

Each takes the options of its function (`tsssl_fast.functional`), under the same names and with the
same defaults, and `learnable_temperature` where it has a temperature.
"""

from dataclasses import field
from typing import Annotated, Any

from torch import Tensor

from tsssl_fast import functional
from tsssl_fast.common import checks
from tsssl_fast.functional.contrastive.problem import Temperature
from tsssl_fast.losses.base import ContrastiveModule, LossModule, Precision, Reduction
from tsssl_fast.losses.queue import FeatureQueue

_Positive = Annotated[float, checks.positive]
_NonNegative = Annotated[float, checks.non_negative]


class ColloSSLLoss(ContrastiveModule, kw_only=True):
    """Multi-view contrast of devices; see :func:`tsssl_fast.functional.collossl_loss`.

    forward(anchor, positives, negatives): (N, D), (P, N, D), (Q, N, D) -> scalar, or (N,). The call
    takes the weights as the function.
    """

    temperature: Temperature = 0.1
    normalize: bool = True
    reduction: Reduction = "mean"
    precision: Precision = None
    learnable_temperature: bool = False

    def forward(
        self,
        anchor: Tensor,
        positives: Tensor,
        negatives: Tensor,
        *,
        positive_weight: Tensor | None = None,
        negative_weight: Tensor | None = None,
    ) -> Tensor:
        return functional.collossl_loss(
            *(anchor, positives, negatives),
            positive_weight=positive_weight,
            negative_weight=negative_weight,
            **self._options(),
        )


class CLANLoss(ContrastiveModule, kw_only=True):
    """Augmented negatives; see :func:`tsssl_fast.functional.clan_loss`.

    forward(z, z_aug): (N, D), (N, D) -> scalar, or (N,).
    """

    temperature: Temperature = 0.1
    normalize: bool = True
    reduction: Reduction = "mean"
    precision: Precision = None
    learnable_temperature: bool = False

    def forward(self, z: Tensor, z_aug: Tensor) -> Tensor:
        return functional.clan_loss(z, z_aug, **self._options())


class SCGCLoss(ContrastiveModule, kw_only=True):
    """Positives weighed by a graph; see :func:`tsssl_fast.functional.scgc_loss`.

    forward(z, influence): (N, D), (N, N) -> scalar, or (N,).
    """

    temperature: Temperature = 0.5
    normalize: bool = True
    reduction: Reduction = "mean"
    precision: Precision = None
    learnable_temperature: bool = False

    def forward(self, z: Tensor, influence: Tensor) -> Tensor:
        return functional.scgc_loss(z, influence, **self._options())


class NNCLRLoss(ContrastiveModule, kw_only=True):
    """Nearest neighbours as positives, from a queue that it fills itself; see
    :func:`tsssl_fast.functional.nnclr_loss`.

    Args:
        dim, size: of the queue; see :class:`FeatureQueue`.

    forward(z1, z2): (N, D), (N, D) -> scalar, or (N,), (2N,). In training mode the rows of z1 enter
    the queue after the loss.
    """

    dim: int = field(kw_only=False)
    size: int = field(default=65536, kw_only=False)
    temperature: Temperature = 0.1
    symmetric: bool = True
    normalize: bool = True
    reduction: Reduction = "mean"
    precision: Precision = None
    learnable_temperature: bool = False
    backend: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.queue = FeatureQueue(self.dim, self.size)

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        queue, valid = self.queue.features, self.queue.valid()
        loss = functional.nnclr_loss(z1, z2, queue, queue_valid=valid, **self._options())
        if self.training:
            self.queue.push(z1.detach())
        return loss


class GroCoLoss(LossModule, kw_only=True):
    """Group ordering by a differentiable sort; see :func:`tsssl_fast.functional.groco_loss`.

    forward(z): (V, N, D) -> scalar, or (V N,).
    """

    hardest: int = 10
    steepness: _Positive = 10.0
    normalize: bool = True
    reduction: Reduction = "mean"
    precision: Precision = None

    def forward(self, z: Tensor) -> Tensor:
        return functional.groco_loss(z, **self._options())


class VoCoLoss(LossModule, kw_only=True):
    """The place of a crop among base crops; see :func:`tsssl_fast.functional.voco_loss`.

    forward(z, bases, overlaps): (N, D), (N, S, D), (N, S) -> scalar, or (N,).
    """

    regularizer: _NonNegative = 1.0
    normalize: bool = True
    reduction: Reduction = "mean"
    precision: Precision = None

    def forward(self, z: Tensor, bases: Tensor, overlaps: Tensor) -> Tensor:
        return functional.voco_loss(z, bases, overlaps, **self._options())


class RegionContrastiveLoss(ContrastiveModule, kw_only=True):
    """Steps against regions; see :func:`tsssl_fast.functional.region_contrastive_loss`.

    forward(points, regions, segments): (N, L, D), (N, S, D), (N, L) -> scalar, or (N, L).
    """

    temperature: float | Tensor = 0.1
    normalize: bool = True
    reduction: Reduction = "mean"
    precision: Precision = None
    learnable_temperature: bool = False
    backend: str | None = None

    def forward(
        self, points: Tensor, regions: Tensor, segments: Tensor, *, valid: Tensor | None = None
    ) -> Any:
        return functional.region_contrastive_loss(
            points, regions, segments, valid=valid, **self._options()
        )
