"""Losses of queries against keys: InfoNCE, CLIP, MoCo."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

import torch
from torch import Tensor

from tsssl_fast.common import checks
from tsssl_fast.common.collectives import Group
from tsssl_fast.functional.contrastive import arguments, processes
from tsssl_fast.functional.contrastive.options import Off, On, ProcessOptions
from tsssl_fast.functional.contrastive.problem import Problem, Temperature
from tsssl_fast.functional.contrastive.solve import Loss, by_ids, solve
from tsssl_fast.functional.contrastive.statistics import ContrastiveStats
from tsssl_fast.ops.contrastive.rules import GROUP_RULES

if TYPE_CHECKING:
    from typing_extensions import Unpack


class _Keys(ProcessOptions, total=False):
    negatives: Tensor | None
    negatives_valid: Tensor | None
    symmetric: bool


@overload
def info_nce_loss(
    q: Tensor, k: Tensor, *, return_stats: Off = ..., **options: Unpack[_Keys]
) -> Tensor: ...
@overload
def info_nce_loss(
    q: Tensor, k: Tensor, *, return_stats: On, **options: Unpack[_Keys]
) -> tuple[Tensor, ContrastiveStats]: ...
@overload
def info_nce_loss(
    q: Tensor, k: Tensor, *, return_stats: bool, **options: Unpack[_Keys]
) -> Loss: ...
def info_nce_loss(
    q: Tensor,
    k: Tensor,
    *,
    temperature: Temperature = 0.1,
    negatives: Tensor | None = None,
    negatives_valid: Tensor | None = None,
    symmetric: bool = False,
    normalize: bool = True,
    reduction: str = "mean",
    return_stats: bool = False,
    precision: str | None = None,
    process_group: Group = None,
    ddp: bool = True,
    backend: str | None = None,
) -> Loss:
    """InfoNCE: query i against its positive key i and the other keys (van den Oord et al., 2018).

    With `negatives` (K, D) (a queue: MoCo, He et al., CVPR 2020) those alone are the negatives:
    loss_i = -log(exp(a_ii) / (exp(a_ii) + sum_j exp(<q_i, n_j> / tau))).
    Of several positives (N, P, D) it is the mean of this over them: none is in another's sum.

    Args:
        q, k: (N, D), with `negatives` k also (N, P, D); floating; 16-bit inputs are computed in
            float32. Embeddings of several dtypes are compared in torch.promote_types of them, and
            each gets its gradient in its own.
        temperature: tau > 0: a float, a 0-d tensor (gets its gradient), (N,), one per query, or a
            PairTemperature.
        negatives, negatives_valid: (K, D) and (K,) bool flags of filled slots; gradients flow to
            them unless detached.
        symmetric: also every key against all queries; only without `negatives`.
        normalize: False: dot products.
        reduction: "mean" over the rows, "sum", or "none": (N,), or (2N,) for symmetric.
        return_stats: also a :class:`ContrastiveStats`. precision: as in :func:`nt_xent_loss`.
        process_group, ddp: as for :func:`nt_xent_loss`. `negatives` are not gathered: a query meets
            those of its process, which for a queue are the same on each.
        backend: see the package.

    Returns:
        The loss; float32 for 16-bit inputs.

    Raises:
        TypeError, ValueError: naming the argument; BackendUnavailableError for a forced backend.
    """
    if process_group is not None:
        rest = (temperature, normalize, reduction, return_stats, precision, backend)
        asked = processes.Asked("info_nce_loss", process_group, ddp, *rest)
        if negatives is not None:
            loss = processes.queue(asked, q, k, negatives, negatives_valid, symmetric)
            return _of_queries(loss, k, reduction)
        return processes.queries_keys(asked, q, k, symmetric)
    arguments.check_one_direction(negatives, symmetric)
    positives = k
    if negatives is not None:
        q, k, temperature = arguments.a_row_for_each_positive(q, k, temperature)
    options = (temperature, reduction, normalize, return_stats, precision, backend)
    problem = _paired(q, k, *options)
    arguments.check_keys(q, negatives, negatives_valid, None, None)
    q, k, negatives = arguments.in_one_dtype(q, k, negatives)
    if negatives is None:
        rules = problem.rules._replace(symmetric=symmetric)
        return solve(q, k, problem._replace(rules=rules))
    # The keys are positives of their own query alone: negatives among them are of no group.
    ids = problem.rules.q_id
    rules = problem.rules._replace(
        q_group=ids, k_group=ids, group_rule=GROUP_RULES.index("only_same")
    )
    problem = problem._replace(
        rules=rules, negatives=negatives, negatives_valid=negatives_valid, paired=True
    )
    return _of_queries(solve(q, k, problem), positives, reduction)


def _of_queries(loss: Loss, k: Tensor, reduction: str) -> Loss:
    """Of a loss of N P pairs that of N queries, each the mean over its positives k (N, P, D)."""
    if k.dim() == 2 or reduction == "mean":
        return loss
    if isinstance(loss, tuple):
        value, statistics = loss
        return _mean_over(value, k, reduction), statistics
    return _mean_over(loss, k, reduction)


def _mean_over(loss: Tensor, k: Tensor, reduction: str) -> Tensor:
    return loss / k.shape[1] if reduction == "sum" else loss.view(k.shape[:2]).mean(1)


def _paired(
    q: Tensor,
    k: Tensor,
    temperature: Temperature,
    reduction: str,
    normalize: bool,
    return_stats: bool,
    precision: str | None,
    backend: str | None,
) -> Problem:
    """Checked: key i is the positive of query i."""
    checks.matrix("q", q)
    checks.matrix("k", k)
    checks.alike(("q", "k"), (q, k))
    arguments.check_temperature(temperature, q)
    checks.choice("reduction", reduction, checks.REDUCTIONS)
    ids = torch.arange(len(q), device=q.device)
    return by_ids(ids, temperature, normalize, reduction, return_stats, precision, backend)


class _Ring(ProcessOptions, total=False):
    ring: bool


@overload
def clip_loss(
    q: Tensor, k: Tensor, *, return_stats: Off = ..., **options: Unpack[_Ring]
) -> Tensor: ...
@overload
def clip_loss(
    q: Tensor, k: Tensor, *, return_stats: On, **options: Unpack[_Ring]
) -> tuple[Tensor, ContrastiveStats]: ...
@overload
def clip_loss(q: Tensor, k: Tensor, *, return_stats: bool, **options: Unpack[_Ring]) -> Loss: ...
def clip_loss(
    q: Tensor,
    k: Tensor,
    *,
    temperature: Temperature = 0.07,
    normalize: bool = True,
    reduction: str = "mean",
    return_stats: bool = False,
    precision: str | None = None,
    process_group: Group = None,
    ddp: bool = True,
    ring: bool = False,
    backend: str | None = None,
) -> Loss:
    """CLIP: two encoders, both directions (Radford et al., ICML 2021): the mean over all 2N rows of
    -log softmax of the matching pair, logits cosine / temperature.

    Args:
        q, k: (N, D), row i of both belongs together.
        temperature: the inverse of CLIP's logit scale; a 0-d tensor gets its gradient.
        ring: with process_group, the keys of a process are passed on from one to the next, and are
            nowhere gathered: memory for some batches of this process's size, half of the products,
            and a message to the next process for each process, three times. A temperature for each
            query or relation is refused.
        Others, result and errors as in :func:`info_nce_loss`.
    """
    if ring and process_group is None:
        raise ValueError("ring: True without process_group; accepted: False")
    if process_group is not None:
        rest = (temperature, normalize, reduction, return_stats, precision, backend)
        asked = processes.Asked("clip_loss", process_group, ddp, *rest)
        if ring:
            return processes.clip_in_ring(asked, q, k)
        return processes.queries_keys(asked, q, k, symmetric=True)
    options = (temperature, reduction, normalize, return_stats, precision, backend)
    problem = _paired(q, k, *options)
    q, k = arguments.in_one_dtype(q, k)
    return solve(q, k, problem._replace(rules=problem.rules._replace(symmetric=True)))


class _Queue(ProcessOptions, total=False):
    negatives_valid: Tensor | None


@overload
def moco_loss(
    q: Tensor, k: Tensor, negatives: Tensor, *, return_stats: Off = ..., **options: Unpack[_Queue]
) -> Tensor: ...
@overload
def moco_loss(
    q: Tensor, k: Tensor, negatives: Tensor, *, return_stats: On, **options: Unpack[_Queue]
) -> tuple[Tensor, ContrastiveStats]: ...
@overload
def moco_loss(
    q: Tensor, k: Tensor, negatives: Tensor, *, return_stats: bool, **options: Unpack[_Queue]
) -> Loss: ...
def moco_loss(
    q: Tensor,
    k: Tensor,
    negatives: Tensor,
    *,
    temperature: Temperature = 0.2,
    negatives_valid: Tensor | None = None,
    normalize: bool = True,
    reduction: str = "mean",
    return_stats: bool = False,
    precision: str | None = None,
    process_group: Group = None,
    ddp: bool = True,
    backend: str | None = None,
) -> Loss:
    """MoCo (He et al., CVPR 2020): InfoNCE of query i against the momentum encoder's key i and a
    queue of past keys; neither keys nor queue get a gradient.

    Args:
        q: (N, D). k: (N, D), or (N, P, D), several positives.
        negatives: (K, D), the queue, which losses.MoCoLoss keeps by itself.
        Others, result and errors as in :func:`info_nce_loss`.
    """
    if process_group is None or negatives is None:  # what else is wrong is told on each process
        checks.matrix("negatives", negatives)
    k, negatives = (x.detach() if isinstance(x, Tensor) else x for x in (k, negatives))
    loss: Loss = info_nce_loss(
        q,
        k,
        temperature=temperature,
        negatives=negatives,
        negatives_valid=negatives_valid,
        normalize=normalize,
        reduction=reduction,
        return_stats=return_stats,
        precision=precision,
        process_group=process_group,
        ddp=ddp,
        backend=backend,
    )
    return loss
