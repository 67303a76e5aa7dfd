"""Padding that no layer sees: what a series of a padded batch meets is what it would meet alone.

Alone, a convolution finds zeros beyond the end of a series, at every layer. So beyond its length
a series is 0 before each convolution that looks ahead, and batch statistics leave padding out.
"""

import inspect
from typing import overload

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tsssl_fast.common import collectives


def check(lengths: Tensor, x: Tensor) -> Tensor:
    """lengths (N,) int64 on the device of x (N, C, T), each 1 to T.

    Raises TypeError for another kind, ValueError for another shape or range.
    """
    if not isinstance(lengths, Tensor) or lengths.dtype != torch.int64:
        given = getattr(lengths, "dtype", type(lengths).__name__)
        raise TypeError(f"lengths: {given}; accepted: an int64 tensor")
    if lengths.shape != (len(x),):
        raise ValueError(f"lengths: shape {tuple(lengths.shape)}; accepted: ({len(x)},), as x")
    if not torch.compiler.is_compiling() and bool(((lengths < 1) | (lengths > x.shape[-1])).any()):
        raise ValueError(
            f"lengths: {int(lengths.min())} to {int(lengths.max())}; accepted: 1 to T = "
            f"{x.shape[-1]}"
        )
    return lengths.to(x.device)


def takes_lengths(encoder: nn.Module) -> bool:
    """Whether `encoder(x, lengths)` is a call that the encoder knows."""
    return "lengths" in inspect.signature(encoder.forward).parameters


def inside(lengths: Tensor, steps: int) -> Tensor:
    """(N,) -> (N, steps) bool, True before the end of a series."""
    return torch.arange(steps, device=lengths.device) < lengths[:, None]


def over(x: Tensor, lengths: Tensor) -> Tensor:
    """`inside` for the last dimension of x (N, ..., steps), with ones between."""
    mask = inside(lengths, x.shape[-1])
    return mask.view(len(x), *(1,) * (x.dim() - 2), x.shape[-1])


def hide(x: Tensor, lengths: Tensor | None, value: float = 0.0) -> Tensor:
    """x (N, ..., steps) with `value` beyond the lengths, whatever stood there."""
    return x if lengths is None else torch.where(over(x, lengths), x, value)


@overload
def strided(lengths: Tensor, stride: int) -> Tensor: ...
@overload
def strided(lengths: Tensor | None, stride: int) -> Tensor | None: ...
def strided(lengths: Tensor | None, stride: int) -> Tensor | None:
    """ceil(lengths / stride), after a layer that takes every `stride`-th step from the first on."""
    return None if lengths is None else (lengths - 1) // stride + 1


def normalized(norm: _BatchNorm, x: Tensor, lengths: Tensor | None) -> Tensor:
    """`norm(x)`; in training, mean and variance over the steps before the end of each series; where
    `norm` takes those of several processes, of all their series.

    x: (N, C, 1, steps). Running statistics move as those of `nn.BatchNorm2d`.
    """
    y: Tensor
    if lengths is None or not norm.training:
        y = norm(x)
        return y
    wide, mask = x.float() if x.dtype != torch.float64 else x, over(x, lengths)

    def total(z: Tensor) -> Tensor:
        among = hasattr(norm, "process_group")
        return collectives.sum_alike(z, norm.process_group) if among else z

    count = total(lengths.sum())
    mean = total(torch.where(mask, wide, 0.0).sum((0, 2, 3), keepdim=True)) / count
    centred = wide - mean
    squares = torch.where(mask, centred, 0.0).square().sum((0, 2, 3), keepdim=True)
    variance = total(squares) / count
    _follow(norm, mean.detach().flatten(), variance.detach().flatten(), count)
    scale = norm.weight[:, None, None] * torch.rsqrt(variance + norm.eps)
    return (centred * scale + norm.bias[:, None, None]).to(x.dtype)


@torch.no_grad()
def _follow(norm: _BatchNorm, mean: Tensor, variance: Tensor, count: Tensor) -> None:
    """As `nn.BatchNorm2d` does: the running variance is that of a sample, over count - 1."""
    sample = variance * count / (count - 1).clamp(min=1)
    for moving, value in ((norm.running_mean, mean), (norm.running_var, sample)):
        assert moving is not None
        assert norm.momentum is not None
        moving.lerp_(value.to(moving.dtype), norm.momentum)
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
