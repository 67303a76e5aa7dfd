"""Losses that are no softmax: the sigmoid loss over all pairs and the triplet loss.

`sigmoid_pairs` and `triplet` are their definitions, differentiable to any order; they build the
M x P matrix. KERNELS is the same mathematics as operators, in row blocks of torch of bounded memory
and with the gradients in closed form: what every backend without kernels of its own runs.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from tsssl_fast.dispatch import Backend, without_autocast
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.blocked import BLOCK_ELEMENTS
from tsssl_fast.ops.contrastive.reference import PLAIN, classes, unit
from tsssl_fast.ops.contrastive.rules import Rules


def sigmoid_pairs(q: Tensor, k: Tensor, scale: Tensor, bias: Tensor, rules: Rules) -> Tensor:
    """Per query sum_j log(1 + exp(-y_ij (scale s_ij + bias))): (M, D), (P, D) -> (M,).

    y = 1 for positives, -1 for negatives; without ids the positives are the pairs (i, i).
    """
    u, v = _side(q, rules.q_valid, rules)[0], _side(k, rules.k_valid, rules)[0]
    y = _signs(u, v, rules, 0, len(u))
    x = -y * (u @ v.T * scale.to(u.dtype) + bias.to(u.dtype))
    return torch.where(y == 0, 0.0, torch.logaddexp(x, x.new_zeros(()))).sum(dim=1)


def triplet(z: Tensor, margin: float, rules: Rules) -> Tensor:
    """Per row the mean over its positives p of max(0, margin + s_in - s_ip), n the hardest negative
    (the first of several alike): (M, D) -> (M,). 0 for rows without a positive or a negative."""
    u = _side(z, rules.q_valid, rules)[0]
    s = u @ u.T
    negative, positive = (x.to(u.device) for x in classes(len(u), True, rules, 0, len(u)))
    nearest = s.detach().masked_fill(~negative, -torch.inf).argmax(dim=1, keepdim=True)
    some = negative.any(dim=1, keepdim=True)
    gap = margin + torch.where(some, s.gather(1, nearest), 0.0) - s
    total = torch.where(positive & some, gap, 0.0).clamp_min(0).sum(dim=1)
    return total / positive.sum(dim=1).clamp_min(1)


def _side(z: Tensor, valid: Tensor | None, rules: Rules) -> tuple[Tensor, Tensor]:
    """Rows in the compute dtype, normalised where asked, and their scales."""
    z = z.to(spec.compute_dtype(z.dtype)).contiguous()  # one order of every sum
    if valid is not None:
        z = torch.where(valid[:, None], z, 0.0)  # whatever it holds
    return unit(z) if rules.normalize else (z, z.new_ones(len(z)))


def _signs(u: Tensor, v: Tensor, rules: Rules, first: int, last: int) -> Tensor:
    """y_ij of rows [first, last); 0 where the pair takes no part."""
    negative, positive = (x.to(u.device) for x in classes(len(v), False, rules, first, last))
    if rules.q_id is None:
        rows = torch.arange(first, last, device=u.device)[:, None]
        positive = negative & (rows == torch.arange(len(v), device=u.device))
        negative = negative & ~positive
    return positive.to(u.dtype) - negative.to(u.dtype)


def _blocks(rows: int, width: int) -> Iterator[tuple[int, int]]:
    step = max(1, BLOCK_ELEMENTS // max(width, 1))
    for first in range(0, rows, step):
        yield first, min(first + step, rows)


def _through_norm(du: Tensor, u: Tensor, norms: Tensor, rules: Rules) -> Tensor:
    if not rules.normalize:
        return du
    return (du - (du * u).sum(dim=1, keepdim=True) * u) * norms[:, None]


def _sigmoid_forward(
    q: Tensor, k: Tensor, scale: Tensor, bias: Tensor, rules: Rules
) -> tuple[Tensor, Tensor]:
    (u, q_norms), (v, k_norms) = _side(q, rules.q_valid, rules), _side(k, rules.k_valid, rules)
    loss = u.new_empty(len(u))
    for first, last in _blocks(len(u), len(v)):
        y = _signs(u, v, rules, first, last)
        x = -y * (u[first:last] @ v.T * scale.to(u.dtype) + bias.to(u.dtype))
        each = torch.logaddexp(x, x.new_zeros(()))
        loss[first:last] = torch.where(y == 0, 0.0, each).sum(dim=1)
    return loss, torch.cat([q_norms, k_norms])


def _sigmoid_backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    scale: Tensor,
    bias: Tensor,
    rules: Rules,
    norms: Tensor,
    key_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    u, v = _side(q, rules.q_valid, rules)[0], _side(k, rules.k_valid, rules)[0]
    beta = scale.to(u.dtype)
    grad = grad.to(u.dtype)
    du, dv = torch.empty_like(u), torch.zeros_like(v)
    d_scale, d_bias = u.new_zeros(()), u.new_zeros(())
    for first, last in _blocks(len(u), len(v)):
        y = _signs(u, v, rules, first, last)
        s = u[first:last] @ v.T
        slope = -y * torch.sigmoid(-y * (s * beta + bias.to(u.dtype)))
        w = torch.where(y == 0, 0.0, slope) * grad[first:last, None]
        du[first:last] = beta * (w @ v)
        if key_gradient:
            dv += beta * (w.T @ u[first:last])
        d_scale += (w * s).sum()
        d_bias += w.sum()
    dq = _through_norm(du, u, norms[: len(u)], rules).to(q.dtype)
    dk = k.new_empty(0)
    if key_gradient:
        dk = _through_norm(dv, v, norms[len(u) :], rules).to(k.dtype)
    return dq, dk, d_scale.to(scale.dtype), d_bias.to(bias.dtype)


def _triplet_forward(
    z: Tensor, margin: float, rules: Rules
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    u, norms = _side(z, rules.q_valid, rules)
    loss, rows = u.new_zeros(len(u)), u.new_zeros((len(spec.TRIPLET_ROWS), len(u)))
    nearest = torch.zeros(len(u), dtype=torch.int32, device=u.device)
    for first, last in _blocks(len(u), len(u)):
        s, positive, hardest, at = _triplet_block(u, rules, first, last)
        gap = torch.where(positive, margin + hardest[:, None] - s, 0.0)
        count = positive.sum(dim=1)
        loss[first:last] = gap.clamp_min(0).sum(dim=1) / count.clamp_min(1)
        counts = torch.stack([count, (gap > 0).sum(dim=1)]).to(s.dtype)
        rows[:, first:last] = torch.cat([hardest[None], counts])
        nearest[first:last] = at
    return loss, rows, nearest, norms


def _triplet_block(
    u: Tensor, rules: Rules, first: int, last: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Similarities, positives of rows that have a negative, and the hardest with its index."""
    s = u[first:last] @ u.T
    negative, positive = (x.to(u.device) for x in classes(len(u), True, rules, first, last))
    at = s.masked_fill(~negative, -torch.inf).argmax(dim=1, keepdim=True)
    some = negative.any(dim=1, keepdim=True)
    hardest = torch.where(some, s.gather(1, at), 0.0)[:, 0]
    return s, positive & some, hardest, torch.where(some, at, -1)[:, 0].to(torch.int32)


