"""Tensors as the arrays that Numba kernels take."""

import numpy as np
from torch import Tensor


def array(x: Tensor) -> np.ndarray:
    """The tensor's memory as an array; contiguous, so that every call has the same types."""
    x = x if x.is_contiguous() else x.contiguous()
    return (x.detach() if x.requires_grad else x).numpy()


def flags(x: Tensor | None) -> np.ndarray:
    """Booleans as bytes; empty for None."""
    return _NONE if x is None else array(x).view(np.uint8)


_NONE = np.empty(0, np.uint8)
