"""The Triton kernels of the augmentations as a backend."""

from tsssl_fast.backends.triton.availability import TritonBackend, dtype_reasons
from tsssl_fast.ops.augment import spec

BACKEND = TritonBackend(
    __name__,
    {"augment": ("augment", "augment_backward", "augment_sample")},
    lambda op, tensors: dtype_reasons(tensors, spec.DTYPES),
)
