"""`sigmoid_pairs`: the sigmoid loss over all pairs, with all its gradients."""

from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends import dispatch, registration
from tsssl_fast.backends.precision import CHOICES, fake_choice, saved_choice, torch_setting
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.reference.sides import rules_of
from tsssl_fast.ops.contrastive.reference.sigmoid import sigmoid_pairs as definition

_RULES = "Tensor? q_id, Tensor? k_id, Tensor? q_valid, Tensor? k_valid, bool normalize"


def sigmoid_pairs(
    q: Tensor,
    k: Tensor,
    scale: Tensor,
    bias: Tensor,
    q_id: Tensor | None,
    k_id: Tensor | None,
    q_valid: Tensor | None,
    k_valid: Tensor | None,
    normalize: bool,
    precision: str,
    backend: str,
) -> Tensor:
    """The (M,) losses of reference.sigmoid_pairs; arguments checked by the public function."""
    rules = (q_id, k_id, q_valid, k_valid, normalize)
    return _operator(q, k, scale, bias, *rules, precision, backend)[0]


def _forward(
    q: Tensor, k: Tensor, scale: Tensor, bias: Tensor, *rest: Any
) -> tuple[Tensor, Tensor, Tensor]:
    *rules, precision, backend = rest
    kernel = dispatch.select("sigmoid_pairs", (q, k), backend)
    choice = CHOICES[precision] if precision else torch_setting(q)
    return *kernel(q, k, scale, bias, rules_of(*rules), choice), saved_choice(fill_value=choice)


def _forward_fake(q: Tensor, k: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    like = q.new_empty(0, dtype=spec.compute_dtype(q.dtype))
    norms = like.new_empty(q.shape[0] + k.shape[0])
    return like.new_empty(q.shape[0]), norms, fake_choice()


def _backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    scale: Tensor,
    bias: Tensor,
    norms: Tensor,
    choice: Tensor,
    key_gradient: bool,
    *rest: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    *rules, backend = rest
    kernel = dispatch.select("sigmoid_pairs_backward", (q, k), backend)
    return kernel(grad, q, k, scale, bias, rules_of(*rules), norms, key_gradient, int(choice))


def _backward_fake(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    scale: Tensor,
    bias: Tensor,
    norms: Tensor,
    choice: Tensor,
    key_gradient: bool,
    *_: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    keys = k.shape if key_gradient else (0,)
    return q.new_empty(q.shape), k.new_empty(keys), scale.new_empty(()), bias.new_empty(())


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    q, k, scale, bias, *arrays, normalize, _, backend = inputs
    ctx.normalize, ctx.backend = normalize, dispatch.resolve(backend)
    ctx.mark_non_differentiable(*output[1:])
    ctx.save_for_backward(q, k, scale, bias, *output[1:], *arrays)


def _differentiate(ctx: Any, grad: Tensor, *_: Any) -> tuple[Any, ...]:
    q, k, scale, bias, norms, choice, *arrays = ctx.saved_tensors
    keys = ctx.needs_input_grad[1]
    dq, dk, d_scale, d_bias = _first_order(
        grad, q, k, scale, bias, norms, choice, keys, *arrays, ctx.normalize, ctx.backend
    )
    return dq, dk if keys else None, d_scale, d_bias, *[None] * 7


def _define(q: Tensor, k: Tensor, scale: Tensor, bias: Tensor, *rules: Any) -> tuple[Any, ...]:
    return definition(q, k, scale, bias, rules_of(*rules)), None, None


def _define_backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    scale: Tensor,
    bias: Tensor,
    norms: Tensor,
    choice: Tensor,
    key_gradient: bool,
    *rules: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    def rows(q: Tensor, k: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        return definition(q, k, scale, bias, rules_of(*rules))

    dq, dk, d_scale, d_bias = torch.func.vjp(rows, q, k, scale, bias)[1](grad)
    return dq, dk if key_gradient else k.new_empty(0), d_scale, d_bias


_operator = registration.define(
    f"sigmoid_pairs(Tensor q, Tensor k, Tensor scale, Tensor bias, {_RULES}, str precision, "
    "str backend) -> (Tensor, Tensor, Tensor)",
    _forward,
    _forward_fake,
    setup_context=_setup_context,
    backward=_differentiate,
    definition=_define,
)
_first_order = registration.define(
    "sigmoid_pairs_backward(Tensor grad, Tensor q, Tensor k, Tensor scale, Tensor bias, "
    f"Tensor norms, Tensor choice, bool key_gradient, {_RULES}, str backend) "
    "-> (Tensor, Tensor, Tensor, Tensor)",
    _backward,
    _backward_fake,
    definition=_define_backward,
)
