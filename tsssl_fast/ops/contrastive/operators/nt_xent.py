"""NT-Xent of two views as one operator: the engine with row formula and reduction fused."""

from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends import dispatch, registration
from tsssl_fast.backends.precision import CHOICES, fake_choice, saved_choice, torch_setting
from tsssl_fast.common import checks
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.reference.nt_xent import nt_xent as definition

Outputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
_NONE = (None,) * 5


def _nt_xent(
    z1: Tensor,
    z2: Tensor,
    temperature: float,
    reduction: str,
    keep: bool,
    precision: str,
    backend: str,
) -> Outputs:
    kernel = dispatch.select("nt_xent", (z1, z2), backend)
    choice = CHOICES[precision] if precision else torch_setting(z1)
    return *kernel(z1, z2, temperature, reduction, keep, choice), saved_choice(fill_value=choice)


def _with_gradient(
    z1: Tensor,
    z2: Tensor,
    temperature: float,
    reduction: str,
    keep: bool,
    precision: str,
    backend: str,
) -> Outputs:
    """The same before a backward: keeps exponentials, or the gradients themselves. A traced
    operator does not, whose results may not depend on the backend."""
    kernel = dispatch.select("nt_xent", (z1, z2), backend)
    choice = CHOICES[precision] if precision else torch_setting(z1)
    found = kernel(z1, z2, temperature, reduction, True, choice)
    return *found, saved_choice(fill_value=choice)


def fake(z1: Tensor, z2: Tensor, temperature: float, reduction: str, *_: Any) -> Outputs:
    rows = 2 * z1.shape[0]
    like = z1.new_empty(0, dtype=spec.compute_dtype(z1.dtype))
    loss = like.new_empty(rows if reduction == "none" else ())
    saved = like.new_empty((len(spec.NT_XENT_ROWS), rows))
    return loss, saved, like, like.new_empty(0), fake_choice()


def _nt_xent_backward(
    grad: Tensor,
    z1: Tensor,
    z2: Tensor,
    saved: Tensor,
    exponentials: Tensor,
    gradients: Tensor,
    choice: Tensor,
    temperature: float,
    reduction: str,
    backend: str,
) -> tuple[Tensor, Tensor]:
    if gradients.numel():
        if gradients.shape != (2, *z1.shape):
            raise ValueError(
                f"gradients: shape {tuple(gradients.shape)}; accepted: {(2, *z1.shape)}"
            )
        return (gradients[0] * grad).to(z1.dtype), (gradients[1] * grad).to(z1.dtype)
    kernel = dispatch.select("nt_xent_backward", (z1, z2, grad), backend)
    return kernel(grad, z1, z2, saved, exponentials, temperature, reduction, int(choice))


def backward_fake(grad: Tensor, z1: Tensor, z2: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return z1.new_empty(z1.shape), z2.new_empty(z2.shape)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Outputs) -> None:
    z1, z2, ctx.temperature, ctx.reduction, _, _, backend = inputs
    # The backward runs where the forward was asked to.
    ctx.backend = backend or dispatch.resolve("")
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(False)  # else zeros as large as what is kept
    ctx.save_for_backward(z1, z2, *output[1:])


def _differentiate(ctx: Any, grad: Tensor | None, *_: Any) -> tuple[Any, ...]:
    if grad is None:
        return (None,) * 7
    z1, *saved, gradients, choice = ctx.saved_tensors
    if gradients.numel() and not torch.is_grad_enabled():
        # From the forward: nothing to compute, and no second operator to call.
        found = gradients * grad
        g1, g2 = (found if found.dtype == z1.dtype else found.to(z1.dtype)).unbind()
        return g1, g2, *_NONE
    rest = (ctx.temperature, ctx.reduction, ctx.backend)
    g1, g2 = _first_order(grad, z1, *saved, gradients, choice, *rest)
    return g1, g2, *_NONE


def _define(z1: Tensor, z2: Tensor, temperature: float, reduction: str, keep: bool) -> Any:
    return checks.reduce(definition(z1, z2, temperature), reduction), *(None,) * 4


def _define_backward(grad: Tensor, z1: Tensor, z2: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    *_, temperature, reduction = rest

    def loss(z1: Tensor, z2: Tensor) -> Tensor:
        return checks.reduce(definition(z1, z2, temperature), reduction)

    g1, g2 = torch.func.vjp(loss, z1, z2)[1](grad)
    return g1, g2


# loss: (2 N,), or one number; its arguments are checked by functional.nt_xent_loss. saved: the rows
# of spec.NT_XENT_ROWS. With `keep` a backend may keep for the backward, else both are empty:
# exponentials, (side * side,), with reduction "none"; with another, whose upstream gradient is one
# number, the gradients of both views for an upstream gradient of 1, (2, N, D). choice: what was
# allowed, for the backward.
nt_xent = registration.define(
    "nt_xent(Tensor z1, Tensor z2, Scalar temperature, str reduction, bool keep, str precision, "
    "str backend) "
    "-> (Tensor loss, Tensor saved, Tensor exponentials, Tensor gradients, Tensor choice)",
    _nt_xent,
    fake,
    setup_context=_setup_context,
    backward=_differentiate,
    differentiated=_with_gradient,
    definition=_define,
)
_first_order = registration.define(
    "nt_xent_backward(Tensor grad, Tensor z1, Tensor z2, Tensor saved, Tensor exponentials, "
    "Tensor gradients, Tensor choice, Scalar temperature, str reduction, str backend) "
    "-> (Tensor, Tensor)",
    _nt_xent_backward,
    backward_fake,
    definition=_define_backward,
)
