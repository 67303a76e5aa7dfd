"""The operators `masked_loss` and `masked_loss_backward`: losses over hidden values."""

from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends import dispatch, registration
from tsssl_fast.ops.masking import spec
from tsssl_fast.ops.masking.operators.mask import OPS, present


def _loss(
    pred: Tensor,
    target: Tensor,
    mask: Tensor,
    weight: Tensor | None,
    kind: int,
    delta: float,
    reduction: int,
    backend: str,
) -> tuple[Tensor, Tensor]:
    kernel = dispatch.select("masked_loss", present(pred, target, mask, weight), backend)
    return kernel(pred, target, mask, weight, kind, delta, reduction)


def _loss_fake(
    pred: Tensor, target: Tensor, mask: Tensor, weight: Any, kind: int, delta: float, reduction: int
) -> tuple[Tensor, Tensor]:
    rows = pred.shape[0] if reduction == spec.Reduction.NONE else 1
    shape = (rows,) if reduction == spec.Reduction.NONE else ()
    value = pred.new_empty(shape, dtype=spec.compute_dtype(pred.dtype))
    return value, pred.new_empty((2, rows), dtype=torch.float64)


def _loss_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    pred, target, mask, weight, kind, delta, _, backend = inputs
    ctx.backend = dispatch.requested(backend)
    ctx.kind, ctx.delta = kind, delta
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(output[1], pred, target, mask, weight)


def _loss_differentiate(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    saved, pred, target, mask, weight = ctx.saved_tensors
    gp, gw = _first_loss(grad, saved, pred, target, mask, weight, ctx.kind, ctx.delta, ctx.backend)
    needs = ctx.needs_input_grad
    return (gp, -gp if needs[1] else None, None, gw if needs[3] else None, *(None,) * 4)


def _loss_backward(
    grad: Tensor,
    saved: Tensor,
    pred: Tensor,
    target: Tensor,
    mask: Tensor,
    weight: Tensor | None,
    kind: int,
    delta: float,
    backend: str,
) -> tuple[Tensor, Tensor]:
    tensors = present(pred, target, mask, weight)
    kernel = dispatch.select("masked_loss_backward", tensors, backend)
    return kernel(grad, saved, pred, target, mask, weight, kind, delta)


def _loss_backward_fake(
    grad: Tensor,
    saved: Tensor,
    pred: Tensor,
    target: Any,
    mask: Any,
    weight: Tensor | None,
    *_: Any,
) -> tuple[Tensor, Tensor]:
    gw = pred.new_empty(0) if weight is None else weight.new_empty(weight.shape)
    return pred.new_empty(pred.shape), gw


registration.define(
    "masked_loss(Tensor pred, Tensor target, Tensor mask, Tensor? weight, int kind, float delta, "
    "int reduction, str backend) -> (Tensor, Tensor)",
    _loss,
    lambda *args: _loss_fake(*args[:7]),
    setup_context=_loss_setup,
    backward=_loss_differentiate,
)
registration.define(
    "masked_loss_backward(Tensor grad, Tensor saved, Tensor pred, Tensor target, Tensor mask, "
    "Tensor? weight, int kind, float delta, str backend) -> (Tensor, Tensor)",
    _loss_backward,
    _loss_backward_fake,
    backward=registration.no_second_derivative("masked_loss"),
)
masked_loss = registration.eager(OPS.masked_loss, _loss, _loss_setup, _loss_differentiate)
_first_loss = registration.first_order(OPS.masked_loss_backward, _loss_backward, "masked_loss")
