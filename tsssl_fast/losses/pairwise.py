"""Losses of pairs, of triplets and of levels as modules."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from tsssl_fast import functional
from tsssl_fast.common import checks
from tsssl_fast.common.collectives import Group
from tsssl_fast.losses.base import AcrossProcesses, ContrastiveModule, RowsOfProcesses, shown_group

__all__ = ["GroupedNTXentLoss", "HierarchicalContrastiveLoss", "SigLIPLoss", "TripletLoss"]


class SigLIPLoss(nn.Module, AcrossProcesses):
    """Sigmoid pair loss with learned scale and bias; see
    :func:`tsssl_fast.functional.siglip_loss`.

    Args:
        logit_scale, logit_bias: where they start. learnable_temperature: the parameters are
            `log_scale`, the logarithm of the scale, and `logit_bias`; False: both are constants.
        Others as in the function.

    forward(q, k): (M, D), (P, D) -> scalar, or (M,). The call takes ids and flags as the function.
    """

    def __init__(
        self,
        *,
        logit_scale: float = 10.0,
        logit_bias: float = -10.0,
        normalize: bool = True,
        reduction: str = "mean",
        learnable_temperature: bool = True,
        process_group: Group = None,
        ddp: bool = True,
        ring: bool = False,
        backend: str | None = None,
    ) -> None:
        super().__init__()
        checks.choice("reduction", reduction, checks.REDUCTIONS)
        start = torch.tensor(math.log(checks.positive("logit_scale", logit_scale)))
        self.log_scale = nn.Parameter(start, requires_grad=learnable_temperature)
        self.logit_bias = nn.Parameter(
            torch.tensor(float(logit_bias)), requires_grad=learnable_temperature
        )
        self.normalize = normalize
        self.reduction = reduction
        self.learnable_temperature = learnable_temperature
        self.process_group = process_group
        self.ddp = ddp
        self.ring = ring
        self.backend = backend

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
        return functional.siglip_loss(
            q,
            k,
            logit_scale=self.log_scale.exp(),
            logit_bias=self.logit_bias,
            q_ids=q_ids,
            k_ids=k_ids,
            q_valid=q_valid,
            k_valid=k_valid,
            normalize=self.normalize,
            reduction=self.reduction,
            return_stats=return_stats,
            process_group=self.process_group,
            ddp=self.ddp,
            ring=self.ring,
            backend=self.backend,
        )

    def extra_repr(self) -> str:
        scale, bias = self.log_scale.exp().item(), self.logit_bias.item()
        shown = f"logit_scale={scale:.6g}, logit_bias={bias:.6g}, reduction={self.reduction!r}"
        return shown + shown_group(self)


class TripletLoss(nn.Module):
    """Triplet loss on the hardest negative; see :func:`tsssl_fast.functional.triplet_loss`.

    forward(z, labels, valid=None): (M, D), (M,) integers, (M,) bool -> scalar, or (M,).
    """

    def __init__(
        self,
        *,
        margin: float = 0.2,
        normalize: bool = True,
        reduction: str = "mean",
        backend: str | None = None,
    ) -> None:
        super().__init__()
        checks.at_least("margin", margin, 0.0)
        checks.choice("reduction", reduction, checks.REDUCTIONS)
        self.margin = margin
        self.normalize = normalize
        self.reduction = reduction
        self.backend = backend

    def forward(
        self,
        z: Tensor,
        labels: Tensor,
        *,
        valid: Tensor | None = None,
        return_stats: bool = False,
    ) -> Any:
        return functional.triplet_loss(
            z,
            labels,
            margin=self.margin,
            valid=valid,
            normalize=self.normalize,
            reduction=self.reduction,
            return_stats=return_stats,
            backend=self.backend,
        )

    def extra_repr(self) -> str:
        return f"margin={self.margin}, reduction={self.reduction!r}"


class HierarchicalContrastiveLoss(RowsOfProcesses):
    """TS2Vec's loss; see :func:`tsssl_fast.functional.hierarchical_contrastive_loss`.

    forward(z1, z2, lengths=None): (B, T, D), (B, T, D), (B,) -> scalar; with `return_stats` also
    ContrastiveStats.
    """

    def __init__(
        self,
        *,
        alpha: float = 0.5,
        temperature: float | Tensor = 1.0,
        normalize: bool = False,
        learnable_temperature: bool = False,
        process_group: Group = None,
        ddp: bool = True,
        backend: str | None = None,
    ) -> None:
        across = (process_group, ddp, backend)
        super().__init__(temperature, normalize, "mean", learnable_temperature, *across)
        checks.at_least("alpha", alpha, 0.0)
        self.alpha = alpha

    def forward(
        self,
        z1: Tensor,
        z2: Tensor,
        *,
        lengths: Tensor | None = None,
        return_stats: bool = False,
    ) -> Any:
        return functional.hierarchical_contrastive_loss(
            z1,
            z2,
            alpha=self.alpha,
            temperature=self.temperature,  # type: ignore[arg-type]
            normalize=self.normalize,
            lengths=lengths,
            return_stats=return_stats,
            process_group=self.process_group,
            ddp=self.ddp,
            backend=self.backend,
        )


class GroupedNTXentLoss(ContrastiveModule):
    """Many small NT-Xent problems; see :func:`tsssl_fast.functional.grouped_nt_xent_loss`.

    forward(z1, z2, lengths=None): (G, L, D), (G, L, D), (G,) -> (G, 2L); with `return_stats` also
    ContrastiveStats.
    """

    def __init__(
        self,
        *,
        temperature: float | Tensor = 0.1,
        normalize: bool = True,
        learnable_temperature: bool = False,
        backend: str | None = None,
    ) -> None:
        super().__init__(temperature, normalize, "none", learnable_temperature, backend)

    def forward(
        self,
        z1: Tensor,
        z2: Tensor,
        *,
        lengths: Tensor | None = None,
        return_stats: bool = False,
    ) -> Any:
        return functional.grouped_nt_xent_loss(
            z1,
            z2,
            temperature=self.temperature,  # type: ignore[arg-type]
            normalize=self.normalize,
            lengths=lengths,
            return_stats=return_stats,
            backend=self.backend,
        )
