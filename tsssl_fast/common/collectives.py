"""Rows of all processes, with gradient: what losses across processes are made of."""

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

Group = Any  # torch.distributed.ProcessGroup; None for all processes, of a loss "world"

_DTYPES = (
    *(torch.float32, torch.float64, torch.float16, torch.bfloat16),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
)
_SIZES = 4  # of a row, that the header shows
# Of the header: what must be the same on every process, and the columns that hold it.
_SAME = {
    "dimensions": slice(2, 3),
    "sizes of a row": slice(3, 3 + _SIZES),
    "dtypes": slice(3 + _SIZES, 4 + _SIZES),
    "gradients": slice(4 + _SIZES, 5 + _SIZES),
    "options": slice(5 + _SIZES, 6 + _SIZES),
}


def group_of(process_group: Group) -> Group:
    """The group that the argument `process_group` of a loss means: one of torch.distributed, or
    "world"; None is that of all processes.

    Raises ValueError where torch.distributed is not initialised, for another text, and where this
    process is not in the group.
    """
    if not (dist.is_available() and dist.is_initialized()):
        raise ValueError(
            f"process_group: {process_group!r} before torch.distributed.init_process_group; "
            "accepted: None"
        )
    if isinstance(process_group, str) and process_group != "world":
        raise ValueError(f"process_group: {process_group!r}; accepted: a group, 'world' or None")
    group = None if process_group == "world" else process_group
    if group is not None and not isinstance(group, dist.ProcessGroup):
        given = type(group).__name__ if group is not dist.GroupMember.NON_GROUP_MEMBER else "one"
        raise ValueError(f"process_group: {given} without this process; accepted: a group with it")
    return group


def world_size(group: Group = None) -> int:
    """Processes of the group; 1 where torch.distributed is not initialised."""
    return dist.get_world_size(group) if dist.is_available() and dist.is_initialized() else 1


def rank(group: Group = None) -> int:
    """This process's place in the group; 0 where torch.distributed is not initialised."""
    return dist.get_rank(group) if dist.is_available() and dist.is_initialized() else 0


def agree(
    rows: Callable[[], Tensor], group: Group, options: object = ""
) -> tuple[Tensor, list[int]]:
    """What `rows` returns, (N_r, ...), and N_r of every process, in the order of ranks.

    Args:
        rows: checks the arguments of a loss; what it raises is an error on every process.
        options: what must be the same on every process beside the shape of a row, the dtype and
            whether a gradient is wanted; by its repr.

    Raises:
        ValueError: on every process, where these differ, or where `rows` raises on another one.
    """
    error, shown = None, repr(options)
    try:
        x = rows()
        mine, device = _header(x, shown), x.device
    except Exception as raised:
        error, mine, device = raised, [1] + [0] * (5 + _SIZES), _device(group)
    header = torch.tensor(mine, device=device)
    headers = [torch.empty_like(header) for _ in range(world_size(group))]
    dist.all_gather(headers, header, group=group)
    if error is not None:
        raise error
    table = torch.stack(headers).tolist()
    refused = [str(r) for r, row in enumerate(table) if row[0]]
    if refused:
        raise ValueError(
            f"process_group: rank {', '.join(refused)} refuses its arguments; accepted: arguments "
            "that are right on every process"
        )
    for name, columns in _SAME.items():
        given = [row[columns] for row in table]
        if any(one != given[0] for one in given):
            raise ValueError(
                f"process_group: {name} by rank: {_told(name, given, shown, group)}; accepted: the "
                "same on each"
            )
    return x, [row[1] for row in table]


def _header(x: Tensor, options: str) -> list[int]:
    sizes = list(x.shape[1:_SIZES])
    if x.dim() > _SIZES:
        sizes.append(x.shape[_SIZES:].numel())
    gradient = x.requires_grad and torch.is_grad_enabled()
    return [
        *(0, len(x), x.dim(), *sizes, *[-1] * (_SIZES - len(sizes))),
        *(_DTYPES.index(x.dtype), int(gradient), zlib.crc32(options.encode())),
    ]


def _told(name: str, given: list[list[int]], options: str, group: Group) -> list[Any]:
    """What the processes have of what they should have alike."""
    if name == "dtypes":
        return [_DTYPES[index] for (index,) in given]
    if name == "gradients":
        return [bool(wanted) for (wanted,) in given]
    if name == "options":  # every process is here: none waits
        texts: list[Any] = [None] * len(given)
        dist.all_gather_object(texts, options, group=group)
        return texts
    return [tuple(n for n in one if n >= 0) for one in given]


def _device(group: Group) -> torch.device:
    """Where the group's collectives take tensors, for a process that has none."""
    on_gpu = "nccl" in dist.get_backend(group)
    return torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")


