"""Contrastive losses of the rows that several processes have together.

Queries stay, keys are gathered with gradient: a process has the pairs of its own rows with all, in
memory O(N D) of all rows, and the sum of its rows' losses is its share of the loss. Batches may be
uneven or empty.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tsssl_fast.backends.precision import precision_name
from tsssl_fast.common import checks, collectives
from tsssl_fast.common.collectives import Group
from tsssl_fast.functional.contrastive import arguments
from tsssl_fast.functional.contrastive.agreement import Asked, no_rows
from tsssl_fast.functional.contrastive.kernels import paired_similarity
from tsssl_fast.functional.contrastive.problem import (
    MEAN_OVER,
    PairTemperature,
    Problem,
    inverse,
)
from tsssl_fast.functional.contrastive.ring import sums_over_pairs
from tsssl_fast.functional.contrastive.row_losses import (
    Rows,
    RowStatistics,
    row_loss,
    weighted_row_loss,
)
from tsssl_fast.functional.contrastive.solve import Loss, backend_name, row_statistics
from tsssl_fast.ops.contrastive.operators.sigmoid import sigmoid_pairs
from tsssl_fast.ops.contrastive.reference.pairs import PLAIN
from tsssl_fast.ops.contrastive.rules import GROUP_RULES


def views(
    asked: Asked,
    given: tuple[Tensor, ...],
    *,
    denominator: str = "all",
    sigma: float | None = None,
) -> Loss:
    """NT-Xent, with the denominator "negatives" DCL; sigma: of DCLW, for two views."""
    count = len(given)

    def rows() -> Tensor:
        by_name = dict(zip(checks.names_of_views(count), given, strict=True))
        asked.check(by_name, count * len(given[0]))
        if sigma is not None:
            checks.positive("sigma", sigma)
        return torch.cat(given)

    group, x, sizes = asked.agreed(rows, sigma, count)
    parts = collectives.gather(x, sizes, group)
    own, others = _own_first(parts, group)
    if not len(own):
        return asked.result(*no_rows(others, asked.temperature), sum(sizes), group, count)
    ids = torch.arange(len(own) // count, device=own.device).repeat(count)
    found = _one_set(own, ids, others, ids.new_full((len(others),), -1), asked.problem())
    if sigma is None:
        loss = row_loss(found, "mean_log", denominator)
    else:
        with torch.no_grad():
            pairs = [paired_similarity(*_halves(part), asked.normalize) for part in parts]
            every = torch.cat(pairs) / sigma
            softmax = every.softmax(dim=0).split([len(pair) for pair in pairs])
            weight = 2 - len(every) * softmax[collectives.rank(group)]
        loss = weighted_row_loss(found, weight.repeat(2))
    return asked.result(loss, found, sum(sizes), group, count)


def labelled(asked: Asked, z: Tensor, labels: Tensor, mean_over: str) -> Loss:
    """SupCon: labels meet across processes."""

    def rows() -> Tensor:
        nonlocal asked, labels
        x, labels, tau = arguments.labelled_rows(z, labels, asked.temperature, least=0)
        asked = asked._replace(temperature=tau)
        asked.check({"z": x}, len(x))
        checks.choice("mean_over", mean_over, MEAN_OVER)
        return x

    group, x, sizes = asked.agreed(rows, mean_over)
    own, others = _own_first(collectives.gather(x, sizes, group), group)
    ids, other_ids = _own_first(collectives.gather(labels.long(), sizes, group), group)
    if len(own):
        found = _one_set(own, ids, others, other_ids, asked.problem())
        loss, counted = row_loss(found, "mean_log", "all"), found.has_positive.sum()
    else:
        (loss, found), counted = no_rows(others, asked.temperature), ids.sum()
    count: int | Tensor = sum(sizes)
    if asked.reduction == "mean" and mean_over == "with_positive":
        count = collectives.sum_alike(counted, group).clamp_min(1)
    return asked.result(loss, found, count, group)


def clip_in_ring(asked: Asked, q: Tensor, k: Tensor) -> Loss:
    """CLIP with both directions' log-sums from one product a block of keys."""
    tau = asked.temperature

    def rows() -> Tensor:
        if isinstance(tau, PairTemperature):
            raise TypeError("temperature: PairTemperature with ring=True; accepted: a number")
        asked.check({"q": q, "k": k}, 0)
        return _keys(q, k)

    group, _, sizes = asked.agreed(rows, "ring")
    q, k = arguments.in_one_dtype(q, k)
    problem = asked.problem()
    numbers = (tau,) if isinstance(tau, Tensor) else ()

    def pairs(
        q: Tensor, keys: Tensor, _: list[Tensor], own: bool, numbers: tuple[Tensor, ...]
    ) -> Tensor:
        ids = torch.arange(len(q), device=q.device) if own else None
        rules = problem.rules._replace(q_id=ids, k_id=ids, symmetric=True)
        of_block = problem._replace(rules=rules, temperature=numbers[0] if numbers else tau)
        return row_statistics(q, keys, of_block).negative

    sums = sums_over_pairs(
        pairs, q, k, sizes=sizes, group=group, logarithms=True, of_keys=True, numbers=numbers
    )
    assert not isinstance(tau, PairTemperature)
    positive = paired_similarity(q, k, asked.normalize)
    positive = (positive * inverse(tau, q).to(positive.dtype)).repeat(2)
    found = Rows(torch.cat(sums), positive, torch.zeros_like(positive))
    if asked.return_stats:
        with torch.no_grad():
            parts = collectives.gather(torch.cat([q, k]), [2 * size for size in sizes], group)
            found = found._replace(statistics=_two_sides(parts, group, problem)[1].statistics)
    loss = row_loss(found, "mean_log", "all")
    return asked.result(loss, found, 2 * sum(sizes), group, 2)


