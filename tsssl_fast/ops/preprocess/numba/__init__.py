"""The Numba kernels of the preprocessing as a backend; imported at the first call."""

import torch

from tsssl_fast.backends.dispatch import lazy_kernels
from tsssl_fast.backends.numba import availability
from tsssl_fast.ops.preprocess import spec
from tsssl_fast.ops.preprocess.spec import Task


def _warm() -> None:
    for dtype in (torch.float32, torch.float64):
        x = torch.zeros((1, 1, 1), dtype=dtype)
        BACKEND.kernels["preprocess"](x, int(Task.FILL_BOTH), 0.0, 0.0, None)


BACKEND = availability.backend(
    lazy_kernels(__name__, {"preprocess": ("preprocess",)}), spec.DTYPES, _warm
)
