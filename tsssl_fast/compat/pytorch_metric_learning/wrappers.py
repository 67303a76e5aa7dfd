"""Losses of labels as losses of two views, and against a memory."""

from typing import Any

import torch
from torch import Tensor, nn

from tsssl_fast import functional
from tsssl_fast.compat._shared import pair, result
from tsssl_fast.compat.pytorch_metric_learning.pair_losses import PairLoss
from tsssl_fast.compat.pytorch_metric_learning.pairs import (
    IndicesTuple,
    all_pairs,
    listed,
    triplets,
)

__all__ = ["CrossBatchMemory", "SelfSupervisedLoss"]


_SUPPORTED = (
    *("AngularLoss", "CircleLoss", "ContrastiveLoss", "GeneralizedLiftedStructureLoss"),
    *("IntraPairVarianceLoss", "LiftedStructureLoss", "MultiSimilarityLoss", "NCALoss"),
    *("NTXentLoss", "SignalToNoiseRatioContrastiveLoss", "SupConLoss", "TripletMarginLoss"),
    "TupletMarginLoss",
)


class _Wrapper(nn.Module):
    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        given, accepted = type(loss).__name__, self.supported_losses()
        if given not in accepted:
            wrapper = type(self).__name__
            raise TypeError(f"loss: {given} in {wrapper}; accepted: {', '.join(accepted)}")
        self.loss = loss

    @staticmethod
    def supported_losses() -> list[str]:
        """Names of the classes that are taken."""
        return [*_SUPPORTED]


class SelfSupervisedLoss(_Wrapper):
    """A loss of labels as one of two views: row i of both is a class of its own.

    Args:
        loss: NTXentLoss or SupConLoss, or a loss of the library that its wrapper takes.
        symmetric: every row against the rows of both views; False: embeddings against ref_emb.

    forward(embeddings, ref_emb): (N, D), (N, D) -> scalar. With a loss that has nothing of its own
    (reducer, regularizer) it is NT-Xent, or InfoNCE.
    """

    def __init__(self, loss: nn.Module, symmetric: bool = True) -> None:
        super().__init__(loss)
        self.symmetric = symmetric

    def forward(self, embeddings: Tensor, ref_emb: Tensor) -> Any:
        loss = self.loss
        if isinstance(loss, PairLoss) and loss.plain:
            q, k = pair(("embeddings", "ref_emb"), embeddings, ref_emb)
            both = functional.nt_xent_loss if self.symmetric else functional.info_nce_loss
            found = both(q, k, temperature=loss.temperature, normalize=loss.normalize)
            return result(found, q)
        labels = torch.arange(len(embeddings), device=embeddings.device)
        if self.symmetric:
            return loss(torch.cat([embeddings, ref_emb]), labels.repeat(2))
        return loss(embeddings, labels, ref_emb=ref_emb, ref_labels=labels.clone())


