"""`functional.contrastive_loss` as its formula says, every pair in plain N x P arrays.

Shares no code with the package. Arguments, shapes and dtypes are those of `contrastive_loss`;
a temperature by relation is any object with `positive`, `negative` and `same_group`. In float64 it
is the definition; in the inputs' own dtype it is what plain torch reaches, for `checks.accept`.

Pairs
    Rows are the M queries, columns the P keys, then the K `negatives`, then the row's own S
    `query_keys`. With `symmetric` the P keys are rows too, whose columns are the M queries and
    nothing else: further keys belong to queries. One set: keys are the queries, without (i, i).
    A pair takes part where both sides are flagged valid, `pair_mask` is True and its weight is
    not 0 (of a CSR weight: absent is 0). A pair that takes no part has no logit anywhere: not in a
    numerator, a denominator, a count or a statistic, whatever id, group or target it has. What
    flagged rows hold (NaN) has no effect, and they get zero gradient.
    Positives P_i: pairs of equal ids; with targets instead, pairs with t_ij > 0. Negatives N_i: the
    other pairs that take part, less those that `groups` takes away, and all further keys that are
    flagged valid, which have no id, no group and weight 1. `groups` takes no positive away.

Logits
    x_ij = beta_ij s_ij and a_ij = x_ij + log w_ij, with s the cosine (0 for a row of norm up to
    1e-12, without gradient) or the dot product, beta = 1 / tau. tau by query: of row i for all its
    pairs, and for pair (i, j) on both sides of `symmetric`. tau by relation: `positive` on P_i,
    `negative` on N_i and all further keys, `same_group` (where given) on the pairs of N_i with
    equal groups: of those that `groups` leaves, which are none for "exclude_same", all for
    "only_same"; groups="none" takes nothing away and lets groups choose the temperature alone.
    A weight multiplies exp(x) in every sum and weighs its pair in every mean and count:
    sum_P w exp(x), mean_P x = sum_P w x / sum_P w, n_i = sum_N w.

Loss of a row: y = log sum_P exp(a), r = log R with R = sum_N exp(a), or as reweighted below
    mean_log, all           log(exp(y) + R) - mean_P x
    mean_log, negatives     r - mean_P x
    mean_log, own_positive  mean_P [log(exp(a_ij) + R) - x_ij]; equals "all" for one positive
    log_sum, all            log(exp(y) + R) - y
    log_sum, negatives      r - y
    Rows without a positive or without a negative: 0.
    targets                 sum_j t_ij (d_ij - a_ij), with d_ij = log(exp(y) + R), r or
                            log(exp(a_ij) + R) for the three denominators, over P_i: a target on
                            a pair that takes no part, be it for its weight of 0, is not counted.
                            A row without a pair in its denominator: 0; one without a negative is
                            no exception otherwise, since softmax targets have none.
                            The gradient in t_ij is defined where t_ij > 0.
    Column losses (symmetric) use the transposes of mask, weight and targets.

Reweighting, with b = hardness, t = debias, n = sum_N w, m = sum_P exp(a) / sum_P w (0 without P)
    R = n sum_N w exp((1 + b) x) / sum_N w exp(b x): the importance exp(b x) has no weight in it;
    then max((R - t n m) / (1 - t), sum_N w exp(-beta_ij)); the latter is n exp(-beta) for one beta.
    Further keys are negatives here as everywhere. Dot products have the same floor.

Reduction: losses times query_weight (M, or M + P for symmetric). "mean" divides by the number of
    valid rows, or with mean_over="with_positive" of rows with a positive (with a negative or not),
    at least by 1.

Statistics, over all rows (M, or M + P), without gradient
    log_sum_exp            log(exp(y) + R) per row, R as reweighted, whatever the denominator; -inf
                           without a pair
    positive_similarity    mean over rows with a positive of mean_P s (weighted, as mean_P x)
    negative_similarity    mean of s over all negative pairs, each once
    top1, topk_accuracy    share, of rows with a positive, of those with fewer than 1, top_k
                           negatives of s >= max_P s
    alignment              2 - 2 positive_similarity (NaN for dot products)
    uniformity             log mean over all pairs of both classes of exp(4 s - 4), each once (NaN
                           for dot products)
    rows_without_positive, rows_without_negative: among all rows, invalid ones included
    Empty means are NaN.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

# Pairs of options without a meaning, and why. Every other combination is defined above.
UNDEFINED = {
    ("denominator='own_positive'", "positives='log_sum'"): (
        "a denominator of each positive's own belongs to a mean over positives; "
        "log_sum has one logarithm of their sum"
    ),
    ("targets", "positives='log_sum'"): (
        "targets weigh the logarithm of each pair; log_sum has one logarithm of their sum"
    ),
    ("targets", "q_ids"): "both say which pairs are the row's positives",
    ("symmetric", "k=None"): "one set has no second direction: its pairs are both already",
}


class Result(NamedTuple):
    """The loss (rows or reduced); where asked, statistics by name, and per row with a positive
    max_P s - s_ij of its negatives (other columns: inf), by which the accuracies count."""

    loss: Tensor
    statistics: dict[str, Tensor]
    lead: Tensor | None


class Side(NamedTuple):
    """One direction, (rows, columns) each."""

    s: Tensor
    beta: Tensor
    weight: Tensor
    positive: Tensor
    negative: Tensor
    target: Tensor | None


def contrastive(
    q: Tensor,
    k: Tensor | None = None,
    *,
    temperature: Any = 0.1,
    q_ids: Tensor | None = None,
    k_ids: Tensor | None = None,
    positives: str = "mean_log",
    denominator: str = "all",
    q_groups: Tensor | None = None,
    k_groups: Tensor | None = None,
    groups: str = "exclude_same",
    q_valid: Tensor | None = None,
    k_valid: Tensor | None = None,
    pair_mask: Tensor | None = None,
    pair_weight: Tensor | None = None,
    negatives: Tensor | None = None,
    negatives_valid: Tensor | None = None,
    query_keys: Tensor | None = None,
    query_keys_valid: Tensor | None = None,
    query_weight: Tensor | None = None,
    targets: Tensor | None = None,
    hardness: float = 0.0,
    debias: float = 0.0,
    normalize: bool = True,
    symmetric: bool = False,
    reduction: str = "mean",
    mean_over: str = "all",
    return_stats: bool = False,
    top_k: int = 5,
) -> Result:
    one_set = k is None
    if one_set:
        k_ids, k_groups, k_valid = q_ids, q_groups, q_valid
    u = _rows(q, q_valid, normalize)
    v = u if k is None else _rows(k, k_valid, normalize)
    m, p, dtype = len(u), len(v), u.dtype
    q_live = torch.ones(m, dtype=torch.bool) if q_valid is None else q_valid
    k_live = torch.ones(p, dtype=torch.bool) if k_valid is None else k_valid

    live = q_live[:, None] & k_live
    if one_set:
        live = live & ~torch.eye(m, dtype=torch.bool)
    if pair_mask is not None:
        live = live & pair_mask
    weight = torch.ones(m, p, dtype=dtype)
    if pair_weight is not None:
        weight = pair_weight.to_dense().to(dtype)
    target = None if targets is None else targets.to_dense().to(dtype)
    live = live & (weight != 0)
    if target is None:
        assert q_ids is not None
        assert k_ids is not None
        positive = live & (q_ids[:, None] == k_ids)
    else:
        positive = live & (target > 0)
    negative = live & ~positive

    relation = None if isinstance(temperature, (int, float, Tensor)) else temperature
    same = torch.zeros(m, p, dtype=torch.bool)
    if q_groups is not None:
        assert k_groups is not None
        same = q_groups[:, None] == k_groups
        if groups == "only_same":
            negative = negative & same
        elif groups == "exclude_same":
            negative = negative & ~same

    far, far_flags = _further(u, q_live, negatives, negatives_valid, normalize)
    own, own_flags = _own(u, q_live, query_keys, query_keys_valid, normalize)
    s, further = u @ v.T, torch.cat([far, own], dim=1)
    flags = torch.cat([far_flags, own_flags], dim=1)
    beta = _beta(temperature, relation, positive, same, dtype)
    further_beta = _beta(
        temperature, relation, torch.zeros_like(flags), torch.zeros_like(flags), dtype
    )
    sides = [
        Side(
            torch.cat([s, further], dim=1),
            torch.cat([beta, further_beta], dim=1),
            torch.cat([weight, torch.ones_like(further)], dim=1),
            torch.cat([positive, torch.zeros_like(flags)], dim=1),
            torch.cat([negative, flags], dim=1),
            None if target is None else torch.cat([target, torch.zeros_like(further)], dim=1),
        )
    ]
    if symmetric:
        back = None if target is None else target.T
        sides.append(Side(s.T, beta.T, weight.T, positive.T, negative.T, back))

    found = [_losses(x, positives, denominator, hardness, debias) for x in sides]
    loss = torch.cat([x for x, _ in found])
    if query_weight is not None:
        loss = loss * query_weight.to(dtype)
    has_positive = torch.cat([x.positive.any(dim=1) for x in sides])
    if reduction == "sum":
        loss = loss.sum()
    elif reduction == "mean":
        valid = q_live.sum() + (k_live.sum() if symmetric else 0)
        count = has_positive.sum() if mean_over == "with_positive" else valid
        loss = loss.sum() / count.clamp_min(1)
    if not return_stats:
        return Result(loss, {}, None)
    log_sum_exp = torch.cat([x for _, x in found])
    return Result(loss, *_statistics(sides, log_sum_exp, normalize, top_k))


def _rows(z: Tensor, valid: Tensor | None, normalize: bool) -> Tensor:
    """Rows in the dtype of the arithmetic, over their norm where asked; flagged ones are 0."""
    z = z.float() if z.dtype in (torch.float16, torch.bfloat16) else z
    if valid is not None:
        z = torch.where(valid[..., None], z, 0.0)
    if not normalize:
        return z
    zero = (z.detach() ** 2).sum(dim=-1, keepdim=True).sqrt() <= 1e-12
    norm = (torch.where(zero, 1.0, z) ** 2).sum(dim=-1, keepdim=True).sqrt()
    return torch.where(zero, 0.0, z / norm)


def _further(
    u: Tensor, q_live: Tensor, keys: Tensor | None, valid: Tensor | None, normalize: bool
) -> tuple[Tensor, Tensor]:
    """Similarities to keys of every query, and which pairs take part."""
    if keys is None:
        return u.new_zeros(len(u), 0), torch.zeros(len(u), 0, dtype=torch.bool)
    flags = torch.ones(len(keys), dtype=torch.bool) if valid is None else valid
    return u @ _rows(keys, valid, normalize).T, q_live[:, None] & flags


def _own(
    u: Tensor, q_live: Tensor, keys: Tensor | None, valid: Tensor | None, normalize: bool
) -> tuple[Tensor, Tensor]:
    """Similarities to each query's own keys, and which pairs take part."""
    if keys is None:
        return u.new_zeros(len(u), 0), torch.zeros(len(u), 0, dtype=torch.bool)
    flags = torch.ones(keys.shape[:2], dtype=torch.bool) if valid is None else valid
    live = q_live[:, None] & flags
    return (u[:, None] * _rows(keys, live, normalize)).sum(dim=2), live


