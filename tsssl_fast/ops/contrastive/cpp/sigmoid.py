"""`sigmoid_pairs` on torch tensors, by the C++ kernels."""

from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.ops.contrastive.cpp.problem import Problem
from tsssl_fast.ops.contrastive.rules import Rules


def sigmoid_forward(
    q: Tensor, k: Tensor, scale: Tensor, bias: Tensor, rules: Rules
) -> tuple[Tensor, Tensor]:
    problem = Problem(q, k, scale.item(), rules)
    norms = problem.q.new_empty(len(q) + len(k))
    loss = problem.q.new_empty(len(q))
    arguments = (problem.native, bias.item(), native.threads(), norms, loss)
    problem.kernel("sigmoid_forward")(*arguments)
    return loss, norms


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
    problem = Problem(q, k, scale.item(), rules)
    grad = grad.to(problem.q.dtype).contiguous()
    grad_q = problem.q.new_empty(q.shape)
    grad_k = problem.q.new_empty(k.shape if key_gradient else 0)
    arguments = (problem.native, bias.item(), native.threads(), norms, grad, grad_q, grad_k)
    slopes = problem.kernel("sigmoid_backward")(*arguments)
    d_scale, d_bias = scale.new_full((), slopes[0]), bias.new_full((), slopes[1])
    return grad_q.to(q.dtype), grad_k.to(k.dtype), d_scale, d_bias
