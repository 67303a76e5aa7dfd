"""`nt_xent_bf16` on torch tensors, by the C++ kernels."""

from torch import Tensor

from tsssl_fast.ops.contrastive.cpp.nt_xent import nt_xent_backward, nt_xent_forward


def nt_xent_bf16_forward(
    z1: Tensor, z2: Tensor, temperature: float, reduction: str
) -> tuple[Tensor, Tensor]:
    return nt_xent_forward(z1, z2, temperature, reduction, False, "bf16")[:2]


def nt_xent_bf16_backward(
    grad: Tensor, z1: Tensor, z2: Tensor, saved: Tensor, temperature: float, reduction: str
) -> tuple[Tensor, Tensor]:
    none = saved.new_empty(0)
    return nt_xent_backward(grad, z1, z2, saved, none, temperature, reduction, "bf16")
