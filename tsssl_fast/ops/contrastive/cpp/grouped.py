"""`grouped_nt_xent` on torch tensors, by the C++ kernels."""

from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.cpp.calls import native_kernel, rows_of


def _groups(
    z1: Tensor, z2: Tensor, lengths: Tensor | None, temperature: float, normalize: bool
) -> object:
    groups, n, dim = z1.shape
    return native_kernel("GroupedViews", z1.dtype)(
        z1=z1.data_ptr(),
        z2=z2.data_ptr(),
        row_stride1=z1.stride(1),
        row_stride2=z2.stride(1),
        group_stride1=z1.stride(0),
        group_stride2=z2.stride(0),
        groups=groups,
        n=n,
        dim=dim,
        lengths=lengths,
        beta=1 / temperature,
        normalize=normalize,
    )


def grouped_forward(
    z1: Tensor, z2: Tensor, lengths: Tensor | None, temperature: float, normalize: bool
) -> tuple[Tensor, Tensor]:
    z1, z2 = rows_of(z1), rows_of(z2)
    size = (z1.shape[0], 2 * z1.shape[1])
    loss = z1.new_zeros(size)
    saved = z1.new_empty((len(spec.NT_XENT_ROWS), *size))
    arguments = _groups(z1, z2, lengths, temperature, normalize)
    kernel = native_kernel("grouped_forward", z1.dtype)
    kernel(arguments, native.threads(), loss, saved)
    return loss, saved


def grouped_backward(
    grad: Tensor,
    z1: Tensor,
    z2: Tensor,
    saved: Tensor,
    lengths: Tensor | None,
    temperature: float,
    normalize: bool,
) -> tuple[Tensor, Tensor]:
    dtype = z1.dtype
    z1, z2 = rows_of(z1), rows_of(z2)
    grad = grad.to(z1.dtype).contiguous()
    grad1, grad2 = z1.new_empty(z1.shape), z2.new_empty(z2.shape)
    arguments = _groups(z1, z2, lengths, temperature, normalize)
    native_kernel("grouped_backward", z1.dtype)(
        *(arguments, native.threads(), saved, grad, grad1, grad2)
    )
    return grad1.to(dtype), grad2.to(dtype)


def grouped_fused(
    z1: Tensor,
    z2: Tensor,
    lengths: Tensor | None,
    temperature: float,
    normalize: bool,
    weight: float,
    grad1: Tensor,
    grad2: Tensor,
) -> Tensor:
    """Gradients lie as the views do: strides are the same where a size is above 1."""
    loss = z1.new_empty(len(z1))
    native_kernel("grouped_fused", z1.dtype)(
        *(_groups(z1, z2, lengths, temperature, normalize), native.threads(), weight),
        *(loss, grad1.data_ptr(), grad2.data_ptr()),
    )
    return loss
