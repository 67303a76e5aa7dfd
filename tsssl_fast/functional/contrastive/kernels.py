"""The short cuts: problems that the operators `pair_logsumexp` and `key_logsumexp` take.

Statistics of several key sets add up in the log domain; a temperature per relation is one call per
relation, one per query goes into the query. Nothing here knows an option that the definition does
not: `why_not` names what is left to it.
"""

import torch
from torch import Tensor

from tsssl_fast.backends import registration
from tsssl_fast.backends.precision import product
from tsssl_fast.functional.contrastive import definition, soft_targets
from tsssl_fast.functional.contrastive.blocks import device_type
from tsssl_fast.functional.contrastive.problem import PairTemperature, Problem, inverse
from tsssl_fast.functional.contrastive.reweighting import Sums, reweighted
from tsssl_fast.functional.contrastive.row_losses import Rows, RowStatistics
from tsssl_fast.functional.contrastive.sides import embedded, embedded_keys, query_keys_valid
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.operators import pairs
from tsssl_fast.ops.contrastive.operators.keys import key_logsumexp
from tsssl_fast.ops.contrastive.reference.pairs import PLAIN
from tsssl_fast.ops.contrastive.rules import GROUP_RULES, Rules

How = tuple[str, str]  # precision and backend


def why_not(problem: Problem) -> list[str]:
    """What no kernel takes; empty: the kernels compute this problem."""
    p = problem
    several = isinstance(p.temperature, PairTemperature) or p.query_temperature is not None
    more = p.rules.weight is not None or p.negatives is not None or p.query_keys is not None
    reasons = (
        ("pair_weight: sparse", p.sparse_weight is not None),
        ("denominator='own_positive'", p.denominator == "own_positive"),
        ("hardness, debias with several temperatures", bool(p.hardness or p.debias) and several),
        ("return_stats with hardness, debias", bool(p.hardness or p.debias) and p.statistics > 0),
        ("return_stats with pair_weight, further keys or several temperatures",
         p.statistics > 0 and (several or more)),
    )  # fmt: skip
    why = [reason for reason, here in reasons if here]
    return why if p.targets is None else why + soft_targets.why_not(p)


def row_statistics(q: Tensor, k: Tensor | None, problem: Problem) -> Rows:
    """The rows of a problem that `why_not` has nothing against."""
    if problem.targets is not None:
        return soft_targets.row_statistics(q, k, problem, _classes)
    if problem.hardness or problem.debias:
        return _reweighted(q, k, problem)
    return _classes(q, k, problem)


def _reweighted(q: Tensor, k: Tensor | None, problem: Problem) -> Rows:
    """Log-sums at other temperatures: tau / (1 + h), tau / h, and infinity, which counts."""
    tau, h = problem.temperature, problem.hardness
    assert not isinstance(tau, PairTemperature)
    plain = problem._replace(hardness=0.0, debias=0.0)

    def at(temperature: float | Tensor) -> Rows:
        return _classes(q, k, plain._replace(temperature=temperature))

    found = _classes(q, k, plain)
    count = at(torch.inf)
    sums = Sums(
        found.negative,
        at(tau / (1 + h)).negative if h else None,
        at(tau / h).negative if h else None,
        count.negative.detach(),
        count.negative.detach() - inverse(tau, q).to(count.negative.dtype),
        found.positive,
        count.positive.detach(),
    )
    return found._replace(negative=reweighted(sums, problem))


def _classes(q: Tensor, k: Tensor | None, problem: Problem) -> Rows:
    """Log-sums over both classes of pairs, further keys among the negatives."""
    tau, rules, how = problem.temperature, problem.rules, (problem.precision, problem.backend)
    if isinstance(tau, Tensor) and tau.dim():
        return _per_query(q, k, tau, problem)
    if rules.weight is not None and not _one_shift(tau, rules):
        rules = _masked_where_weightless(rules)
    if problem.paired:
        assert k is not None
        found = _paired(q, k, tau, rules.normalize)
    elif isinstance(tau, PairTemperature):
        found = _by_relation(q, k, tau, rules, how)
    elif problem.statistics:
        beta = inverse(tau, q)
        out, counted = pairs.pair_statistics(q, k, beta, rules, *how)
        rank = definition.ranks(q, k, problem) if problem.statistics > 1 else None
        found = Rows(out[0], out[1], out[2], statistics=_counted(out, counted, beta, rank))
    else:
        found = Rows(*pairs.pair_logsumexp(q, k, inverse(tau, q), rules, *how))
    if problem.negatives is None and problem.query_keys is None:
        return found
    if isinstance(tau, PairTemperature):
        tau = tau.negative
    negative = found.negative
    if problem.negatives is not None:
        more = extra_keys(q, problem.negatives, problem.negatives_valid, tau, rules, how)
        negative = more if problem.paired else torch.logaddexp(negative, _pad(more, negative))
    if problem.query_keys is not None:
        negative = torch.logaddexp(negative, _pad(_own_keys(q, tau, problem), negative))
    return found._replace(negative=negative)


def _one_shift(tau: float | Tensor | PairTemperature, rules: Rules) -> bool:
    """Whether one exponent shift serves all rows, so that no maximum is taken."""
    limit = spec.FIXED_SHIFT_LIMIT[torch.float32]
    return rules.normalize and isinstance(tau, (int, float)) and 2 / tau < limit


