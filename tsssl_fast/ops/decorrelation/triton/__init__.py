"""The Triton kernels of the decorrelation losses as a backend."""

from collections.abc import Sequence

from torch import Tensor

from tsssl_fast.backends.triton.availability import TritonBackend, dtype_reasons, with_precision
from tsssl_fast.ops.decorrelation import spec


def _limits(op: str, tensors: Sequence[Tensor]) -> list[str]:
    return dtype_reasons(tensors, spec.DTYPES)


BACKEND = with_precision(
    TritonBackend(
        __name__,
        {
            "vicreg": ("vicreg", "vicreg_backward"),
            "barlow_twins": ("barlow_twins", "barlow_twins_backward"),
        },
        _limits,
    )
)
