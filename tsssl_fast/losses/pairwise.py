"""Losses of pairs, of triplets and of levels as modules."""

import math
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from tsssl_fast import functional
from tsssl_fast.common import checks
from tsssl_fast.common.collectives import Group
from tsssl_fast.losses.base import (
    AcrossProcesses,
    ContrastiveModule,
    LossModule,
    Precision,
    Reduction,
)

_NonNegative = Annotated[float, checks.non_negative]


class SigLIPLoss(LossModule, AcrossProcesses, kw_only=True):
    """Sigmoid pair loss with learned scale and bias; see
    :func:`tsssl_fast.functional.siglip_loss`.

    Args:
        logit_scale, logit_bias: where they start. learnable_temperature: the parameters are
            `log_scale`, the logarithm of the scale, and `logit_bias`; False: both are constants.
        Others as in the function.

    forward(q, k): (M, D), (P, D) -> scalar, or (M,). The call takes ids and flags as the function.
    """

    logit_scale: Annotated[float, checks.positive] = 10.0
    logit_bias: float | Tensor = -10.0
    normalize: bool = True
    reduction: Reduction = "mean"
    precision: Precision = None
    learnable_temperature: bool = True
    process_group: Group = None
    ddp: bool = True
    ring: bool = False
    backend: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        learned = self.learnable_temperature
        start = torch.tensor(math.log(self.logit_scale))
        del self.logit_scale
        self.log_scale = nn.Parameter(start, requires_grad=learned)
        self.logit_bias = nn.Parameter(torch.tensor(float(self.logit_bias)), requires_grad=learned)

    def __getattr__(self, name: str) -> Any:
        return self.log_scale.exp() if name == "logit_scale" else super().__getattr__(name)

    def forward(
        self,
        q: Tensor,
        k: Tensor,
        *,
        q_ids: Tensor | None = None,
        k_ids: Tensor | None = None,
        q_valid: Tensor | None = None,
        k_valid: Tensor | None = None,
        return_stats: bool = False,
    ) -> Any:
        rows: dict[str, Any] = {
            "q_ids": q_ids,
            "k_ids": k_ids,
            "q_valid": q_valid,
            "k_valid": k_valid,
        }
        return functional.siglip_loss(q, k, return_stats=return_stats, **rows, **self._options())


class TripletLoss(LossModule, kw_only=True):
    """Triplet loss on the hardest negative; see :func:`tsssl_fast.functional.triplet_loss`.

    forward(z, labels, valid=None): (M, D), (M,) integers, (M,) bool -> scalar, or (M,).
    """

    margin: _NonNegative = 0.2
    normalize: bool = True
    reduction: Reduction = "mean"
    precision: Precision = None
    backend: str | None = None

    def forward(
        self, z: Tensor, labels: Tensor, *, valid: Tensor | None = None, return_stats: bool = False
    ) -> Any:
        return functional.triplet_loss(
            z, labels, valid=valid, return_stats=return_stats, **self._options()
        )


class HierarchicalContrastiveLoss(ContrastiveModule, AcrossProcesses, kw_only=True):
    """TS2Vec's loss; see :func:`tsssl_fast.functional.hierarchical_contrastive_loss`.

    forward(z1, z2, lengths=None): (B, T, D), (B, T, D), (B,) -> scalar; with `return_stats` also
    ContrastiveStats.
    """

    alpha: _NonNegative = 0.5
    temperature: float | Tensor = 1.0
    normalize: bool = False
    precision: Precision = None
    learnable_temperature: bool = False
    process_group: Group = None
    ddp: bool = True
    backend: str | None = None

    def forward(
        self, z1: Tensor, z2: Tensor, *, lengths: Tensor | None = None, return_stats: bool = False
    ) -> Any:
        return functional.hierarchical_contrastive_loss(
            z1, z2, lengths=lengths, return_stats=return_stats, **self._options()
        )


class GroupedNTXentLoss(ContrastiveModule, kw_only=True):
    """Many small NT-Xent problems; see :func:`tsssl_fast.functional.grouped_nt_xent_loss`.

    forward(z1, z2, lengths=None): (G, L, D), (G, L, D), (G,) -> (G, 2L); with `return_stats` also
    ContrastiveStats.
    """

    temperature: float | Tensor = 0.1
    normalize: bool = True
    precision: Precision = None
    learnable_temperature: bool = False
    backend: str | None = None

    def forward(
        self, z1: Tensor, z2: Tensor, *, lengths: Tensor | None = None, return_stats: bool = False
    ) -> Any:
        return functional.grouped_nt_xent_loss(
            z1, z2, lengths=lengths, return_stats=return_stats, **self._options()
        )
