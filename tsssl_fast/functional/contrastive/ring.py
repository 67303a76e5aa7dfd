"""Sums over all pairs of queries and keys of several processes, with the keys passed on.

Every process holds its own queries and one block of keys at a time, which goes from one to the next
until it is home again: memory O(N D) of a process's own rows. The backward goes round once more,
computes each block's sums again and carries the gradients of the keys along.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from tsssl_fast.common import collectives
from tsssl_fast.common.collectives import Group
from tsssl_fast.ops.contrastive import spec

# (q, block of keys, their entries of what travels with them, whether they are this process's,
# numbers) -> (M,) one sum for each query, or (M + P,) one for each key behind.
Pairs = Callable[[Tensor, Tensor, list[Tensor], bool, tuple[Tensor, ...]], Tensor]


def sums_over_pairs(
    pairs: Pairs,
    q: Tensor,
    k: Tensor,
    *,
    sizes: list[int],
    group: Group,
    logarithms: bool,
    of_keys: bool,
    beside: Sequence[Tensor] = (),
    numbers: Sequence[Tensor] = (),
) -> tuple[Tensor, Tensor]:
    """The sums of this process's queries over all keys, and of its keys over all queries.

    Args:
        pairs: one block's.
        q, k: (M, D), (P, D), this process's; may be empty. sizes: P of every process.
        logarithms: `pairs` gives log-sum-exps, -inf for no pair, and so is the result.
        of_keys: `pairs` has sums of the keys; else the second result is empty.
        beside: (P, ...) tensors that travel with the keys, without gradient.
        numbers: 0-d tensors with gradient, the same on every process.

    Returns:
        (M,) and (P,), in the arithmetic's dtype.
    """
    settings = (pairs, sizes, group, logarithms, of_keys, len(beside))
    found: tuple[Tensor, Tensor] = _Ring.apply(settings, q, k, *beside, *numbers)
    return found


class _Ring(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, settings: Any, q: Tensor, k: Tensor, *more: Tensor) -> Any:
        ctx.settings = settings
        pairs, sizes, group, logarithms, of_keys, beside = settings
        dtype = spec.compute_dtype(q.dtype)
        start = -torch.inf if logarithms else 0.0
        of_q = torch.full((len(q),), start, dtype=dtype, device=q.device)
        of_k = of_q.new_full((max(sizes) if of_keys else 0,), start)
        block = [_padded(x.detach(), max(sizes)) for x in (k, *more[:beside])]
        for count, own, last in _round(sizes, group):
            if count and len(q):
                keys, *along = (x[:count] for x in block)
                found = pairs(q, keys, along, own, more[beside:])
                of_q = _joined(of_q, found[: len(q)], logarithms)
                if of_keys:
                    of_k[:count] = _joined(of_k[:count], found[len(q) :], logarithms)
            *block, of_k = _passed(block, of_k, last, of_keys, group)
        of_k = of_k[: len(k)] if of_keys else of_k
        ctx.save_for_backward(q, k, of_q, of_k, *more)
        return of_q, of_k

    @staticmethod
    def backward(ctx: Any, grad_q: Tensor, grad_k: Tensor) -> tuple[Any, ...]:
        pairs, sizes, group, logarithms, of_keys, beside = ctx.settings
        q, k, of_q, of_k, *more = ctx.saved_tensors
        longest = max(sizes)
        along, numbers = more[:beside], more[beside:]
        keys_own = [of_k, grad_k] if of_keys else []
        block = [_padded(x, longest) for x in (k, *along, *keys_own)]
        numbers = [x.detach().requires_grad_() for x in numbers]
        q_in = q.detach().requires_grad_()
        dq, d_numbers = torch.zeros_like(of_q[:, None] * q), [torch.zeros_like(x) for x in numbers]
        dk = dq.new_zeros((longest, *k.shape[1:]))
        for count, own, last in _round(sizes, group):
            if count and len(q):
                keys, *others = (x[:count] for x in block)
                keys = keys.detach().requires_grad_()
                with torch.enable_grad():
                    found = pairs(q_in, keys, others[:beside], own, tuple(numbers))
                totals, grads = of_q, grad_q
                if of_keys:
                    totals = torch.cat([of_q, others[beside]])
                    grads = torch.cat([grad_q, others[beside + 1]])
                if logarithms:
                    share = torch.where(found == -torch.inf, 0.0, (found.detach() - totals).exp())
                    grads = grads * share
                inputs = (q_in, keys, *numbers)
                to_q, to_k, *to_numbers = torch.autograd.grad(found, inputs, grads)
                dq += to_q
                dk[:count] += to_k
                for total, part in zip(d_numbers, to_numbers, strict=True):
                    total += part
            *block, dk = _passed(block, dk, last, True, group)
        dk = dk[: len(k)].to(k.dtype)
        return None, dq.to(q.dtype), dk, *[None] * beside, *d_numbers


def _round(sizes: list[int], group: Group) -> list[tuple[int, bool, bool]]:
    """Per step: keys of the block that is here, whether it is this process's, whether it is the
    last."""
    world, here = len(sizes), collectives.rank(group)
    return [(sizes[(here - s) % world], s == 0, s == world - 1) for s in range(world)]


def _passed(
    block: list[Tensor], result: Tensor, last: bool, carries: bool, group: Group
) -> list[Tensor]:
    """To the next process; after the last step only what was gathered on the way is of use."""
    moving = [result] if carries else []
    if not last:
        moving = [*block, *moving]
    moved = collectives.pass_on(moving, group) if moving else []
    kept = block if last else moved[: len(block)]
    return [*kept, moved[-1] if carries else result]


def _joined(total: Tensor, part: Tensor, logarithms: bool) -> Tensor:
    return torch.logaddexp(total, part) if logarithms else total + part


def _padded(x: Tensor, rows: int) -> Tensor:
    """Blocks of one size, whoever's they are."""
    if len(x) == rows:
        return x
    return torch.cat([x, x.new_zeros((rows - len(x), *x.shape[1:]))])
