"""From the rows' losses to the result."""

import torch
from torch import Tensor

from tsssl_fast.functional.contrastive.row_losses import Rows
from tsssl_fast.ops.contrastive.rules import Rules


def reduce(loss: Tensor, found: Rows, rules: Rules, reduction: str, mean_over: str) -> Tensor:
    """The mean is over the valid rows, or over those with a positive."""
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    if mean_over == "with_positive":
        return loss.sum() / found.has_positive.sum().clamp_min(1)
    if rules.q_valid is None and rules.k_valid is None:
        return loss.mean()
    count = torch.full((), len(loss), device=loss.device)
    if rules.q_valid is not None:
        count = count - (~rules.q_valid).sum()
    if rules.symmetric and rules.k_valid is not None:
        count = count - (~rules.k_valid).sum()
    return loss.sum() / count.clamp_min(1)
