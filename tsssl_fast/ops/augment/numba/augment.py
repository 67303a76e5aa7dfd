"""`augment` by the Numba kernels."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tsssl_fast.backends.numba import arrays, launching
from tsssl_fast.common import random
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.numba.kernels import entries
from tsssl_fast.ops.augment.numba.kernels.arithmetic import CHUNK
from tsssl_fast.ops.augment.numba.kernels.entries import Draws, Memory
from tsssl_fast.ops.augment.numba.kernels.positions import SURPLUS
from tsssl_fast.ops.augment.spec import Source

_GROUP = 16  # blocks of words at a time: the tail of a vector loop costs more than unread words
_ALL = np.empty(0, np.int64)
_DRAWN = np.empty((0, 0, 0))


def _draws(source: Source, channels: int) -> Draws:
    program, seed, sample_ids, lengths, parameters = source
    bounds = np.array(spec.bounds(program.tolist(), channels))
    ids, ends = (_ALL if x is None else arrays.array(x) for x in (sample_ids, lengths))
    given = _DRAWN if parameters is None else arrays.array(parameters)
    numbers = np.array(random.numbers(seed))
    return Draws(arrays.array(program), bounds, numbers, ids, ends, given)


def _rows(threads: int, *wanted: tuple[Any, int]) -> list[np.ndarray]:
    """(threads, count or more) for every (dtype, count), from one piece of memory: allocations one
    by one took longer than the kernel on a small batch. Rows fill lines of the cache, so that
    threads share none."""
    sizes = [-(-np.dtype(kind).itemsize * count // 64) * 64 for kind, count in wanted]
    memory = arrays.array(torch.empty(threads * sum(sizes), dtype=torch.uint8))
    starts = itertools.accumulate(sizes, initial=0)
    return [
        memory[threads * start : threads * (start + size)].view(kind).reshape(threads, -1)
        for (kind, _), start, size in zip(wanted, starts, sizes, strict=False)
    ]


def _words(draws: Draws) -> tuple[tuple[Any, int], tuple[Any, int]]:
    """What parameters are drawn from: the plan of the blocks, and the words of all of them."""
    slots = draws.bounds[1:] - draws.bounds[:-1]
    blocks = -(-int((slots // 4 + 1).sum()) // _GROUP) * _GROUP
    return (np.uint64, blocks), (np.uint32, max(CHUNK, 4 * blocks))


def _memory(draws: Draws, threads: int, channels: int, steps: int, dtype: torch.dtype) -> Memory:
    number = np.float32 if dtype == torch.float32 else np.float64
    plan, words = _words(draws)
    return Memory(
        arrays.array(torch.empty((threads, 2, channels, steps), dtype=dtype)),
        *_rows(
            threads,
            *((np.int32, steps + SURPLUS), (number, steps + SURPLUS), words, (number, CHUNK)),
            *(plan, (np.float64, int(draws.bounds[-1]))),
        ),
    )


def augment(x: Tensor, source: Source, views: int) -> Tensor:
    dtype, shape = x.dtype, x.shape[-3:]
    x = x.to(spec.compute_dtype(dtype))
    out = x.new_empty((views, *shape))
    draws = _draws(source, shape[1])
    threads = launching.threads(out.numel() // entries.TASK_ELEMENTS)
    memory = _memory(draws, threads, shape[1], shape[2], x.dtype)
    series = arrays.array(x if x.dim() == 4 else x[None])
    launching.run(entries.forward, threads, series, draws, memory, arrays.array(out))
    return out.to(dtype)


def augment_backward(grad: Tensor, source: Source, sum_views: bool) -> Tensor:
    dtype, shape = grad.dtype, grad.shape[1:]
    grad = grad.to(spec.compute_dtype(dtype))
    out = grad.new_empty((1, *shape) if sum_views else grad.shape)
    draws = _draws(source, shape[1])
    threads = launching.threads(grad.numel() // entries.TASK_ELEMENTS)
    memory = _memory(draws, threads, shape[1], shape[2], grad.dtype)
    arguments = (arrays.array(grad), draws, memory, sum_views, arrays.array(out))
    launching.run(entries.backward, threads, *arguments)
    return (out[0] if sum_views else out).to(dtype)


def augment_sample(source: Source, views: int, shape: Sequence[int]) -> Tensor:
    draws = _draws(source, shape[1])
    out = torch.empty((views, shape[0], int(draws.bounds[-1])), dtype=torch.float64)
    threads = launching.threads(16 * out.numel() // entries.TASK_ELEMENTS)
    memory = _rows(threads, *_words(draws))
    launching.run(entries.sample, threads, draws, shape[1], shape[2], *memory, arrays.array(out))
    return out
