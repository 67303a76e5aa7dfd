"""Rows of all processes, with gradient: what losses across processes are made of."""

import zlib
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

Group = Any  # torch.distributed.ProcessGroup, or None for all processes

_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32)


def group_of(process_group: Group) -> Group:
    """The group that the argument `process_group` of a loss means: one of torch.distributed, or
    "world"."""
    if not (dist.is_available() and dist.is_initialized()):
        raise ValueError(
            f"process_group: {process_group!r} before torch.distributed.init_process_group; "
            "accepted: None"
        )
    if isinstance(process_group, str) and process_group != "world":
        raise ValueError(f"process_group: {process_group!r}; accepted: a group, 'world' or None")
    return None if process_group == "world" else process_group


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


def gather_parts(x: Tensor, group: Group = None, options: str = "") -> list[Tensor]:
    """The rows of every process, one tensor each, in the order of ranks; batches may be uneven or
    empty.

    Every process must call it, and its backward, or the others wait until their timeout.

    Args:
        options: what must be the same on every process beside the shape of a row and the dtype.

    Raises:
        ValueError: on every process, where these differ.
    """
    mine = [
        len(x),
        x.dim(),
        x[:0].sum(0).numel(),
        _DTYPES.index(x.dtype),
        zlib.crc32(options.encode()),
    ]
    header = torch.tensor(mine, device=x.device)
    headers = [torch.empty_like(header) for _ in range(world_size(group))]
    dist.all_gather(headers, header, group=group)
    table = torch.stack(headers).tolist()
    for name, column in (("dimensions", 1), ("numbers a row", 2), ("dtypes", 3), ("options", 4)):
        if len({row[column] for row in table}) > 1:
            given = [_DTYPES[r[3]] for r in table] if column == 3 else [r[column] for r in table]
            raise ValueError(f"process_group: {name} by rank: {given}; accepted: the same on each")
    sizes = [row[0] for row in table]
    gathered: Tensor = _Gather.apply(x, sizes, group)
    return list(gathered.split(sizes))


def gather_rows(x: Tensor, group: Group = None) -> Tensor:
    """:func:`gather_parts` as one tensor; x itself for a single process."""
    return x if world_size(group) == 1 else torch.cat(gather_parts(x, group))


def own_first(x: Tensor, group: Group = None, options: str = "") -> tuple[Tensor, Tensor]:
    """This process's rows, and those of all the others."""
    parts = gather_parts(x, group, options)
    own = parts.pop(rank(group))
    return own, torch.cat(parts) if parts else own[:0]


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


class _Share(torch.autograd.Function):
    """The sum over processes; the gradient of each process's own summand, times a factor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Group, factor: float) -> Tensor:
        ctx.factor = factor
        total = x.detach().clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad * ctx.factor, None, None


def total_of_shares(share: Tensor, group: Group, *, ddp: bool) -> Tensor:
    """A loss from its summands, one a process: the same on all.

    Its backward gives what the summand gives, times the number of processes for `ddp`, so that the
    mean over processes, which DistributedDataParallel takes, is the gradient of the sum.
    """
    factor = float(world_size(group)) if ddp else 1.0
    total: Tensor = _Share.apply(share, group, factor)
    return total
