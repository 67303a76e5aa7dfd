"""The definition in plain torch: any device, any floating dtype, differentiable to any order.

`nt_xent` is what the tests hold every kernel to. BACKEND runs the same mathematics as an operator,
with the gradient in closed form; both build the 2N x 2N matrix.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from tsssl_fast.dispatch import Backend
from tsssl_fast.ops.contrastive import spec


def nt_xent(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    """NT-Xent per row, equation (1) of the SimCLR-TS report: (N, D), (N, D) -> (2N,).

    With u = z / ||z|| and a = u uᵀ / tau, row i and its other view p(i):
    loss_i = -log(exp(a_ip) / sum_{k != i} exp(a_ik)), written as log(1 + exp(x)) with
    x = log sum over the negatives exp(a_ik) - a_ip, which keeps its digits near convergence.
    """
    z = torch.cat([z1, z2]).to(spec.compute_dtype(z1.dtype))
    a, positive = _logits(_unit(z)[0], temperature)
    return torch.logaddexp(torch.logsumexp(a, dim=1) - positive, positive.new_zeros(()))


def _unit(z: Tensor) -> tuple[Tensor, Tensor]:
    """Rows over their norm, and 1 / norm; both 0 for rows that count as zero."""
    norm = torch.linalg.vector_norm(z.detach(), dim=1, keepdim=True)
    zero = norm <= spec.TINY_NORM
    # A safe input for the norm's derivative: the zero rows never reach it.
    norm = torch.linalg.vector_norm(torch.where(zero, torch.ones_like(z), z), dim=1, keepdim=True)
    return torch.where(zero, torch.zeros_like(z), z / norm), torch.where(zero, 0.0, 1 / norm)[:, 0]


def _logits(u: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Logits with self and positive at -inf, and the positives' logits."""
    rows = torch.arange(len(u), device=u.device)
    other = rows.roll(len(u) // 2)
    a = u @ u.T / temperature
    positive = a[rows, other]
    hidden = (rows[:, None] == rows) | (other[:, None] == rows)
    return a.masked_fill(hidden, -torch.inf), positive


def _forward(z1: Tensor, z2: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    z = torch.cat([z1, z2]).to(spec.compute_dtype(z1.dtype))
    u, scale = _unit(z)
    a, positive = _logits(u, temperature)
    shift = a.amax(dim=1).clamp_min(torch.finfo(z.dtype).min)  # N = 1 has no negative
    total = (a - shift[:, None]).exp().sum(dim=1)
    x = shift + total.log() - positive
    loss = torch.logaddexp(x, x.new_zeros(()))
    one = torch.ones_like(x)
    return loss, torch.stack([x.sigmoid(), scale, shift, positive, total, one, one, positive])


def _backward(
    grad: Tensor, z1: Tensor, z2: Tensor, saved: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    share, scale, shift, _, total, *_ = saved
    z = torch.cat([z1, z2]).to(saved.dtype)
    u = _unit(z)[0]
    a, _ = _logits(u, temperature)
    weight = torch.where(total == 0, 0.0, grad * share / total)
    w = (a - shift[:, None]).exp() * weight[:, None]
    pull = grad * share
    other = u.roll(len(z1), dims=0)
    du = ((w + w.T) @ u - (pull + pull.roll(len(z1)))[:, None] * other) / temperature
    along = (du * u).sum(dim=1, keepdim=True)
    dz = ((du - along * u) * scale[:, None]).to(z1.dtype)
    return dz[: len(z1)].clone(), dz[len(z1) :].clone()


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    return []


BACKEND = Backend(
    "reference",
    kernels={"nt_xent": _forward, "nt_xent_backward": _backward},
    why_not=_why_not,
    devices=frozenset({"cpu", "cuda", "mps", "xpu", "meta"}),
)
