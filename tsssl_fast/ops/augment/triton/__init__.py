"""The Triton kernels of the augmentations as a backend."""

from collections.abc import Sequence

from torch import Tensor

from tsssl_fast.backends.triton.availability import TritonBackend, dtype_reasons
from tsssl_fast.ops.augment import spec


def _limits(op: str, tensors: Sequence[Tensor]) -> list[str]:
    return [] if op == "augment_sample" else dtype_reasons(tensors, spec.DTYPES)


BACKEND = TritonBackend(
    __name__,
    {"augment": ("augment", "augment_backward", "augment_sample")},
    _limits,
)