def _beta(
    temperature: Any, relation: Any, positive: Tensor, same: Tensor, dtype: torch.dtype
) -> Tensor:
    """1 / tau of every pair."""

    def inverse(tau: Any) -> Tensor:
        return 1 / tau.to(dtype) if isinstance(tau, Tensor) else torch.tensor(1 / tau, dtype=dtype)

    if relation is None:
        found = inverse(temperature)
        return (found[:, None] if found.dim() else found).expand(positive.shape)
    negative = inverse(relation.negative)
    if relation.same_group is not None:
        negative = torch.where(same, inverse(relation.same_group), negative)
    return torch.where(positive, inverse(relation.positive), negative)


def _log_sum(x: Tensor, keep: Tensor, weight: Tensor) -> Tensor:
    """log of the sum over `keep` of w exp(x); -inf without gradient where that is empty."""
    if x.shape[1] == 0:
        return x.new_full((len(x),), -torch.inf)
    top = torch.where(keep, x.detach(), -torch.inf).amax(dim=1)
    top = torch.where(top == -torch.inf, 0.0, top)
    terms = torch.where(keep, x - top[:, None], 0.0).exp() * torch.where(keep, weight, 0.0)
    some = keep.any(dim=1)
    total = torch.where(some, terms.sum(dim=1), 1.0)
    return torch.where(some, total.log() + top, -torch.inf)


