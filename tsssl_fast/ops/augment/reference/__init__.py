"""The definition in plain torch of the augmentations as a backend."""

from tsssl_fast.backends import dispatch
from tsssl_fast.ops.augment.reference.augment import backward, forward, sample

BACKEND = dispatch.reference(
    {"augment": forward, "augment_backward": backward, "augment_sample": sample}, "mps"
)
