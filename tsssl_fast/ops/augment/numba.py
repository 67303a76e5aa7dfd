"""The numba kernels (numba_kernels.py) on torch tensors."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tsssl_fast import _numba
from tsssl_fast.dispatch import Backend
from tsssl_fast.ops.augment import spec

_GROUP = 16  # blocks of words at a time: the tail of a vector loop costs more than unread words
_ALL = np.empty(0, np.int64)
_DRAWN = np.empty((0, 0, 0))


def _draws(
    program: Tensor,
    seed: Tensor,
    sample_ids: Tensor | None,
    lengths: Tensor | None,
    parameters: Tensor | None,
    channels: int,
) -> Any:
    from tsssl_fast import _jit
    from tsssl_fast.ops.augment.numba_kernels import Draws

    bounds = np.array(spec.bounds(program.tolist(), channels))
    ids, ends = (_ALL if x is None else _jit.array(x) for x in (sample_ids, lengths))
    given = _DRAWN if parameters is None else _jit.array(parameters)
    return Draws(_jit.array(program), bounds, _jit.array(seed), ids, ends, given)


def _rows(threads: int, *wanted: tuple[Any, int]) -> list[np.ndarray]:
    """(threads, count or more) for every (dtype, count), from one piece of memory: allocations one
    by one took longer than the kernel on a small batch. Rows fill lines of the cache, so that
    threads share none."""
    from tsssl_fast import _jit

    sizes = [-(-np.dtype(kind).itemsize * count // 64) * 64 for kind, count in wanted]
    memory = _jit.array(torch.empty(threads * sum(sizes), dtype=torch.uint8))
    starts = itertools.accumulate(sizes, initial=0)
    return [
        memory[threads * start : threads * (start + size)].view(kind).reshape(threads, -1)
        for (kind, _), start, size in zip(wanted, starts, sizes, strict=False)
    ]


def _words(draws: Any) -> tuple[tuple[Any, int], tuple[Any, int]]:
    """What parameters are drawn from: the plan of the blocks, and the words of all of them."""
    from tsssl_fast.ops.augment.numba_random import CHUNK

    slots = draws.bounds[1:] - draws.bounds[:-1]
    blocks = -(-int((slots // 4 + 1).sum()) // _GROUP) * _GROUP
    return (np.uint64, blocks), (np.uint32, max(CHUNK, 4 * blocks))


def _memory(draws: Any, threads: int, channels: int, steps: int, dtype: torch.dtype) -> Any:
    from tsssl_fast import _jit
    from tsssl_fast.ops.augment.numba_kernels import Memory
    from tsssl_fast.ops.augment.numba_positions import SURPLUS
    from tsssl_fast.ops.augment.numba_random import CHUNK

    number = np.float32 if dtype == torch.float32 else np.float64
    plan, words = _words(draws)
    return Memory(
        _jit.array(torch.empty((threads, 2, channels, steps), dtype=dtype)),
        *_rows(
            threads,
            *((np.int32, steps + SURPLUS), (number, steps + SURPLUS), words, (number, CHUNK)),
            *(plan, (np.float64, int(draws.bounds[-1]))),
        ),
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
    draws = _draws(program, seed, sample_ids, lengths, parameters, shape[1])
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
    draws = _draws(program, seed, sample_ids, lengths, parameters, shape[1])
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

    draws = _draws(program, seed, sample_ids, lengths, None, shape[1])
    out = torch.empty((views, shape[0], int(draws.bounds[-1])), dtype=torch.float64)
    threads = _jit.threads(16 * out.numel() // numba_kernels.TASK_ELEMENTS)
    memory = _rows(threads, *_words(draws))
    _jit.run(numba_kernels.sample, threads, draws, shape[1], shape[2], *memory, _jit.array(out))
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
