"""Losses of pairs and triplets instead of a softmax over a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, overload

import torch
from torch import Tensor

from tsssl_fast.backends.precision import precision_name
from tsssl_fast.common import checks
from tsssl_fast.common.collectives import Group
from tsssl_fast.functional.contrastive import arguments, processes
from tsssl_fast.functional.contrastive.options import Off, On
from tsssl_fast.functional.contrastive.problem import Problem
from tsssl_fast.functional.contrastive.solve import Loss, backend_name, statistics
from tsssl_fast.functional.contrastive.statistics import ContrastiveStats
from tsssl_fast.ops.contrastive.operators import sigmoid as sigmoid_operator
from tsssl_fast.ops.contrastive.operators import triplet as triplet_operator
from tsssl_fast.ops.contrastive.reference.pairs import PLAIN

if TYPE_CHECKING:
    from typing_extensions import Unpack


class _Options(TypedDict, total=False):
    normalize: bool
    reduction: str
    precision: str | None
    backend: str | None


class _Sigmoid(_Options, total=False):
    logit_scale: float | Tensor
    logit_bias: float | Tensor
    q_ids: Tensor | None
    k_ids: Tensor | None
    q_valid: Tensor | None
    k_valid: Tensor | None
    process_group: Group
    ddp: bool
    ring: bool


@overload
def siglip_loss(
    q: Tensor, k: Tensor, *, return_stats: Off = ..., **options: Unpack[_Sigmoid]
) -> Tensor: ...
@overload
def siglip_loss(
    q: Tensor, k: Tensor, *, return_stats: On, **options: Unpack[_Sigmoid]
) -> tuple[Tensor, ContrastiveStats]: ...
@overload
def siglip_loss(
    q: Tensor, k: Tensor, *, return_stats: bool, **options: Unpack[_Sigmoid]
) -> Loss: ...
def siglip_loss(
    q: Tensor,
    k: Tensor,
    *,
    logit_scale: float | Tensor = 10.0,
    logit_bias: float | Tensor = -10.0,
    q_ids: Tensor | None = None,
    k_ids: Tensor | None = None,
    q_valid: Tensor | None = None,
    k_valid: Tensor | None = None,
    normalize: bool = True,
    reduction: str = "mean",
    return_stats: bool = False,
    precision: str | None = None,
    process_group: Group = None,
    ddp: bool = True,
    ring: bool = False,
    backend: str | None = None,
) -> Loss:
    """Sigmoid loss over all pairs (SigLIP, Zhai et al., ICCV 2023): per query
    sum_j log(1 + exp(-y_ij (scale s_ij + bias))), y = 1 for positives, -1 otherwise, s the cosine
    (dot product for normalize=False).

    Args:
        q, k: (M, D), (P, D), floating; 16-bit inputs are computed in float32, and two dtypes in
            torch.promote_types of them.
        logit_scale, logit_bias: finite numbers, or 0-d floating tensors, which get their gradients.
        q_ids, k_ids: integers, equal ids are positives; default: q_i and k_i, which needs M = P.
        q_valid, k_valid: (M,), (P,) bool; a row flagged False takes part in no pair, gets zero
            gradient and may hold NaN.
        reduction: "mean" over the (valid) queries, "sum", or "none" for (M,).
        return_stats: also a :class:`ContrastiveStats`, from one more pass over the pairs; its
            log_sum_exp is of the logits scale s_ij.
        precision: as in :func:`nt_xent_loss`.
        process_group, ddp: as for :func:`nt_xent_loss`; ids of all processes meet. ring: with it,
            as for :func:`clip_loss`.
        backend: see the package.

    Returns:
        The loss; float32 for 16-bit inputs. A row with norm <= 1e-12 has cosine 0 with everything
        and gets zero gradient; NaN in a valid row reaches the loss. Any scale and bias: nothing
        overflows but the loss itself.

    Raises:
        TypeError, ValueError: naming the argument; BackendUnavailableError for a forced backend.
    """
    if ring and process_group is None:
        raise ValueError("ring: True without process_group; accepted: False")
    if process_group is not None:
        rest = (normalize, reduction, return_stats, precision, backend)
        asked = processes.Asked("siglip_loss", process_group, ddp, 1.0, *rest)
        sides = processes.Sides(q_ids, k_ids, q_valid, k_valid)
        return processes.sigmoid(asked, q, k, logit_scale, logit_bias, sides, ring)
    arguments.check_operands(q, k)
    arguments.check_rows(q, k, q_ids, k_ids, None, None, q_valid, k_valid)
    scale = arguments.number("logit_scale", logit_scale, q)
    bias = arguments.number("logit_bias", logit_bias, q)
    checks.choice("reduction", reduction, checks.REDUCTIONS)
    products, name = precision_name(precision), backend_name(backend)
    if q_ids is None:
        checks.alike(("q", "k"), (q, k))
    q, k = arguments.in_one_dtype(q, k)
    loss = sigmoid_operator.sigmoid_pairs(
        *(q, k, scale, bias, q_ids, k_ids, q_valid, k_valid, normalize, products, name)
    )
    loss = _reduce(loss, q_valid, reduction)
    if not return_stats:
        return loss
    if q_ids is None:
        q_ids = k_ids = torch.arange(len(q), device=q.device)
    rules = PLAIN._replace(
        q_id=q_ids, k_id=k_ids, q_valid=q_valid, k_valid=k_valid, normalize=normalize
    )
    return loss, statistics(q, k, Problem(rules, 1 / scale, precision=products))


class _Triplet(_Options, total=False):
    margin: float
    valid: Tensor | None


@overload
def triplet_loss(
    z: Tensor, labels: Tensor, *, return_stats: Off = ..., **options: Unpack[_Triplet]
) -> Tensor: ...
@overload
def triplet_loss(
    z: Tensor, labels: Tensor, *, return_stats: On, **options: Unpack[_Triplet]
) -> tuple[Tensor, ContrastiveStats]: ...
@overload
def triplet_loss(
    z: Tensor, labels: Tensor, *, return_stats: bool, **options: Unpack[_Triplet]
) -> Loss: ...
def triplet_loss(
    z: Tensor,
    labels: Tensor,
    *,
    margin: float = 0.2,
    valid: Tensor | None = None,
    normalize: bool = True,
    reduction: str = "mean",
    return_stats: bool = False,
    precision: str | None = None,
    backend: str | None = None,
) -> Loss:
    """Triplet loss on the hardest negative, in cosine similarity (Schroff et al., CVPR 2015):
    for row i and each other row p of its label, max(0, margin - s_ip + s_in), n the most similar
    row of another label; the mean over p. Rows without a positive or without a negative contribute
    0.

    Args:
        z: (M, D), a floating dtype; 16-bit inputs are computed in float32.
        labels: (M,) integers. margin: >= 0.
        valid: (M,) bool; a row flagged False takes part in no pair and may hold NaN.
        normalize: False: dot products.
        reduction: "mean" over the (valid) rows, "sum", or "none" for (M,).
        return_stats: also a :class:`ContrastiveStats`, from one more pass over the pairs; its
            log_sum_exp is of the similarities.
        precision: as in :func:`nt_xent_loss`. backend: see the package.

    Returns:
        The loss; float32 for 16-bit inputs. Of equally hard negatives the first gets the gradient.

    Raises:
        TypeError, ValueError: naming the argument; BackendUnavailableError for a forced backend.
    """
    checks.matrix("z", z)
    arguments.check_labels("labels", labels, z)
    arguments.check_flags("valid", valid, z)
    checks.at_least("margin", margin, 0.0)
    checks.choice("reduction", reduction, checks.REDUCTIONS)
    products, name = precision_name(precision), backend_name(backend)
    loss = triplet_operator.triplet(z, labels, valid, margin, normalize, products, name)
    loss = _reduce(loss, valid, reduction)
    if not return_stats:
        return loss
    rules = PLAIN._replace(
        q_id=labels, k_id=labels, q_valid=valid, k_valid=valid, normalize=normalize
    )
    return loss, statistics(z, None, Problem(rules, 1.0, precision=products))


def _reduce(loss: Tensor, valid: Tensor | None, reduction: str) -> Tensor:
    if reduction == "mean" and valid is not None:
        return loss.sum() / valid.sum().clamp_min(1)
    return checks.reduce(loss, reduction)
