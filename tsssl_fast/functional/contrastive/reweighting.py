"""Hard-negative reweighting and debiasing of the negatives' sum: numbers of rows alone."""

from typing import NamedTuple

import torch
from torch import Tensor

from tsssl_fast.functional.contrastive.problem import Problem


class Sums(NamedTuple):
    """Log-sums over a row's negatives, and what debiasing knows of its positives.

    plain: of exp(a); harder, easier: of exp((1 + h) a) and exp(h a), h = hardness (else None);
    negatives: of 1; least: of exp(-1 / tau). positive, positives: the positives' of exp(a), of 1.
    """

    plain: Tensor
    harder: Tensor | None
    easier: Tensor | None
    negatives: Tensor
    least: Tensor
    positive: Tensor
    positives: Tensor


def reweighted(sums: Sums, problem: Problem) -> Tensor:
    """The negatives' log-sum by Robinson et al. (ICLR 2021) and Chuang et al. (NeurIPS 2020).

    With n the number of the row's negatives, each weighs exp(h a) / mean(exp(h a)):
    R = sum exp((1 + h) a) / (sum exp(h a) / n). With t = debias, the prior probability that a
    negative is a positive, and p the mean of exp(a) over the positives:
    max((R - t n p) / (1 - t), sum exp(-1 / tau)), the latter the least that cosines can give.
    """
    log_n = _finite(sums.negatives)
    out = _finite(sums.plain)
    if sums.harder is not None and sums.easier is not None:
        out = _finite(sums.harder) - _finite(sums.easier) + log_n
    if problem.debias:
        has = sums.positives != -torch.inf  # else p is 0
        log_mean = _finite(sums.positive) - _finite(sums.positives)
        top = torch.where(has, torch.maximum(out, log_mean + log_n), out).detach()
        taken = torch.where(has, (log_mean + log_n - top).exp(), 0.0)
        rest = (out - top).exp() - problem.debias * taken
        enough = rest.clamp_min(torch.finfo(rest.dtype).tiny).log() + top
        enough = enough - torch.log1p(torch.full_like(rest, -problem.debias))
        out = torch.maximum(torch.where(rest > 0, enough, -torch.inf), _finite(sums.least))
    return torch.where(sums.plain == -torch.inf, sums.plain, out)


def _finite(x: Tensor) -> Tensor:
    return torch.where(x == -torch.inf, 0.0, x)
