"""The Numba kernels of the preprocessing as a backend."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tsssl_fast.backends.dispatch import Backend
from tsssl_fast.backends.numba import availability
from tsssl_fast.ops.preprocess import spec
from tsssl_fast.ops.preprocess.numba.preprocess import preprocess
from tsssl_fast.ops.preprocess.spec import Task


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    return availability.why_not(tensors, spec.DTYPES)


def _warm() -> None:
    for dtype in (torch.float32, torch.float64):
        preprocess(torch.zeros((1, 1, 1), dtype=dtype), int(Task.FILL_BOTH), 0.0, 0.0, None)


BACKEND = Backend(
    "numba",
    kernels={"preprocess": preprocess},
    why_not=_why_not,
    devices=frozenset({"cpu"}),
    warm=_warm,
)