class Sides(NamedTuple):
    """Ids and flags of SigLIP's queries and keys."""

    q_ids: Tensor | None
    k_ids: Tensor | None
    q_valid: Tensor | None
    k_valid: Tensor | None


def sigmoid(
    asked: Asked,
    q: Tensor,
    k: Tensor,
    logit_scale: float | Tensor,
    logit_bias: float | Tensor,
    sides: Sides,
    ring: bool,
) -> Loss:
    """SigLIP: ids meet across processes."""

    def rows() -> Tensor:
        arguments.check_operands(q, k, least=0)
        arguments.check_rows(q, k, *sides[:2], None, None, *sides[2:])
        for name, number in (("logit_scale", logit_scale), ("logit_bias", logit_bias)):
            arguments.number(name, number, q)
        if sides.q_ids is None:
            checks.alike(("q", "k"), (q, k))
        checks.choice("reduction", asked.reduction, checks.REDUCTIONS)
        precision_name(asked.precision)
        return _keys(q, k)

    given = (sides.q_ids is None, sides.k_valid is None)
    group, _, sizes = asked.agreed(rows, logit_scale, logit_bias, *given, ring)
    q, k = arguments.in_one_dtype(q, k)
    numbers = tuple(arguments.number("", x, q) for x in (logit_scale, logit_bias))
    q_ids, k_ids, q_valid, k_valid = sides
    if q_ids is None or k_ids is None:
        first = sum(sizes[: collectives.rank(group)])
        q_ids = k_ids = torch.arange(first, first + len(q), device=q.device)
    beside = [k_ids.long()]
    how = (precision_name(asked.precision), backend_name(asked.backend))
    if k_valid is not None:
        beside.append(k_valid.to(torch.uint8))  # not every backend carries bool

    def pairs(
        q: Tensor, keys: Tensor, along: list[Tensor], _: bool, numbers: tuple[Tensor, ...]
    ) -> Tensor:
        flags = along[1].bool() if len(along) > 1 else None
        scale, bias = numbers
        rules = (q_ids, along[0], q_valid, flags)
        return sigmoid_pairs(q, keys, scale, bias, *rules, asked.normalize, *how)

    if ring:
        loss, _ = sums_over_pairs(
            *(pairs, q, k),
            sizes=sizes,
            group=group,
            logarithms=False,
            of_keys=False,
            beside=beside,
            numbers=numbers,
        )
    else:
        every, *along = (torch.cat(collectives.gather(x, sizes, group)) for x in (k, *beside))
        if len(q):
            loss = pairs(q, every, along, False, numbers)
        else:
            loss = no_rows(torch.cat([every, q]), *numbers)[0]
    found = no_rows(q)[1]
    if asked.return_stats:
        every, *along = (torch.cat(collectives.gather(x, sizes, group)) for x in (k, *beside))
        flags = along[1].bool() if len(along) > 1 else None
        of_all = Sides(q_ids, along[0], q_valid, flags)
        found = _sigmoid_rows(asked, q, every, 1 / numbers[0], of_all)
    count = len(q) if q_valid is None else int(q_valid.sum())
    every_count = collectives.sum_alike(torch.tensor(count, device=q.device), group)
    return asked.result(loss, found, every_count.clamp_min(1), group)


@torch.no_grad()
def _sigmoid_rows(asked: Asked, q: Tensor, keys: Tensor, tau: Tensor, sides: Sides) -> Rows:
    """What statistics are of, from one more pass."""
    if not len(q):
        return no_rows(q)[1]
    q_ids, k_ids, q_valid, k_valid = sides
    rules = PLAIN._replace(
        q_id=q_ids, k_id=k_ids, q_valid=q_valid, k_valid=k_valid, normalize=asked.normalize
    )
    return row_statistics(q, keys, asked.problem()._replace(rules=rules, temperature=tau))


