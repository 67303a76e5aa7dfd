"""The Triton kernels (triton/kernels/entries.py) on torch tensors: one launch per operator."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tsssl_fast.backends.triton import availability
from tsssl_fast.common import random
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.spec import Source
from tsssl_fast.ops.augment.triton import tuning as configs
from tsssl_fast.ops.augment.triton.kernels import codes
from tsssl_fast.ops.augment.triton.kernels import entries as programs


@functools.lru_cache(maxsize=256)
def _plan(
    content: bytes, rows: int, channels: int, device: torch.device
) -> tuple[Tensor, int, int]:
    """The program with the first slot of every row, on the device; its codes; slots in all."""
    program = torch.from_numpy(np.frombuffer(content).reshape(rows, spec.COLUMNS).copy())
    bounds = spec.bounds(program.tolist(), channels)
    offsets = torch.tensor(bounds[:-1], dtype=torch.float64)[:, None]
    occurring = codes.bits(*(spec.Code(int(c)) for c in program[:, spec.CODE].tolist()))
    return torch.cat([program, offsets], dim=1).to(device), occurring, bounds[-1]


class _Launch:
    """What the three launches share: the plan, the parameters' table, the key, the numbers."""

    def __init__(
        self, shape: Sequence[int], device: torch.device, source: Source, views: int
    ) -> None:
        program, seed, sample_ids, lengths, parameters = source
        samples, channels, steps = shape
        host = program.detach().cpu().contiguous()
        plan, self.mask, slots = _plan(host.numpy().tobytes(), len(host), channels, device)
        self.draw = parameters is None
        if parameters is None:
            parameters = torch.empty((views, samples, slots), dtype=torch.float64, device=device)
        self.table = parameters.to(device).contiguous()
        ids = None if sample_ids is None else sample_ids.to(device).contiguous()
        own = None if lengths is None else lengths.to(device).contiguous()
        self.numbers = (
            *(plan, len(host), self.table, slots, ids, own),
            *(_key(seed), views, samples, channels, steps),
        )
        self.constants: dict[str, Any] = {
            "HAS_IDS": ids is not None,
            "HAS_LENGTHS": own is not None,
        }
        self.config = (self.mask, *configs.tile(channels, steps))
        self.options = configs.options(availability.family(plan))


def _key(seed: Tensor | tuple[int, ...]) -> Tensor | int:
    """The folded key as a signed number; a seed on a device stays there, for the kernel to fold."""
    if isinstance(seed, Tensor) and not seed.is_cpu:
        return seed.contiguous()
    lo, hi = random.fold_seed(*random.numbers(seed))
    key = lo | hi << 32
    return key - (1 << 64) if key >= 1 << 63 else key


def _strides(x: Tensor) -> tuple[int, ...]:
    return x.stride() if x.dim() == 4 else (0, *x.stride())


def augment(x: Tensor, source: Source, views: int) -> Tensor:
    shape, compute = x.shape[-3:], spec.compute_dtype(x.dtype)
    out = x.new_empty((views, *shape))
    launch = _Launch(shape, x.device, source, views)
    if out.numel() == 0:
        return out
    # 16-bit series are computed in float32, in two buffers; else the output is one of the two.
    buffers = x.new_empty((1 if compute == x.dtype else 2) * out.numel(), dtype=compute)
    with availability.on(x):
        programs.augment_forward_kernel[(views * shape[0],)](
            *(x, *_strides(x), out, buffers, *launch.numbers),
            **launch.constants,
            DRAW=launch.draw,
            CONFIG=launch.config,
            **launch.options,
        )
    return out


def augment_backward(grad: Tensor, source: Source, sum_views: bool) -> Tensor:
    views, shape = grad.shape[0], grad.shape[1:]
    compute = spec.compute_dtype(grad.dtype)
    launch = _Launch(shape, grad.device, source, views)
    out = grad.new_empty(shape if sum_views else grad.shape, dtype=compute)
    if out.numel() == 0:
        return out.to(grad.dtype)
    count = shape[0] if sum_views else views * shape[0]
    buffers = grad.new_empty(2 * out.numel(), dtype=compute)
    lefts = grad.new_empty(3 * count * shape[2], dtype=torch.int32)
    weights = grad.new_empty(count * shape[2], dtype=compute)
    with availability.on(grad):
        programs.augment_backward_kernel[(count,)](
            *(grad, *grad.stride(), out, buffers, lefts, weights, *launch.numbers),
            **launch.constants,
            DRAW=launch.draw,
            SUM=sum_views,
            CONFIG=launch.config,
            **launch.options,
        )
    return out.to(grad.dtype)


def augment_sample(source: Source, views: int, shape: Sequence[int]) -> Tensor:
    launch = _Launch(shape, source.program.device, source, views)
    if launch.table.numel() > 0:
        with availability.on(source.program):
            programs.augment_sample_kernel[(views * shape[0],)](
                *launch.numbers, **launch.constants, MASK=launch.mask, **launch.options
            )
    return launch.table
