"""`barlow_twins` on torch tensors, by the C++ kernels."""

from collections.abc import Sequence

from torch import Tensor

from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.cpp.calls import cast, rows_of, run_backward, run_forward
from tsssl_fast.ops.decorrelation.spec import Outputs


def barlow_twins(z1: Tensor, z2: Tensor, settings: Sequence[float], flags: int) -> Outputs:
    n, dim = z1.shape
    rows = [rows_of(z1), rows_of(z2)]
    moments, shape = spec.BarlowTwinsMoments.size(dim), spec.second_moments(2, n, dim)
    return run_forward("barlow_forward", rows, settings, flags, 2, moments, shape)


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
    saved = (moments, second_moments, settings, flags)
    first, second = cast(
        run_backward("barlow_backward", 2, (grad_loss, grad_terms), rows, *saved), z1.dtype
    )
    return first, second
