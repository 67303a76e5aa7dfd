"""The operators `masked_loss` and `masked_loss_backward`: losses over hidden values."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends import dispatch, registration
from tsssl_fast.backends.precision import widest
from tsssl_fast.ops.masking import spec
from tsssl_fast.ops.masking.reference import loss as reference


def _fake(pred: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    shape = (len(pred),) if rest[-2] == spec.Reduction.NONE else ()
    value = pred.new_empty(shape, dtype=spec.compute_dtype(pred.dtype))
    return value, pred.new_empty((2, *(shape or (1,))), dtype=widest(pred))


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    pred, target, hidden, weight, *ctx.options, backend = inputs
    ctx.backend = dispatch.requested(backend)
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(output[1], pred, target, hidden, weight)


def _differentiate(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    gp, gw = _backward(grad, *ctx.saved_tensors, *ctx.options, ctx.backend)
    needs = ctx.needs_input_grad
    return gp, -gp if needs[1] else None, None, gw if needs[3] else None, *(None,) * 4


def _run_backward(*args: Any) -> tuple[Tensor, Tensor]:
    *given, _, backend = args  # the reduction is in what was saved
    found: tuple[Tensor, Tensor] = dispatch.run("masked_loss_backward", *given, backend)
    return found


def _backward_fake(grad: Tensor, saved: Tensor, pred: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    weight = rest[2]
    gw = pred.new_empty(0) if weight is None else weight.new_empty(weight.shape)
    return pred.new_empty(pred.shape), gw


def _define_backward(
    grad: Tensor,
    saved: Tensor,
    pred: Tensor,
    target: Tensor,
    hidden: Tensor,
    weight: Tensor | None,
    kind: int,
    delta: float,
    reduction: int,
) -> tuple[Tensor, Tensor]:
    def loss(pred: Tensor, *weights: Tensor) -> Tensor:
        w = weights[0] if weights else None
        return reference.masked_loss(pred, target, hidden, w, kind, delta, reduction)[0]

    weights = () if weight is None else (weight,)
    gp, *gw = torch.func.vjp(loss, pred, *weights)[1](grad)
    return gp, gw[0] if gw else pred.new_zeros(0)


masked_loss = registration.define(
    "masked_loss(Tensor pred, Tensor target, Tensor hidden, Tensor? weight, int kind, float delta, "
    "int reduction, str backend) -> (Tensor, Tensor)",
    partial(dispatch.run, "masked_loss"),
    _fake,
    setup_context=_setup,
    backward=_differentiate,
    definition=lambda *args: (reference.masked_loss(*args)[0], None),
)
_backward = registration.define(
    "masked_loss_backward(Tensor grad, Tensor saved, Tensor pred, Tensor target, Tensor hidden, "
    "Tensor? weight, int kind, float delta, int reduction, str backend) -> (Tensor, Tensor)",
    _run_backward,
    _backward_fake,
    definition=_define_backward,
)
