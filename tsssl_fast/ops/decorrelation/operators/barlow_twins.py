"""The operators `barlow_twins` and `barlow_twins_backward`."""

from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends import dispatch, registration
from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.operators.saved import (
    GRADS,
    OPTIONS,
    RESULT,
    SAVED,
    fake_outputs,
    pair_setup,
    watched,
)
from tsssl_fast.ops.decorrelation.spec import Outputs


def _barlow_twins(
    z1: Tensor, z2: Tensor, settings: list[float], flags: int, backend: str
) -> Outputs:
    kernel = dispatch.select("barlow_twins", (z1, z2), backend)
    return kernel(z1, z2, settings, flags)


def _barlow_twins_fake(
    z1: Tensor, z2: Tensor, settings: list[float], flags: int, backend: str
) -> Outputs:
    n, dim = z1.shape
    moments = spec.BarlowTwinsMoments.size(dim)
    return fake_outputs(z1, 2, moments, spec.second_moments(2, n, dim))


def _barlow_twins_backward(
    grad_loss: Tensor | None,
    grad_terms: Tensor | None,
    z1: Tensor,
    z2: Tensor,
    moments: Tensor,
    second_moments: Tensor,
    settings: list[float],
    flags: int,
    backend: str,
) -> tuple[Tensor, Tensor]:
    kernel = dispatch.select("barlow_twins_backward", (z1, z2), backend)
    return kernel(grad_loss, grad_terms, z1, z2, moments, second_moments, settings, flags)


def _barlow_twins_backward_fake(
    grad_loss: Tensor | None, grad_terms: Tensor | None, z1: Tensor, z2: Tensor, *rest: Any
) -> tuple[Tensor, Tensor]:
    return z1.new_empty(z1.shape), z2.new_empty(z2.shape)


def _barlow_differentiate(ctx: Any, *grads: Any) -> tuple[Any, ...]:
    op = torch.ops.tsssl_fast.barlow_twins_backward
    run = op if watched(*grads[:2]) else _barlow_twins_backward
    z1, z2, moments, second_moments = ctx.saved_tensors
    settings = (ctx.settings, ctx.flags, ctx.backend)
    gradients = run(grads[0], grads[1], z1, z2, moments, second_moments, *settings)
    return *gradients, None, None, None


barlow_twins = registration.define(
    f"barlow_twins(Tensor z1, Tensor z2, {OPTIONS}) -> {RESULT}",
    _barlow_twins,
    _barlow_twins_fake,
    setup_context=pair_setup,
    backward=_barlow_differentiate,
)
registration.define(
    f"barlow_twins_backward({GRADS}, Tensor z1, Tensor z2, {SAVED}, {OPTIONS}) -> (Tensor, Tensor)",
    _barlow_twins_backward,
    _barlow_twins_backward_fake,
    backward=registration.no_second_derivative("barlow_twins"),
)
