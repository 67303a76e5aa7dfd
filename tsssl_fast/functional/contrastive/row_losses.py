"""From row statistics to losses: torch on vectors with one entry per row, so that every option has
its exact gradient. Statistics of several key sets add up in the log domain: a queue or a second
temperature is one more call of the operator, never a copy of the keys.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from tsssl_fast.ops.contrastive.operators import pairs
from tsssl_fast.ops.contrastive.operators.keys import key_logsumexp
from tsssl_fast.ops.contrastive.reference.pairs import unit
from tsssl_fast.ops.contrastive.rules import GROUP_RULES, Rules


@dataclass(frozen=True)
class PairTemperature:
    """Temperature by the relation of a pair: tau of positives, of negatives, and of negatives in
    the same group (None: as the other negatives). Floats > 0 or 0-d tensors (which get
    gradients)."""

    positive: float | Tensor
    negative: float | Tensor
    same_group: float | Tensor | None = None


Temperature = float | Tensor | PairTemperature


class Keys(NamedTuple):
    """What `rows` compares the queries with, beside the rules' own arrays."""

    extra: Tensor | None = None
    extra_valid: Tensor | None = None
    per_query: Tensor | None = None
    per_query_valid: Tensor | None = None


class Rows(NamedTuple):
    """One entry per query (then per key where both sides have rows): log-sum-exp of the negatives'
    and of the positives' logits, the gap between the latter and the positives' mean logit, and
    where asked for the rows of spec.STATISTICS."""

    negative: Tensor
    positive: Tensor
    gap: Tensor
    statistics: Tensor | None = None

    @property
    def has_positive(self) -> Tensor:
        return self.positive != -torch.inf

    @property
    def has_negative(self) -> Tensor:
        return self.negative != -torch.inf

    @property
    def margin(self) -> Tensor:
        """negative - positive, 0 where either is empty."""
        both = self.has_positive & self.has_negative
        zero = self.negative.new_zeros(())
        return torch.where(both, self.negative, zero) - torch.where(both, self.positive, zero)


def rows(
    q: Tensor,
    k: Tensor | None,
    temperature: Temperature,
    rules: Rules,
    keys: Keys = Keys(),  # noqa: B008  an immutable tuple
    statistics: bool = False,
    backend: str = "",
) -> Rows:
    """Row statistics for any temperature and any set of keys."""
    if isinstance(temperature, Tensor) and temperature.dim() == 1:
        return _per_query(q, k, temperature, rules, keys, statistics, backend)
    if isinstance(temperature, PairTemperature):
        out = _by_relation(q, k, temperature, rules, statistics, backend)
        tau: float | Tensor = temperature.negative
    else:
        tau = temperature
        out = _call(q, k, tau, rules, statistics, backend)
    negative = out.negative
    if keys.extra is not None:
        found = extra_keys(q, keys.extra, keys.extra_valid, tau, rules, backend)
        negative = torch.logaddexp(negative, _pad(found, negative))
    if keys.per_query is not None:
        found = _own_keys(q, keys, inverse(tau, q), rules.normalize)
        negative = torch.logaddexp(negative, _pad(found, negative))
    return out._replace(negative=negative)


def extra_keys(
    q: Tensor,
    k: Tensor,
    valid: Tensor | None,
    tau: float | Tensor,
    rules: Rules,
    backend: str = "",
) -> Tensor:
    """log-sum-exp per query over keys that are all negatives."""
    if isinstance(tau, Tensor) or k.requires_grad:
        queue = _plain(rules)._replace(k_valid=valid)
        return pairs.pair_logsumexp(q, k, inverse(tau, q), queue, backend)[0]
    return key_logsumexp(q, k, rules.q_valid, valid, 1 / tau, rules.normalize, backend)


def _call(
    q: Tensor, k: Tensor | None, tau: float | Tensor, rules: Rules, statistics: bool, backend: str
) -> Rows:
    if statistics:
        out, found = pairs.pair_statistics(q, k, inverse(tau, q), rules, backend)
        return Rows(out[0], out[1], out[2], found)
    return Rows(*pairs.pair_logsumexp(q, k, inverse(tau, q), rules, backend))


def _plain(rules: Rules) -> Rules:
    """The same operands' settings without any rule: every pair a negative."""
    return Rules(None, None, None, None, rules.q_valid, None, None, None, rules.normalize, *_OFF)


_OFF = (False, False, 0)


def _pad(found: Tensor, like: Tensor) -> Tensor:
    """-inf for the keys' own rows, which other key sets do not concern."""
    missing = len(like) - len(found)
    return torch.cat([found, found.new_full((missing,), -torch.inf)]) if missing else found


