"""Contrastive losses as modules, with the names that the field uses.

Each takes the options of its function (`tsssl_fast.functional`), under the same names and with the
same defaults, and `learnable_temperature`; a call takes tensors, and `return_stats`.
"""

import math
from typing import Any

import torch
from torch import Tensor

from tsssl_fast import functional
from tsssl_fast.common import checks
from tsssl_fast.common.collectives import Group
from tsssl_fast.functional.contrastive import arguments
from tsssl_fast.functional.contrastive.problem import MEAN_OVER, Temperature
from tsssl_fast.losses.base import ContrastiveModule, RowsOfProcesses

__all__ = [
    "CLIPLoss",
    "ContrastiveLoss",
    "DCLLoss",
    "DCLWLoss",
    "InfoNCELoss",
    "NTXentLoss",
    "SupConLoss",
]


class NTXentLoss(RowsOfProcesses):
    """NT-Xent of two views (SimCLR); see :func:`tsssl_fast.functional.nt_xent_loss`.

    forward(z1, z2): (N, D), (N, D) -> scalar, or (2N,) for reduction="none".
    """

    def __init__(
        self,
        *,
        temperature: Temperature = 0.1,
        normalize: bool = True,
        reduction: str = "mean",
        precision: str | None = None,
        learnable_temperature: bool = False,
        process_group: Group = None,
        ddp: bool = True,
        backend: str | None = None,
    ) -> None:
        across = (process_group, ddp, backend)
        super().__init__(temperature, normalize, reduction, learnable_temperature, *across)
        arguments.check_precision(precision, None, temperature)
        self.precision = precision

    def forward(self, z1: Tensor, z2: Tensor, *, return_stats: bool = False) -> Any:
        return functional.nt_xent_loss(
            z1,
            z2,
            temperature=self.temperature,
            normalize=self.normalize,
            reduction=self.reduction,
            return_stats=return_stats,
            precision=self.precision,
            process_group=self.process_group,
            ddp=self.ddp,
            backend=self.backend,
        )

    def extra_repr(self) -> str:
        more = "" if self.precision is None else f", precision={self.precision!r}"
        return super().extra_repr() + more


class InfoNCELoss(RowsOfProcesses):
    """InfoNCE of queries and keys; see :func:`tsssl_fast.functional.info_nce_loss`.

    forward(q, k, negatives=None): (N, D), (N, D), (K, D) -> scalar, or (N,) ((2N,) symmetric).
    """

    def __init__(
        self,
        *,
        temperature: Temperature = 0.1,
        symmetric: bool = False,
        normalize: bool = True,
        reduction: str = "mean",
        learnable_temperature: bool = False,
        process_group: Group = None,
        ddp: bool = True,
        backend: str | None = None,
    ) -> None:
        across = (process_group, ddp, backend)
        super().__init__(temperature, normalize, reduction, learnable_temperature, *across)
        self.symmetric = symmetric

    def forward(
        self,
        q: Tensor,
        k: Tensor,
        *,
        negatives: Tensor | None = None,
        negatives_valid: Tensor | None = None,
        return_stats: bool = False,
    ) -> Any:
        return functional.info_nce_loss(
            q,
            k,
            negatives=negatives,
            negatives_valid=negatives_valid,
            symmetric=self.symmetric,
            return_stats=return_stats,
            **self._settings(),
        )


class DCLLoss(RowsOfProcesses):
    """Decoupled contrastive loss; see :func:`tsssl_fast.functional.dcl_loss`.

    forward(z1, z2): (N, D), (N, D) -> scalar, or (2N,).
    """

    def __init__(
        self,
        *,
        temperature: Temperature = 0.1,
        normalize: bool = True,
        reduction: str = "mean",
        learnable_temperature: bool = False,
        process_group: Group = None,
        ddp: bool = True,
        backend: str | None = None,
    ) -> None:
        across = (process_group, ddp, backend)
        super().__init__(temperature, normalize, reduction, learnable_temperature, *across)

    def forward(self, z1: Tensor, z2: Tensor, *, return_stats: bool = False) -> Any:
        return functional.dcl_loss(z1, z2, return_stats=return_stats, **self._settings())


