"""`gather_tokens` and `restore_tokens` on torch tensors, by the C++ kernels."""

from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.ops.masking import spec
from tsssl_fast.ops.masking.cpp.calls import native_kernel


def gather_tokens(x: Tensor, keep: Tensor) -> Tensor:
    x, keep = x.contiguous(), keep.contiguous()
    n, length, d = x.shape
    out = x.new_empty((*keep.shape, d))
    native.module().gather_tokens(
        *(x, keep, n, length, keep.shape[1], d * x.element_size()),
        *(native.threads(), out),
    )
    return out


def restore_tokens(visible: Tensor, keep: Tensor, length: int, token: Tensor | None) -> Tensor:
    visible, keep = visible.contiguous(), keep.contiguous()
    token = None if token is None else token.contiguous()
    n, k, d = visible.shape
    out = visible.new_empty((n, length, d))
    native.module().restore_tokens(
        *(visible, keep, n, length, k, d * visible.element_size()),
        *(token, native.threads(), out),
    )
    return out


def restore_tokens_backward(grad: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
    wide, keep = grad.to(spec.compute_dtype(grad.dtype)).contiguous(), keep.contiguous()
    gt = wide.new_empty(grad.shape[2])
    native_kernel("token_gradient", wide.dtype)(
        *(wide, keep, wide.shape, keep.shape[1], native.threads()),
        gt,
    )
    return gather_tokens(grad, keep), gt.to(grad.dtype)
