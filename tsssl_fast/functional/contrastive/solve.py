"""The way of every contrastive loss: row statistics, the rows' losses, the reduction."""

import logging

import torch
from torch import Tensor

from tsssl_fast.backends import dispatch
from tsssl_fast.backends.precision import precision_name
from tsssl_fast.functional.contrastive import definition, kernels
from tsssl_fast.functional.contrastive.problem import Problem, Temperature
from tsssl_fast.functional.contrastive.reduction import reduce
from tsssl_fast.functional.contrastive.row_losses import Rows, row_loss
from tsssl_fast.functional.contrastive.statistics import TOP_K, ContrastiveStats, contrastive_stats
from tsssl_fast.ops.contrastive.reference.pairs import PLAIN

Loss = Tensor | tuple[Tensor, ContrastiveStats]


def backend_name(backend: str | None) -> str:
    return dispatch.check_name(backend, "backend") if backend else ""


def by_ids(
    ids: Tensor,
    temperature: Temperature,
    normalize: bool,
    reduction: str,
    return_stats: bool,
    precision: str | None,
    backend: str | None,
) -> Problem:
    """The problem of one set, or of two, in which equal ids are positives."""
    return Problem(
        PLAIN._replace(q_id=ids, k_id=ids, normalize=normalize),
        temperature,
        statistics=TOP_K if return_stats else 0,
        reduction=reduction,
        precision=precision_name(precision),
        backend=backend_name(backend),
    )


def solve(q: Tensor, k: Tensor | None, problem: Problem) -> Loss:
    """Row statistics, the rows' losses, the reduction."""
    found = row_statistics(q, k, problem)
    loss = row_loss(found, problem.positives, problem.denominator)
    if problem.query_weight is not None:
        loss = loss * problem.query_weight
    loss = reduce(loss, found, problem.rules, problem.reduction, problem.mean_over)
    if not problem.statistics:
        return loss
    return loss, contrastive_stats(found, problem.statistics, problem.rules.normalize)


def row_statistics(q: Tensor, k: Tensor | None, problem: Problem) -> Rows:
    """By the kernels where they take the problem, else by the definition."""
    why = kernels.why_not(problem)
    if not why:
        return kernels.row_statistics(q, k, problem)
    if problem.backend:
        # Asked for by name: an error where it could not run these inputs, whatever the options.
        dispatch.select("pair_logsumexp", (q,) if k is None else (q, k), problem.backend)
    if not torch.compiler.is_compiling():
        told = "contrastive_loss: row blocks of torch (backend %s): no kernel takes %s"
        level = logging.WARNING if problem.backend else logging.INFO
        dispatch.tell_once(told, problem.backend or "any", "; ".join(why), level=level)
    return definition.row_statistics(q, k, problem)


@torch.no_grad()
def statistics(q: Tensor, k: Tensor | None, problem: Problem) -> ContrastiveStats:
    """Of a loss that is no function of these rows: the sigmoid, the triplet loss."""
    problem = problem._replace(statistics=TOP_K)
    return contrastive_stats(row_statistics(q, k, problem), TOP_K, problem.rules.normalize)