class DCLWLoss(RowsOfProcesses):
    """DCL with von Mises-Fisher weights; see :func:`tsssl_fast.functional.dclw_loss`.

    forward(z1, z2): (N, D), (N, D) -> scalar, or (2N,).
    """

    def __init__(
        self,
        *,
        temperature: Temperature = 0.1,
        sigma: float = 0.5,
        normalize: bool = True,
        reduction: str = "mean",
        learnable_temperature: bool = False,
        process_group: Group = None,
        ddp: bool = True,
        backend: str | None = None,
    ) -> None:
        across = (process_group, ddp, backend)
        super().__init__(temperature, normalize, reduction, learnable_temperature, *across)
        self.sigma = checks.positive("sigma", sigma)

    def forward(self, z1: Tensor, z2: Tensor, *, return_stats: bool = False) -> Any:
        return functional.dclw_loss(
            z1, z2, sigma=self.sigma, return_stats=return_stats, **self._settings()
        )


class SupConLoss(RowsOfProcesses):
    """Supervised contrastive loss; see :func:`tsssl_fast.functional.sup_con_loss`.

    forward(z, labels): (M, D), (M,) integers -> scalar, or (M,).
    """

    def __init__(
        self,
        *,
        temperature: Temperature = 0.1,
        normalize: bool = True,
        reduction: str = "mean",
        mean_over: str = "with_positive",
        learnable_temperature: bool = False,
        process_group: Group = None,
        ddp: bool = True,
        backend: str | None = None,
    ) -> None:
        across = (process_group, ddp, backend)
        super().__init__(temperature, normalize, reduction, learnable_temperature, *across)
        checks.choice("mean_over", mean_over, MEAN_OVER)
        self.mean_over = mean_over

    def forward(self, z: Tensor, labels: Tensor, *, return_stats: bool = False) -> Any:
        return functional.sup_con_loss(
            z, labels, mean_over=self.mean_over, return_stats=return_stats, **self._settings()
        )


class CLIPLoss(RowsOfProcesses):
    """CLIP loss with its learned temperature; see :func:`tsssl_fast.functional.clip_loss`.

    As published, the parameter itself, the logarithm of the scale 1 / tau, is clamped after every
    step, to log(max_scale): here when the next forward starts, so that its gradient never dies.

    forward(q, k): (N, D), (N, D) -> scalar, or (2N,).
    """

    def __init__(
        self,
        *,
        temperature: Temperature = 0.07,
        normalize: bool = True,
        reduction: str = "mean",
        learnable_temperature: bool = True,
        max_scale: float = 100.0,
        process_group: Group = None,
        ddp: bool = True,
        ring: bool = False,
        backend: str | None = None,
    ) -> None:
        across = (process_group, ddp, backend)
        super().__init__(temperature, normalize, reduction, learnable_temperature, *across)
        self.ring = ring
        self.max_log_scale = math.log(checks.positive("max_scale", max_scale))

    def forward(self, q: Tensor, k: Tensor, *, return_stats: bool = False) -> Any:
        if self.learnable_temperature:
            with torch.no_grad():
                self.log_scale.clamp_(max=self.max_log_scale)
        return functional.clip_loss(
            q, k, return_stats=return_stats, ring=self.ring, **self._settings()
        )


class ContrastiveLoss(ContrastiveModule):
    """The engine with its settings; see :func:`tsssl_fast.functional.contrastive_loss`.

    forward(q, k=None, **tensors): (M, D), (P, D) -> scalar, or (M,) ((M + P,) symmetric). The call
    takes the function's tensors (ids, groups, flags, masks, weights, further keys, targets).
    """

    def __init__(
        self,
        *,
        temperature: Temperature = 0.1,
        positives: str = "mean_log",
        denominator: str = "all",
        groups: str = "exclude_same",
        hardness: float = 0.0,
        debias: float = 0.0,
        normalize: bool = True,
        symmetric: bool = False,
        reduction: str = "mean",
        mean_over: str = "all",
        top_k: int = 5,
        learnable_temperature: bool = False,
        backend: str | None = None,
    ) -> None:
        super().__init__(temperature, normalize, reduction, learnable_temperature, backend)
        arguments.check_settings(
            positives, denominator, groups, reduction, mean_over, hardness, debias, top_k
        )
        self.options: dict[str, Any] = {
            "positives": positives,
            "denominator": denominator,
            "groups": groups,
            "hardness": hardness,
            "debias": debias,
            "symmetric": symmetric,
            "mean_over": mean_over,
            "top_k": top_k,
        }

    def forward(
        self, q: Tensor, k: Tensor | None = None, *, return_stats: bool = False, **tensors: Any
    ) -> Any:
        return functional.contrastive_loss(
            q, k, return_stats=return_stats, **tensors, **self.options, **self._settings()
        )

    def extra_repr(self) -> str:
        return super().extra_repr() + "".join(f", {n}={x!r}" for n, x in self.options.items())
