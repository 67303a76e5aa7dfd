"""Losses of each row against positives and negatives of its own."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from tsssl_fast.backends.precision import precision_name
from tsssl_fast.common import checks
from tsssl_fast.functional.contrastive import arguments
from tsssl_fast.functional.contrastive.blocks import (
    check_temperature,
    cosines,
    inverse_temperature,
    scaled_rows,
    similarities,
)
from tsssl_fast.functional.contrastive.problem import Temperature


def collossl_loss(
    anchor: Tensor,
    positives: Tensor,
    negatives: Tensor,
    *,
    positive_weight: Tensor | None = None,
    negative_weight: Tensor | None = None,
    temperature: Temperature = 0.1,
    normalize: bool = True,
    reduction: str = "mean",
    precision: str | None = None,
) -> Tensor:
    """Multi-view contrastive loss of devices worn together (Collaborative Self-Supervised Learning
    for Human Activity Recognition, 2022). Of row i, with e(z) = exp(<a_i, z> / tau):

        loss_i = -log( sum_p w_p e(p_i) / (sum_p w_p e(p_i) + sum_n w_n e(n_i)) )

    A row meets row i of every device alone. A negative device's rows are to be permuted before, so
    that they are of other moments (`mmd` ranks the devices, `methods.ColloSSL` does both).

    Args:
        anchor: (N, D). positives: (P, N, D). negatives: (Q, N, D); floating, P, Q >= 1.
        positive_weight: (P,) or (P, N), >= 0; None: 1. negative_weight: (Q,) or (Q, N). Constants.
        temperature: tau > 0: a float, a 0-d tensor (gets its gradient), or (N,).
        normalize: False: dot products.
        reduction: "mean" over the rows, "sum", or "none" for (N,).
        precision: as in :func:`nt_xent_loss`; these products are always float32's own.

    Returns:
        The loss; float32 for 16-bit inputs. A row without a weight > 0 on either side gives 0.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    checks.matrix("anchor", anchor)
    check_temperature(temperature, anchor)
    checks.choice("reduction", reduction, checks.REDUCTIONS)
    precision_name(precision)
    _check_keys(anchor, positives, negatives)
    anchor, positives, negatives = arguments.in_one_dtype(anchor, positives, negatives)
    rows = scaled_rows(anchor, normalize)
    sums = [
        _log_sum(name, anchor, keys, weight, temperature, similarities(rows, others))
        for name, keys, weight in (
            ("positive", positives, positive_weight),
            ("negative", negatives, negative_weight),
        )
        for others in [scaled_rows(keys, normalize)]
    ]
    some = (sums[0] != -torch.inf) & (sums[1] != -torch.inf)
    positive, negative = (torch.where(some, x, 0.0) for x in sums)
    loss = torch.where(some, softplus(negative - positive), 0.0)
    return checks.reduce(loss, reduction)


def _check_keys(anchor: Tensor, positives: Tensor, negatives: Tensor) -> None:
    for name, keys in (("positives", positives), ("negatives", negatives)):
        arguments.check_sets(name, keys, (None, *anchor.shape), anchor, like="anchor")


def _log_sum(
    name: str,
    anchor: Tensor,
    keys: Tensor,
    weight: Tensor | None,
    temperature: Temperature,
    similarity: Tensor,
) -> Tensor:
    """(N,): log sum over the devices of w exp(similarity / tau), of a similarity (S, N); -inf
    without a weight > 0."""
    a = similarity
    beta = inverse_temperature(temperature, a)
    a = a * (beta.T if isinstance(beta, Tensor) and beta.dim() else beta)
    if weight is None:
        return a.logsumexp(0)
    w = _weights(f"{name}_weight", weight, keys, anchor).to(a.dtype)
    live = w > 0
    some = live.any(0)
    logits = torch.where(live, a + torch.where(live, w, 1.0).log(), -torch.inf)
    return torch.where(some, torch.where(some, logits, 0.0).logsumexp(0), -torch.inf)


def _weights(name: str, weight: Tensor, keys: Tensor, anchor: Tensor) -> Tensor:
    """(S, N), or (S, 1)."""
    checks.floating(name, weight)
    accepted = ((len(keys),), tuple(keys.shape[:2]))
    if tuple(weight.shape) not in accepted:
        shapes = " or ".join(map(str, accepted))
        raise ValueError(f"{name}: shape {tuple(weight.shape)}; accepted: {shapes}")
    if weight.device != anchor.device:
        raise ValueError(f"{name}: device {weight.device}; accepted: {anchor.device} as anchor")
    if weight.requires_grad:
        raise ValueError(f"{name}: requires grad; accepted: a constant (detach it)")
    return weight if weight.dim() == 2 else weight[:, None]


def voco_loss(
    z: Tensor,
    bases: Tensor,
    overlaps: Tensor,
    *,
    regularizer: float = 1.0,
    normalize: bool = True,
    reduction: str = "mean",
    precision: str | None = None,
) -> Tensor:
    """Where in its series a crop was taken, by its similarity to base crops (VoCo: A
    Simple-yet-Effective Volume Contrastive Learning Framework for 3D Medical Image Analysis, 2024).
    Of crop i and its S base crops b, with y the overlaps and r(x) = max(0, x):

        loss_i = -mean over y > 0 of y log(1 - |y - r(<z_i, b_s>)|)
                 + mean over y = 0 of r(<z_i, b_s>)^2
                 + regularizer mean over s != t of r(<b_s, b_t>)^2

    Args:
        z: (N, D). bases: (N, S, D), base crops of each row's own series (`methods.base_crops` cuts
            them); S >= 2. overlaps: (N, S) in [0, 1], the share of the crop inside each, a
            constant.
        regularizer: weight >= 0 of pushing base crops apart.
        normalize: False: dot products, which must then stay below 2.
        reduction: "mean" over the rows, "sum", or "none" for (N,).
        precision: as in :func:`nt_xent_loss`; these products are always float32's own.

    Returns:
        The loss; float32 for 16-bit inputs. An empty mean is 0. 1 - |y - r| is held above the
        dtype's eps, where the logarithm is finite.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    checks.matrix("z", z)
    arguments.check_sets("bases", bases, (len(z), None, z.shape[1]), z, least=2, like="z")
    checks.floating("overlaps", overlaps)
    arguments.check_shape("overlaps", overlaps, tuple(bases.shape[:2]), z)
    regularizer = checks.non_negative("regularizer", regularizer)
    checks.choice("reduction", reduction, checks.REDUCTIONS)
    precision_name(precision)
    z, bases = arguments.in_one_dtype(z, bases)
    r = cosines(z[:, None], bases, normalize).relu()
    y = overlaps.detach().to(r.dtype)
    inside = y > 0
    near = (1 - (y - r).abs()).clamp_min(torch.finfo(r.dtype).eps)
    pull = _mean_where(inside, -y * near.log())
    push = _mean_where(~inside, r.square())
    count = bases.shape[1]
    between = torch.stack([cosines(bases[:, s, None], bases, normalize) for s in range(count)], 1)
    apart = between.relu().square()
    apart = apart.sum((1, 2)) - apart.diagonal(dim1=1, dim2=2).sum(1)
    loss = pull + push + regularizer * apart / (count * (count - 1))
    return checks.reduce(loss, reduction)


def _mean_where(keep: Tensor, x: Tensor) -> Tensor:
    """The mean of a row over `keep`, 0 where that is empty."""
    return torch.where(keep, x, 0.0).sum(1) / keep.sum(1).clamp_min(1)
