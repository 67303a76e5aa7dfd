"""The definition in plain torch of the augmentations as a backend."""

from collections.abc import Sequence

from torch import Tensor

from tsssl_fast.backends.dispatch import Backend
from tsssl_fast.ops.augment.reference.augment import backward, forward, sample


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    return []


BACKEND = Backend(
    "reference",
    kernels={"augment": forward, "augment_backward": backward, "augment_sample": sample},
    why_not=_why_not,
    devices=frozenset({"cpu", "cuda", "mps", "xpu", "meta"}),
)
