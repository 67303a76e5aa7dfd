"""The C++ kernels (csrc/kernels/preprocess.cpp) on torch tensors."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tsssl_fast import _native
from tsssl_fast.dispatch import Backend
from tsssl_fast.ops.preprocess import spec


def _preprocess(
    x: Tensor, task: int, first: float, second: float, lengths: Tensor | None
) -> Tensor:
    n, c, t = x.shape
    dtype = x.dtype
    x = x.to(spec.compute_dtype(dtype)).contiguous()
    out = torch.empty_like(x)
    module = _native.module()
    kernel = module.preprocess_f32 if x.dtype == torch.float32 else module.preprocess_f64
    kernel(
        *(x.data_ptr(), n * c, c, t, 0 if lengths is None else lengths.data_ptr()),
        *(task, first, second, _native.threads(), out.data_ptr()),
    )
    return out.to(dtype)


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    why = list(_native.why_not())
    dtypes = {x.dtype for x in tensors} - set(spec.DTYPES)
    if dtypes:
        names = ", ".join(sorted(map(str, dtypes)))
        why.append(f"dtype={names} (supported: {', '.join(map(str, spec.DTYPES))})")
    return why


BACKEND = Backend(
    "cpp",
    kernels={"preprocess": _preprocess},
    why_not=_why_not,
    devices=frozenset({"cpu"}),
)
