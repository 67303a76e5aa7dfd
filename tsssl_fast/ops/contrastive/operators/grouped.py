"""`grouped_nt_xent`: many small NT-Xent problems in one launch."""

from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends import dispatch, registration
from tsssl_fast.backends.precision import CHOICES, fake_choice, saved_choice, torch_setting
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.operators.nt_xent import backward_fake
from tsssl_fast.ops.contrastive.reference.grouped import grouped_nt_xent as definition


def _forward(z1: Tensor, z2: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    lengths, temperature, normalize, precision, backend = rest
    kernel = dispatch.select("grouped_nt_xent", (z1, z2), backend)
    choice = CHOICES[precision] if precision else torch_setting(z1)
    found = kernel(z1, z2, lengths, float(temperature), normalize, choice)
    return *found, saved_choice(fill_value=choice)


def _forward_fake(z1: Tensor, z2: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    size = (z1.shape[0], 2 * z1.shape[1])
    loss = z1.new_empty(size, dtype=spec.compute_dtype(z1.dtype))
    return loss, loss.new_empty((len(spec.NT_XENT_ROWS), *size)), fake_choice()


def _backward(
    grad: Tensor, z1: Tensor, z2: Tensor, saved: Tensor, choice: Tensor, *rest: Any
) -> tuple[Tensor, Tensor]:
    lengths, temperature, normalize, backend = rest
    kernel = dispatch.select("grouped_nt_xent_backward", (z1, z2, grad), backend)
    return kernel(grad, z1, z2, saved, lengths, float(temperature), normalize, int(choice))


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    z1, z2, lengths, ctx.temperature, ctx.normalize, _, backend = inputs
    ctx.backend = dispatch.resolve(backend)
    ctx.mark_non_differentiable(*output[1:])
    ctx.save_for_backward(z1, z2, *output[1:], lengths)


def _differentiate(ctx: Any, grad: Tensor, *_: Any) -> tuple[Any, ...]:
    rest = (ctx.temperature, ctx.normalize, ctx.backend)
    g1, g2 = _first_order(grad, *ctx.saved_tensors, *rest)
    return g1, g2, *(None,) * 5


def _define(*args: Any) -> tuple[Any, ...]:
    return definition(*args), None, None


def _define_backward(
    grad: Tensor, z1: Tensor, z2: Tensor, saved: Tensor, choice: Tensor, *rest: Any
) -> tuple[Tensor, Tensor]:
    g1, g2 = torch.func.vjp(lambda *views: definition(*views, *rest), z1, z2)[1](grad)
    return g1, g2


_OPTIONS = "Tensor? lengths, Scalar temperature, bool normalize"

grouped_nt_xent = registration.define(
    f"grouped_nt_xent(Tensor z1, Tensor z2, {_OPTIONS}, str precision, str backend) "
    "-> (Tensor, Tensor, Tensor)",
    _forward,
    _forward_fake,
    setup_context=_setup_context,
    backward=_differentiate,
    definition=_define,
)
_first_order = registration.define(
    "grouped_nt_xent_backward(Tensor grad, Tensor z1, Tensor z2, Tensor saved, Tensor choice, "
    f"{_OPTIONS}, str backend) -> (Tensor, Tensor)",
    _backward,
    backward_fake,
    definition=_define_backward,
)
