"""The contrastive engine as one function: every named contrastive loss is a setting of it."""

from typing import NamedTuple

import torch
from torch import Tensor

from tsssl_fast.backends import dispatch
from tsssl_fast.common import checks
from tsssl_fast.functional.contrastive import arguments, blocked, reweighting
from tsssl_fast.functional.contrastive.row_losses import (
    Keys,
    PairTemperature,
    Rows,
    Temperature,
    inverse,
    row_loss,
    row_statistics,
    rows,
)
from tsssl_fast.ops.contrastive.reference.pairs import unit
from tsssl_fast.ops.contrastive.rules import GROUP_RULES, Rules

__all__ = ["ContrastiveStats", "PairTemperature", "contrastive"]

POSITIVES = ("mean_log", "log_sum")
DENOMINATORS = ("all", "negatives", "own_positive")
MEAN_OVER = ("all", "with_positive")


class ContrastiveStats(NamedTuple):
    """What the loss saw, without gradient; rows are queries, then keys where `symmetric`.

    log_sum_exp: (rows,) log of the denominator. The others are 0-d: mean similarity of the positive
    and of the negative pairs; share of rows whose most similar partner is a positive; alignment,
    mean ||u_i - u_j||^2 over positive pairs; uniformity, log mean exp(-2 ||u_i - u_j||^2) over all
    pairs (both of Wang & Isola, ICML 2020; NaN without normalisation); how many rows had no
    positive, no negative.
    """

    log_sum_exp: Tensor
    positive_similarity: Tensor
    negative_similarity: Tensor
    top1_accuracy: Tensor
    alignment: Tensor
    uniformity: Tensor
    rows_without_positive: Tensor
    rows_without_negative: Tensor


