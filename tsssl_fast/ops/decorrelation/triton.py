"""When the Triton kernels (triton_operators.py) can run."""

from collections.abc import Sequence

from torch import Tensor

from tsssl_fast.gpu.backend import TritonBackend, dtype_reasons
from tsssl_fast.ops.decorrelation import spec


def _limits(op: str, tensors: Sequence[Tensor]) -> list[str]:
    return dtype_reasons(tensors, spec.DTYPES)


BACKEND = TritonBackend(
    "tsssl_fast.ops.decorrelation.triton_operators",
    ("vicreg", "vicreg_views", "vicreg_backward", "barlow_twins", "barlow_twins_backward"),
    _limits,
)
