"""The Numba kernels of the masking as a backend."""

import torch

from tsssl_fast.backends.numba import availability
from tsssl_fast.ops.masking import spec
from tsssl_fast.ops.masking.numba import fill, loss, mask, tokens
from tsssl_fast.ops.masking.spec import Code, Fill, Reduction


def _warm() -> None:
    seed, keep = torch.zeros(4).long(), torch.zeros((1, 1)).long()
    hidden = mask.mask((1, 1, 2), seed, [int(Code.POINT), 1, 1, 0], 1, False, None)[0]
    for dtype in (torch.float32, torch.float64):
        x = torch.zeros((1, 1, 2), dtype=dtype)
        fill.mask_fill(x, hidden, int(Fill.ZERO), None, None, 0, None)
        fill.mask_fill_backward(x, hidden, True)
        _, saved = loss.masked_loss(x, x, hidden, x, 0, 1.0, int(Reduction.MEAN))
        loss.masked_loss_backward(x[0, 0, 0], saved, x, x, hidden, x, 0, 1.0)
        tokens.restore_tokens(tokens.gather_tokens(x, keep), keep, 1, None)
        tokens.restore_tokens_backward(x, keep)


BACKEND = availability.backend(spec.kernels(fill, loss, mask, tokens), spec.DTYPES, _warm)
