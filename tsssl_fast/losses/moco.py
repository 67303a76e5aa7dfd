"""MoCo's loss, which keeps its queue by itself."""

from dataclasses import field
from typing import Any

import torch
from torch import Tensor

from tsssl_fast import functional
from tsssl_fast.common import collectives
from tsssl_fast.common.collectives import Group
from tsssl_fast.functional.contrastive.problem import Temperature
from tsssl_fast.losses.base import AcrossProcesses, ContrastiveModule, Precision, Reduction
from tsssl_fast.losses.queue import FeatureQueue


class MoCoLoss(ContrastiveModule, AcrossProcesses, kw_only=True):
    """InfoNCE against a queue of past keys (He et al., CVPR 2020), which it fills itself; see
    :func:`tsssl_fast.functional.moco_loss`.

    Args:
        dim, size: of the queue; see :class:`FeatureQueue`.

    forward(q, k): (N, D), (N, D) or (N, P, D), several positives -> scalar, or (N,). k, the
    momentum encoder's, gets no gradient. In training mode it enters the queue when the next forward
    starts, or the state is saved: the backward still reads the queue as it was, and nothing is
    copied. With process_group the keys of all processes enter, in the order of ranks: the queue is
    the same on each.
    """

    dim: int = field(kw_only=False)
    size: int = field(default=65536, kw_only=False)
    temperature: Temperature = 0.2
    normalize: bool = True
    reduction: Reduction = "mean"
    precision: Precision = None
    learnable_temperature: bool = False
    process_group: Group = None
    ddp: bool = True
    backend: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.queue = FeatureQueue(self.dim, self.size)
        self._pending: Tensor | None = None

    def flush(self) -> None:
        """Moves the last batch's keys into the queue."""
        if self._pending is not None:
            self.queue.push(self._pending)
            self._pending = None

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        self.flush()
        return super().state_dict(*args, **kwargs)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._pending = None  # the queue becomes what was saved
        super()._load_from_state_dict(*args, **kwargs)

    def forward(self, q: Tensor, k: Tensor, *, return_stats: bool = False) -> Any:
        self.flush()
        k = k.detach()
        loss = functional.moco_loss(
            q,
            k,
            self.queue.features.to(torch.promote_types(q.dtype, k.dtype)),
            negatives_valid=self.queue.valid(),
            return_stats=return_stats,
            **self._options(),
        )
        if self.training:
            k = k.flatten(0, -2)
            if self.process_group is not None:
                k = collectives.gather_rows(k, collectives.group_of(self.process_group))
            self._pending = k
        return loss
