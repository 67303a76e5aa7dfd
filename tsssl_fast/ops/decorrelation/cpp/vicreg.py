"""`vicreg` on torch tensors, by the C++ kernels."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.cpp.calls import cast, rows_of, run_backward, run_forward
from tsssl_fast.ops.decorrelation.spec import Outputs

_TERMS = {
    "invariance": spec.INVARIANCE,
    "variance": spec.VARIANCE,
    "covariance": spec.COVARIANCE,
}


@lru_cache(64)
def _options(settings: tuple[float, ...], flags: int) -> Any:
    """The kernel's options; making them takes longer than the kernel at 16 x 16."""
    given, module = spec.VICRegSettings(*settings), native.module()
    terms = zip(_TERMS.items(), given.factors, given.weights, strict=True)
    return module.VicregOptions(
        **{
            name: module.VicregTerm(factor=factor, weight=weight, computed=bool(flags & flag))
            for (name, flag), factor, weight in terms
        },
        gamma=given.gamma,
        eps=given.eps,
        correlation=bool(flags & spec.CORRELATION),
    )


def vicreg(z: Sequence[Tensor], settings: Sequence[float], flags: int) -> Outputs:
    views, (n, dim) = len(z), z[0].shape
    shape = spec.second_moments(views, n, dim) if flags & spec.COVARIANCE else (0,)
    rows, moments = [rows_of(v) for v in z], spec.VICRegMoments.size(views, dim)
    options = _options(tuple(settings), flags)
    return run_forward("vicreg_forward", rows, options, 3, moments, shape)


def vicreg_backward(
    grad_loss: Tensor | None,
    grad_terms: Tensor | None,
    z: Sequence[Tensor],
    moments: Tensor,
    second_moments: Tensor,
    settings: Sequence[float],
    flags: int,
) -> list[Tensor]:
    rows = [rows_of(v) for v in z]
    saved = (moments, second_moments, _options(tuple(settings), flags))
    gradients = run_backward("vicreg_backward", (grad_loss, grad_terms), rows, *saved)
    return cast(gradients, z[0].dtype)