def _mean(x: Tensor, keep: Tensor, weight: Tensor) -> Tensor:
    """Mean of x over `keep`, weighted; 0 where that is empty."""
    w = torch.where(keep, weight, 0.0)
    total = w.sum(dim=1)
    return torch.where(keep, w * x, 0.0).sum(dim=1) / torch.where(total == 0, 1.0, total)


def _negatives(
    side: Side, x: Tensor, log_positive: Tensor, hardness: float, debias: float
) -> Tensor:
    """log R of each row."""
    keep, w = side.negative, side.weight
    some = keep.any(dim=1)
    found = _log_sum(x, keep, w)
    if not hardness and not debias:
        return found
    log_n = torch.where(keep, w, 0.0).sum(dim=1).log()
    log_n = torch.where(some, log_n, 0.0)
    if hardness:
        harder = torch.where(some, _log_sum((1 + hardness) * x, keep, w), 0.0)
        found = harder - torch.where(some, _log_sum(hardness * x, keep, w), 0.0) + log_n
    if debias:
        found = torch.where(some, found, 0.0)
        has = side.positive.any(dim=1)
        count = torch.where(side.positive, w, 0.0).sum(dim=1)
        log_m = torch.where(has, log_positive, 0.0) - torch.where(has, count, 1.0).log()
        top = torch.where(has, torch.maximum(found, log_m + log_n), found).detach()
        taken = torch.where(has, debias * (log_m + log_n - top).exp(), 0.0)
        rest = ((found - top).exp() - taken) / (1 - debias)
        enough = torch.where(rest > 0, rest, 1.0).log() + top
        least = torch.where(some, _log_sum(-side.beta, keep, w), 0.0)
        found = torch.maximum(torch.where(rest > 0, enough, -torch.inf), least)
    return torch.where(some, found, -torch.inf)


