"""`nt_xent`: the definition, and the same as an operator."""

import torch
from torch import Tensor

from tsssl_fast.common import checks
from tsssl_fast.ops.contrastive.reference.pairs import PLAIN, backward, forward, pair_logsumexp
from tsssl_fast.ops.contrastive.rules import Rules


def nt_xent(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    """NT-Xent per row, equation (1) of the SimCLR-TS report: (N, D), (N, D) -> (2N,).

    With u = z / ||z|| and a = u uᵀ / tau, row i and its other view p(i):
    loss_i = -log(exp(a_ip) / sum_{k != i} exp(a_ik)), written as log(1 + exp(x)) with
    x = log sum over the negatives exp(a_ik) - a_ip, which keeps its digits near convergence.
    """
    negative, positive, _ = pair_logsumexp(*two_views(z1, z2, temperature))
    return torch.logaddexp(negative - positive, positive.new_zeros(()))


def two_views(z1: Tensor, z2: Tensor, temperature: float) -> tuple[Tensor, None, Tensor, Rules]:
    z = torch.cat([z1, z2])
    ids = torch.arange(len(z1), device=z.device).repeat(2)
    beta = torch.full((), 1 / temperature, dtype=torch.float64, device=z.device)
    return z, None, beta, PLAIN._replace(q_id=ids, k_id=ids)


def nt_xent_forward(
    z1: Tensor, z2: Tensor, temperature: float, reduction: str, keep: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    out, sums, scale, _ = forward(*two_views(z1, z2, temperature))
    x = out[0] - out[1]
    loss = torch.logaddexp(x, x.new_zeros(()))
    saved = torch.cat([torch.stack([x.sigmoid(), scale]), sums])
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
    one_minus_p = saved[0] / len(saved[0]) if reduction == "mean" else saved[0]
    slope = grad.to(saved.dtype) * one_minus_p
    grads = torch.stack([slope, -slope, torch.zeros_like(slope)])
    dz, _, _ = backward(grads, *two_views(z1, z2, temperature), saved[2:], saved[1], False)
    return dz[: len(z1)].clone(), dz[len(z1) :].clone()
