"""Rows of all processes, with gradient: what losses across processes are made of."""

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

Group = Any  # torch.distributed.ProcessGroup, or None for all processes


def world_size(group: Group = None) -> int:
    """Processes of the group; 1 where torch.distributed is not initialised."""
    return dist.get_world_size(group) if dist.is_available() and dist.is_initialized() else 1


def rank(group: Group = None) -> int:
    """This process's place in the group; 0 where torch.distributed is not initialised."""
    return dist.get_rank(group) if dist.is_available() and dist.is_initialized() else 0


class _Gather(torch.autograd.Function):
    """(N_r, ...) on each process -> the rows of all, in the order of ranks; the gradient of a row
    is the sum of the gradients that it gets on all of them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, sizes: list[int], group: Group) -> Tensor:
        ctx.sizes, ctx.group = sizes, group
        longest = max(sizes)
        mine = x.detach().contiguous()
        if len(mine) < longest:  # backends gather equal shapes
            mine = torch.cat([mine, mine.new_zeros((longest - len(mine), *mine.shape[1:]))])
        parts = [torch.empty_like(mine) for _ in sizes]
        dist.all_gather(parts, mine, group=group)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        grad = grad.contiguous().clone()
        dist.all_reduce(grad, group=ctx.group)
        return grad.split(ctx.sizes)[rank(ctx.group)], None, None


def gather_parts(x: Tensor, group: Group = None) -> list[Tensor]:
    """The rows of every process, one tensor each, in the order of ranks; batches may be uneven.

    Every process must call it, and its backward, or the others wait until their timeout.
    """
    count = torch.tensor([len(x)], device=x.device)
    counts = [torch.empty_like(count) for _ in range(world_size(group))]
    dist.all_gather(counts, count, group=group)
    sizes = [int(c) for c in counts]
    gathered: Tensor = _Gather.apply(x, sizes, group)
    return list(gathered.split(sizes))


def gather_rows(x: Tensor, group: Group = None) -> Tensor:
    """:func:`gather_parts` as one tensor; x itself for a single process."""
    return x if world_size(group) == 1 else torch.cat(gather_parts(x, group))


def own_first(x: Tensor, group: Group = None) -> tuple[Tensor, Tensor]:
    """This process's rows, and those of all the others."""
    parts = gather_parts(x, group)
    own = parts.pop(rank(group))
    return own, torch.cat(parts)


class _Sum(torch.autograd.Function):
    """The sum over processes; so is its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Group) -> Tensor:
        ctx.group = group
        total = x.detach().contiguous().clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        grad = grad.contiguous().clone()
        dist.all_reduce(grad, group=ctx.group)
        return grad, None


def sum_over_processes(x: Tensor, group: Group = None) -> Tensor:
    """The sum of x over processes, with gradient; x itself for a single process."""
    if world_size(group) == 1:
        return x
    total: Tensor = _Sum.apply(x, group)
    return total
