"""`nt_xent` on torch tensors, by the C++ kernels."""

import torch
from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.backends import dispatch
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.cpp.calls import BITS, SUFFIX, native_kernel, rows_of


def nt_xent_forward(
    z1: Tensor, z2: Tensor, temperature: float, reduction: str, keep: bool, precision: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    n, dim = z1.shape
    bits = BITS[z1.dtype]
    if z1.dtype not in SUFFIX or z1.stride(1) != 1 or z2.stride(1) != 1:
        z1, z2 = rows_of(z1), rows_of(z2)
    if dispatch.watched() is not None:
        told = native_kernel("nt_xent_products", z1.dtype)
        dispatch.tell_products("nt_xent", told(n, dim, 1 / temperature, bits, precision))
    loss = z1.new_empty(2 * n if reduction == "none" else ())
    saved = z1.new_empty((len(spec.NT_XENT_ROWS), 2 * n))
    # The side of the square of exponentials that the kernel keeps, 0: none.
    side = native.C.nt_xent_saved_side(2 * n, dim) if keep else 0  # type: ignore[union-attr]
    # With a reduction the gradient is computed here, from exponentials in working memory.
    fused = side > 0 and reduction != "none"
    exponentials = z1.new_empty(0 if fused else side * side)
    gradients = z1.new_empty((2, n, dim) if fused else 0)
    getattr(native.C, f"nt_xent_forward_{SUFFIX[z1.dtype]}")(
        *(z1.data_ptr(), z1.stride(0), z2.data_ptr(), z2.stride(0), n, dim),
        *(1 / temperature, bits, precision, spec.REDUCTIONS.index(reduction)),
        torch.get_num_threads(),
        *(loss, saved, gradients if fused else exponentials),
    )
    return loss, saved, exponentials, gradients


def nt_xent_backward(
    grad: Tensor,
    z1: Tensor,
    z2: Tensor,
    saved: Tensor,
    exponentials: Tensor,
    temperature: float,
    reduction: str,
    precision: int,
) -> tuple[Tensor, Tensor]:
    n, dim = z1.shape
    dtype = z1.dtype
    z1, z2 = rows_of(z1), rows_of(z2)
    if grad.dtype != z1.dtype:
        grad = grad.to(z1.dtype)
    grad1, grad2 = z1.new_empty((n, dim)), z2.new_empty((n, dim))
    native_kernel("nt_xent_backward", z1.dtype)(
        *(z1.data_ptr(), z1.stride(0), z2.data_ptr(), z2.stride(0), n, dim),
        *(1 / temperature, BITS[dtype], precision, spec.REDUCTIONS.index(reduction)),
        native.threads(),
        *(saved, exponentials, grad.data_ptr(), grad.numel(), grad.stride(0) if grad.dim() else 0),
        *(grad1, grad2),
    )
    return (grad1, grad2) if dtype == z1.dtype else (grad1.to(dtype), grad2.to(dtype))
