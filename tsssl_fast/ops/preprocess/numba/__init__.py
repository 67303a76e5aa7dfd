"""The Numba kernels of the preprocessing as a backend."""

import torch

from tsssl_fast.backends.numba import availability
from tsssl_fast.ops.preprocess import spec
from tsssl_fast.ops.preprocess.numba.preprocess import preprocess
from tsssl_fast.ops.preprocess.spec import Task


def _warm() -> None:
    for dtype in (torch.float32, torch.float64):
        preprocess(torch.zeros((1, 1, 1), dtype=dtype), int(Task.FILL_BOTH), 0.0, 0.0, None)


BACKEND = availability.backend({"preprocess": preprocess}, spec.DTYPES, _warm)
