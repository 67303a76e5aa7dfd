"""The definition in plain torch of the augmentations as a backend."""

from tsssl_fast.backends.dispatch import Backend
from tsssl_fast.ops.augment.reference.augment import backward, forward, sample

BACKEND = Backend(
    "reference",
    kernels={"augment": forward, "augment_backward": backward, "augment_sample": sample},
    why_not=lambda op, tensors: [],
    devices=frozenset({"cpu", "cuda", "mps", "xpu", "meta"}),
)