def _masked_where_weightless(rules: Rules) -> Rules:
    """A pair of weight 0 takes no part: without the mask its logit could be the row's maximum, and
    every other exponential 0."""
    assert rules.weight is not None
    some = rules.weight != 0
    return rules._replace(mask=some if rules.mask is None else rules.mask & some)


def _paired(q: Tensor, k: Tensor, tau: float | Tensor | PairTemperature, normalize: bool) -> Rows:
    """One positive per query, k_i, and no negative among the keys: a product of rows."""
    if isinstance(tau, PairTemperature):
        tau = tau.positive
    positive = paired_similarity(q, k, normalize)
    positive = positive * inverse(tau, q).to(positive.dtype)
    none = torch.full_like(positive, -torch.inf)
    return Rows(none, positive, torch.zeros_like(positive))


def paired_similarity(q: Tensor, k: Tensor, normalize: bool) -> Tensor:
    """<q_i, k_i>, (N,)."""
    return (embedded(q, None, normalize) * embedded(k, None, normalize)).sum(dim=1)


def extra_keys(
    q: Tensor, k: Tensor, valid: Tensor | None, tau: float | Tensor, rules: Rules, how: How
) -> Tensor:
    """log-sum-exp per query over keys that are all negatives."""
    if isinstance(tau, Tensor) or registration.differentiated(k):
        queue = PLAIN._replace(q_valid=rules.q_valid, k_valid=valid, normalize=rules.normalize)
        return pairs.pair_logsumexp(q, k, inverse(tau, q), queue, *how)[0]
    return key_logsumexp(q, k, rules.q_valid, valid, 1 / tau, rules.normalize, *how)


def _pad(found: Tensor, like: Tensor) -> Tensor:
    """-inf for the keys' own rows, which other key sets do not concern."""
    missing = len(like) - len(found)
    return torch.cat([found, found.new_full((missing,), -torch.inf)]) if missing else found


def _counted(out: Tensor, counted: Tensor, beta: Tensor, rank: Tensor | None) -> RowStatistics:
    """In similarities; without a rank, it is 0 or 1: whether any negative is as similar as the best
    positive."""
    logit, negatives, positives, uniform, top_negative, top_positive = counted
    beta = beta.detach().to(logit.dtype)
    mean = torch.where(positives > 0, out[1] - out[2], 0.0).detach() / beta
    if rank is None:
        rank = (top_negative >= top_positive).to(logit.dtype)
    return RowStatistics(positives, negatives, mean, logit / beta, uniform, rank)


def _by_relation(q: Tensor, k: Tensor | None, tau: PairTemperature, rules: Rules, how: How) -> Rows:
    """One call per relation: each statistic is taken at its own temperature."""

    def call(temperature: float | Tensor, pairs_in: Rules) -> Rows:
        return Rows(*pairs.pair_logsumexp(q, k, inverse(temperature, q), pairs_in, *how))

    rule = GROUP_RULES[rules.group_rule]
    if rule == "none" and tau.same_group is None:
        rules = rules._replace(q_group=None, k_group=None)
    apart = rule == "none" and rules.q_group is not None
    outside = rules._replace(group_rule=1) if apart else rules
    inside = rules._replace(group_rule=2)
    within = rule == "only_same" and tau.same_group is not None
    negative = call(tau.same_group if within else tau.negative, outside).negative  # type: ignore[arg-type]
    if apart:
        assert tau.same_group is not None
        negative = torch.logaddexp(negative, call(tau.same_group, inside).negative)
    return call(tau.positive, outside)._replace(negative=negative)


def _per_query(q: Tensor, k: Tensor | None, tau: Tensor, problem: Problem) -> Rows:
    """The query carries its own 1 / tau; one set becomes two, without its diagonal."""
    rules, normalize = problem.rules, problem.rules.normalize
    if k is None:
        k = q
        rules = rules._replace(skip_diagonal=True)
    q = embedded(q, rules.q_valid, normalize)
    scaled = problem._replace(
        temperature=1.0,
        rules=rules._replace(normalize=False),
        negatives=embedded_keys(problem.negatives, problem.negatives_valid, normalize),
        query_keys=embedded_keys(problem.query_keys, query_keys_valid(problem), normalize),
    )
    k = embedded(k, rules.k_valid, normalize)
    return _classes(q / tau[:, None].to(q.dtype), k, scaled)


def _own_keys(q: Tensor, tau: float | Tensor, problem: Problem) -> Tensor:
    """log-sum-exp over each query's own (S, D) keys: O(M S), the size of the keys over D."""
    valid = query_keys_valid(problem)
    own = embedded_keys(problem.query_keys, valid, problem.rules.normalize)
    assert own is not None
    q = embedded(q, problem.rules.q_valid, problem.rules.normalize)
    with torch.autocast(device_type(q), enabled=False):
        a = product(q[:, None], own.transpose(1, 2), problem.precision)[:, 0]
        a = a * inverse(tau, q).to(q.dtype)
    if valid is not None:
        a = a.masked_fill(~valid, -torch.inf)
    empty = torch.isneginf(a).all(dim=1)
    safe = torch.where(empty[:, None], 0.0, a)
    return torch.where(empty, -torch.inf, safe.logsumexp(dim=1))
