"""Hard-negative reweighting and debiasing: row formulas over two or three calls of the operator."""

import torch
from torch import Tensor

from tsssl_fast.functional.contrastive.row_losses import Rows
from tsssl_fast.ops.contrastive.operators import pairs
from tsssl_fast.ops.contrastive.rules import Rules


def reweight(
    q: Tensor,
    k: Tensor | None,
    beta: Tensor,
    rules: Rules,
    found: Rows,
    *,
    hardness: float,
    debias: float,
    backend: str,
) -> Rows:
    """Replaces the negatives' sum by that of Robinson et al. (ICLR 2021) and Chuang et al. (2020).

    With b = hardness and n the number of the row's negatives, each negative weighs
    exp(b a) / mean(exp(b a)):   R = sum exp((1 + b) a) / (sum exp(b a) / n).
    With t = debias, the prior probability that a negative is a positive, and m the mean of exp(a)
    over the positives:   max((R - t n m) / (1 - t), n exp(-beta)).
    b = 0 and t = 0 give the plain sum.
    """
    count = _call(q, k, 0.0 * beta.detach(), rules, backend)
    log_n = count.negative.detach()
    log_sum = found.negative
    if hardness:
        harder = _call(q, k, (1 + hardness) * beta, rules, backend).negative
        weight = _call(q, k, hardness * beta, rules, backend).negative
        log_sum = _finite(harder) - _finite(weight) + _finite(log_n)
    if debias:
        log_mean = _finite(found.positive) - _finite(count.positive.detach())
        log_sum, log_n = _finite(log_sum), _finite(log_n)
        top = torch.maximum(log_sum, log_mean + log_n).detach()
        rest = (log_sum - top).exp() - debias * (log_mean + log_n - top).exp()
        least = log_n - beta.to(log_n.dtype)
        enough = rest.clamp_min(torch.finfo(rest.dtype).tiny).log() + top
        enough = enough - torch.log1p(torch.tensor(-debias, dtype=rest.dtype))
        log_sum = torch.maximum(torch.where(rest > 0, enough, -torch.inf), least)
    empty = found.negative == -torch.inf
    return found._replace(negative=torch.where(empty, found.negative, log_sum))


def _call(q: Tensor, k: Tensor | None, beta: Tensor, rules: Rules, backend: str) -> Rows:
    return Rows(*pairs.pair_logsumexp(q, k, beta, rules, backend))


def _finite(x: Tensor) -> Tensor:
    return torch.where(x == -torch.inf, 0.0, x)
