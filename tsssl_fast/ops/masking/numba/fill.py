"""`mask_fill` by the Numba kernels."""

from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends.numba import arrays, launching
from tsssl_fast.ops.masking import spec
from tsssl_fast.ops.masking.numba.calls import identities, key, words
from tsssl_fast.ops.masking.numba.kernels import fill as kernels
from tsssl_fast.ops.masking.numba.kernels.mask import PARTIALS, TASK_ELEMENTS
from tsssl_fast.ops.masking.numba.loss import added


def mask_fill(x: Tensor, hidden: Tensor, kind: int, *rest: Any) -> Tensor:
    token, seed, view, sample_ids = rest
    dtype = x.dtype
    x = x.to(spec.compute_dtype(dtype)).contiguous()
    token = x.new_empty(0) if token is None else token.to(x.dtype)
    out = torch.empty_like(x)
    threads = launching.threads(x.numel() // TASK_ELEMENTS)
    partial = torch.empty((threads, PARTIALS), dtype=torch.float64)
    launching.run(
        *(kernels.fill, threads, arrays.array(x), arrays.flags(hidden), kind, arrays.array(token)),
        *(key(seed), identities(len(x), sample_ids), view, words(threads, x.shape[2])),
        *(arrays.array(partial), arrays.array(out)),
    )
    return out.to(dtype)


def mask_fill_backward(grad: Tensor, hidden: Tensor, token: bool) -> tuple[Tensor, Tensor]:
    dtype = grad.dtype
    grad = grad.to(spec.compute_dtype(dtype)).contiguous()
    gx, sums = torch.empty_like(grad), torch.empty(grad.shape[:2], dtype=torch.float64)
    launching.run(
        *(kernels.fill_backward, launching.threads(grad.numel() // TASK_ELEMENTS)),
        *(arrays.array(grad), arrays.flags(hidden), arrays.array(gx), arrays.array(sums)),
    )
    gt = added(sums) if token else grad.new_empty(0)
    return gx.to(dtype), gt.to(grad.dtype).to(dtype)