class CrossBatchMemory(_Wrapper):
    """A loss against the last `memory_size` rows (Wang et al., CVPR 2020), the batch among them.

    Args:
        loss: as for SelfSupervisedLoss, or MarginLoss. embedding_size: D. memory_size: K.
        miner: miner(embeddings, labels, memory, memory_labels) -> a tuple of positions.

    forward(embeddings, labels, indices_tuple=None, enqueue_mask=None): (M, D), (M,); the batch
    enters the memory, then meets all of it but itself. indices_tuple: more pairs within the memory.
    enqueue_mask: (M,) bool: these rows enter, the others are compared. State: embedding_memory
    (K, D), label_memory (K,) int64; has_been_filled and queue_idx are no part of it.
    """

    embedding_memory: Tensor
    label_memory: Tensor

    def __init__(
        self,
        loss: nn.Module,
        embedding_size: int,
        memory_size: int = 1024,
        miner: Any = None,
    ) -> None:
        super().__init__(loss)
        self.miner = miner
        self.embedding_size = embedding_size
        self.memory_size = memory_size
        self.reset_queue()

    @staticmethod
    def supported_losses() -> list[str]:
        """Names of the classes that are taken."""
        return sorted([*_SUPPORTED, "MarginLoss"])

    def reset_queue(self) -> None:
        """Forgets all rows."""
        self.register_buffer("embedding_memory", torch.zeros(self.memory_size, self.embedding_size))
        self.register_buffer("label_memory", torch.zeros(self.memory_size, dtype=torch.int64))
        self.has_been_filled = False
        self.queue_idx = 0

    @torch.no_grad()
    def add_to_memory(self, embeddings: Tensor, labels: Tensor, batch_size: int) -> None:
        """Over the oldest rows; curr_batch_idx: where they are."""
        at = torch.arange(self.queue_idx, self.queue_idx + batch_size, device=labels.device)
        self.curr_batch_idx = at % self.memory_size
        self.embedding_memory[self.curr_batch_idx] = embeddings
        self.label_memory[self.curr_batch_idx] = labels
        before, self.queue_idx = self.queue_idx, (self.queue_idx + batch_size) % self.memory_size
        self.has_been_filled = self.has_been_filled or self.queue_idx <= before

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        indices_tuple: IndicesTuple | None = None,
        enqueue_mask: Tensor | None = None,
    ) -> Any:
        if indices_tuple is not None and enqueue_mask is not None:
            raise ValueError("indices_tuple: given with enqueue_mask; accepted: one of them")
        size = len(embeddings) if enqueue_mask is None else len(enqueue_mask)
        if size != len(embeddings) or (enqueue_mask is None and size > self.memory_size):
            raise AssertionError(
                f"embeddings: {len(embeddings)} rows; accepted: as enqueue_mask has, at most "
                f"memory_size = {self.memory_size}"
            )
        labels = labels.to(embeddings.device)
        self.embedding_memory = self.embedding_memory.to(embeddings)
        self.label_memory = self.label_memory.to(labels)
        new, new_labels = embeddings, labels
        if enqueue_mask is not None:
            new, new_labels = embeddings[enqueue_mask], labels[enqueue_mask]
            embeddings, labels = embeddings[~enqueue_mask], labels[~enqueue_mask]
        self.add_to_memory(new, new_labels, len(new))
        if not len(embeddings):
            return (embeddings * 0).sum()
        filled = self.memory_size if self.has_been_filled else self.queue_idx
        memory, memory_labels = self.embedding_memory[:filled], self.label_memory[:filled]
        own = enqueue_mask is None
        if self.miner is None and indices_tuple is None and isinstance(self.loss, PairLoss):
            return self._against_all(embeddings, labels, memory, memory_labels, own)
        found = self.create_indices_tuple(
            *(embeddings, labels, memory, memory_labels, indices_tuple, own)
        )
        return self.loss(embeddings, labels, found, memory, memory_labels)

    def _against_all(
        self, q: Tensor, labels: Tensor, memory: Tensor, memory_labels: Tensor, own: bool
    ) -> Any:
        """The batch's own rows first, so that key i is query i."""
        assert isinstance(self.loss, PairLoss)
        if own:
            other = torch.ones(len(memory), dtype=torch.bool, device=q.device)
            other[self.curr_batch_idx] = False
            order = torch.cat([self.curr_batch_idx, other.nonzero()[:, 0]])
            memory, memory_labels = memory[order], memory_labels[order]
        else:
            memory = memory.clone()  # the next batch overwrites it
        loss = self.loss.by_labels(q, memory, labels, memory_labels, own)
        return self.loss.regularized(loss, q)

    def create_indices_tuple(
        self,
        embeddings: Tensor,
        labels: Tensor,
        E_mem: Tensor,
        L_mem: Tensor,
        input_indices_tuple: IndicesTuple | None,
        do_remove_self_comparisons: bool,
    ) -> IndicesTuple:
        """The miner's positions, or all pairs, as pairs or triplets, without those of a row with
        itself in the memory; then those of input_indices_tuple."""
        if self.miner is None:
            found: IndicesTuple = all_pairs(labels, L_mem, False)
        else:
            found = self.miner(embeddings, labels, E_mem, L_mem)
        if do_remove_self_comparisons:
            kept = self.curr_batch_idx[found[0]] != found[1]
            of_positives = 3 if len(found) == 3 else 2
            found = (*(x[kept] for x in found[:of_positives]), *found[of_positives:])
        if input_indices_tuple is None:
            return tuple(found)
        more = listed(input_indices_tuple) if len(found) == 4 else triplets(input_indices_tuple)
        return tuple(torch.cat([x, y.to(x.device)]) for x, y in zip(found, more, strict=True))
