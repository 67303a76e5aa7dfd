"""The C++ kernels of the augmentations as a backend."""

from collections.abc import Sequence

from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.backends.dispatch import Backend
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.cpp.augment import backward, forward, sample


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    why = list(native.why_not())
    if op != "augment_sample" and tensors and tensors[0].dtype not in spec.DTYPES:
        why.append(f"dtype={tensors[0].dtype} (supported: {', '.join(map(str, spec.DTYPES))})")
    return why


BACKEND = Backend(
    "cpp",
    kernels={"augment": forward, "augment_backward": backward, "augment_sample": sample},
    why_not=_why_not,
    devices=frozenset({"cpu"}),
)
