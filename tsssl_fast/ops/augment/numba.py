"""The numba kernels (numba_kernels.py) on torch tensors."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tsssl_fast import _numba
from tsssl_fast.dispatch import Backend
from tsssl_fast.ops.augment import spec


def _draws(
    program: Tensor,
    seed: Tensor,
    sample_ids: Tensor | None,
    lengths: Tensor | None,
    parameters: Tensor | None,
    shape: Sequence[int],
) -> Any:
    from tsssl_fast import _jit
    from tsssl_fast.ops.augment.numba_kernels import Draws

    n, channels, steps = shape
    ids = torch.arange(n) if sample_ids is None else sample_ids
    whole = torch.full((n,), steps) if lengths is None else lengths
    given = torch.empty((0, 0, 0), dtype=torch.float64) if parameters is None else parameters
    bounds = torch.tensor(spec.bounds(program.tolist(), channels))
    return Draws(*(_jit.array(x) for x in (program, bounds, seed, ids, whole, given)))


def _words(draws: Any, threads: int) -> Tensor:
    from tsssl_fast.ops.augment.numba_random import CHUNK

    most = int((draws.bounds[1:] - draws.bounds[:-1]).max(initial=0))
    return torch.empty((threads, max(CHUNK, most + 8)), dtype=torch.int32)


def _memory(draws: Any, threads: int, channels: int, steps: int, dtype: torch.dtype) -> Any:
    from tsssl_fast import _jit
    from tsssl_fast.ops.augment.numba_kernels import Memory
    from tsssl_fast.ops.augment.numba_random import CHUNK

    def rows(*size: int, kind: torch.dtype = dtype) -> Any:
        return _jit.array(torch.empty((threads, *size), dtype=kind))

    return Memory(
        rows(2, channels, steps),
        rows(steps, kind=torch.int32),
        rows(steps),
        _jit.array(_words(draws, threads)).view("uint32"),
        rows(CHUNK),
        rows(spec.STD_PARTIALS, kind=torch.float64),
        rows(int(draws.bounds[-1]), kind=torch.float64),
    )


def _forward(
    x: Tensor,
    program: Tensor,
    seed: Tensor,
    views: int,
    sample_ids: Tensor | None,
    lengths: Tensor | None,
    parameters: Tensor | None,
) -> Tensor:
    from tsssl_fast import _jit
    from tsssl_fast.ops.augment import numba_kernels

    dtype, shape = x.dtype, x.shape[-3:]
    x = x.to(spec.compute_dtype(dtype))
    out = x.new_empty((views, *shape))
    draws = _draws(program, seed, sample_ids, lengths, parameters, shape)
    threads = _jit.threads(out.numel() // numba_kernels.TASK_ELEMENTS)
    memory = _memory(draws, threads, shape[1], shape[2], x.dtype)
    source = _jit.array(x if x.dim() == 4 else x[None])
    _jit.run(numba_kernels.forward, threads, source, draws, memory, _jit.array(out))
    return out.to(dtype)


def _backward(
    grad: Tensor,
    sum_views: bool,
    program: Tensor,
    seed: Tensor,
    sample_ids: Tensor | None,
    lengths: Tensor | None,
    parameters: Tensor | None,
) -> Tensor:
    from tsssl_fast import _jit
    from tsssl_fast.ops.augment import numba_kernels

    dtype, shape = grad.dtype, grad.shape[1:]
    grad = grad.to(spec.compute_dtype(dtype))
    out = grad.new_empty((1, *shape) if sum_views else grad.shape)
    draws = _draws(program, seed, sample_ids, lengths, parameters, shape)
    threads = _jit.threads(grad.numel() // numba_kernels.TASK_ELEMENTS)
    memory = _memory(draws, threads, shape[1], shape[2], grad.dtype)
    arguments = (_jit.array(grad), draws, memory, sum_views, _jit.array(out))
    _jit.run(numba_kernels.backward, threads, *arguments)
    return (out[0] if sum_views else out).to(dtype)


def _sample(
    program: Tensor,
    seed: Tensor,
    views: int,
    shape: Sequence[int],
    sample_ids: Tensor | None,
    lengths: Tensor | None,
) -> Tensor:
    from tsssl_fast import _jit
    from tsssl_fast.ops.augment import numba_kernels

    draws = _draws(program, seed, sample_ids, lengths, None, shape)
    out = torch.empty((views, shape[0], int(draws.bounds[-1])), dtype=torch.float64)
    threads = _jit.threads(16 * out.numel() // numba_kernels.TASK_ELEMENTS)
    words = _jit.array(_words(draws, threads)).view("uint32")
    _jit.run(numba_kernels.sample, threads, draws, shape[1], words, _jit.array(out))
    return out


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    return _numba.why_not(() if op == "augment_sample" else tensors, spec.DTYPES)


def _warm() -> None:
    program, seed = torch.zeros((0, spec.COLUMNS), dtype=torch.float64), torch.zeros(4).long()
    _sample(program, seed, 1, (1, 1, 1), None, None)
    for dtype in (torch.float32, torch.float64):
        x = torch.zeros((1, 1, 1, 1), dtype=dtype)
        _forward(x, program, seed, 1, None, None, None)
        _backward(x, True, program, seed, None, None, None)


BACKEND = Backend(
    "numba",
    kernels={"augment": _forward, "augment_backward": _backward, "augment_sample": _sample},
    why_not=_why_not,
    devices=frozenset({"cpu"}),
    warm=_warm,
)
