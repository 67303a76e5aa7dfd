"""`triplet`: the definition, differentiable to any order, and the same in blocks of rows."""

import torch
from torch import Tensor

from tsssl_fast.backends.precision import product
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.reference.pairs import classes, side, through_norm
from tsssl_fast.ops.contrastive.reference.sides import blocks
from tsssl_fast.ops.contrastive.rules import Rules


def triplet(z: Tensor, margin: float, rules: Rules) -> Tensor:
    """Per row the mean over its positives p of max(0, margin + s_in - s_ip), n the hardest negative
    (the first of several alike): (M, D) -> (M,). 0 for rows without a positive or a negative."""
    u = side(z, rules.q_valid, rules)[0]
    s = product(u, u.T)
    negative, positive = (x.to(u.device) for x in classes(len(u), True, rules, 0, len(u)))
    nearest = s.detach().masked_fill(~negative, -torch.inf).argmax(dim=1, keepdim=True)
    some = negative.any(dim=1, keepdim=True)
    gap = margin + torch.where(some, s.gather(1, nearest), 0.0) - s
    total = torch.where(positive & some, gap, 0.0).clamp_min(0).sum(dim=1)
    return total / positive.sum(dim=1).clamp_min(1)


def triplet_forward(
    z: Tensor, margin: float, rules: Rules
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    u, norms = side(z, rules.q_valid, rules)
    loss, rows = u.new_zeros(len(u)), u.new_zeros((len(spec.TRIPLET_ROWS), len(u)))
    nearest = torch.zeros(len(u), dtype=torch.int32, device=u.device)
    for first, last in blocks(len(u), len(u)):
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
    s = product(u[first:last], u.T)
    negative, positive = (x.to(u.device) for x in classes(len(u), True, rules, first, last))
    at = s.masked_fill(~negative, -torch.inf).argmax(dim=1, keepdim=True)
    some = negative.any(dim=1, keepdim=True)
    hardest = torch.where(some, s.gather(1, at), 0.0)[:, 0]
    return s, positive & some, hardest, torch.where(some, at, -1)[:, 0].to(torch.int32)


def triplet_backward(
    grad: Tensor,
    z: Tensor,
    margin: float,
    rules: Rules,
    rows: Tensor,
    nearest: Tensor,
    norms: Tensor,
) -> Tensor:
    u = side(z, rules.q_valid, rules)[0]
    hardest, count, active = rows
    each = torch.where(count > 0, grad.to(u.dtype) / count, 0.0)
    du = torch.zeros_like(u)
    for first, last in blocks(len(u), len(u)):
        part = slice(first, last)
        _, positive = (x.to(u.device) for x in classes(len(u), True, rules, first, last))
        within = positive & (margin + hardest[part, None] - product(u[part], u.T) > 0)
        w = torch.where(within, -each[part, None], 0.0)
        at = nearest[part, None].clamp_min(0).to(torch.int64)
        w.scatter_add_(1, at, (each[part] * active[part])[:, None])
        du[part] += product(w, u)
        du += product(w.T, u[part])
    return through_norm(du, u, norms, rules).to(z.dtype)