def inverse(temperature: Temperature, q: Tensor) -> Tensor:
    """beta = 1 / tau as a tensor; of the negatives where it differs by relation."""
    if isinstance(temperature, PairTemperature):
        temperature = temperature.negative
    if isinstance(temperature, Tensor):
        return 1 / temperature
    return torch.full((), 1 / temperature, dtype=torch.float64, device=q.device)


def _by_relation(
    q: Tensor,
    k: Tensor | None,
    tau: PairTemperature,
    rules: Rules,
    statistics: bool,
    backend: str,
) -> Rows:
    """One call per relation: each statistic is taken at its own temperature."""
    apart = tau.same_group is not None and GROUP_RULES[rules.group_rule] == "none"
    groups = rules._replace(group_rule=GROUP_RULES.index("exclude_same")) if apart else rules
    if not apart and GROUP_RULES[rules.group_rule] == "none":
        groups = rules._replace(q_group=None, k_group=None)
    out = _call(q, k, tau.negative, groups, statistics, backend)
    negative = out.negative
    if apart:
        assert tau.same_group is not None
        same = rules._replace(group_rule=GROUP_RULES.index("only_same"))
        negative = torch.logaddexp(
            negative, _call(q, k, tau.same_group, same, False, backend).negative
        )
    return _call(q, k, tau.positive, groups, False, backend)._replace(
        negative=negative, statistics=out.statistics
    )


def _per_query(
    q: Tensor,
    k: Tensor | None,
    tau: Tensor,
    rules: Rules,
    keys: Keys,
    statistics: bool,
    backend: str,
) -> Rows:
    """The query carries its own 1 / tau; one set becomes two, without its diagonal."""
    if k is None:
        k = q
        rules = rules._replace(skip_diagonal=True)
    extra, own = keys.extra, keys.per_query
    if rules.normalize:
        q, k = _unit(q), _unit(k)
        extra = None if extra is None else _unit(extra)
        own = None if own is None else _unit(own)
    q = q / tau[:, None]
    rules = rules._replace(normalize=False)
    return rows(q, k, 1.0, rules, keys._replace(extra=extra, per_query=own), statistics, backend)


def _unit(z: Tensor) -> Tensor:
    flat = z.reshape(-1, z.shape[-1])
    return unit(flat)[0].reshape(z.shape)


def _own_keys(q: Tensor, keys: Keys, beta: Tensor, normalize: bool) -> Tensor:
    """log-sum-exp over each query's own (S, D) keys: O(N S), the size of the keys over D."""
    own = keys.per_query
    assert own is not None
    dtype = torch.float32 if q.dtype in (torch.float16, torch.bfloat16) else q.dtype
    q, own = q.to(dtype), own.to(dtype)
    if normalize:
        q, own = _unit(q), _unit(own)
    a = torch.einsum("nd,nsd->ns", q, own) * beta.to(dtype)
    if keys.per_query_valid is not None:
        a = a.masked_fill(~keys.per_query_valid, -torch.inf)
    some = torch.isneginf(a).all(dim=1)
    safe = torch.where(some[:, None], 0.0, a)
    return torch.where(some, -torch.inf, safe.logsumexp(dim=1))


def row_loss(found: Rows, positives: str, denominator: str) -> Tensor:
    """The loss per row, with x = negative - positive; 0 where the row lacks either class.

    mean_log, all:       mean over positives of -log p       = gap + log(1 + exp(x))
    mean_log, negatives: without the positives below (DCL)   = gap + x
    log_sum, all:        -log of the summed p                = log(1 + exp(x))
    log_sum, negatives:                                      = x
    """
    x = found.margin
    loss = torch.logaddexp(x, x.new_zeros(())) if denominator == "all" else x
    if positives == "mean_log":
        loss = loss + found.gap
    return torch.where(found.has_positive & found.has_negative, loss, loss.new_zeros(()))


def row_statistics(found: Rows, beta: Tensor, normalized: bool) -> tuple[Tensor, ...]:
    """The fields of ContrastiveStats, from what the same pass counted."""
    assert found.statistics is not None
    logit, negatives, positives, uniform, top_negative, top_positive = found.statistics.detach()
    beta = beta.detach().to(logit.dtype)
    has, nan = positives > 0, torch.full_like(beta, torch.nan, dtype=logit.dtype)
    mean = torch.where(has, found.positive.detach() - found.gap.detach(), 0.0) / beta
    similarity = mean.sum() / has.sum()
    first = (top_positive > top_negative) & has
    pairs_seen = (negatives + positives).sum()
    return (
        torch.logaddexp(found.negative, found.positive).detach(),
        similarity,
        logit.sum() / beta / negatives.sum(),
        first.sum().to(logit.dtype) / has.sum(),
        2 - 2 * similarity if normalized else nan,
        (uniform.sum() / pairs_seen).log() if normalized else nan,
        (~has).sum(),
        (negatives == 0).sum(),
    )