def queries_keys(asked: Asked, q: Tensor, k: Tensor, symmetric: bool) -> Loss:
    """InfoNCE; symmetric: CLIP."""

    def rows() -> Tensor:
        asked.check({"q": q, "k": k}, 0 if symmetric else len(q))
        return torch.cat([q, k]) if symmetric else _keys(q, k)

    group, x, sizes = asked.agreed(rows, symmetric)
    q = q.to(x.dtype)
    parts, problem = collectives.gather(x, sizes, group), asked.problem()
    if symmetric:
        loss, found = _two_sides(parts, group, problem)
        return asked.result(loss, found, sum(sizes), group, 2)
    if len(q):
        found = _paired(q, *_own_first(parts, group), problem)
        loss = row_loss(found, "mean_log", "all")
    else:
        loss, found = no_rows(torch.cat([*parts, q]), asked.temperature)
    return asked.result(loss, found, sum(sizes), group)


def _two_sides(parts: Sequence[Tensor], group: Group, problem: Problem) -> tuple[Tensor, Rows]:
    """This process's queries against all keys, and its keys against all queries; parts: of every
    process, its queries and its keys behind them."""
    if not len(parts[collectives.rank(group)]):
        return no_rows(torch.cat(list(parts)), problem.temperature)
    queries, keys = zip(*map(_halves, parts), strict=True)
    own_q, other_q = _own_first(queries, group)
    own_k, other_k = _own_first(keys, group)
    first = _paired(own_q, own_k, other_k, problem)
    second = _paired(own_k, own_q, other_q, problem)
    statistics = None
    if first.statistics is not None and second.statistics is not None:
        both = zip(first.statistics, second.statistics, strict=True)
        statistics = RowStatistics(*map(torch.cat, both))
    negative, positive, gap = map(torch.cat, zip(first[:3], second[:3], strict=True))
    found = Rows(negative, positive, gap, statistics=statistics)
    return row_loss(found, "mean_log", "all"), found


def queue(
    asked: Asked,
    q: Tensor,
    k: Tensor,
    negatives: Tensor,
    negatives_valid: Tensor | None,
    symmetric: bool,
) -> Loss:
    """InfoNCE against further keys alone, which are not gathered: a query meets its process's. k:
    (N, P, D): a row for each positive. symmetric: refused."""
    several = k.shape[1] if isinstance(k, Tensor) and k.dim() == 3 else 1

    def rows() -> Tensor:
        nonlocal asked, q, k
        arguments.check_one_direction(negatives, symmetric)
        q, k, tau = arguments.a_row_for_each_positive(q, k, asked.temperature)
        asked = asked._replace(temperature=tau)
        asked.check({"q": q, "k": k}, len(q))
        arguments.check_keys(q, negatives, negatives_valid, None, None)
        return q

    group, _, sizes = asked.agreed(rows, several)
    q, k, negatives = arguments.in_one_dtype(q, k, negatives)
    if not len(q):
        loss, found = no_rows(torch.cat([q, k]), asked.temperature, negatives)
        return asked.result(loss, found, sum(sizes), group)
    ids = torch.arange(len(q), device=q.device)
    problem = asked.problem()
    rules = problem.rules._replace(
        q_id=ids, k_id=ids, q_group=ids, k_group=ids, group_rule=GROUP_RULES.index("only_same")
    )
    problem = problem._replace(
        rules=rules, negatives=negatives, negatives_valid=negatives_valid, paired=True
    )
    found = row_statistics(q, k, problem)
    return asked.result(row_loss(found, "mean_log", "all"), found, sum(sizes), group)


def _keys(q: Tensor, k: Tensor) -> Tensor:
    keys: Tensor = arguments.in_one_dtype(q, k)[1]
    return keys


def _one_set(own: Tensor, ids: Tensor, others: Tensor, other_ids: Tensor, problem: Problem) -> Rows:
    """This process's rows, each against all but itself."""
    rules = problem.rules._replace(q_id=ids, k_id=torch.cat([ids, other_ids]), skip_diagonal=True)
    return row_statistics(own, torch.cat([own, others]), problem._replace(rules=rules))


def _paired(q: Tensor, own: Tensor, others: Tensor, problem: Problem) -> Rows:
    """The queries, each against its own key and all others."""
    ids = torch.arange(len(own) + len(others), device=q.device)
    rules = problem.rules._replace(q_id=ids[: len(q)], k_id=ids)
    return row_statistics(q, torch.cat([own, others]), problem._replace(rules=rules))


def _own_first(parts: Sequence[Tensor], group: Group) -> tuple[Tensor, Tensor]:
    """This process's rows, and those of all the others."""
    here = collectives.rank(group)
    others = (*parts[:here], *parts[here + 1 :])
    return parts[here], torch.cat(others) if others else parts[here][:0]


def _halves(part: Tensor) -> tuple[Tensor, Tensor]:
    return part[: len(part) // 2], part[len(part) // 2 :]
