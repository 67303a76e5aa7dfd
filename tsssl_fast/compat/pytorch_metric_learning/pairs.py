"""Pairs by labels, and lists of pairs as miners give them."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize as unit_rows

IndicesTuple = tuple[Tensor, ...]


class Pairs(NamedTuple):
    """Positions of positive pairs and of negative pairs; a pair may stand in a list twice."""

    anchors: Tensor
    positives: Tensor
    negative_anchors: Tensor
    negatives: Tensor


def listed(indices_tuple: IndicesTuple) -> Pairs:
    """(anchors, positives, anchors, negatives), or triplets (anchors, positives, negatives)."""
    if len(indices_tuple) == 3:
        anchors, positives, negatives = indices_tuple
        return Pairs(anchors, positives, anchors, negatives)
    if len(indices_tuple) != 4:
        raise ValueError(f"indices_tuple: {len(indices_tuple)} tensors; accepted: 3 or 4")
    return Pairs(*indices_tuple)


def triplets(indices_tuple: IndicesTuple) -> IndicesTuple:
    """(anchors, positives, negatives): every positive pair with every negative of its anchor."""
    if len(indices_tuple) == 3:
        return indices_tuple
    pairs = listed(indices_tuple)
    positive, negative = torch.where(pairs.anchors[:, None] == pairs.negative_anchors)
    return pairs.anchors[positive], pairs.positives[positive], pairs.negatives[negative]


def all_pairs(labels: Tensor, ref_labels: Tensor, skip_diagonal: bool) -> Pairs:
    """Every pair of equal labels, and every other."""
    same = labels[:, None] == ref_labels
    different = ~same
    if skip_diagonal:
        same.fill_diagonal_(False)
    return Pairs(*torch.where(same), *torch.where(different))


def positives_per_row(labels: Tensor, ref_labels: Tensor, skip_diagonal: bool) -> Tensor:
    """How many keys have a query's label, (M,), without the pairs."""
    keys = ref_labels.sort().values
    left = torch.searchsorted(keys, labels, right=False)
    count = torch.searchsorted(keys, labels, right=True) - left
    return count - 1 if skip_diagonal else count


def similarities(q: Tensor, k: Tensor, rows: Tensor, columns: Tensor, normalize: bool) -> Tensor:
    """Of the listed pairs."""
    if normalize:
        q, k = unit_rows(q, dim=1), unit_rows(k, dim=1)
    return (q[rows] * k[columns]).sum(dim=1)


def log_sum_exp(logits: Tensor, rows: Tensor, count: int) -> Tensor:
    """log sum exp of the logits of each row, (count,); -inf for a row of none."""
    top = logits.new_full((count,), -torch.inf)
    top = top.scatter_reduce(0, rows, logits.detach(), "amax")
    top = torch.where(top == -torch.inf, 0.0, top)
    total = torch.zeros_like(top).index_add(0, rows, (logits - top[rows]).exp())
    some = total > 0
    return torch.where(some, torch.where(some, total, 1.0).log() + top, -torch.inf)
