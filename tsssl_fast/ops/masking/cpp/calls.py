"""What the calls of the C++ kernels share: kernels by dtype, what they read."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.ops.masking import spec


def native_kernel(name: str, dtype: torch.dtype) -> Callable[..., Any]:
    suffix = "f32" if dtype == torch.float32 else "f64"
    kernel: Callable[..., Any] = getattr(native.module(), f"{name}_{suffix}")
    return kernel


def ready(x: Tensor | None) -> Tensor | None:
    """Contiguous, in the arithmetic's dtype."""
    return None if x is None else x.to(spec.compute_dtype(x.dtype)).contiguous()


def view_of(hidden: Tensor) -> tuple[int, tuple[int, ...]]:
    return hidden.data_ptr(), hidden.stride()
