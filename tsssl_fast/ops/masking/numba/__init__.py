"""The Numba kernels of the masking as a backend."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tsssl_fast.backends.dispatch import Backend
from tsssl_fast.backends.numba import availability
from tsssl_fast.ops.masking import spec
from tsssl_fast.ops.masking.numba.fill import fill, fill_backward
from tsssl_fast.ops.masking.numba.loss import loss, loss_backward
from tsssl_fast.ops.masking.numba.mask import draw_mask
from tsssl_fast.ops.masking.numba.tokens import gather, restore, restore_backward
from tsssl_fast.ops.masking.spec import Code, Fill, Reduction


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    return availability.why_not([t for t in tensors if t.is_floating_point()], spec.DTYPES)


def _warm() -> None:
    seed, keep = torch.zeros(4).long(), torch.zeros((1, 1)).long()
    mask = draw_mask((1, 1, 2), seed, [int(Code.POINT), 1, 1, 0], 1, False, None)[0]
    for dtype in (torch.float32, torch.float64):
        x = torch.zeros((1, 1, 2), dtype=dtype)
        fill(x, mask, int(Fill.ZERO), None, None, 0, None)
        fill_backward(x, mask, True)
        _, saved = loss(x, x, mask, x, 0, 1.0, int(Reduction.MEAN))
        loss_backward(x[0, 0, 0], saved, x, x, mask, x, 0, 1.0)
        restore(gather(x, keep), keep, 1, None)
        restore_backward(x, keep)


BACKEND = Backend(
    "numba",
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
    warm=_warm,
)
