"""`pair_logsumexp` on torch tensors, by the C++ kernels."""

import torch
from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.backends import dispatch
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.cpp.problem import Problem
from tsssl_fast.ops.contrastive.rules import Rules


def pairs_forward(
    q: Tensor, k: Tensor | None, beta: Tensor, rules: Rules, statistics: bool, precision: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    problem = Problem(q, k, beta.item(), rules, precision, narrow=True)
    if dispatch.watched() is not None:
        told = problem.kernel("pairs_products")(problem.native)
        dispatch.tell_products("pair_logsumexp", told)
    out = problem.q.new_empty((3, problem.rows))
    sums = problem.q.new_empty((len(spec.SUM_ROWS), problem.rows))
    scale = problem.q.new_empty(problem.scales)
    found = problem.q.new_empty((len(spec.STATISTICS), problem.rows if statistics else 0))
    arguments = (problem.native, native.threads(), scale, sums, found, out)
    problem.kernel("pairs_forward")(*arguments)
    return out, sums, scale, found


def pairs_backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor | None,
    beta: Tensor,
    rules: Rules,
    sums: Tensor,
    scale: Tensor,
    key_gradient: bool,
    precision: int,
) -> tuple[Tensor, Tensor, Tensor]:
    problem = Problem(q, k, beta.item(), rules, precision, narrow=True)
    grad = grad.to(problem.dtype).contiguous()
    grad_q = problem.q.new_empty(q.shape)
    shape = k.shape if k is not None and key_gradient else (0,)
    grad_k = problem.q.new_empty(shape, dtype=torch.bfloat16 if problem.narrow else None)
    of_keys = (None, grad_k) if problem.narrow else (grad_k, None)
    arguments = (problem.native, native.threads(), scale, sums, grad, grad_q, *of_keys)
    d_beta = problem.kernel("pairs_backward")(*arguments)
    return grad_q.to(q.dtype), grad_k.to(q.dtype), beta.new_full((), d_beta)
