"""`barlow_twins` on torch tensors, by the C++ kernels."""

from typing import Any

from tsssl_fast.backends import cpp as native
from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.cpp.calls import kernels


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


barlow_twins, barlow_twins_backward = kernels("barlow", 2, _options, spec.BarlowTwinsMoments.sizes)
