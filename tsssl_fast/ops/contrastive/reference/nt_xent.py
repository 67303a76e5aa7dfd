"""`nt_xent`: the definition, and the same as an operator."""

from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends.precision import widest
from tsssl_fast.common import checks
from tsssl_fast.ops.contrastive.reference.pairs import (
    PLAIN,
    backward,
    forward,
    log1p_exp,
    pair_logsumexp,
)
from tsssl_fast.ops.contrastive.rules import Rules


def nt_xent(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    """NT-Xent per row, equation (1) of the SimCLR-TS report: (N, D), (N, D) -> (2N,).

    With u = z / ||z|| and a = u uᵀ / tau, row i and its other view p(i):
    loss_i = -log(exp(a_ip) / sum_{k != i} exp(a_ik)), written as log(1 + exp(x)) with
    x = log sum over the negatives exp(a_ik) - a_ip, which keeps its digits near convergence.
    """
    negative, positive, _ = pair_logsumexp(*two_views(z1, z2, temperature))
    return log1p_exp(negative - positive)


def two_views(
    z1: Tensor, z2: Tensor, temperature: float, normalize: bool = True
) -> tuple[Tensor, None, Tensor, Rules]:
    z = torch.cat([z1, z2])
    ids = torch.arange(len(z1), device=z.device).repeat(2)
    beta = torch.full((), 1 / temperature, dtype=widest(z), device=z.device)
    return z, None, beta, PLAIN._replace(q_id=ids, k_id=ids, normalize=normalize)


def rows_forward(*views: Any) -> tuple[Tensor, Tensor]:
    """Losses and the rows of spec.NT_XENT_ROWS; views: arguments of two_views."""
    out, sums, scale, _ = forward(*two_views(*views))
    x = out[0] - out[1]
    return log1p_exp(x), torch.stack([x.sigmoid(), scale, *sums])


def rows_backward(grad: Tensor, saved: Tensor, *views: Any) -> Tensor:
    """Gradient of both views' rows, (2N, D); grad: upstream, one number a row."""
    slope = grad.to(saved.dtype) * saved[0]
    grads = torch.stack([slope, -slope, torch.zeros_like(slope)])
    return backward(grads, *two_views(*views), saved[2:], saved[1], False)[0]


def nt_xent_forward(
    z1: Tensor, z2: Tensor, temperature: float, reduction: str, keep: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    loss, saved = rows_forward(z1, z2, temperature)
    return checks.reduce(loss, reduction), saved, loss.new_empty(0), loss.new_empty(0)


def nt_xent_backward(
    grad: Tensor,
    z1: Tensor,
    z2: Tensor,
    saved: Tensor,
    exponentials: Tensor,
    temperature: float,
    reduction: str,
) -> tuple[Tensor, Tensor]:
    if reduction == "mean":
        grad = grad.to(saved.dtype) / saved.shape[1]
    dz = rows_backward(grad, saved, z1, z2, temperature)
    return dz[: len(z1)].clone(), dz[len(z1) :].clone()
