"""Contrastive losses as modules, with the names that the field uses.

Each takes the options of its function (`tsssl_fast.functional`), under the same names and with the
same defaults, and `learnable_temperature`; a call takes tensors, and `return_stats`.
"""

import math
from typing import Annotated, Any

import torch
from torch import Tensor

from tsssl_fast import functional
from tsssl_fast.common import checks
from tsssl_fast.common.collectives import Group
from tsssl_fast.functional.contrastive import arguments
from tsssl_fast.functional.contrastive.problem import MEAN_OVER, Temperature
from tsssl_fast.losses.base import AcrossProcesses, ContrastiveModule, Precision, Reduction

_Positive = Annotated[float, checks.positive]
_MeanOver = Annotated[str, checks.by(checks.choice, MEAN_OVER)]


class NTXentLoss(ContrastiveModule, AcrossProcesses, kw_only=True):
    """NT-Xent of two or more views (SimCLR); see :func:`tsssl_fast.functional.nt_xent_loss`.

    forward(z1, z2, *more): (N, D) each -> scalar, or (V N,) for reduction="none".
    """

    temperature: Temperature = 0.1
    normalize: bool = True
    reduction: Reduction = "mean"
    precision: Precision = None
    learnable_temperature: bool = False
    process_group: Group = None
    ddp: bool = True
    backend: str | None = None

    def forward(self, z1: Tensor, z2: Tensor, *more: Tensor, return_stats: bool = False) -> Any:
        # Without a call: a loss of 8 x 16 takes as long as a dozen of them.
        return functional.nt_xent_loss(
            z1,
            z2,
            *more,
            temperature=self.temperature,
            normalize=self.normalize,
            reduction=self.reduction,
            return_stats=return_stats,
            precision=self.precision,
            process_group=self.process_group,
            ddp=self.ddp,
            backend=self.backend,
        )


class InfoNCELoss(ContrastiveModule, AcrossProcesses, kw_only=True):
    """InfoNCE of queries and keys; see :func:`tsssl_fast.functional.info_nce_loss`.

    forward(q, k, negatives=None): (N, D), (N, D), (K, D) -> scalar, or (N,) ((2N,) symmetric).
    """

    temperature: Temperature = 0.1
    symmetric: bool = False
    normalize: bool = True
    reduction: Reduction = "mean"
    precision: Precision = None
    learnable_temperature: bool = False
    process_group: Group = None
    ddp: bool = True
    backend: str | None = None

    def forward(
        self,
        q: Tensor,
        k: Tensor,
        *,
        negatives: Tensor | None = None,
        negatives_valid: Tensor | None = None,
        return_stats: bool = False,
    ) -> Any:
        keys: dict[str, Any] = {"negatives": negatives, "negatives_valid": negatives_valid}
        return functional.info_nce_loss(q, k, return_stats=return_stats, **keys, **self._options())


class DCLLoss(ContrastiveModule, AcrossProcesses, kw_only=True):
    """Decoupled contrastive loss; see :func:`tsssl_fast.functional.dcl_loss`.

    forward(z1, z2): (N, D), (N, D) -> scalar, or (2N,).
    """

    temperature: Temperature = 0.1
    normalize: bool = True
    reduction: Reduction = "mean"
    precision: Precision = None
    learnable_temperature: bool = False
    process_group: Group = None
    ddp: bool = True
    backend: str | None = None

    def forward(self, z1: Tensor, z2: Tensor, *, return_stats: bool = False) -> Any:
        return functional.dcl_loss(z1, z2, return_stats=return_stats, **self._options())