def _gather(x: Tensor, sizes: Sequence[int], group: Group) -> list[Tensor]:
    """Of every process; backends gather equal shapes."""
    longest = max(sizes)
    mine = x.detach().contiguous()
    if len(mine) < longest:
        mine = torch.cat([mine, mine.new_zeros((longest - len(mine), *mine.shape[1:]))])
    parts = [torch.empty_like(mine) for _ in sizes]
    dist.all_gather(parts, mine, group=group)
    return [part[:size] for part, size in zip(parts, sizes, strict=True)]


class _Gather(torch.autograd.Function):
    """(N_r, ...) on each process -> the rows of all, in the order of ranks; the gradient of a row
    is the sum of the gradients that it gets on all of them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, sizes: list[int], group: Group) -> Tensor:
        ctx.sizes, ctx.group = sizes, group
        return torch.cat(_gather(x, sizes, group))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        grad = grad.contiguous().clone()
        dist.all_reduce(grad, group=ctx.group)
        return grad.split(ctx.sizes)[rank(ctx.group)], None, None


class _GatherOwn(torch.autograd.Function):
    """The same rows, of which this process's alone get a gradient, times a factor: the backward
    exchanges one number, so that a process that leaves it out is an error on the others."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, sizes: list[int], group: Group, factor: float) -> Tensor:
        ctx.sizes, ctx.group, ctx.factor = sizes, group, factor
        return torch.cat(_gather(x, sizes, group))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        dist.all_reduce(grad.new_zeros(1), group=ctx.group)
        return grad.split(ctx.sizes)[rank(ctx.group)] * ctx.factor, None, None, None


def gather(x: Tensor, sizes: list[int], group: Group) -> list[Tensor]:
    """The rows of every process, whose numbers are `sizes`, one tensor each, in the order of ranks;
    gradients return to where a row came from, and add up."""
    gathered: Tensor = _Gather.apply(x, sizes, group)
    return list(gathered.split(sizes))


def gather_for_own(x: Tensor, sizes: list[int], group: Group, *, ddp: bool) -> list[Tensor]:
    """The same for a loss that every process computes of all rows: its backward gives each its own
    rows' gradient, times the number of processes for `ddp`, as :func:`total_of_shares`."""
    factor = float(len(sizes)) if ddp else 1.0
    gathered: Tensor = _GatherOwn.apply(x, sizes, group, factor)
    return list(gathered.split(sizes))


def gather_parts(x: Tensor, group: Group = None, options: object = "") -> list[Tensor]:
    """The rows of every process, one tensor each, in the order of ranks; batches may be uneven or
    empty.

    Every process must call it, and its backward, or the others wait until their timeout.

    Args:
        x: (N, ...) of any dtype; N may differ between processes, and be 0.
        options: what must be the same on every process beside the shape of a row and the dtype.

    Raises:
        ValueError: on every process, where these differ.
    """
    return gather(*agree(lambda: x, group, options), group)


def gather_rows(x: Tensor, group: Group = None) -> Tensor:
    """:func:`gather_parts` as one tensor (N of all, ...); x itself for a single process.

    Raises as :func:`gather_parts`.
    """
    return x if world_size(group) == 1 else torch.cat(gather_parts(x, group))


def own_first(x: Tensor, group: Group = None, options: object = "") -> tuple[Tensor, Tensor]:
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
    """The sum of x over processes, with gradient; x itself for a single process.

    Args:
        x: floating, (N,) or of any other shape, the same on every process.

    Raises:
        ValueError: on every process, where shapes or dtypes differ, or whether a gradient is
            wanted.
    """
    if world_size(group) == 1:
        return x
    _, rows = agree(lambda: x if x.ndim else x[None], group)
    if len(set(rows)) > 1:
        raise ValueError(f"x: rows by rank: {rows}; accepted: the same on each")
    return sum_alike(x, group)


def sum_alike(x: Tensor, group: Group) -> Tensor:
    """:func:`sum_over_processes` of what is known to be alike, without asking: torch.distributed
    ends a process where shapes differ."""
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


class _Scaled(torch.autograd.Function):
    """x itself; its gradient times a factor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad * ctx.factor, None


def scaled(x: Tensor, group: Group, *, ddp: bool) -> Tensor:
    """x, whose gradient is times the number of processes for `ddp`: as :func:`total_of_shares`
    where each process makes its own summand of x."""
    found: Tensor = _Scaled.apply(x, float(world_size(group))) if ddp else x
    return found


def pass_on(tensors: Sequence[Tensor], group: Group) -> list[Tensor]:
    """What the process before in the ring of the group has, of the same shapes and dtypes; the next
    one gets these. A single process keeps its own."""
    world, here = world_size(group), rank(group)
    if world == 1:
        return list(tensors)
    found = [torch.empty_like(x) for x in tensors]
    to, source = (here + 1) % world, (here - 1) % world
    moves = []
    for x, y in zip(tensors, found, strict=True):
        moves.append(dist.P2POp(dist.isend, x.contiguous(), group=group, group_peer=to))
        moves.append(dist.P2POp(dist.irecv, y, group=group, group_peer=source))
    for request in dist.batch_isend_irecv(moves):
        request.wait()
    return found
