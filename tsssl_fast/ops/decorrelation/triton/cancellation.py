"""Which arithmetic a view gets where float32 may cancel on the n side (README.md, "Cancellation").

The sums that decide are on the device. Both arithmetics are launched, and each one's kernels do
nothing where the other's run: the host never waits.
"""

import torch
from torch import Tensor

from tsssl_fast.ops.decorrelation import spec


def cancels(z: Tensor, off_diagonal: Tensor, diagonal: Tensor) -> Tensor | None:
    """Whether z needs float64, as a 0-d boolean; None: it never does."""
    n, dim = z.shape
    if not spec.cancels_in_float32(n, dim, z.dtype):
        return None
    return diagonal > spec.MAX_CANCELLATION * off_diagonal


def arithmetics(z: Tensor, wide: Tensor | None) -> list[tuple[torch.dtype, Tensor | None]]:
    """The dtypes to launch, each with where it is active; None: always."""
    if wide is None:
        return [(spec.compute_dtype(z.dtype), None)]
    return [(torch.float32, ~wide), (torch.float64, wide)]


def penalty(off_diagonal: Tensor) -> Tensor:
    """The difference of two sums: never negative by rounding, NaN stays."""
    return off_diagonal.clamp_min(0)
