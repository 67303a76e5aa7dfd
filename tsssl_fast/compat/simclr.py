"""SimCLR's loss and log of sthalles/SimCLR (simclr.py, utils.py), without its matrix of logits.

    logits, labels = self.info_nce_loss(features); loss = self.criterion(logits, labels)
    top1, top5 = accuracy(logits, labels, topk=(1, 5))

becomes

    loss, top1, top5 = info_nce_loss(features, temperature=args.temperature)

Features are floating. Errors: TypeError for another dtype, ValueError for another shape or an odd
number of rows, NotImplementedError for more than two views.
"""

from typing import NamedTuple

from torch import Tensor

from tsssl_fast import functional
from tsssl_fast.common import checks
from tsssl_fast.compat._shared import refuse, refusing, result

__all__ = ["LossAndAccuracy", "info_nce_loss"]

__getattr__ = refusing(__name__, {"accuracy": "info_nce_loss returns loss, top1 and top5"})


class LossAndAccuracy(NamedTuple):
    """loss: scalar. top1, top5: (1,), percent of the rows whose other view is the most similar of
    all, or among the five most similar; without gradient."""

    loss: Tensor
    top1: Tensor
    top5: Tensor


def info_nce_loss(features: Tensor, temperature: float = 0.07, n_views: int = 2) -> LossAndAccuracy:
    """NT-Xent of (2N, D), the first views of all series, then the second; see
    :func:`tsssl_fast.functional.nt_xent_loss`, whose statistics give the accuracies."""
    if n_views != 2:
        refuse(f"n_views={n_views}", "two views; functional.sup_con_loss takes more")
    checks.matrix("features", features)
    if len(features) % 2:
        raise ValueError(f"features: {len(features)} rows; accepted: an even number")
    loss, seen = functional.nt_xent_loss(
        *features.chunk(2), temperature=temperature, return_stats=True
    )
    tops = (100 * x.reshape(1) for x in (seen.top1_accuracy, seen.topk_accuracy))
    return LossAndAccuracy(result(loss, features), *tops)
