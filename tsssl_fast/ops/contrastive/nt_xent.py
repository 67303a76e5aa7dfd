"""NT-Xent of two views as one operator: the engine with its row formula fused, for small
batches."""

from typing import Any

import torch
from torch import Tensor

from tsssl_fast import _library, dispatch
from tsssl_fast.ops.contrastive import spec


def _nt_xent(z1: Tensor, z2: Tensor, temperature: float, backend: str) -> tuple[Tensor, Tensor]:
    kernel = dispatch.select("nt_xent", (z1, z2), backend)
    return kernel(z1, z2, temperature)


def _nt_xent_fake(
    z1: Tensor, z2: Tensor, temperature: float, backend: str
) -> tuple[Tensor, Tensor]:
    rows = 2 * z1.shape[0]
    dtype = spec.compute_dtype(z1.dtype)
    return z1.new_empty(rows, dtype=dtype), z1.new_empty(
        (len(spec.NT_XENT_ROWS), rows), dtype=dtype
    )


def _nt_xent_backward(
    grad: Tensor, z1: Tensor, z2: Tensor, saved: Tensor, temperature: float, backend: str
) -> tuple[Tensor, Tensor]:
    kernel = dispatch.select("nt_xent_backward", (z1, z2, grad), backend)
    return kernel(grad, z1, z2, saved, temperature)


def _nt_xent_backward_fake(
    grad: Tensor, z1: Tensor, z2: Tensor, saved: Tensor, temperature: float, backend: str
) -> tuple[Tensor, Tensor]:
    return z1.new_empty(z1.shape), z2.new_empty(z2.shape)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    z1, z2, ctx.temperature, backend = inputs
    ctx.backend = dispatch.requested(backend)  # the backward runs where the forward was asked to
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(z1, z2, output[1])


def _differentiate(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor, Tensor, None, None]:
    z1, z2, saved = ctx.saved_tensors
    g1, g2 = _first_order(grad, z1, z2, saved, ctx.temperature, ctx.backend)
    return g1, g2, None, None


_library.define(
    "nt_xent(Tensor z1, Tensor z2, float temperature, str backend) -> (Tensor, Tensor)",
    _nt_xent,
    _nt_xent_fake,
    setup_context=_setup_context,
    backward=_differentiate,
)
_library.define(
    "nt_xent_backward(Tensor grad, Tensor z1, Tensor z2, Tensor saved, float temperature, "
    "str backend) -> (Tensor, Tensor)",
    _nt_xent_backward,
    _nt_xent_backward_fake,
    backward=_library.no_second_derivative("nt_xent"),
)

nt_xent = _library.eager(torch.ops.tsssl_fast.nt_xent, _nt_xent, _setup_context, _differentiate)
_first_order = _library.first_order(
    torch.ops.tsssl_fast.nt_xent_backward, _nt_xent_backward, "nt_xent"
)
