"""The C++ kernels of the augmentations as a backend."""

from tsssl_fast.backends import cpp as native
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.cpp.augment import backward, forward, sample

BACKEND = native.backend(
    {"augment": forward, "augment_backward": backward, "augment_sample": sample}, spec.DTYPES
)
