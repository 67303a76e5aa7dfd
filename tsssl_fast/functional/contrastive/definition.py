"""The definition of every contrastive loss, in blocks of rows: plain torch, differentiable, any
device, any combination of options, in memory for the embeddings and one block.

Logits a_ij = s_ij / tau_ij + log m_ij of all that a row is compared with: the other side's rows,
the extra keys, the row's own keys. Each option is one line on this one matrix.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.checkpoint import checkpoint

from tsssl_fast.backends.precision import product
from tsssl_fast.functional.contrastive.blocks import device_type
from tsssl_fast.functional.contrastive.problem import Problem
from tsssl_fast.functional.contrastive.reweighting import Sums, reweighted
from tsssl_fast.functional.contrastive.row_losses import Rows, RowStatistics
from tsssl_fast.functional.contrastive.sides import Side, rows_of, sides, temperature_of_pairs
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.reference.pairs import log1p_exp


class Block(NamedTuple):
    """Some rows against all columns: similarities, 1 / tau (broadcastable), multiplicities (None:
    1), the two classes, soft targets of the pairs."""

    similarity: Tensor
    beta: Tensor
    weight: Tensor | None
    positive: Tensor
    negative: Tensor
    targets: Tensor | None


def row_statistics(q: Tensor, k: Tensor | None, problem: Problem) -> Rows:
    """The rows of both sides, one after the other."""
    one_set = k is None or problem.rules.skip_diagonal
    with torch.autocast(device_type(q), enabled=False):
        found = torch.cat([_all_rows(s, one_set, problem) for s in sides(q, k, problem)], dim=1)
    statistics = RowStatistics(*found[4:].detach()) if problem.statistics else None
    pairwise = problem.targets is not None or problem.denominator == "own_positive"
    return Rows(found[0], found[1], found[2], found[3] if pairwise else None, statistics)


@torch.no_grad()
def ranks(q: Tensor, k: Tensor | None, problem: Problem) -> Tensor:
    """Per row, how many negatives are at least as similar as its best positive."""
    one_set = k is None or problem.rules.skip_diagonal
    found = []
    with torch.autocast(device_type(q), enabled=False):
        for side in sides(q, k, problem):
            for first, last in _steps(side):
                b = _block(side, one_set, problem, first, last)
                found.append(_rank(b.similarity, b))
    return torch.cat(found)


def _steps(side: Side) -> Iterator[tuple[int, int]]:
    step = max(1, spec.BLOCK_ELEMENTS // side.width)
    for first in range(0, len(side.rows), step):
        yield first, min(first + step, len(side.rows))


def _all_rows(side: Side, one_set: bool, problem: Problem) -> Tensor:
    """Blocks are recomputed in the backward, so that one lives at a time."""

    def block(first: int, last: int) -> Tensor:
        return block_rows(_block(side, one_set, problem, first, last), problem)

    steps = list(_steps(side))
    # torch.func's transforms do not know the hooks of recomputation.
    if len(steps) == 1 or torch._C._are_functorch_transforms_active():
        return torch.cat([block(*step) for step in steps], dim=1)
    parts = [
        checkpoint(block, *step, use_reentrant=False, preserve_rng_state=False) for step in steps
    ]
    return torch.cat(parts, dim=1)


def _block(side: Side, one_set: bool, problem: Problem, first: int, last: int) -> Block:
    part, dtype = slice(first, last), side.rows.dtype
    similarity = product(side.rows[part], side.columns.T, problem.precision)
    live = torch.ones_like(similarity, dtype=torch.bool)
    if one_set:
        live.diagonal(first).fill_(False)
    if side.row_valid is not None:
        live &= side.row_valid[part, None]
    if side.column_valid is not None:
        live &= side.column_valid
    if side.mask is not None:
        live &= side.mask[part]
    weight = None if side.weight is None else rows_of(side.weight, first, last, dtype)
    targets = None if side.targets is None else rows_of(side.targets, first, last, dtype)
    if weight is not None:
        live &= weight.ne(0)
    positive = torch.zeros_like(live)
    if targets is not None:
        positive = live & (targets > 0)
    elif side.row_id is not None and side.column_id is not None:
        positive = live & (side.row_id[part, None] == side.column_id)
    same = torch.zeros_like(live)
    if side.row_group is not None and side.column_group is not None:
        same = side.row_group[part, None] == side.column_group
    negative = live & ~positive
    if problem.group_rule != "none":
        negative &= same if problem.group_rule == "only_same" else ~same
    keys, flags = _further(side, first, last, problem.precision)
    more = (0, keys.shape[1])  # columns of no id, no group and weight 1
    positive, same = pad(positive, more), pad(same, more)
    if targets is not None:
        targets = pad(targets, more)
    if targets is not None and side.own_targets is not None:
        own = side.own_targets[first:last].to(dtype)
        count = own.shape[1]
        targets = torch.cat([targets[:, :-count], own], dim=1)
        wanted = flags[:, -count:] & (own > 0)
        positive = torch.cat([positive[:, :-count], wanted], dim=1)
        flags = torch.cat([flags[:, :-count], flags[:, -count:] & ~wanted], dim=1)
    return Block(
        torch.cat([similarity, keys], dim=1),
        temperature_of_pairs(side, problem, positive, same, first, last),
        None if weight is None else pad(weight, more, value=1.0),
        positive,
        torch.cat([negative, flags], dim=1),
        targets,
    )


def _further(side: Side, first: int, last: int, precision: str) -> tuple[Tensor, Tensor]:
    """Similarities to the keys that are negatives of every row and to the rows' own; which take
    part."""
    u = side.rows[first:last]
    found, flags = [u.new_empty((len(u), 0))], [u.new_empty((len(u), 0), dtype=torch.bool)]
    if side.keys is not None:
        found.append(product(u, side.keys.T, precision))
        flags.append(_flags(found[-1], side.keys_valid))
    if side.own is not None:
        own = side.own[first:last].transpose(1, 2)
        found.append(product(u[:, None], own, precision)[:, 0])
        valid = side.own_valid
        flags.append(_flags(found[-1], None if valid is None else valid[first:last]))
    live = torch.cat(flags, dim=1)
    if side.row_valid is not None:
        live = live & side.row_valid[first:last, None]
    return torch.cat(found, dim=1), live


def _flags(like: Tensor, valid: Tensor | None) -> Tensor:
    if valid is None:
        return torch.ones_like(like, dtype=torch.bool)
    return valid.expand(like.shape)


def block_rows(b: Block, problem: Problem) -> Tensor:
    """(4, rows): negative, positive, gap, pairwise loss, 0 where the loss does not ask for them;
    with statistics six more."""
    a = b.similarity * b.beta
    own = problem.denominator == "own_positive" and b.targets is None
    rows = b.targets is None and not own  # the loss is one of rows
    negative = _log_sum(a, b.negative, b.weight)
    if rows or problem.debias or problem.statistics:
        positive = _log_sum(a, b.positive, b.weight)
    else:
        positive = torch.where(b.positive.any(dim=1), 0.0 * negative.detach(), -torch.inf)
        positive = torch.where(positive.isnan(), 0.0, positive)
    gap = pairwise = torch.zeros_like(negative)
    share = _share(b) if rows or own or problem.statistics else b.positive
    if rows:
        mean = torch.where(b.positive, a * share, 0.0).sum(dim=1)
        some = b.positive.any(dim=1)
        gap = torch.where(some, torch.where(some, positive, 0.0) - mean, 0.0)
    if problem.hardness or problem.debias:
        negative = reweighted(_sums(a, b, negative, positive, problem), problem)
    if b.targets is not None:
        pairwise = _soft_targets(a, b, negative, problem.denominator)
    elif own:
        pairwise = _own_positive(a, b, negative, share)
    out = [negative, positive, gap, pairwise]
    if problem.statistics:
        out += _statistics(b, share)
    return torch.stack(out)


def _share(b: Block) -> Tensor:
    """Each positive's share in a mean over the row's."""
    share = b.positive.to(b.similarity.dtype) if b.weight is None else b.positive * b.weight
    count = share.sum(dim=1, keepdim=True)
    return share / torch.where(count == 0, 1.0, count)


def _log_sum(a: Tensor, keep: Tensor, weight: Tensor | None) -> Tensor:
    """log sum of m exp(a) over `keep`; -inf with zero gradient where that is empty."""
    a = torch.where(keep, a, -torch.inf)
    top = a.detach().amax(dim=1, keepdim=True)
    top = torch.where(top == -torch.inf, 0.0, top)
    e = (a - top).exp()
    total = (e if weight is None else e * weight).sum(dim=1)
    some = total != 0  # NaN counts as some
    return torch.where(some, torch.where(some, total, 1.0).log() + top[:, 0], -torch.inf)


def _sums(a: Tensor, b: Block, negative: Tensor, positive: Tensor, problem: Problem) -> Sums:
    def log_sum(x: Tensor) -> Tensor:
        return _log_sum(x.expand_as(a), b.negative, b.weight)

    h, none = problem.hardness, a.new_zeros(())
    return Sums(
        negative,
        log_sum((1 + h) * a) if h else None,
        log_sum(h * a) if h else None,
        log_sum(none),
        log_sum(-b.beta) if problem.debias else none,
        positive,
        _log_sum(none.expand_as(a), b.positive, b.weight) if problem.debias else none,
    )


def _logits(a: Tensor, b: Block) -> Tensor:
    """s / tau + log m; 0 where the pair is no positive."""
    if b.weight is not None:
        a = a + torch.where(b.positive, b.weight, 1.0).log()
    return torch.where(b.positive, a, 0.0)


def _soft_targets(a: Tensor, b: Block, negative: Tensor, denominator: str) -> Tensor:
    """sum_j t_ij (log D_ij - a_ij) over the pairs with a target, D the denominator."""
    assert b.targets is not None
    logits = _logits(a, b)
    if denominator == "all":
        each = _against_all(logits, b.positive, negative)
    else:
        each = _against_negatives(logits, negative, denominator)
    return torch.where(b.positive, b.targets * each, 0.0).sum(dim=1)


def _against_all(logits: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """log(sum over all) - a: the logarithm as the largest logit plus log(1 + the others), so that
    a converged row keeps its digits; the negatives are one logit, their log-sum."""
    every = torch.cat([torch.where(positive, logits, -torch.inf), negative[:, None]], dim=1)
    at = every.detach().argmax(dim=1, keepdim=True)
    top = every.gather(1, at)
    top = torch.where(top == -torch.inf, 0.0, top)
    others = torch.ones_like(every).scatter(1, at, 0.0)
    rest = ((every - top).exp() * others).sum(dim=1, keepdim=True)
    return (top - logits) + rest.log1p()


def _own_positive(a: Tensor, b: Block, negative: Tensor, share: Tensor) -> Tensor:
    """Mean over a row's positives of log(exp(a) + negatives) - a: each against the negatives
    only. 0 where the row lacks either class."""
    logits = _logits(a, b)
    each = _against_negatives(logits, negative, "own_positive")
    if b.weight is not None:
        each = each + torch.where((negative != -torch.inf)[:, None], logits - a, 0.0)
    return torch.where(b.positive, share * each, 0.0).sum(dim=1)


def _against_negatives(logits: Tensor, negative: Tensor, denominator: str) -> Tensor:
    """log(exp(a) + negatives) - a, or without the former; 0 for rows without negatives."""
    some = (negative != -torch.inf)[:, None]
    x = torch.where(some, negative[:, None], 0.0) - logits
    each = log1p_exp(x) if denominator == "own_positive" else x
    return torch.where(some, each, 0.0)


def _statistics(b: Block, share: Tensor) -> list[Tensor]:
    """The fields of RowStatistics."""
    s = b.similarity.detach()
    seen = b.positive | b.negative
    return [
        b.positive.sum(dim=1).to(s.dtype),
        b.negative.sum(dim=1).to(s.dtype),
        torch.where(b.positive, s * share, 0.0).sum(dim=1),
        torch.where(b.negative, s, 0.0).sum(dim=1),
        torch.where(seen, (4 * s - 4).clamp_max(0).exp(), 0.0).sum(dim=1),
        _rank(s, b),
    ]


def _rank(s: Tensor, b: Block) -> Tensor:
    best = s.masked_fill(~b.positive, -torch.inf).amax(dim=1, keepdim=True)
    return (b.negative & (s >= best)).sum(dim=1).to(s.dtype)
