"""The short cut of soft targets: sum_j t_ij (log sum exp a_i - a_ij) is a log-sum of all pairs less
one product with T, since sum_j t_ij s_ij = <u_i, (T v)_i>."""

from collections.abc import Callable

import torch
from torch import Tensor

from tsssl_fast.backends.precision import product
from tsssl_fast.functional.contrastive.problem import PairTemperature, Problem, inverse
from tsssl_fast.functional.contrastive.row_losses import Rows
from tsssl_fast.functional.contrastive.sides import embedded

Classes = Callable[[Tensor, Tensor | None, Problem], Rows]


def why_not(problem: Problem) -> list[str]:
    """What this form can not tell from the formula's; CSR targets are taken as they are."""
    p, r = problem, problem.rules
    assert p.targets is not None
    sparse = p.targets.layout != torch.strided
    left_out = r.q_valid is not None or r.k_valid is not None or r.mask is not None
    reasons = (
        ("targets with pair_weight", r.weight is not None),
        ("targets with groups", r.q_group is not None),
        ("targets with a temperature by relation", isinstance(p.temperature, PairTemperature)),
        ("targets with hardness, debias", bool(p.hardness or p.debias)),
        ("targets with a denominator of negatives", p.denominator != "all"),
        ("targets with return_stats", p.statistics > 0),
        ("sparse targets with pairs left out", sparse and (left_out or r.skip_diagonal)),
        ("sparse targets with symmetric", sparse and r.symmetric),
    )
    return [reason for reason, here in reasons if here]


def row_statistics(q: Tensor, k: Tensor | None, problem: Problem, classes: Classes) -> Rows:
    """`classes` gives the log-sums; without ids every pair is a negative."""
    found = classes(q, k, problem._replace(targets=None))
    rules = problem.rules
    u = embedded(q, rules.q_valid, rules.normalize)
    v = u if k is None else embedded(k, rules.k_valid, rules.normalize)
    targets = _of_pairs(problem).to(v.dtype)
    tau = problem.temperature
    assert not isinstance(tau, PairTemperature)
    scaled = u * inverse(tau, q).to(u.dtype).reshape(-1, 1)
    parts = [_less(targets, scaled, v, problem.precision)]
    if rules.symmetric:
        parts.append(_less(targets.T, v, scaled, problem.precision))
    weight, mean = (torch.cat(x) for x in zip(*parts, strict=True))
    some = found.has_negative
    loss = torch.where(some, weight * torch.where(some, found.negative, 0.0) - mean, 0.0)
    positive = torch.where(weight.detach() > 0, 0.0, -torch.inf)
    return found._replace(positive=positive, pairwise=loss)


def _of_pairs(problem: Problem) -> Tensor:
    """The targets of pairs that take part."""
    targets, rules = problem.targets, problem.rules
    assert targets is not None
    if targets.layout != torch.strided:
        return targets
    targets = targets.clamp_min(0.0)
    if rules.skip_diagonal:
        targets = targets * (
            1 - torch.eye(len(targets), dtype=targets.dtype, device=targets.device)
        )
    for live in (rules.mask, _column(rules.q_valid), rules.k_valid):
        if live is not None:
            targets = torch.where(live, targets, 0.0)
    return targets


def _diagonal(x: Tensor) -> Tensor:
    return torch.eye(len(x), dtype=torch.bool, device=x.device)


def _column(flags: Tensor | None) -> Tensor | None:
    return None if flags is None else flags[:, None]


def _less(targets: Tensor, u: Tensor, v: Tensor, precision: str) -> tuple[Tensor, Tensor]:
    """Per row sum_j t_ij, and sum_j t_ij <u_i, v_j>."""
    with torch.autocast(u.device.type, enabled=False):
        mean = (u * product(targets, v, precision)).sum(dim=1)
        return product(targets, v.new_ones(len(v), 1), precision)[:, 0], mean
