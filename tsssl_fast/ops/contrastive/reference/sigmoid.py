"""Losses that are no softmax: the sigmoid loss over all pairs and the triplet loss.

`sigmoid_pairs` and `triplet` are their definitions, differentiable to any order; they build the
M x P matrix. KERNELS is the same mathematics as operators, in row blocks of torch of bounded memory
and with the gradients in closed form: what every backend without kernels of its own runs.
"""

import torch
from torch import Tensor

from tsssl_fast.backends.precision import product
from tsssl_fast.ops.contrastive.reference.pairs import log1p_exp, side, through_norm
from tsssl_fast.ops.contrastive.reference.sides import blocks, signs
from tsssl_fast.ops.contrastive.rules import Rules


def sigmoid_pairs(q: Tensor, k: Tensor, scale: Tensor, bias: Tensor, rules: Rules) -> Tensor:
    """Per query sum_j log(1 + exp(-y_ij (scale s_ij + bias))): (M, D), (P, D) -> (M,).

    y = 1 for positives, -1 for negatives; without ids the positives are the pairs (i, i).
    """
    u, v = side(q, rules.q_valid, rules)[0], side(k, rules.k_valid, rules)[0]
    y = signs(u, v, rules, 0, len(u))
    x = -y * (product(u, v.T) * scale.to(u.dtype) + bias.to(u.dtype))
    return torch.where(y == 0, 0.0, log1p_exp(x)).sum(dim=1)


def sigmoid_forward(
    q: Tensor, k: Tensor, scale: Tensor, bias: Tensor, rules: Rules
) -> tuple[Tensor, Tensor]:
    (u, q_norms), (v, k_norms) = side(q, rules.q_valid, rules), side(k, rules.k_valid, rules)
    loss = u.new_empty(len(u))
    for first, last in blocks(len(u), len(v)):
        y = signs(u, v, rules, first, last)
        x = -y * (product(u[first:last], v.T) * scale.to(u.dtype) + bias.to(u.dtype))
        each = log1p_exp(x)
        loss[first:last] = torch.where(y == 0, 0.0, each).sum(dim=1)
    return loss, torch.cat([q_norms, k_norms])


def sigmoid_backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    scale: Tensor,
    bias: Tensor,
    rules: Rules,
    norms: Tensor,
    key_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    u, v = side(q, rules.q_valid, rules)[0], side(k, rules.k_valid, rules)[0]
    beta = scale.to(u.dtype)
    grad = grad.to(u.dtype)
    du, dv = torch.empty_like(u), torch.zeros_like(v)
    d_scale, d_bias = u.new_zeros(()), u.new_zeros(())
    for first, last in blocks(len(u), len(v)):
        y = signs(u, v, rules, first, last)
        s = product(u[first:last], v.T)
        slope = -y * torch.sigmoid(-y * (s * beta + bias.to(u.dtype)))
        w = torch.where(y == 0, 0.0, slope) * grad[first:last, None]
        du[first:last] = beta * product(w, v)
        if key_gradient:
            dv += beta * product(w.T, u[first:last])
        d_scale += (w * s).sum()
        d_bias += w.sum()
    dq = through_norm(du, u, norms[: len(u)], rules).to(q.dtype)
    dk = k.new_empty(0)
    if key_gradient:
        dk = through_norm(dv, v, norms[len(u) :], rules).to(k.dtype)
    return dq, dk, d_scale.to(scale.dtype), d_bias.to(bias.dtype)
