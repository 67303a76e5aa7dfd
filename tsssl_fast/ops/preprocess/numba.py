"""The numba kernels (numba_kernels.py) on torch tensors."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tsssl_fast import _numba
from tsssl_fast.dispatch import Backend
from tsssl_fast.ops.preprocess import spec
from tsssl_fast.ops.preprocess.spec import Task

_PARTIALS = 32  # of the sums, as the definition adds them


def _preprocess(
    x: Tensor, task: int, first: float, second: float, lengths: Tensor | None
) -> Tensor:
    from tsssl_fast import _jit
    from tsssl_fast.ops.preprocess import numba_kernels

    n, channels, steps = x.shape
    dtype = x.dtype
    x = x.to(spec.compute_dtype(dtype)).contiguous()
    out = torch.empty_like(x)
    threads = _jit.threads(x.numel() // numba_kernels.TASK_ELEMENTS)
    whole = torch.full((n,), steps) if lengths is None else lengths
    memory = (x.new_empty((threads, steps)), torch.empty((threads, _PARTIALS), dtype=torch.float64))
    _jit.run(
        *(numba_kernels.transform_rows, threads, _jit.array(x.view(-1, steps)), channels),
        *(_jit.array(whole.to(torch.int64)), task, float(first), float(second)),
        *(tuple(map(_jit.array, memory)), _jit.array(out.view(-1, steps))),
    )
    return out.to(dtype)


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    return _numba.why_not(tensors, spec.DTYPES)


def _warm() -> None:
    for dtype in (torch.float32, torch.float64):
        _preprocess(torch.zeros((1, 1, 1), dtype=dtype), int(Task.FILL_BOTH), 0.0, 0.0, None)


BACKEND = Backend(
    "numba",
    kernels={"preprocess": _preprocess},
    why_not=_why_not,
    devices=frozenset({"cpu"}),
    warm=_warm,
)
