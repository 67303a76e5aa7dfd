"""NT-Xent with its matrix products in bfloat16: an operator of its own, for it has other backends
and keeps no exponentials."""

from typing import Any

from torch import Tensor

from tsssl_fast.backends import dispatch, registration
from tsssl_fast.ops.contrastive import spec


def nt_xent_bf16(
    z1: Tensor, z2: Tensor, temperature: float, reduction: str, backend: str
) -> Tensor:
    """The reduced loss; arguments checked by functional.nt_xent."""
    return _direct(z1, z2, temperature, reduction, backend)[0]


def _nt_xent_bf16(
    z1: Tensor, z2: Tensor, temperature: float, reduction: str, backend: str
) -> tuple[Tensor, Tensor]:
    kernel = dispatch.select("nt_xent_bf16", (z1, z2), backend)
    return kernel(z1, z2, temperature, reduction)


def _nt_xent_bf16_fake(
    z1: Tensor, z2: Tensor, temperature: float, reduction: str, backend: str
) -> tuple[Tensor, Tensor]:
    rows = 2 * z1.shape[0]
    like = z1.new_empty(0, dtype=spec.compute_dtype(z1.dtype))
    loss = like.new_empty(rows if reduction == "none" else ())
    return loss, like.new_empty((len(spec.NT_XENT_ROWS), rows))


def _nt_xent_bf16_backward(
    grad: Tensor,
    z1: Tensor,
    z2: Tensor,
    saved: Tensor,
    temperature: float,
    reduction: str,
    backend: str,
) -> tuple[Tensor, Tensor]:
    kernel = dispatch.select("nt_xent_bf16_backward", (z1, z2, grad), backend)
    return kernel(grad, z1, z2, saved, temperature, reduction)


def _nt_xent_bf16_backward_fake(
    grad: Tensor, z1: Tensor, z2: Tensor, saved: Tensor, *_: Any
) -> tuple[Tensor, Tensor]:
    return z1.new_empty(z1.shape), z2.new_empty(z2.shape)


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
    _nt_xent_bf16,
    _nt_xent_bf16_fake,
    setup_context=_setup_context,
    backward=_differentiate,
)
_first_order = registration.define(
    "nt_xent_bf16_backward(Tensor grad, Tensor z1, Tensor z2, Tensor saved, float temperature, "
    "str reduction, str backend) -> (Tensor, Tensor)",
    _nt_xent_bf16_backward,
    _nt_xent_bf16_backward_fake,
    backward=registration.no_second_derivative("nt_xent_bf16"),
)
