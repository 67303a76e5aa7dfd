"""The definition in plain torch of the masking as a backend."""

from collections.abc import Sequence

from torch import Tensor

from tsssl_fast.backends.dispatch import Backend
from tsssl_fast.ops.masking.reference.fill import fill, fill_backward
from tsssl_fast.ops.masking.reference.loss import loss, loss_backward
from tsssl_fast.ops.masking.reference.mask import mask
from tsssl_fast.ops.masking.reference.tokens import gather, restore, restore_backward


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    return []


BACKEND = Backend(
    "reference",
    kernels={
        "mask": mask,
        "mask_fill": fill,
        "mask_fill_backward": fill_backward,
        "masked_loss": loss,
        "masked_loss_backward": loss_backward,
        "gather_tokens": gather,
        "restore_tokens": restore,
        "restore_tokens_backward": restore_backward,
    },
    why_not=_why_not,
    devices=frozenset({"cpu", "cuda", "xpu", "meta"}),
)
