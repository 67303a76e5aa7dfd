"""What a contrastive loss saw of its rows."""

from typing import NamedTuple

import torch
from torch import Tensor

from tsssl_fast.functional.contrastive.row_losses import Rows

TOP_K = 5  # of the named losses' topk_accuracy


class ContrastiveStats(NamedTuple):
    """What the loss saw, without gradient; rows are queries, then keys where `symmetric`.

    float32, float64 for float64 inputs; the two counts at the end are int64.
    log_sum_exp: (rows,) log of the sum over positives and negatives. The others are 0-d: mean
    similarity of the positive and of the negative pairs; share of rows whose most similar partner
    is a positive, and that have one among their top k; alignment, mean ||u_i - u_j||^2 over
    positive pairs; uniformity, log mean exp(-2 ||u_i - u_j||^2) over all pairs (both of Wang &
    Isola, ICML 2020; NaN without normalisation); how many rows had no positive, no negative.
    """

    log_sum_exp: Tensor
    positive_similarity: Tensor
    negative_similarity: Tensor
    top1_accuracy: Tensor
    topk_accuracy: Tensor
    alignment: Tensor
    uniformity: Tensor
    rows_without_positive: Tensor
    rows_without_negative: Tensor


def contrastive_stats(found: Rows, top_k: int, normalized: bool) -> ContrastiveStats:
    rows = found.statistics
    assert rows is not None
    has = rows.positives > 0
    similarity = torch.where(has, rows.positive_similarity, 0.0).sum() / has.sum()
    nan = torch.full_like(similarity, torch.nan)
    pairs = (rows.negatives + rows.positives).sum()

    def accuracy(k: int) -> Tensor:
        return ((rows.rank < k) & has).sum().to(similarity.dtype) / has.sum()

    return ContrastiveStats(
        torch.logaddexp(found.negative, found.positive).detach(),
        similarity,
        rows.negative_similarity.sum() / rows.negatives.sum(),
        accuracy(1),
        accuracy(top_k),
        2 - 2 * similarity if normalized else nan,
        (rows.uniform.sum() / pairs).log() if normalized else nan,
        (~has).sum(),
        (rows.negatives == 0).sum(),
    )
