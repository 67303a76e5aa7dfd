"""The C++ kernels (csrc/kernels/contrastive.cpp) on torch tensors."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tsssl_fast import _native
from tsssl_fast.dispatch import Backend
from tsssl_fast.ops.contrastive import spec

_SUFFIX = {torch.float32: "f32", torch.float64: "f64"}


def _rows(z: Tensor) -> Tensor:
    """In the kernel's dtype, columns contiguous; rows may be strided."""
    z = z.to(spec.compute_dtype(z.dtype))
    return z if z.stride(1) == 1 or z.shape[1] == 1 else z.contiguous()


def _forward(z1: Tensor, z2: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    n, dim = z1.shape
    z1, z2 = _rows(z1), _rows(z2)
    loss = z1.new_empty(2 * n)
    saved = z1.new_empty((len(spec.NT_XENT_ROWS), 2 * n))
    kernel = getattr(_native.module(), f"nt_xent_forward_{_SUFFIX[z1.dtype]}")
    kernel(
        *(z1.data_ptr(), z1.stride(0), z2.data_ptr(), z2.stride(0), n, dim),
        *(1 / temperature, _native.threads(), loss.data_ptr(), saved.data_ptr()),
    )
    return loss, saved


def _backward(
    grad: Tensor, z1: Tensor, z2: Tensor, saved: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    n, dim = z1.shape
    dtype = z1.dtype
    z1, z2 = _rows(z1), _rows(z2)
    grad = grad.to(z1.dtype)
    grad1, grad2 = z1.new_empty((n, dim)), z2.new_empty((n, dim))
    kernel = getattr(_native.module(), f"nt_xent_backward_{_SUFFIX[z1.dtype]}")
    kernel(
        *(z1.data_ptr(), z1.stride(0), z2.data_ptr(), z2.stride(0), n, dim),
        *(1 / temperature, _native.threads(), saved.data_ptr()),
        *(grad.data_ptr(), grad.stride(0), grad1.data_ptr(), grad2.data_ptr()),
    )
    return grad1.to(dtype), grad2.to(dtype)


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    why = list(_native.why_not())
    dtypes = {t.dtype for t in tensors} - set(spec.DTYPES)
    if dtypes:
        names = ", ".join(sorted(map(str, dtypes)))
        why.append(f"dtype={names} (supported: {', '.join(map(str, spec.DTYPES))})")
    return why


BACKEND = Backend(
    "cpp",
    kernels={"nt_xent": _forward, "nt_xent_backward": _backward},
    why_not=_why_not,
    devices=frozenset({"cpu"}),
)
