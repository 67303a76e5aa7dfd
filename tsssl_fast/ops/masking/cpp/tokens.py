"""`gather_tokens` and `restore_tokens` on torch tensors, by the C++ kernels."""

from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.ops.masking import spec
from tsssl_fast.ops.masking.cpp.calls import address, native_kernel


def gather(x: Tensor, keep: Tensor) -> Tensor:
    x, keep = x.contiguous(), keep.contiguous()
    n, length, d = x.shape
    out = x.new_empty((*keep.shape, d))
    native.module().gather_tokens(
        *(x.data_ptr(), keep.data_ptr(), n, length, keep.shape[1], d * x.element_size()),
        *(native.threads(), out.data_ptr()),
    )
    return out


def restore(visible: Tensor, keep: Tensor, length: int, token: Tensor | None) -> Tensor:
    visible, keep = visible.contiguous(), keep.contiguous()
    token = None if token is None else token.contiguous()
    n, k, d = visible.shape
    out = visible.new_empty((n, length, d))
    native.module().restore_tokens(
        *(visible.data_ptr(), keep.data_ptr(), n, length, k, d * visible.element_size()),
        *(address(token), native.threads(), out.data_ptr()),
    )
    return out


def restore_backward(grad: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
    wide, keep = grad.to(spec.compute_dtype(grad.dtype)).contiguous(), keep.contiguous()
    gt = wide.new_empty(grad.shape[2])
    native_kernel("token_gradient", wide.dtype)(
        *(wide.data_ptr(), keep.data_ptr(), wide.shape, keep.shape[1], native.threads()),
        gt.data_ptr(),
    )
    return gather(grad, keep), gt.to(grad.dtype)
