"""`barlow_twins` on torch tensors, by the C++ kernels."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.cpp.calls import cast, rows_of, run_backward, run_forward
from tsssl_fast.ops.decorrelation.spec import Outputs


@lru_cache(64)
def _options(settings: tuple[float, ...], flags: int) -> Any:
    given, module = spec.BarlowTwinsSettings(*settings), native.module()
    on, off = (
        module.Term(factor=factor, weight=weight)
        for factor, weight in zip(given.factors, given.weights, strict=True)
    )
    return module.BarlowOptions(
        on=on,
        off=off,
        eps=given.eps,
        center=bool(flags & spec.CENTER),
        unbiased=bool(flags & spec.UNBIASED),
    )


def barlow_twins(z1: Tensor, z2: Tensor, settings: Sequence[float], flags: int) -> Outputs:
    n, dim = z1.shape
    rows = [rows_of(z1), rows_of(z2)]
    moments, shape = spec.BarlowTwinsMoments.size(dim), spec.second_moments(2, n, dim)
    options = _options(tuple(settings), flags)
    return run_forward("barlow_forward", rows, options, 2, moments, shape)


def barlow_twins_backward(
    grad_loss: Tensor | None,
    grad_terms: Tensor | None,
    z1: Tensor,
    z2: Tensor,
    moments: Tensor,
    second_moments: Tensor,
    settings: Sequence[float],
    flags: int,
) -> tuple[Tensor, Tensor]:
    rows = [rows_of(z1), rows_of(z2)]
    saved = (moments, second_moments, _options(tuple(settings), flags))
    grads = (grad_loss, grad_terms)
    first, second = cast(run_backward("barlow_backward", grads, rows, *saved), z1.dtype)
    return first, second
