"""`triplet`: the triplet loss on each row's hardest negative."""

from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends import dispatch, registration
from tsssl_fast.backends.precision import CHOICES, fake_choice, saved_choice, torch_setting
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.reference.sides import rules_of
from tsssl_fast.ops.contrastive.reference.triplet import triplet as definition
from tsssl_fast.ops.contrastive.rules import Rules

Outputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def triplet(
    z: Tensor,
    labels: Tensor,
    valid: Tensor | None,
    margin: float,
    normalize: bool,
    precision: str,
    backend: str,
) -> Tensor:
    """The (M,) losses of reference.triplet; arguments checked by the public function."""
    return _operator(z, labels, valid, margin, normalize, precision, backend)[0]


def _rules(labels: Tensor, valid: Tensor | None, normalize: bool) -> Rules:
    return rules_of(labels, labels, valid, valid, normalize)


def _forward(
    z: Tensor,
    labels: Tensor,
    valid: Tensor | None,
    margin: float,
    normalize: bool,
    precision: str,
    backend: str,
) -> Outputs:
    kernel = dispatch.select("triplet", (z,), backend)
    choice = CHOICES[precision] if precision else torch_setting(z)
    found = kernel(z, float(margin), _rules(labels, valid, normalize), choice)
    return *found, saved_choice(fill_value=choice)


def _forward_fake(z: Tensor, *_: Any) -> Outputs:
    m = z.shape[0]
    loss = z.new_empty(m, dtype=spec.compute_dtype(z.dtype))
    rows = loss.new_empty((len(spec.TRIPLET_ROWS), m))
    return loss, rows, loss.new_empty(m, dtype=torch.int32), loss.new_empty(m), fake_choice()


def _backward(
    grad: Tensor,
    z: Tensor,
    labels: Tensor,
    valid: Tensor | None,
    rows: Tensor,
    nearest: Tensor,
    norms: Tensor,
    choice: Tensor,
    margin: float,
    normalize: bool,
    backend: str,
) -> Tensor:
    kernel = dispatch.select("triplet_backward", (z,), backend)
    rules = _rules(labels, valid, normalize)
    return kernel(grad, z, float(margin), rules, rows, nearest, norms, int(choice))


def _backward_fake(grad: Tensor, z: Tensor, *_: Any) -> Tensor:
    return z.new_empty(z.shape)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    z, labels, valid, ctx.margin, ctx.normalize, _, backend = inputs
    ctx.backend = dispatch.resolve(backend)
    ctx.mark_non_differentiable(*output[1:])
    ctx.save_for_backward(z, labels, valid, *output[1:])


def _differentiate(ctx: Any, grad: Tensor, *_: Any) -> tuple[Any, ...]:
    saved = ctx.saved_tensors
    dz = _first_order(grad, *saved, ctx.margin, ctx.normalize, ctx.backend)
    return dz, *[None] * 6


def _define(
    z: Tensor, labels: Tensor, valid: Tensor | None, margin: float, normalize: bool
) -> tuple[Any, ...]:
    return definition(z, margin, _rules(labels, valid, normalize)), *(None,) * 4


def _define_backward(
    grad: Tensor, z: Tensor, labels: Tensor, valid: Tensor | None, *rest: Any
) -> Tensor:
    *_, margin, normalize = rest
    rules = _rules(labels, valid, normalize)
    (dz,) = torch.func.vjp(lambda z: definition(z, margin, rules), z)[1](grad)
    return dz


_operator = registration.define(
    "triplet(Tensor z, Tensor labels, Tensor? valid, Scalar margin, bool normalize, "
    "str precision, str backend) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _forward,
    _forward_fake,
    setup_context=_setup_context,
    backward=_differentiate,
    definition=_define,
)
_first_order = registration.define(
    "triplet_backward(Tensor grad, Tensor z, Tensor labels, Tensor? valid, Tensor rows, "
    "Tensor nearest, Tensor norms, Tensor choice, Scalar margin, bool normalize, str backend) "
    "-> Tensor",
    _backward,
    _backward_fake,
    definition=_define_backward,
)