def contrastive(
    q: Tensor,
    k: Tensor | None = None,
    *,
    temperature: Temperature = 0.1,
    q_ids: Tensor | None = None,
    k_ids: Tensor | None = None,
    positives: str = "mean_log",
    denominator: str = "all",
    q_groups: Tensor | None = None,
    k_groups: Tensor | None = None,
    groups: str = "exclude_same",
    q_valid: Tensor | None = None,
    k_valid: Tensor | None = None,
    mask: Tensor | None = None,
    pair_weight: Tensor | None = None,
    extra_keys: Tensor | None = None,
    extra_valid: Tensor | None = None,
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
    backend: str | None = None,
) -> Tensor | tuple[Tensor, ContrastiveStats]:
    """Contrastive loss of M queries against P keys, or of one set against itself (k = None).

    Logits a_ij = s_ij / tau + log w_ij, with s the cosine (dot product for normalize=False). Pairs
    of equal ids are positives, all others negatives; the rules take pairs away. Per row, with P
    and N the row's positives and negatives and p its mean or sum over P:

        mean_log: -mean_P a + log(sum over the denominator of exp a)
        log_sum:  -log sum_P exp a + log(sum over the denominator of exp a)

    denominator: "all" (P and N), "negatives" (N: decoupled, DCL), "own_positive" (each positive
    with N only; mean_log). Sources: SimCLR (ICML 2020), SupCon (NeurIPS 2020), DCL (ECCV 2022).

    Args:
        q, k: (M, D), (P, D), a floating dtype; 16-bit inputs are computed in float32.
        temperature: float > 0; 0-d tensor (gets its gradient); (M,) tensor, one per query;
            PairTemperature.
        q_ids, k_ids: (M,), (P,) integers. One set: q_ids alone.
        q_groups, k_groups, groups: integers; "exclude_same": negatives of the same group do not
            count (pseudo-labels); "only_same": only they do (cluster-restricted).
        q_valid, k_valid: bool flags; a row flagged False takes part in no pair, is no query, gets
            zero gradient and may hold NaN.
        mask: (M, P) bool, False: the pair takes no part.
        pair_weight: (M, P) >= 0, dense or torch.sparse_csr (absent: 0); in numerator and
            denominator, a constant.
        extra_keys, extra_valid: (K, D) more negatives for every query (queue, prototypes) and
            flags; gradients flow to them unless detached.
        query_keys, query_keys_valid: (M, S, D) negatives of each query's own, and (M, S) flags.
        query_weight: (M,) factor on each query's loss.
        targets: (M, P) soft targets t, dense or CSR, instead of ids:
            loss_i = sum_j t_ij (log sum exp a_i - a_ij).
        hardness, debias: exponent b >= 0 (Robinson et al., ICLR 2021) and prior t in [0, 1)
            (Chuang et al., NeurIPS 2020) of the negatives; see reweighting.py.
        symmetric: two sets: also every key against all queries (CLIP); the mean is over both.
        reduction: "mean", "sum", "none". mean_over: the mean's denominator, "all" valid rows or
            those "with_positive". Rows without a positive or without a negative contribute 0.
        return_stats: also a ContrastiveStats.

    Returns:
        Scalar, or (M,) ((M + P,) for symmetric) with reduction="none"; float32 for 16-bit inputs.

    Raises:
        TypeError, ValueError: naming the argument; BackendUnavailableError for a forced backend.
    """
    for name, value, accepted in (
        ("positives", positives, POSITIVES),
        ("denominator", denominator, DENOMINATORS),
        ("groups", groups, GROUP_RULES[1:]),
        ("reduction", reduction, checks.REDUCTIONS),
        ("mean_over", mean_over, MEAN_OVER),
    ):
        checks.choice(name, value, accepted)
    if denominator == "own_positive" and positives == "log_sum":
        raise ValueError("denominator: 'own_positive' with positives='log_sum'; accepted: mean_log")
    one_set = k is None
    if one_set and symmetric:
        raise ValueError("symmetric: True with one set of embeddings; accepted: False, or give k")
    arguments.check_operands(q, k)
    arguments.check_temperature(temperature, q)
    arguments.check_rows(q, k, q_ids, k_ids, q_groups, k_groups, q_valid, k_valid)
    arguments.check_pairs(q, k, mask=mask, pair_weight=pair_weight, targets=targets)
    arguments.check_keys(q, extra_keys, extra_valid, query_keys, query_keys_valid)
    rows_out = len(q) + (len(k) if k is not None and symmetric else 0)
    arguments.check_row_weight("query_weight", query_weight, rows_out, q)
    checks.at_least("hardness", hardness, 0.0)
    checks.fraction("debias", debias)
    name = dispatch.check_name(backend, "backend") if backend else ""

    if one_set:
        k_ids, k_groups, k_valid = q_ids, q_groups, q_valid
        if mask is not None or pair_weight is not None:
            k = q  # neither need be symmetric
    sparse = pair_weight is not None and pair_weight.layout == torch.sparse_csr
    rules = Rules(
        *(q_ids, k_ids, q_groups, k_groups, q_valid, k_valid, mask),
        weight=None if sparse else pair_weight,
        normalize=normalize,
        columns=symmetric,
        skip_diagonal=one_set and k is not None,
        group_rule=0 if q_groups is None else GROUP_RULES.index(groups),
    )
    keys = Keys(extra_keys, extra_valid, query_keys, query_keys_valid)
    if k is not None and pair_weight is not None and sparse:
        found = blocked.sparse_weight(q, k, inverse(temperature, q), rules, pair_weight, name)
    else:
        found = rows(q, k, temperature, rules, keys, return_stats, name)
    if hardness or debias:
        beta = inverse(temperature, q)
        found = reweighting.reweight(
            q, k, beta, rules, found, hardness=hardness, debias=debias, backend=name
        )
    if targets is not None:
        loss = _soft_target_loss(q, k, targets, found, temperature, normalize)
    elif denominator == "own_positive":
        loss = blocked.own_positive(q, k, inverse(temperature, q), rules, found.negative)
        loss = torch.where(found.has_positive & found.has_negative, loss, 0.0)
    else:
        loss = row_loss(found, positives, denominator)
    if query_weight is not None:
        loss = loss * query_weight
    total = _reduce(loss, found, rules, reduction, mean_over)
    if return_stats:
        return total, ContrastiveStats(*row_statistics(found, inverse(temperature, q), normalize))
    return total


def _soft_target_loss(
    q: Tensor,
    k: Tensor | None,
    targets: Tensor,
    found: Rows,
    temperature: Temperature,
    normalize: bool,
) -> Tensor:
    """sum_j t_ij (lse_i - a_ij): since sum_j t_ij s_ij = <q_i, (T K)_i>, one product with T."""
    beta = inverse(temperature, q)
    u, v = q.to(found.negative.dtype), (q if k is None else k).to(found.negative.dtype)
    if normalize:
        u, v = unit(u)[0], unit(v)[0]
    t = targets.to(v.dtype)
    mean = (u * (t @ v)).sum(dim=1) * beta.to(v.dtype)
    weight = t.sum(dim=1) if t.layout == torch.strided else t @ v.new_ones(len(v))
    some = found.has_negative
    return torch.where(some, weight * torch.where(some, found.negative, 0.0) - mean, 0.0)


def _reduce(loss: Tensor, found: Rows, rules: Rules, reduction: str, mean_over: str) -> Tensor:
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
    if rules.columns and rules.k_valid is not None:
        count = count - (~rules.k_valid).sum()
    return loss.sum() / count.clamp_min(1)
