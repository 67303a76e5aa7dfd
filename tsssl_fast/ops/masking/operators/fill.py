"""The operators `mask_fill` and `mask_fill_backward`: what stands in hidden places."""

from typing import Any

from torch import Tensor

from tsssl_fast.backends import dispatch, registration
from tsssl_fast.ops.masking.operators.mask import OPS, present
from tsssl_fast.ops.masking.spec import Fill


def _fill(
    x: Tensor,
    mask: Tensor,
    kind: int,
    token: Tensor | None,
    seed: Tensor | None,
    view: int,
    sample_ids: Tensor | None,
    backend: str,
) -> Tensor:
    kernel = dispatch.select("mask_fill", present(x, mask, token), backend)
    return kernel(x, mask, kind, token, seed, view, sample_ids)


def _fill_fake(x: Tensor, *_: Any) -> Tensor:
    return x.new_empty(x.shape)


def _fill_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, mask, kind, *_, backend = inputs
    ctx.backend = dispatch.requested(backend)  # the backward runs where the forward was asked to
    ctx.token = kind == Fill.TOKEN
    ctx.save_for_backward(mask)


def _fill_differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (mask,) = ctx.saved_tensors
    gx, gt = _first_fill(grad, mask, ctx.token, ctx.backend)
    return (gx, None, None, gt if ctx.token else None, None, None, None, None)


def _fill_backward(grad: Tensor, mask: Tensor, token: bool, backend: str) -> tuple[Tensor, Tensor]:
    return dispatch.select("mask_fill_backward", (grad, mask), backend)(grad, mask, token)


def _fill_backward_fake(grad: Tensor, mask: Tensor, token: bool, *_: Any) -> tuple[Tensor, Tensor]:
    return grad.new_empty(grad.shape), grad.new_empty(grad.shape[1] if token else 0)


registration.define(
    "mask_fill(Tensor x, Tensor mask, int kind, Tensor? token, Tensor? seed, int view, "
    "Tensor? sample_ids, str backend) -> Tensor",
    _fill,
    _fill_fake,
    setup_context=_fill_setup,
    backward=_fill_differentiate,
)
registration.define(
    "mask_fill_backward(Tensor grad, Tensor mask, bool token, str backend) -> (Tensor, Tensor)",
    _fill_backward,
    _fill_backward_fake,
    backward=registration.no_second_derivative("mask_fill"),
)


mask_fill = registration.eager(OPS.mask_fill, _fill, _fill_setup, _fill_differentiate)
_first_fill = registration.first_order(OPS.mask_fill_backward, _fill_backward, "mask_fill")
