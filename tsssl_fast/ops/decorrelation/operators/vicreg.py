"""The operators `vicreg`, `vicreg_views` and `vicreg_backward`."""

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
    save,
    watched,
)
from tsssl_fast.ops.decorrelation.spec import Outputs


def _vicreg_views(z: list[Tensor], settings: list[float], flags: int, backend: str) -> Outputs:
    return dispatch.select("vicreg", z, backend)(z, settings, flags)


def _vicreg_views_fake(z: list[Tensor], settings: list[float], flags: int, backend: str) -> Outputs:
    views, (n, dim) = len(z), z[0].shape
    shape = spec.second_moments(views, n, dim) if flags & spec.COVARIANCE else (0,)
    return fake_outputs(z[0], 3, spec.VICRegMoments.size(views, dim), shape)


def _vicreg(z1: Tensor, z2: Tensor, settings: list[float], flags: int, backend: str) -> Outputs:
    return _vicreg_views([z1, z2], settings, flags, backend)


def _vicreg_fake(
    z1: Tensor, z2: Tensor, settings: list[float], flags: int, backend: str
) -> Outputs:
    return _vicreg_views_fake([z1, z2], settings, flags, backend)


def _vicreg_backward(
    grad_loss: Tensor | None,
    grad_terms: Tensor | None,
    z: list[Tensor],
    moments: Tensor,
    second_moments: Tensor,
    settings: list[float],
    flags: int,
    backend: str,
) -> list[Tensor]:
    kernel = dispatch.select("vicreg_backward", z, backend)
    return kernel(grad_loss, grad_terms, z, moments, second_moments, settings, flags)


def _vicreg_backward_fake(
    grad_loss: Tensor | None, grad_terms: Tensor | None, z: list[Tensor], *rest: Any
) -> list[Tensor]:
    return [v.new_empty(v.shape) for v in z]


def _vicreg_views_setup(ctx: Any, inputs: tuple[Any, ...], output: Outputs) -> None:
    z, settings, flags, backend = inputs
    save(ctx, z, settings, flags, backend, output)


def _vicreg_gradients(ctx: Any, grad_loss: Tensor | None, grad_terms: Tensor | None) -> Any:
    *z, moments, second_moments = ctx.saved_tensors
    run = (
        torch.ops.tsssl_fast.vicreg_backward if watched(grad_loss, grad_terms) else _vicreg_backward
    )
    options = (ctx.settings, ctx.flags, ctx.backend)
    return run(grad_loss, grad_terms, z, moments, second_moments, *options)


def _vicreg_views_differentiate(ctx: Any, *grads: Any) -> tuple[Any, ...]:
    return _vicreg_gradients(ctx, *grads[:2]), None, None, None


def _vicreg_differentiate(ctx: Any, *grads: Any) -> tuple[Any, ...]:
    return *_vicreg_gradients(ctx, *grads[:2]), None, None, None


vicreg = registration.define(
    f"vicreg(Tensor z1, Tensor z2, {OPTIONS}) -> {RESULT}",
    _vicreg,
    _vicreg_fake,
    setup_context=pair_setup,
    backward=_vicreg_differentiate,
)
registration.define(
    f"vicreg_views(Tensor[] z, {OPTIONS}) -> {RESULT}",
    _vicreg_views,
    _vicreg_views_fake,
    setup_context=_vicreg_views_setup,
    backward=_vicreg_views_differentiate,
)
registration.define(
    f"vicreg_backward({GRADS}, Tensor[] z, {SAVED}, {OPTIONS}) -> Tensor[]",
    _vicreg_backward,
    _vicreg_backward_fake,
    backward=registration.no_second_derivative("vicreg"),
)
