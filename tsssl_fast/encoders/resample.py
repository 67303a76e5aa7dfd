"""Series of any length on a grid of so many steps."""

import torch
from torch import Tensor

from tsssl_fast.encoders import padding


def weights(given: int, steps: int, device: torch.device) -> Tensor:
    """(steps, given): row j is the weight of each step in step j of the result.

    Triangles around j (given - 1) / (steps - 1), first and last step on the ends. Half their base
    is the distance of two of them, at least one step: linear interpolation where the grid is finer,
    and where it is coarser a mean, so that what is faster than the grid does not fold back.
    """
    wide = torch.float32 if device.type == "mps" else torch.float64  # which MPS does not have
    distance = (given - 1) / max(1, steps - 1)
    places = torch.arange(steps, dtype=wide, device=device) * distance
    apart = torch.arange(given, dtype=wide, device=device) - places[:, None]
    triangle = (1.0 - apart.abs() / max(1.0, distance)).clamp(min=0.0)
    return triangle / triangle.sum(1, keepdim=True)


def resample(x: Tensor, steps: int, lengths: Tensor | None = None) -> Tensor:
    """(N, C, T) -> (N, C, steps), each series stretched by itself, in float64.

    lengths: (N,) int64 in 1 to T, of series that end before T; what comes after is not looked at.
    """
    if lengths is None:
        if x.shape[-1] == steps:
            return x
        # A product of matrices rounds as their sizes say: in float64 that is nothing in float32.
        w = weights(x.shape[-1], steps, x.device)
        return (x.to(w.dtype) @ w.T).to(x.dtype)
    y = x.new_empty(*x.shape[:-1], steps)
    for length in lengths.unique().tolist():
        rows = torch.nonzero(lengths == length)[:, 0]
        y[rows] = resample(x[rows, :, :length], steps)
    return y


def standardized(x: Tensor, lengths: Tensor | None = None) -> Tensor:
    """x (N, C, T) with mean 0 and deviation 1 of every channel of every series; 0 where it does
    not move, up to the rounding of its dtype, and beyond the lengths."""
    if lengths is None:
        count: Tensor | int = x.shape[-1]
    else:
        count, x = lengths[:, None, None], padding.hide(x, lengths)
    centred = padding.hide(x - x.sum(-1, keepdim=True) / count, lengths)
    # In units of its largest value: no square overflows or vanishes.
    unit = centred.abs().amax(-1, keepdim=True)
    moves = unit > 4 * torch.finfo(x.dtype).eps * x.abs().amax(-1, keepdim=True)
    share = centred / torch.where(moves, unit, 1.0)
    deviation = (share.square().sum(-1, keepdim=True) / count).sqrt()
    return torch.where(moves, share / torch.where(moves, deviation, 1.0), 0.0)
