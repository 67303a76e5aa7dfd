"""What the calls of the C++ kernels share."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.spec import Outputs

_SUFFIX = {torch.float32: "f32", torch.float64: "f64"}

# What torch charges for small calls, in microseconds: new_empty(shape) 3.1, empty_like 1.7,
# `to` the same dtype 1.4. The kernel itself takes 3 at 16 x 16.


def rows_of(z: Tensor) -> Tensor:
    """In the kernel's dtype, columns contiguous; rows may be strided."""
    if z.dtype not in _SUFFIX:
        z = z.to(spec.compute_dtype(z.dtype))
    return z if z.stride(1) == 1 or z.shape[1] == 1 else z.contiguous()


def _arguments(rows: Sequence[Tensor]) -> tuple[list[int], list[int], int, int, bool]:
    n, dim = rows[0].shape
    return [r.data_ptr() for r in rows], [r.stride(0) for r in rows], n, dim, spec.gram(n, dim)


def native_kernel(name: str, dtype: torch.dtype) -> Any:
    return getattr(native.module(), f"{name}_{_SUFFIX[dtype]}")


def run_forward(
    name: str,
    rows: Sequence[Tensor],
    options: Any,
    terms: int,
    moments: int,
    shape: Sequence[int],
) -> Outputs:
    first = rows[0]
    outputs = Outputs(
        first.new_empty(()),
        first.new_empty(terms),
        first.new_empty(moments, dtype=torch.float64),
        first.new_empty(shape),
    )
    native_kernel(name, first.dtype)(*_arguments(rows), options, native.threads(), *outputs)
    return outputs


def run_backward(
    name: str,
    grads: Sequence[Tensor | None],
    rows: Sequence[Tensor],
    moments: Tensor,
    second_moments: Tensor,
    options: Any,
) -> list[Tensor]:
    grads = [None if g is None else g.contiguous() for g in grads]
    gradients = [torch.empty_like(r, memory_format=torch.contiguous_format) for r in rows]
    native_kernel(name, second_moments.dtype)(
        *(*_arguments(rows), options, native.threads(), *grads, moments, second_moments, gradients)
    )
    return gradients


def cast(gradients: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
    return [g if g.dtype == dtype else g.to(dtype) for g in gradients]
