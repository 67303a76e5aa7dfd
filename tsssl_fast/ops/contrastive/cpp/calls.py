"""Common to the calls of the C++ kernels: kernels by dtype, rows, identifiers."""

from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.ops.contrastive import spec

SUFFIX = {torch.float32: "f32", torch.float64: "f64"}
BITS = native.BITS
_SHORT = frozenset({torch.int8, torch.uint8, torch.int16, torch.int32})


def native_kernel(name: str, dtype: torch.dtype) -> Any:
    return getattr(native.module(), f"{name}_{SUFFIX[dtype]}")


def rows_of(z: Tensor) -> Tensor:
    """In the kernel's dtype, columns contiguous; rows may be strided."""
    if z.dtype not in SUFFIX:
        z = z.to(spec.compute_dtype(z.dtype))
    return z if z.stride(-1) == 1 or z.shape[-1] == 1 else z.contiguous()


def codes_of(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Identifiers as int32: themselves where they fit, else their rank."""
    both = a if b is a else torch.cat([a, b])
    if both.dtype not in _SHORT:
        low, high = torch.aminmax(both)
        if low.item() < -(2**31) or high.item() >= 2**31:
            both = torch.unique(both, return_inverse=True)[1]
    both = both.to(torch.int32).contiguous()
    return (both, both) if b is a else (both[: a.shape[0]], both[-b.shape[0] :])
