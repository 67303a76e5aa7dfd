"""NT-Xent with its matrix products in bfloat16: an operator of its own, for it has other backends
and keeps no exponentials."""

from typing import Any

from torch import Tensor

from tsssl_fast.backends import dispatch, registration
from tsssl_fast.ops.contrastive.operators.nt_xent import backward_fake, fake


def nt_xent_bf16(
    z1: Tensor, z2: Tensor, temperature: float, reduction: str, backend: str
) -> Tensor:
    """The reduced loss; arguments checked by functional.nt_xent."""
    return _direct(z1, z2, temperature, reduction, backend)[0]


def _forward(z1: Tensor, z2: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    *given, backend = rest
    return dispatch.select("nt_xent_bf16", (z1, z2), backend)(z1, z2, *given)


def _forward_fake(*arguments: Any) -> tuple[Tensor, Tensor]:
    return fake(*arguments)[:2]


def _backward(grad: Tensor, z1: Tensor, z2: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    *given, backend = rest
    kernel = dispatch.select("nt_xent_bf16_backward", (z1, z2, grad), backend)
    return kernel(grad, z1, z2, *given)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    z1, z2, ctx.temperature, ctx.reduction, backend = inputs
    ctx.backend = dispatch.resolve(backend)  # the backward runs where the forward was asked to
    _, saved = output
    ctx.mark_non_differentiable(saved)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(z1, z2, saved)


def _differentiate(ctx: Any, grad: Tensor | None, *_: Any) -> tuple[Any, ...]:
    if grad is None:
        return (None,) * 5
    z1, z2, saved = ctx.saved_tensors
    g1, g2 = _first_order(grad, z1, z2, saved, ctx.temperature, ctx.reduction, ctx.backend)
    return g1, g2, None, None, None


_direct = registration.define(
    "nt_xent_bf16(Tensor z1, Tensor z2, float temperature, str reduction, str backend) "
    "-> (Tensor, Tensor)",
    _forward,
    _forward_fake,
    setup_context=_setup_context,
    backward=_differentiate,
)
_first_order = registration.define(
    "nt_xent_bf16_backward(Tensor grad, Tensor z1, Tensor z2, Tensor saved, float temperature, "
    "str reduction, str backend) -> (Tensor, Tensor)",
    _backward,
    backward_fake,
    backward=registration.no_second_derivative("nt_xent_bf16"),
)
