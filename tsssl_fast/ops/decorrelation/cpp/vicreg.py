"""`vicreg` on torch tensors, by the C++ kernels."""

from typing import Any

from tsssl_fast.backends import cpp as native
from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.cpp.calls import kernels

_TERMS = {
    "invariance": spec.INVARIANCE,
    "variance": spec.VARIANCE,
    "covariance": spec.COVARIANCE,
}


def _options(settings: tuple[float, ...], flags: int) -> Any:
    given, module = spec.VICRegSettings(*settings), native.module()
    terms = zip(_TERMS.items(), given.factors, given.weights, strict=True)
    return module.VicregOptions(
        **{
            name: module.VicregTerm(factor=factor, weight=weight, computed=bool(flags & flag))
            for (name, flag), factor, weight in terms
        },
        gamma=given.gamma,
        eps=given.eps,
        norm_eps=given.norm_eps,
        correlation=bool(flags & spec.CORRELATION),
    )


vicreg, vicreg_backward = kernels("vicreg", 3, _options, spec.VICRegMoments.sizes)
