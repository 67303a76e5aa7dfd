"""What the engine knows of every row, and the losses as functions of it."""

from typing import NamedTuple

import torch
from torch import Tensor

from tsssl_fast.ops.contrastive.reference.pairs import log1p_exp


class RowStatistics(NamedTuple):
    """Of each row, without gradient, over its pairs: numbers of positives and of negatives; the
    (weighted) mean similarity of the positives; the sum of the negatives'; sum exp(-2 ||u - v||^2)
    over all; the number of negatives that are at least as similar as the best positive."""

    positives: Tensor
    negatives: Tensor
    positive_similarity: Tensor
    negative_similarity: Tensor
    uniform: Tensor
    rank: Tensor


class Rows(NamedTuple):
    """One entry per query, then per key where both sides have rows.

    negative, positive: log-sum-exp of the negatives' and of the positives' logits, -inf for none;
    gap: the latter minus the (weighted) mean of the positives' scaled similarities; pairwise: the
    row's loss where it is no function of these three (soft targets, a denominator of each
    positive's own).
    """

    negative: Tensor
    positive: Tensor
    gap: Tensor
    pairwise: Tensor | None = None
    statistics: RowStatistics | None = None

    @property
    def has_positive(self) -> Tensor:
        return self.positive != -torch.inf

    @property
    def has_negative(self) -> Tensor:
        return self.negative != -torch.inf


def row_loss(found: Rows, positives: str, denominator: str) -> Tensor:
    """The loss per row, with x = negative - positive; 0 where the row lacks either class.

    mean_log, all:       mean over positives of -log p       = gap + log(1 + exp(x))
    mean_log, negatives: without the positives below (DCL)   = gap + x
    log_sum, all:        -log of the summed p                = log(1 + exp(x))
    log_sum, negatives:                                      = x
    """
    if found.pairwise is not None:
        return found.pairwise
    some = found.has_positive & found.has_negative
    x = torch.where(some, found.negative, 0.0) - torch.where(some, found.positive, 0.0)
    loss = log1p_exp(x) if denominator == "all" else x
    if positives == "mean_log":
        loss = loss + found.gap
    return torch.where(some, loss, 0.0)


def weighted_row_loss(found: Rows, weight: Tensor) -> Tensor:
    """DCLW's loss per row: negative - weight * mean positive logit; 0 where the row lacks either
    class."""
    some = found.has_negative & found.has_positive
    positive = torch.where(some, found.positive - found.gap, 0.0)
    return torch.where(some, torch.where(some, found.negative, 0.0) - weight * positive, 0.0)
