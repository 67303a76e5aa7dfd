"""The operators `augment`, `augment_backward` and `augment_sample`."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends import dispatch, registration
from tsssl_fast.ops.augment.spec import Source


def _check_lengths(lengths: Tensor, shape: Sequence[int]) -> None:
    # Here and not in the public function: a compiled graph can not branch on values.
    low, high, steps = int(lengths.min()), int(lengths.max()), shape[-1]
    if not 1 <= low <= high <= steps:
        raise ValueError(f"lengths: {low} to {high}; accepted: 1 to T = {steps}")


def direct(x: Tensor, source: Source, views: int, backend: str) -> Tensor:
    """`augment`, past the dispatcher: of an x that is `registration.plain`."""
    if source.lengths is not None:
        _check_lengths(source.lengths, x.shape)
    kernel = dispatch.select("augment", (x,), backend)
    return kernel(x, source, views)


def _augment(x: Tensor, program: Tensor, seed: Tensor, views: int, *rest: Any) -> Tensor:
    *given, backend = rest
    return direct(x, Source(program, seed, *given), views, backend)


def _augment_fake(x: Tensor, program: Tensor, seed: Tensor, views: int, *_: Any) -> Tensor:
    return x.new_empty((views, *x.shape[-3:]))


def _backward(grad: Tensor, sum_views: bool, *source: Any) -> Tensor:
    *given, backend = source
    kernel = dispatch.select("augment_backward", (grad,), backend)
    return kernel(grad, Source(*given), sum_views)


def _backward_fake(grad: Tensor, sum_views: bool, *_: Any) -> Tensor:
    return grad.new_empty(grad.shape[1:] if sum_views else grad.shape)


def _sample(program: Tensor, seed: Tensor, views: int, shape: Sequence[int], *rest: Any) -> Tensor:
    *given, backend = rest
    source = Source(program, seed, *given)
    if source.lengths is not None:
        _check_lengths(source.lengths, shape)
    kernel = dispatch.select("augment_sample", (program,), backend)
    return kernel(source, views, shape)


def _sample_fake(
    program: Tensor, seed: Tensor, views: int, shape: Sequence[int], *_: Any
) -> Tensor:
    slots = torch.library.get_ctx().new_dynamic_size()
    return program.new_empty((views, shape[0], slots))


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, program, seed, _, *rest, backend = inputs
    ctx.backend = dispatch.resolve(backend)  # the backward runs where the forward was asked to
    ctx.sum_views = x.dim() == 3
    ctx.save_for_backward(program, seed, *rest)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    gx = _first_order(grad, ctx.sum_views, *ctx.saved_tensors, ctx.backend)
    return (gx, *(None,) * 7)


augment = registration.define(
    "augment(Tensor x, Tensor program, Tensor seed, int views, Tensor? sample_ids, "
    "Tensor? lengths, Tensor? parameters, str backend) -> Tensor",
    _augment,
    _augment_fake,
    setup_context=_setup_context,
    backward=_differentiate,
)
_first_order = registration.define(
    "augment_backward(Tensor grad, bool sum_views, Tensor program, Tensor seed, "
    "Tensor? sample_ids, Tensor? lengths, Tensor? parameters, str backend) -> Tensor",
    _backward,
    _backward_fake,
    backward=registration.no_second_derivative("augment"),
)
registration.define(
    "augment_sample(Tensor program, Tensor seed, int views, int[] shape, Tensor? sample_ids, "
    "Tensor? lengths, str backend) -> Tensor",
    _sample,
    _sample_fake,
)

# 11 of the 34 microseconds of a call at 1 x 3 x 64 were torch's way to the operator.
