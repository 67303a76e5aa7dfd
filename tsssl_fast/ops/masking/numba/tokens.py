"""`gather_tokens` and `restore_tokens` by the Numba kernels."""

from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends.numba import arrays, launching
from tsssl_fast.ops.masking import spec
from tsssl_fast.ops.masking.numba.kernels import tokens
from tsssl_fast.ops.masking.numba.kernels.mask import TASK_ELEMENTS
from tsssl_fast.ops.masking.numba.loss import added


def _bits(x: Tensor) -> Any:
    """As int16, which numpy has where it lacks bfloat16; one type for all dtypes."""
    return arrays.array(x.detach().contiguous().view(torch.int16))


def gather_tokens(x: Tensor, keep: Tensor) -> Tensor:
    out = x.new_empty((*keep.shape, x.shape[2]))
    threads = launching.threads(out.numel() // TASK_ELEMENTS)
    launching.run(tokens.gather, threads, _bits(x), arrays.array(keep), _bits(out))
    return out


def restore_tokens(visible: Tensor, keep: Tensor, length: int, token: Tensor | None) -> Tensor:
    n, _, d = visible.shape
    out = visible.new_empty((n, length, d))
    token = visible.new_zeros(d) if token is None else token
    threads = launching.threads(out.numel() // TASK_ELEMENTS)
    arguments = (_bits(visible), arrays.array(keep), _bits(token), _bits(out))
    launching.run(tokens.restore, threads, *arguments)
    return out


def restore_tokens_backward(grad: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
    wide = grad.to(spec.compute_dtype(grad.dtype))
    sums = torch.empty((len(grad), grad.shape[2]), dtype=torch.float64)
    threads = launching.threads(grad.numel() // TASK_ELEMENTS)
    arguments = (arrays.array(wide), arrays.array(keep), arrays.array(sums))
    launching.run(tokens.token_gradient, threads, *arguments)
    return gather_tokens(grad, keep), added(sums).to(wide.dtype).to(grad.dtype)
