"""`preprocess` on torch tensors, by the C++ kernels."""

import torch
from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.ops.preprocess import spec


def preprocess(x: Tensor, task: int, first: float, second: float, lengths: Tensor | None) -> Tensor:
    n, c, t = x.shape
    dtype = x.dtype
    x = x.to(spec.compute_dtype(dtype)).contiguous()
    out = torch.empty_like(x)
    module = native.module()
    kernel = module.preprocess_f32 if x.dtype == torch.float32 else module.preprocess_f64
    kernel(
        *(x, n, c, t, None if lengths is None else lengths.contiguous()),
        *(task, first, second, native.threads(), out),
    )
    return out.to(dtype)
