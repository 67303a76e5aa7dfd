"""The operators `mask_fill` and `mask_fill_backward`: what stands in hidden places."""

from functools import partial
from typing import Any

from torch import Tensor

from tsssl_fast.backends import dispatch, registration
from tsssl_fast.ops.masking.spec import Fill


def _fake(x: Tensor, *_: Any) -> Tensor:
    return x.new_empty(x.shape)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, hidden, kind, *_, backend = inputs
    ctx.backend = dispatch.requested(backend)  # the backward runs where the forward was asked to
    ctx.token = kind == Fill.TOKEN
    ctx.save_for_backward(hidden)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (hidden,) = ctx.saved_tensors
    gx, gt = _backward(grad, hidden, ctx.token, ctx.backend)
    return gx, None, None, gt if ctx.token else None, *(None,) * 4


def _backward_fake(grad: Tensor, hidden: Tensor, token: bool, *_: Any) -> tuple[Tensor, Tensor]:
    return grad.new_empty(grad.shape), grad.new_empty(grad.shape[1] if token else 0)


mask_fill = registration.define(
    "mask_fill(Tensor x, Tensor hidden, int kind, Tensor? token, Tensor? seed, int view, "
    "Tensor? sample_ids, str backend) -> Tensor",
    partial(dispatch.run, "mask_fill"),
    _fake,
    setup_context=_setup,
    backward=_differentiate,
)
_backward = registration.define(
    "mask_fill_backward(Tensor grad, Tensor hidden, bool token, str backend) -> (Tensor, Tensor)",
    partial(dispatch.run, "mask_fill_backward"),
    _backward_fake,
    backward=registration.no_second_derivative("mask_fill"),
)