def _triplet_backward(
    grad: Tensor,
    z: Tensor,
    margin: float,
    rules: Rules,
    rows: Tensor,
    nearest: Tensor,
    norms: Tensor,
) -> Tensor:
    u = _side(z, rules.q_valid, rules)[0]
    hardest, count, active = rows
    push = torch.where(count > 0, grad.to(u.dtype) / count, 0.0)
    du = torch.zeros_like(u)
    for first, last in _blocks(len(u), len(u)):
        part = slice(first, last)
        _, positive = (x.to(u.device) for x in classes(len(u), True, rules, first, last))
        within = positive & (margin + hardest[part, None] - u[part] @ u.T > 0)
        w = torch.where(within, -push[part, None], 0.0)
        pull = push[part] * active[part]
        w.scatter_add_(1, nearest[part, None].clamp_min(0).to(torch.int64), pull[:, None])
        du[part] += w @ u
        du += w.T @ u[part]
    return _through_norm(du, u, norms, rules).to(z.dtype)


KERNELS = without_autocast(
    {
        "sigmoid_pairs": _sigmoid_forward,
        "sigmoid_pairs_backward": _sigmoid_backward,
        "triplet": _triplet_forward,
        "triplet_backward": _triplet_backward,
    }
)


def complete(backend: Backend, own: Mapping[str, Callable[..., Any]]) -> Backend:
    """The backend with its own kernels of these operators; where it has none, with those here."""
    return backend.extended({**KERNELS, **own, **backend.kernels})


def rules_of(
    q_id: Tensor | None,
    k_id: Tensor | None,
    q_valid: Tensor | None,
    k_valid: Tensor | None,
    normalize: bool,
) -> Rules:
    """The rules that these losses know."""
    return PLAIN._replace(
        q_id=q_id, k_id=k_id, q_valid=q_valid, k_valid=k_valid, normalize=normalize
    )
