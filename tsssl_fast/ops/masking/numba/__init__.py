"""The Numba kernels of the masking as a backend; imported at the first call."""

import torch

from tsssl_fast.backends.dispatch import lazy_kernels
from tsssl_fast.backends.numba import availability
from tsssl_fast.ops.masking import spec
from tsssl_fast.ops.masking.spec import Code, Fill, Reduction


def _warm() -> None:
    run, seed, keep = BACKEND.kernels, torch.zeros(4).long(), torch.zeros((1, 1)).long()
    hidden = run["mask"]((1, 1, 2), seed, [int(Code.POINT), 1, 1, 0], 1, False, None)[0]
    for dtype in (torch.float32, torch.float64):
        x = torch.zeros((1, 1, 2), dtype=dtype)
        run["mask_fill"](x, hidden, int(Fill.ZERO), None, None, 0, None)
        run["mask_fill_backward"](x, hidden, True)
        _, saved = run["masked_loss"](x, x, hidden, x, 0, 1.0, int(Reduction.MEAN))
        run["masked_loss_backward"](x[0, 0, 0], saved, x, x, hidden, x, 0, 1.0)
        run["restore_tokens"](run["gather_tokens"](x, keep), keep, 1, None)
        run["restore_tokens_backward"](x, keep)


BACKEND = availability.backend(lazy_kernels(__name__, spec.FILES), spec.DTYPES, _warm)
