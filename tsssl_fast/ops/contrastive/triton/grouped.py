"""`grouped_nt_xent` by the Triton kernels."""

import torch
from torch import Tensor

from tsssl_fast.ops.contrastive.triton.nt_xent import paired_backward, paired_forward


def grouped_nt_xent(
    z1: Tensor, z2: Tensor, lengths: Tensor | None, temperature: float, normalize: bool
) -> tuple[Tensor, Tensor]:
    return paired_forward(z1, z2, _all_lengths(z1, lengths), temperature, normalize)


def grouped_nt_xent_backward(
    grad: Tensor,
    z1: Tensor,
    z2: Tensor,
    saved: Tensor,
    lengths: Tensor | None,
    temperature: float,
    normalize: bool,
) -> tuple[Tensor, Tensor]:
    return paired_backward(grad, z1, z2, saved, _all_lengths(z1, lengths), temperature, normalize)


def _all_lengths(z: Tensor, lengths: Tensor | None) -> Tensor:
    if lengths is None:
        return torch.full((z.shape[0],), z.shape[1], device=z.device)
    return lengths.contiguous()
