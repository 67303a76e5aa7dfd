"""`vicreg` on torch tensors, by the C++ kernels."""

from collections.abc import Sequence

from torch import Tensor

from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.cpp.calls import cast, rows_of, run_backward, run_forward
from tsssl_fast.ops.decorrelation.spec import Outputs


def vicreg(z: Sequence[Tensor], settings: Sequence[float], flags: int) -> Outputs:
    views, (n, dim) = len(z), z[0].shape
    shape = spec.second_moments(views, n, dim) if flags & spec.COVARIANCE else (0,)
    rows, moments = [rows_of(v) for v in z], spec.VICRegMoments.size(views, dim)
    return run_forward("vicreg_forward", rows, settings, flags, 3, moments, shape)


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
    saved = (moments, second_moments, settings, flags)
    return cast(
        run_backward("vicreg_backward", 3, (grad_loss, grad_terms), rows, *saved), z[0].dtype
    )
