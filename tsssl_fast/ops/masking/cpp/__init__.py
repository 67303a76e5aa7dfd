"""The C++ kernels of the masking as a backend."""

from collections.abc import Sequence

from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.backends.dispatch import Backend
from tsssl_fast.ops.masking import spec
from tsssl_fast.ops.masking.cpp.fill import fill, fill_backward
from tsssl_fast.ops.masking.cpp.loss import loss, loss_backward
from tsssl_fast.ops.masking.cpp.mask import draw_mask
from tsssl_fast.ops.masking.cpp.tokens import gather, restore, restore_backward


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    why = list(native.why_not())
    dtypes = {x.dtype for x in tensors if x.is_floating_point()} - set(spec.DTYPES)
    if dtypes:
        names = ", ".join(sorted(map(str, dtypes)))
        why.append(f"dtype={names} (supported: {', '.join(map(str, spec.DTYPES))})")
    return why


BACKEND = Backend(
    "cpp",
    kernels={
        "mask": draw_mask,
        "mask_fill": fill,
        "mask_fill_backward": fill_backward,
        "masked_loss": loss,
        "masked_loss_backward": loss_backward,
        "gather_tokens": gather,
        "restore_tokens": restore,
        "restore_tokens_backward": restore_backward,
    },
    why_not=_why_not,
    devices=frozenset({"cpu"}),
)