class DCLWLoss(ContrastiveModule, AcrossProcesses, kw_only=True):
    """DCL with von Mises-Fisher weights; see :func:`tsssl_fast.functional.dclw_loss`.

    forward(z1, z2): (N, D), (N, D) -> scalar, or (2N,).
    """

    temperature: Temperature = 0.1
    sigma: _Positive = 0.5
    normalize: bool = True
    reduction: Reduction = "mean"
    precision: Precision = None
    learnable_temperature: bool = False
    process_group: Group = None
    ddp: bool = True
    backend: str | None = None

    def forward(self, z1: Tensor, z2: Tensor, *, return_stats: bool = False) -> Any:
        return functional.dclw_loss(z1, z2, return_stats=return_stats, **self._options())


class SupConLoss(ContrastiveModule, AcrossProcesses, kw_only=True):
    """Supervised contrastive loss; see :func:`tsssl_fast.functional.sup_con_loss`.

    forward(z, labels): (M, D), (M,) integers -> scalar, or (M,); (N, V, D), (N,): V views of N
    samples -> scalar, or (N, V).
    """

    temperature: Temperature = 0.1
    normalize: bool = True
    reduction: Reduction = "mean"
    mean_over: _MeanOver = "with_positive"
    precision: Precision = None
    learnable_temperature: bool = False
    process_group: Group = None
    ddp: bool = True
    backend: str | None = None

    def forward(self, z: Tensor, labels: Tensor, *, return_stats: bool = False) -> Any:
        return functional.sup_con_loss(z, labels, return_stats=return_stats, **self._options())


class CLIPLoss(ContrastiveModule, AcrossProcesses, kw_only=True):
    """CLIP loss with its learned temperature; see :func:`tsssl_fast.functional.clip_loss`.

    As published, the parameter itself, the logarithm of the scale 1 / tau, is clamped after every
    step, to log(max_scale): here when the next forward starts, so that its gradient never dies.

    forward(q, k): (N, D), (N, D) -> scalar, or (2N,).
    """

    temperature: Temperature = 0.07
    normalize: bool = True
    reduction: Reduction = "mean"
    precision: Precision = None
    learnable_temperature: bool = True
    max_scale: _Positive = 100.0
    process_group: Group = None
    ddp: bool = True
    ring: bool = False
    backend: str | None = None

    def forward(self, q: Tensor, k: Tensor, *, return_stats: bool = False) -> Any:
        transformed = torch._C._are_functorch_transforms_active()
        largest = math.log(self.max_scale)
        if self.learnable_temperature and not transformed:
            with torch.no_grad():
                self.log_scale.clamp_(max=largest)
        options = self._options()
        if self.learnable_temperature and transformed:
            # What it captures may not be changed there: the clamped number, with its gradient.
            scale = self.log_scale
            clamped = scale + (scale.clamp_max(largest) - scale).detach()
            options["temperature"] = (-clamped).exp()
        return functional.clip_loss(q, k, return_stats=return_stats, **options)


class ContrastiveLoss(ContrastiveModule, kw_only=True):
    """The engine with its settings; see :func:`tsssl_fast.functional.contrastive_loss`.

    forward(q, k=None, **tensors): (M, D), (P, D) -> scalar, or (M,) ((M + P,) symmetric). The call
    takes the function's tensors (ids, groups, flags, masks, weights, further keys, targets).
    """

    temperature: Temperature = 0.1
    positives: str = "mean_log"
    denominator: str = "all"
    groups: str = "exclude_same"
    hardness: float = 0.0
    debias: float = 0.0
    normalize: bool = True
    symmetric: bool = False
    reduction: Reduction = "mean"
    mean_over: _MeanOver = "all"
    top_k: int = 5
    precision: Precision = None
    learnable_temperature: bool = False
    backend: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        arguments.check_settings(
            *(self.positives, self.denominator, self.groups, self.reduction, self.mean_over),
            *(self.hardness, self.debias, self.top_k),
        )

    def forward(
        self, q: Tensor, k: Tensor | None = None, *, return_stats: bool = False, **tensors: Any
    ) -> Any:
        return functional.contrastive_loss(
            q, k, return_stats=return_stats, **tensors, **self._options()
        )