def _losses(
    side: Side, positives: str, denominator: str, hardness: float, debias: float
) -> tuple[Tensor, Tensor]:
    """Loss of every row, and log(exp(y) + R)."""
    x = side.beta * side.s
    log_w = side.weight.log()
    has_p, has_n = side.positive.any(dim=1), side.negative.any(dim=1)
    y = _log_sum(x, side.positive, side.weight)
    r = _negatives(side, x, y, hardness, debias)
    log_sum_exp = torch.logaddexp(y, r).detach()
    y, r = torch.where(has_p, y, 0.0), torch.where(has_n, r, 0.0)
    if side.target is not None:
        return _target_loss(side, x + log_w, y, r, denominator), log_sum_exp

    gap = torch.where(has_p, y - _mean(x, side.positive, side.weight), 0.0)
    margin = r - y
    if denominator == "own_positive":
        a = torch.where(side.positive, x + log_w, 0.0)
        above = torch.logaddexp(r[:, None] - a, torch.zeros_like(a)) + torch.where(
            side.positive, log_w, 0.0
        )
        loss = _mean(above, side.positive, side.weight)
    else:
        loss = torch.logaddexp(margin, torch.zeros_like(margin)) if denominator == "all" else margin
        loss = loss + gap if positives == "mean_log" else loss
    return torch.where(has_p & has_n, loss, 0.0), log_sum_exp


def _target_loss(side: Side, a: Tensor, y: Tensor, r: Tensor, denominator: str) -> Tensor:
    assert side.target is not None
    has_p, has_n = side.positive.any(dim=1), side.negative.any(dim=1)
    a = torch.where(side.positive, a, 0.0)
    if denominator == "own_positive":
        above = torch.where(has_n[:, None], torch.logaddexp(a, r[:, None]), a)
        some = has_p | has_n
    elif denominator == "negatives":
        above, some = r[:, None], has_n
    else:
        joint = torch.where(has_p, y, r)
        joint = torch.where(has_p & has_n, torch.logaddexp(y, r), joint)
        above, some = joint[:, None], has_p | has_n
    terms = torch.where(side.positive, side.target * (above - a), 0.0)
    return torch.where(some, terms.sum(dim=1), 0.0)


def _statistics(
    sides: list[Side], log_sum_exp: Tensor, normalize: bool, top_k: int
) -> tuple[dict[str, Tensor], Tensor]:
    positives, negatives, leads, spread, counts = [], [], [], [], []
    width = max(side.s.shape[1] for side in sides)
    for side in sides:
        s = side.s.detach()
        positives.append(_mean(s, side.positive, side.weight))
        negatives.append(s[side.negative])
        best = torch.where(side.positive, s, -torch.inf).amax(dim=1, keepdim=True)
        lead = torch.where(side.negative, best - s, torch.inf)
        leads.append(torch.nn.functional.pad(lead, (0, width - s.shape[1]), value=torch.inf))
        spread.append((4 * s - 4).clamp_max(0.0).exp()[side.positive | side.negative])
        counts.append(torch.stack([side.positive.any(dim=1), side.negative.any(dim=1)]))
    has_p, has_n = torch.cat(counts, dim=1)
    lead = torch.cat(leads)[has_p]
    rank = (lead <= 0).sum(dim=1)
    similarity = torch.cat(positives)[has_p].mean()
    nan = torch.full_like(similarity, torch.nan)
    return {
        "log_sum_exp": log_sum_exp,
        "positive_similarity": similarity,
        "negative_similarity": torch.cat(negatives).mean(),
        "top1_accuracy": (rank < 1).to(similarity.dtype).mean(),
        "topk_accuracy": (rank < top_k).to(similarity.dtype).mean(),
        "alignment": 2 - 2 * similarity if normalize else nan,
        "uniformity": torch.cat(spread).mean().log() if normalize else nan,
        "rows_without_positive": (~has_p).sum(),
        "rows_without_negative": (~has_n).sum(),
    }, lead
