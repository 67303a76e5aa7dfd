"""Losses over all pairs of a batch, and the memory bank."""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from tsssl_fast import functional
from tsssl_fast.common import collectives
from tsssl_fast.common.modules import DeclaredModule
from tsssl_fast.compat._shared import (
    AmongProcesses,
    mean_log_loss,
    pair,
    result,
    rows_against,
    widened,
)

__all__ = [
    "DCLLoss",
    "DCLWLoss",
    "DirectCLRLoss",
    "MemoryBankModule",
    "NTXentLoss",
    "SupConLoss",
    "negative_mises_fisher_weights",
]

WeightFunction = Callable[[Tensor, Tensor], Tensor]
_LEAST_TEMPERATURE = 1e-8


def _check_temperature(name: str, value: float) -> None:
    if abs(value) < _LEAST_TEMPERATURE:
        raise ValueError(f"{name}: {value}; accepted: a number > {_LEAST_TEMPERATURE}")


_Temperature = Annotated[float, _check_temperature]


class MemoryBankModule(nn.Module):
    """Ring of past features, full of random unit rows at the start.

    Args:
        size: (K, D); an integer K takes D from the first batch, with a UserWarning; 0: no bank.
        gather_distributed: the batches of all processes enter.
        feature_dim_first: the bank is returned as (D, K) instead of (K, D).

    forward(output, labels=None, update=False): (N, D) -> (output, bank as it was before `update`
    let the batch in; None for no bank). A batch that reaches the end is cut there, and the next one
    starts at 0. Buffers, no part of the state_dict: bank (K, D), bank_ptr (1,) int64.
    """

    bank: Tensor
    bank_ptr: Tensor

    def __init__(
        self,
        size: int | Sequence[int] = 65536,
        gather_distributed: bool = False,
        feature_dim_first: bool = True,
    ) -> None:
        super().__init__()
        sizes = (size,) if isinstance(size, int) else tuple(size)
        if any(n < 0 for n in sizes):
            raise ValueError(f"size: {size}; accepted: numbers >= 0")
        self.size = sizes
        self.gather_distributed = gather_distributed
        self.feature_dim_first = feature_dim_first
        self.register_buffer("bank", torch.empty(sizes), persistent=False)
        self.register_buffer("bank_ptr", torch.zeros(1, dtype=torch.int64), persistent=False)
        if len(sizes) > 1:
            self._fill(sizes)
        elif sizes[0]:
            warnings.warn(
                f"size: {size} has no number of columns, which the first batch decides; (K, D) "
                "says it, which several processes need",
                UserWarning,
                stacklevel=2,
            )

    @torch.no_grad()
    def _fill(self, sizes: tuple[int, ...]) -> None:
        rows = torch.randn(sizes, dtype=self.bank.dtype, device=self.bank.device)
        self.bank = normalize(rows, dim=-1)
        self.bank_ptr.zero_()

    def forward(
        self, output: Tensor, labels: Tensor | None = None, update: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        if self.size[0] == 0:
            return output, None
        if self.bank.dim() == 1:
            self._fill((*self.size, *output.shape[1:]))
        before = self.bank.clone()
        if update:
            self._enqueue(output)
        return output, before.transpose(0, -1) if self.feature_dim_first else before

    @torch.no_grad()
    def _enqueue(self, batch: Tensor) -> None:
        if self.gather_distributed:
            batch = collectives.gather_rows(batch)
        first = int(self.bank_ptr)
        last = min(first + len(batch), self.size[0])
        self.bank[first:last] = batch[: last - first].to(self.bank.dtype)
        self.bank_ptr.fill_(0 if last == self.size[0] else last)


class NTXentLoss(DeclaredModule):
    """NT-Xent of two views (Chen et al., ICML 2020), or InfoNCE against a memory bank (MoCo, He et
    al., CVPR 2020); see :func:`tsssl_fast.functional.nt_xent_loss`, `info_nce_loss`.

    Args:
        temperature: > 0. memory_bank_size: 0, or (K, D). gather_distributed: negatives are the
            rows of all processes, with gradient; the loss is the mean over this process's own.

    forward(out0, out1): (N, D), (N, D) -> scalar in the inputs' dtype. With a bank, out0 are the
    queries, out1 their positives, which enter the bank where out0 wants a gradient.
    """

    temperature: _Temperature = 0.5
    memory_bank_size: int | Sequence[int] = 0
    gather_distributed: AmongProcesses = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.memory_bank = MemoryBankModule(self.memory_bank_size, self.gather_distributed)

    def forward(self, out0: Tensor, out1: Tensor) -> Tensor:
        out0, out1 = pair(("out0", "out1"), out0, out1)
        if self.memory_bank.size[0]:
            loss = self._against_bank(out0, out1)
        elif self.gather_distributed and collectives.world_size() > 1:
            z, ids, others = _among_processes(out0, out1)
            loss = functional.contrastive_loss(
                z, temperature=self.temperature, q_ids=ids, negatives=others
            )
        else:
            loss = functional.nt_xent_loss(out0, out1, temperature=self.temperature)
        return result(loss, out0)

    def _against_bank(self, out0: Tensor, out1: Tensor) -> Tensor:
        query, key = (normalize(x, dim=1) for x in widened(out0, out1))
        key, bank = self.memory_bank(key, update=query.requires_grad)
        return functional.info_nce_loss(
            query,
            key,
            temperature=self.temperature,
            negatives=bank.T.to(query),
            normalize=False,
        )


class DirectCLRLoss(NTXentLoss):
    """NT-Xent of the first `loss_dim` columns (Jing et al., ICLR 2022).

    forward(out0, out1): (N, ...), flattened from dimension 1 on.
    """

    def __init__(
        self,
        loss_dim: int = 64,
        temperature: float = 0.5,
        memory_bank_size: int | Sequence[int] = 0,
        gather_distributed: bool = False,
    ) -> None:
        super().__init__(temperature, memory_bank_size, gather_distributed)
        self.loss_dim = loss_dim

    def forward(self, out0: Tensor, out1: Tensor) -> Tensor:
        out0, out1 = (x.flatten(1)[:, : self.loss_dim] for x in (out0, out1))
        return super().forward(out0, out1)


def negative_mises_fisher_weights(out0: Tensor, out1: Tensor, sigma: float = 0.5) -> Tensor:
    """2 - N softmax(<out0_i, out1_i> / sigma), (N,), without gradient (Yeh et al., ECCV 2022, eq.
    7). out0, out1: (N, D), taken as they are: the losses hand over unit rows."""
    similarity = (out0.detach() * out1.detach()).sum(dim=1) / sigma
    return 2 - out0.shape[0] * similarity.softmax(dim=0)


class DCLLoss(DeclaredModule):
    """Decoupled contrastive loss (Yeh et al., ECCV 2022, eq. 6), the mean over both views:
    -w_i a_ip + log sum over the negatives exp(a_ik).

    Args:
        temperature: > 0. weight_fn(u, v) -> (N,): w of the rows of u, whose positives are those of
            v, both unit rows; called for either view; None: 1; its gradient is kept.
        gather_distributed: as for NTXentLoss.

    forward(out0, out1): (N, D), (N, D) -> scalar in the inputs' dtype.
    """

    temperature: float = 0.1
    weight_fn: WeightFunction | None = None
    gather_distributed: AmongProcesses = False

    def forward(self, out0: Tensor, out1: Tensor) -> Tensor:
        out0, out1 = pair(("out0", "out1"), out0, out1)
        if self.gather_distributed and collectives.world_size() > 1:
            z, ids, others = _among_processes(out0, out1)
            loss = functional.contrastive_loss(
                z,
                temperature=self.temperature,
                q_ids=ids,
                denominator="negatives",
                negatives=others,
            )
        else:
            loss = functional.dcl_loss(out0, out1, temperature=self.temperature)
        if self.weight_fn is not None:
            u, v = (normalize(x, dim=1) for x in widened(out0, out1))
            positive = (u * v).sum(dim=1) / self.temperature
            weights = (self.weight_fn(u, v) + self.weight_fn(v, u)) / 2
            loss = loss + ((1 - weights) * positive).mean()
        return result(loss, out0)


class DCLWLoss(DCLLoss):
    """DCLLoss with `negative_mises_fisher_weights` of width sigma."""

    def __init__(
        self, temperature: float = 0.1, sigma: float = 0.5, gather_distributed: bool = False
    ) -> None:
        weights = partial(negative_mises_fisher_weights, sigma=sigma)
        super().__init__(temperature, weights, gather_distributed)


class SupConLoss(DeclaredModule):
    """Supervised contrastive loss of two views (Khosla et al., NeurIPS 2020, eq. 2), the mean over
    all 2N rows.

    Args:
        temperature: > 0. gather_distributed: as for NTXentLoss; labels of all processes meet.
        rescale: the loss times the temperature.

    forward(out0, out1, labels=None): (N, D), (N, D), (N,) integers -> scalar in the inputs' dtype.
    Without labels the other view is a row's only positive.
    """

    temperature: _Temperature = 0.5
    gather_distributed: AmongProcesses = False
    rescale: bool = True

    def forward(self, out0: Tensor, out1: Tensor, labels: Tensor | None = None) -> Tensor:
        out0, out1 = pair(("out0", "out1"), out0, out1)
        z, count = torch.cat([out0, out1]), len(out0)
        if labels is None:
            labels = torch.arange(count, device=z.device)
            if self.gather_distributed:
                labels = labels * collectives.world_size() + collectives.rank()
        elif tuple(labels.shape) != (count,):
            raise ValueError(f"labels: shape {tuple(labels.shape)}; accepted: ({count},)")
        ids = labels.repeat(2)
        if self.gather_distributed and collectives.world_size() > 1:
            keys = torch.cat(collectives.own_first(z))
            key_ids = torch.cat(collectives.own_first(ids))
            found = rows_against(
                z, keys, ids, key_ids, self.temperature, normalize=True, skip_diagonal=True
            )
        else:
            found = rows_against(z, None, ids, ids, self.temperature, normalize=True)
        loss = mean_log_loss(found).mean()
        return result(loss * self.temperature if self.rescale else loss, out0)


def _among_processes(out0: Tensor, out1: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """This process's 2N rows, the ids of their series, and the rows of all other processes."""
    own, others = collectives.own_first(torch.cat([out0, out1]))
    return own, torch.arange(len(out0), device=own.device).repeat(2), others
