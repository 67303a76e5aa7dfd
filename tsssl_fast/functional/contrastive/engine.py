"""The contrastive engine as one function: every named contrastive loss is a setting of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

import torch
from torch import Tensor

from tsssl_fast.backends.precision import precision_name
from tsssl_fast.functional.contrastive import arguments
from tsssl_fast.functional.contrastive.options import Off, On, Options
from tsssl_fast.functional.contrastive.problem import (
    PairTemperature,
    Problem,
    Temperature,
)
from tsssl_fast.functional.contrastive.solve import Loss, backend_name, solve
from tsssl_fast.functional.contrastive.statistics import ContrastiveStats
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.rules import GROUP_RULES, Rules

if TYPE_CHECKING:
    from typing_extensions import Unpack


class _Options(Options, total=False):
    q_ids: Tensor | None
    k_ids: Tensor | None
    positives: str
    denominator: str
    q_groups: Tensor | None
    k_groups: Tensor | None
    groups: str
    q_valid: Tensor | None
    k_valid: Tensor | None
    pair_mask: Tensor | None
    pair_weight: Tensor | None
    negatives: Tensor | None
    negatives_valid: Tensor | None
    query_keys: Tensor | None
    query_keys_valid: Tensor | None
    query_weight: Tensor | None
    targets: Tensor | None
    hardness: float
    debias: float
    symmetric: bool
    mean_over: str
    top_k: int


@overload
def contrastive_loss(
    q: Tensor, k: Tensor | None = ..., *, return_stats: Off = ..., **options: Unpack[_Options]
) -> Tensor: ...
@overload
def contrastive_loss(
    q: Tensor, k: Tensor | None = ..., *, return_stats: On, **options: Unpack[_Options]
) -> tuple[Tensor, ContrastiveStats]: ...
@overload
def contrastive_loss(
    q: Tensor, k: Tensor | None = ..., *, return_stats: bool, **options: Unpack[_Options]
) -> Loss: ...
def contrastive_loss(
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
    precision: str | None = None,
    backend: str | None = None,
) -> Loss:
    """Contrastive loss of M queries against P keys, or of one set against itself (k = None).

    Logits a_ij = s_ij / tau + log w_ij, with s the cosine (dot product for normalize=False). Pairs
    of equal ids are positives, all others negatives; the rules take pairs away. Per row, with P
    and N its positives and negatives, and means over P weighted by w:

        mean_log: -mean_P s / tau + log(sum over the denominator of exp a)
        log_sum:  -log sum_P exp a + log(sum over the denominator of exp a)

    denominator: "all" (P and N), "negatives" (N: decoupled, DCL), "own_positive" (each positive
    with N only; mean_log). Sources: SimCLR (ICML 2020), SupCon (NeurIPS 2020), DCL (ECCV 2022).

    Args:
        q, k: (M, D), (P, D), floating; 16-bit inputs are computed in float32. Embeddings of several
            dtypes, further keys among them, are compared in torch.promote_types of them.
        temperature: float > 0; 0-d tensor (gets its gradient); (M,) tensor, one per query;
            PairTemperature.
        q_ids, k_ids: (M,), (P,) integers. One set: q_ids alone.
        q_groups, k_groups, groups: integers; "exclude_same": negatives of the same group do not
            count (pseudo-labels); "only_same": only they do (cluster-restricted); "none": groups
            choose a PairTemperature's same_group alone.
        q_valid, k_valid: bool flags; a row flagged False takes part in no pair, is no query, gets
            zero gradient and may hold NaN.
        pair_mask: (M, P) bool, False: the pair takes no part.
        pair_weight: (M, P) >= 0, dense or torch.sparse_csr (absent: 0), a constant: multiplies
            exp(s / tau) in every sum and weighs its pair in every mean; of weight 0: takes no part.
        negatives, negatives_valid: (K, D) more negatives for every query (queue, prototypes) and
            flags; gradients flow to them unless detached.
        query_keys, query_keys_valid: (M, S, D) negatives of each query's own, and (M, S) flags.
        query_weight: (M,) factor on each row's loss; (M + P,) for symmetric.
        targets: (M, P) soft targets t, dense or CSR, instead of ids: positives are the pairs with
            t > 0, and loss_i = sum_j t_ij (log sum exp a_i - a_ij), the sum as `denominator` says.
            (M, P + S), dense: the last columns are those of query_keys.
        hardness, debias: exponent b >= 0 (Robinson et al., ICLR 2021) and prior t in [0, 1)
            (Chuang et al., NeurIPS 2020) of the negatives; formulas in definition.py.
        symmetric: two sets: also every key against all queries (CLIP); the mean is over both.
        reduction: "mean", "sum", "none". mean_over: the mean's denominator, "all" valid rows or
            those "with_positive". Rows without a positive or without a negative contribute 0.
        return_stats: also a ContrastiveStats; its top-k accuracy is of k = top_k, and costs one
            more product for top_k > 1.
        precision: as in :func:`nt_xent_loss`; what runs as torch has torch's setting for None.
        backend: see the package. What no kernel takes runs as row blocks of torch, whichever
            backend was asked for; the log tells it once, with the options that are the reason.

    Returns:
        Scalar, or (M,) ((M + P,) for symmetric) with reduction="none"; float32 for 16-bit inputs.

    Raises:
        TypeError, ValueError: naming the argument, also for the few pairs of options that have no
            meaning together (ops.contrastive.spec.UNDEFINED); BackendUnavailableError for a forced
            backend.
    """
    one_set = k is None
    arguments.check_settings(
        positives, denominator, groups, reduction, mean_over, hardness, debias, top_k
    )
    _check_meaning(one_set, q_ids, targets, positives, denominator, symmetric)
    arguments.check_operands(q, k)
    arguments.check_temperature(temperature, q)
    arguments.check_rows(q, k, q_ids, k_ids, q_groups, k_groups, q_valid, k_valid)
    arguments.check_keys(q, negatives, negatives_valid, query_keys, query_keys_valid)
    arguments.check_pairs(
        *(q, k),
        pair_mask=pair_mask,
        pair_weight=pair_weight,
        targets=targets,
        query_keys=query_keys,
    )
    q, k, negatives, query_keys = arguments.in_one_dtype(q, k, negatives, query_keys)
    rows = len(q) + (len(k) if k is not None and symmetric else 0)
    arguments.check_row_weight("query_weight", query_weight, rows, q)
    products, name = precision_name(precision), backend_name(backend)
    if q_ids is None and targets is None:
        raise ValueError("q_ids, targets: both None; accepted: one of them says what is a positive")
    if one_set:
        k_ids, k_groups, k_valid = q_ids, q_groups, q_valid
        if pair_mask is not None or pair_weight is not None or targets is not None:
            k = q  # none of them need be symmetric
    targets, own_targets = _apart(targets, len(q if k is None else k))
    if groups == "none" and not isinstance(temperature, PairTemperature):
        q_groups = k_groups = None
    sparse = pair_weight is not None and pair_weight.layout == torch.sparse_csr
    rules = Rules(
        *(q_ids, k_ids, q_groups, k_groups, q_valid, k_valid, pair_mask),
        weight=None if sparse else pair_weight,
        normalize=normalize,
        symmetric=symmetric,
        skip_diagonal=one_set and k is not None,
        group_rule=0 if q_groups is None else GROUP_RULES.index(groups),
    )
    problem = Problem(
        rules=rules,
        temperature=temperature,
        positives=positives,
        denominator=denominator,
        sparse_weight=pair_weight if sparse else None,
        negatives=negatives,
        negatives_valid=negatives_valid,
        query_keys=query_keys,
        query_keys_valid=query_keys_valid,
        query_weight=query_weight,
        targets=targets,
        own_targets=own_targets,
        hardness=hardness,
        debias=debias,
        statistics=top_k if return_stats else 0,
        reduction=reduction,
        mean_over=mean_over,
        precision=products,
        backend=name,
    )
    return solve(q, k, problem)


def _apart(targets: Tensor | None, pairs: int) -> tuple[Tensor | None, Tensor | None]:
    """Those of the pairs, and those of the keys of each query's own."""
    if targets is None or targets.shape[1] == pairs:
        return targets, None
    return targets[:, :pairs], targets[:, pairs:]


def _check_meaning(
    one_set: bool,
    q_ids: Tensor | None,
    targets: Tensor | None,
    positives: str,
    denominator: str,
    symmetric: bool,
) -> None:
    """Refuses the pairs of spec.UNDEFINED."""
    if targets is None and denominator != "own_positive" and not symmetric:
        return
    given = {
        "denominator='own_positive'": denominator == "own_positive",
        "positives='log_sum'": positives == "log_sum",
        "targets": targets is not None,
        "q_ids": q_ids is not None,
        "symmetric": symmetric,
        "k=None": one_set,
    }
    for (first, second), reason in spec.UNDEFINED.items():
        if given[first] and given[second]:
            raise ValueError(f"{first} with {second}: {reason}")
