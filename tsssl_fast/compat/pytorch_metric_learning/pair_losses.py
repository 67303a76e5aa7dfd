"""Losses of rows by their labels, or of listed pairs."""

from typing import Any

import torch
from torch import Tensor, nn

from tsssl_fast.common import checks
from tsssl_fast.compat._shared import mean_log_loss, promoted, result, rows_against, widened
from tsssl_fast.compat.pytorch_metric_learning.distances import (
    CosineSimilarity,
    in_engine,
    refuse_statistics,
)
from tsssl_fast.compat.pytorch_metric_learning.pairs import (
    IndicesTuple,
    Pairs,
    all_pairs,
    listed,
    log_sum_exp,
    positives_per_row,
    similarities,
)
from tsssl_fast.compat.pytorch_metric_learning.reducers import MeanReducer
from tsssl_fast.ops.contrastive.reference.pairs import log1p_exp

__all__ = ["NTXentLoss", "PairLoss", "SupConLoss"]

Reducer = Any  # a module of the file `reducers`, or one of the library


_FEW = 4  # pairs; one positive and one negative in all are no loss, which only their list tells


class PairLoss(nn.Module):
    """A loss of rows by their labels, or of listed pairs.

    Args:
        temperature: > 0. distance: None: cosines; see the file `distances`.
        reducer: see the file `reducers`; None: the mean that the loss has by itself, which needs
            no list of pairs.
        embedding_regularizer, embedding_reg_weight: a module (M, D) -> scalar, added with its
            weight.
        collect_stats: None or False.

    forward(embeddings, labels=None, indices_tuple=None, ref_emb=None, ref_labels=None): (M, D),
    (M,), three or four tensors of positions, (P, D), (P,) -> scalar in the inputs' dtype. Rows are
    compared with ref_emb, or with each other without the pair of a row with itself; that pair is
    left out too where ref_labels is the very tensor labels. A batch without positive or without
    negative pairs, or with one of either and no more: 0.
    """

    def __init__(
        self,
        temperature: float,
        *,
        distance: Any = None,
        reducer: Reducer | None = None,
        embedding_regularizer: nn.Module | None = None,
        embedding_reg_weight: float = 1,
        collect_stats: bool | None = None,
    ) -> None:
        super().__init__()
        refuse_statistics(collect_stats)
        self.temperature = checks.positive("temperature", temperature)
        self.distance = CosineSimilarity() if distance is None else distance
        self.in_engine = in_engine(self.distance)
        self.normalize = bool(self.distance.normalize_embeddings)
        self.reducer = reducer
        self.embedding_regularizer = embedding_regularizer
        self.embedding_reg_weight = embedding_reg_weight

    @property
    def plain(self) -> bool:
        """Whether distance and mean are the engine's own, with nothing added."""
        own = self.in_engine and (
            self.reducer is None or type(self.reducer).__name__ == self.own_reducer
        )
        return own and self.embedding_regularizer is None

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor | None = None,
        indices_tuple: IndicesTuple | None = None,
        ref_emb: Tensor | None = None,
        ref_labels: Tensor | None = None,
    ) -> Any:
        """(M, D), (M,), positions, (P, D), (P,) -> a scalar in the dtype of embeddings, or what the
        reducer gives. Raises ValueError where neither labels nor pairs say what belongs together.
        """
        _check(embeddings, labels, "embeddings", "labels")
        alone = ref_emb is None
        if alone or ref_labels is labels:
            ref_labels = labels
        if ref_emb is None:
            q, k = embeddings, embeddings
        else:
            _check(ref_emb, ref_labels, "ref_emb", "ref_labels")
            q, k = promoted(embeddings, ref_emb)
        pairs = None if indices_tuple is None else listed(indices_tuple)
        if pairs is not None:
            loss = self._of_list(q, k, pairs, labels)
        elif labels is None:
            raise ValueError("labels, indices_tuple: both None; accepted: one of them")
        elif ref_labels is None:
            raise ValueError("ref_labels: None with ref_emb; accepted: (P,) integers")
        else:
            skip = ref_labels is labels
            ids, ref_ids = labels.to(q.device), ref_labels.to(q.device)
            loss = self.by_labels(q, None if alone else k, ids, ref_ids, skip and not alone)
        return self.regularized(loss, q)

    def by_labels(
        self, q: Tensor, k: Tensor | None, ids: Tensor, ref_ids: Tensor, skip_diagonal: bool
    ) -> Any:
        """The loss of rows q (N, D) against k (M, D), None: q itself, by ids (N,) and (M,).

        ids, ref_ids: integers. skip_diagonal: key i is query i, and left out.
        """
        if self.in_engine and len(ids) * len(ref_ids) > _FEW:
            return self.of_labels(q, k, ids, ref_ids, skip_diagonal)
        pairs = all_pairs(ids, ref_ids, k is None or skip_diagonal)
        return self._of_list(q, q if k is None else k, pairs, ids)

    def regularized(self, loss: Any, embeddings: Tensor) -> Any:
        """The result, a scalar: with the regularizer, in the dtype of embeddings (M, D)."""
        if not isinstance(loss, Tensor):
            return loss
        if self.embedding_regularizer is not None:
            more = self.embedding_regularizer(embeddings)
            loss = loss + self.embedding_reg_weight * more
        return result(loss, embeddings)

    def _of_list(self, q: Tensor, k: Tensor, pairs: Pairs, labels: Tensor | None) -> Any:
        if all(len(x) <= 1 for x in pairs):
            return (q * 0).sum()
        return self.of_pairs(q, k, pairs, labels)

    def _logits(self, q: Tensor, k: Tensor) -> Tensor:
        """Of all pairs."""
        q, k = _widened(q, k)
        matrix: Tensor = self.distance(q, k) / self.temperature
        return matrix if self.distance.is_inverted else -matrix

    def _reduced(self, losses: Tensor, indices: Any, kind: str, q: Tensor, labels: Any) -> Any:
        info = {"losses": losses, "indices": indices, "reduction_type": kind}
        reducer = MeanReducer() if self.reducer is None else self.reducer
        return reducer({"loss": info}, q, labels)

    own_reducer = ""

    def of_labels(
        self, q: Tensor, k: Tensor | None, ids: Tensor, ref_ids: Tensor, skip_diagonal: bool
    ) -> Any:
        """The loss of rows q (N, D) against k (M, D), None: against themselves, by ids (N,) and
        (M,).
        """
        raise NotImplementedError

    def of_pairs(self, q: Tensor, k: Tensor, pairs: Pairs, labels: Tensor | None) -> Any:
        """The loss of the pairs that a miner named, as row numbers into q (N, D) and k (M, D)."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        return f"temperature={self.temperature}"


class NTXentLoss(PairLoss):
    """NT-Xent over every positive pair: -log(exp(a_ip) / (exp(a_ip) + sum over the negatives n of
    i exp(a_in))), the mean over the pairs: the engine's `denominator="own_positive"` weighted by
    positives. A list of pairs counts a pair as often as it stands there."""

    own_reducer = "MeanReducer"

    def __init__(self, temperature: float = 0.07, **kwargs: Any) -> None:
        super().__init__(temperature, **kwargs)

    def of_labels(
        self, q: Tensor, k: Tensor | None, ids: Tensor, ref_ids: Tensor, skip_diagonal: bool
    ) -> Any:
        """The loss of rows q (N, D) against k (M, D), None: against themselves, by ids (N,) and
        (M,).
        """
        alone = k is None or skip_diagonal
        if self.reducer is not None and type(self.reducer).__name__ != self.own_reducer:
            pairs = all_pairs(ids, ref_ids, alone)
            return self.of_pairs(q, q if k is None else k, pairs, ids)
        found = rows_against(
            *(q, k, ids, ref_ids, self.temperature),
            normalize=self.normalize,
            skip_diagonal=skip_diagonal,
            denominator="own_positive",
        )
        assert found.pairwise is not None
        count = positives_per_row(ids, ref_ids, alone).to(found.pairwise.dtype)
        return (found.pairwise * count).sum() / count.sum().clamp_min(1)

    def of_pairs(self, q: Tensor, k: Tensor, pairs: Pairs, labels: Tensor | None) -> Any:
        """The loss of the pairs that a miner named, as row numbers into q (N, D) and k (M, D)."""
        if not len(pairs.anchors) or not len(pairs.negatives):
            return (q * 0).sum()
        if self.in_engine:
            scaled = [x / self.temperature for x in self._similarities(q, k, pairs)]
        else:
            logits = self._logits(q, k)
            scaled = [logits[pairs.anchors, pairs.positives], logits[pairs[2:]]]
        positive, others = scaled
        negative = log_sum_exp(others, pairs.negative_anchors, len(q))[pairs.anchors]
        losses = torch.where(negative == -torch.inf, 0.0, log1p_exp(negative - positive))
        index = (pairs.anchors, pairs.positives)
        return self._reduced(losses, index, "pos_pair", q, labels)

    def _similarities(self, q: Tensor, k: Tensor, pairs: Pairs) -> list[Tensor]:
        """Of the pairs listed alone, positive and negative."""
        q, k = _widened(q, k)
        lists = (pairs[:2], pairs[2:])
        return [similarities(q, k, *of, self.normalize) for of in lists]


class SupConLoss(PairLoss):
    """Supervised contrastive loss (Khosla et al., NeurIPS 2020, eq. 2), the mean over the rows with
    a positive; a list of pairs says which pairs there are, however often."""

    own_reducer = "AvgNonZeroReducer"

    def __init__(self, temperature: float = 0.1, **kwargs: Any) -> None:
        super().__init__(temperature, **kwargs)

    def of_labels(
        self, q: Tensor, k: Tensor | None, ids: Tensor, ref_ids: Tensor, skip_diagonal: bool
    ) -> Any:
        """The loss of rows q (N, D) against k (M, D), None: against themselves, by ids (N,) and
        (M,).
        """
        found = rows_against(
            *(q, k, ids, ref_ids, self.temperature),
            normalize=self.normalize,
            skip_diagonal=skip_diagonal,
        )
        losses = torch.where(found.has_negative.any(), mean_log_loss(found), 0.0)
        return self._of_rows(losses, found.has_positive, q, ids)

    def of_pairs(self, q: Tensor, k: Tensor, pairs: Pairs, labels: Tensor | None) -> Any:
        """The loss of the pairs that a miner named, as row numbers into q (N, D) and k (M, D)."""
        positive = torch.zeros((len(q), len(k)), dtype=torch.bool, device=q.device)
        negative = torch.zeros_like(positive)
        positive[pairs.anchors, pairs.positives] = True
        negative[pairs.negative_anchors, pairs.negatives] = True
        if not positive.any() or not negative.any():
            return (q * 0).sum()
        if (positive & negative).any():
            raise AssertionError("indices_tuple: a pair is positive and negative")
        logits = self._logits(q, k)
        share = positive.to(logits.dtype)
        share = share / share.sum(dim=1, keepdim=True).clamp_min(1)
        live = positive | negative
        every = logits.masked_fill(~live, -torch.inf).logsumexp(dim=1)
        some = positive.any(dim=1)
        losses = torch.where(some, every - (share * logits).sum(dim=1), 0.0)
        return self._of_rows(losses, some, q, labels)

    def _of_rows(self, losses: Tensor, some: Tensor, q: Tensor, labels: Any) -> Any:
        if self.reducer is None or type(self.reducer).__name__ == self.own_reducer:
            return losses.sum() / some.sum().clamp_min(1)
        rows = torch.arange(len(losses), device=losses.device)
        return self._reduced(losses, rows, "element", q, labels)


def _widened(q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """One tensor stays one, so that its gradient is rounded once."""
    (wide,) = widened(q)
    return wide, wide if k is q else widened(k)[0]


def _check(x: Tensor, labels: Tensor | None, name: str, of: str) -> None:
    checks.matrix(name, x)
    if labels is not None and tuple(labels.shape) != (len(x),):
        raise ValueError(f"{of}: shape {tuple(labels.shape)}; accepted: ({len(x)},)")
