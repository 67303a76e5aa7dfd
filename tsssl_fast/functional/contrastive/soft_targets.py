"""The short cut of soft targets, with the loss of a row as that of its strongest target r and the
rest, since sum_j t_ij s_ij = <u_i, (T v)_i>:

    sum_j t_ij (log sum exp a_i - a_ij)
        = (sum_j t_ij) log(1 + sum over j != r of exp(a_ij - a_ir))
        + <u_i, sum over j != r of t_ij (v_r - v_j)> / tau

Neither term is a difference of large numbers where a row has converged.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from tsssl_fast.backends.precision import product
from tsssl_fast.functional.contrastive.blocks import device_type
from tsssl_fast.functional.contrastive.problem import PairTemperature, Problem, inverse
from tsssl_fast.functional.contrastive.row_losses import Rows
from tsssl_fast.functional.contrastive.sides import embedded
from tsssl_fast.ops.contrastive.reference.pairs import log1p_exp

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
        ("targets of query_keys", p.own_targets is not None),
        ("targets with return_stats", p.statistics > 0),
        ("sparse targets with pairs left out", sparse and (left_out or r.skip_diagonal)),
        ("sparse targets with symmetric", sparse and r.symmetric),
    )
    return [reason for reason, here in reasons if here]


def row_statistics(q: Tensor, k: Tensor | None, problem: Problem, classes: Classes) -> Rows:
    """`classes` gives the log-sums: the strongest target of a row is its one positive."""
    assert k is not None  # one set comes as two, as targets need not be symmetric
    rules, tau = problem.rules, problem.temperature
    assert not isinstance(tau, PairTemperature)
    u = embedded(q, rules.q_valid, rules.normalize)
    v = embedded(k, rules.k_valid, rules.normalize)
    scaled = u * inverse(tau, q).to(u.dtype).reshape(-1, 1)
    targets = _of_pairs(problem).to(v.dtype)
    plain = problem._replace(targets=None, rules=rules._replace(symmetric=False))
    queries = _side(q, k, plain, targets, scaled, v, classes)
    if not rules.symmetric:
        return queries
    back = _transposed(plain)
    if isinstance(tau, Tensor) and tau.dim():  # of the queries, which are columns here
        q, k = scaled, v
        back = back._replace(temperature=1.0, rules=back.rules._replace(normalize=False))
    keys = _side(k, q, back, targets.T, v, scaled, classes)
    return Rows(*(torch.cat(x) for x in zip(queries[:4], keys[:4], strict=True)))  # type: ignore[arg-type]


def _side(
    q: Tensor,
    k: Tensor,
    problem: Problem,
    targets: Tensor,
    rows: Tensor,
    columns: Tensor,
    classes: Classes,
) -> Rows:
    """The rows of q; a_ij = <rows_i, columns_j>."""
    at, top, rest = _strongest(targets)
    ids = torch.where(top > 0, at, -1)
    every = torch.arange(len(k), device=q.device)
    found = classes(q, k, problem._replace(rules=problem.rules._replace(q_id=ids, k_id=every)))
    with torch.autocast(device_type(q), enabled=False):
        weight = product(rest, columns.new_ones(len(k), 1), problem.precision)
        apart = weight * columns[at] - product(rest, columns, problem.precision)
    both = found.has_positive & found.has_negative
    x = torch.where(both, found.negative, 0.0) - torch.where(both, found.positive, 0.0)
    loss = (weight[:, 0] + top) * torch.where(both, log1p_exp(x), 0.0) + (rows * apart).sum(dim=1)
    positive = torch.where(top.detach() > 0, 0.0, -torch.inf)
    every_pair = torch.logaddexp(found.negative, found.positive).detach()
    return Rows(every_pair, positive, torch.zeros_like(loss), pairwise=loss)


def _strongest(targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each row the column of its largest target, that target, and the targets without it."""
    if targets.layout == torch.strided:
        at = targets.detach().argmax(dim=1, keepdim=True)
        return at[:, 0], targets.gather(1, at)[:, 0], targets.scatter(1, at, 0.0)
    crow, column, value = targets.crow_indices(), targets.col_indices(), targets.values()
    m, p = targets.shape
    row = torch.repeat_interleave(torch.arange(m, device=value.device), crow.diff())
    top = value.new_zeros(m).scatter_reduce(0, row, value, "amax")
    candidate = torch.where(value == top[row], column, p)
    at = column.new_full((m,), p - 1).scatter_reduce(0, row, candidate, "amin")
    rest = torch.where(column == at[row], 0.0, value)
    without = torch.sparse_csr_tensor(crow, column, rest, targets.shape, check_invariants=False)
    return at, top, without


def _transposed(problem: Problem) -> Problem:
    """The keys against the queries, without further keys."""
    r = problem.rules
    mask = None if r.mask is None else r.mask.T.contiguous()
    rules = r._replace(q_valid=r.k_valid, k_valid=r.q_valid, mask=mask)
    return problem._replace(rules=rules, negatives=None, query_keys=None)


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


def _column(flags: Tensor | None) -> Tensor | None:
    return None if flags is None else flags[:, None]
