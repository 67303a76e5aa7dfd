"""`mask_fill` on torch tensors, by the C++ kernels."""

from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.common import random
from tsssl_fast.ops.masking import spec
from tsssl_fast.ops.masking.cpp.calls import native_kernel, ready, view_of


def mask_fill(x: Tensor, hidden: Tensor, kind: int, *rest: Any) -> Tensor:
    token, seed, view, sample_ids = rest
    dtype = x.dtype
    x = x.to(spec.compute_dtype(dtype)).contiguous()
    token = ready(token)
    out = torch.empty_like(x)
    native_kernel("mask_fill", x.dtype)(
        *(x, *view_of(hidden), x.shape, kind, token),
        *(None if seed is None else random.numbers(seed), sample_ids, view, native.threads(), out),
    )
    return out.to(dtype)


def mask_fill_backward(grad: Tensor, hidden: Tensor, token: bool) -> tuple[Tensor, Tensor]:
    dtype = grad.dtype
    grad = grad.to(spec.compute_dtype(dtype)).contiguous()
    gx, gt = torch.empty_like(grad), grad.new_empty(grad.shape[1] if token else 0)
    native_kernel("mask_fill_backward", grad.dtype)(
        *(grad, *view_of(hidden), grad.shape, native.threads(), gx),
        gt if token else None,
    )
    return gx.to(dtype), gt.to(dtype)
