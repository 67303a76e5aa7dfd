"""`vicreg` on torch tensors, by the C++ kernels."""

from collections.abc import Sequence

from torch import Tensor

from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.cpp.calls import cast, rows_of, run_backward, run_forward
from tsssl_fast.ops.decorrelation.operators.terms import Outputs


def vicreg(z: Sequence[Tensor], settings: Sequence[float], flags: int) -> Outputs:
    views, (n, dim) = len(z), z[0].shape
    side = spec.side(n, dim)
    square = (views, side, side) if flags & spec.COVARIANCE else (0,)
    moments = spec.vicreg_moments(views, dim)
    return run_forward(
        "vicreg_forward", [rows_of(v) for v in z], settings, flags, 3, moments, square
    )


def vicreg_backward(
    grad_loss: Tensor | None,
    grad_terms: Tensor | None,
    z: Sequence[Tensor],
    moments: Tensor,
    square: Tensor,
    settings: Sequence[float],
    flags: int,
) -> list[Tensor]:
    rows = [rows_of(v) for v in z]
    saved = (moments, square, settings, flags)
    return cast(
        run_backward("vicreg_backward", 3, (grad_loss, grad_terms), rows, *saved), z[0].dtype
    )
