"""When the Triton kernels (triton_operators.py) can run."""

from collections.abc import Sequence

from torch import Tensor

from tsssl_fast.gpu.backend import TritonBackend, dtype_reasons
from tsssl_fast.ops.augment import spec


def _limits(op: str, tensors: Sequence[Tensor]) -> list[str]:
    return [] if op == "augment_sample" else dtype_reasons(tensors, spec.DTYPES)


BACKEND = TritonBackend(
    "tsssl_fast.ops.augment.triton_operators",
    ("augment", "augment_backward", "augment_sample"),
    _limits,
)
