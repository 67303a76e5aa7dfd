"""`sigmoid_pairs` on torch tensors, by the C++ kernels."""

from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.ops.contrastive.cpp.sides import Sides
from tsssl_fast.ops.contrastive.rules import Rules


def sigmoid_forward(
    q: Tensor, k: Tensor, scale: Tensor, bias: Tensor, rules: Rules
) -> tuple[Tensor, Tensor]:
    sides = Sides(q, k, rules)
    norms = sides.q.new_empty(len(q) + len(k))
    loss = sides.q.new_empty(len(q))
    sides.kernel("sigmoid_forward")(
        *(*sides.tuples, q.shape[1], rules.normalize, scale.item(), bias.item()),
        *(native.threads(), norms.data_ptr(), norms[len(q) :].data_ptr(), loss.data_ptr()),
    )
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
    sides = Sides(q, k, rules)
    grad = grad.to(sides.q.dtype).contiguous()
    grad_q = sides.q.new_empty(q.shape)
    grad_k = sides.q.new_empty(k.shape if key_gradient else 0)
    slopes = sides.kernel("sigmoid_backward")(
        *(*sides.tuples, q.shape[1], rules.normalize, scale.item(), bias.item()),
        *(native.threads(), norms.data_ptr(), norms[len(q) :].data_ptr(), grad.data_ptr()),
        *(grad_q.data_ptr(), grad_k.data_ptr() if key_gradient else 0),
    )
    d_scale, d_bias = scale.new_full((), slopes[0]), bias.new_full((), slopes[1])
    return grad_q.to(q.dtype), grad_k.to(k.dtype), d_scale, d_bias
