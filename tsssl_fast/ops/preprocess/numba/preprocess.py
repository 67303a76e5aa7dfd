"""`preprocess` by the Numba kernels."""

import torch
from torch import Tensor

from tsssl_fast.backends.numba import arrays, launching
from tsssl_fast.ops.preprocess import spec
from tsssl_fast.ops.preprocess.numba.kernels.preprocess import TASK_ELEMENTS, transform_rows

_PARTIALS = 32  # of the sums, as the definition adds them


def preprocess(x: Tensor, task: int, first: float, second: float, lengths: Tensor | None) -> Tensor:
    n, channels, steps = x.shape
    dtype = x.dtype
    x = x.to(spec.compute_dtype(dtype)).contiguous()
    out = torch.empty_like(x)
    threads = launching.threads(x.numel() // TASK_ELEMENTS)
    whole = torch.full((n,), steps) if lengths is None else lengths
    memory = (x.new_empty((threads, steps)), torch.empty((threads, _PARTIALS), dtype=torch.float64))
    launching.run(
        *(transform_rows, threads, arrays.array(x.view(-1, steps)), channels),
        *(arrays.array(whole.to(torch.int64)), task, float(first), float(second)),
        *(tuple(map(arrays.array, memory)), arrays.array(out.view(-1, steps))),
    )
    return out.to(dtype)
