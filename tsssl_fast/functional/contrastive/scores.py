"""How the similarities of positive and of negative pairs are distributed."""

from typing import NamedTuple

import torch
from torch import Tensor

from tsssl_fast.backends.precision import product, widest
from tsssl_fast.common import checks
from tsssl_fast.functional.contrastive import arguments
from tsssl_fast.functional.contrastive.blocks import row_blocks, unit_rows


class ScoreDistribution(NamedTuple):
    """Counts of pairs by similarity: edges (B + 1,) from -1 to 1; positive, negative: (B,) int64,
    the pairs in [edges[b], edges[b + 1]), of the last bin with its upper edge."""

    edges: Tensor
    positive: Tensor
    negative: Tensor


@torch.no_grad()
def score_distribution(
    q: Tensor,
    k: Tensor | None = None,
    *,
    q_ids: Tensor,
    k_ids: Tensor | None = None,
    bins: int = 50,
) -> ScoreDistribution:
    """Histograms of the cosines of positive and of negative pairs, the picture that guides
    Improving Contrastive Learning by Visualizing Feature Transformation, 2021
    (`report.plots.scores` draws it).

    Args:
        q: (M, D). k: (P, D), or None: q against itself without self-pairs, each pair twice.
        q_ids, k_ids: (M,), (P,) integers; equal ids are positives. One set: q_ids alone.
        bins: B >= 1 bins of equal width.

    Returns:
        A ScoreDistribution; memory for one block of rows at a time. A NaN is in no bin.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    arguments.check_operands(q, k)
    arguments.check_labels("q_ids", q_ids, q)
    arguments.check_rows(q, k, q_ids, k_ids, None, None, None, None)
    checks.at_least("bins", bins, 1)
    u = unit_rows(q)
    v, ids = (u, q_ids) if k is None or k_ids is None else (unit_rows(k), k_ids)

    def block(first: int, last: int) -> Tensor:
        s = product(u[first:last], v.T, "ieee").clamp(-1, 1)
        at = ((s + 1) * (bins / 2)).nan_to_num(2 * bins).long()
        at = torch.where(s.isnan(), 2 * bins, at.clamp_max(bins - 1))
        positive = q_ids[first:last, None] == ids
        at = torch.where(positive & (at < bins), at + bins, at)
        if k is None:
            at.diagonal(first).fill_(2 * bins)
        return at.flatten().bincount(minlength=2 * bins + 1)[None]

    negative, positive = row_blocks(len(u), len(v), block).sum(0)[:-1].chunk(2)
    edges = torch.linspace(-1, 1, bins + 1, dtype=widest(q), device=q.device)
    return ScoreDistribution(edges, positive, negative)
