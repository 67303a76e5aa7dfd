"""Settings that no kernel has, in row blocks of bounded memory: torch under recomputation.

A block holds at most BLOCK_ELEMENTS pairs at a time, forward and backward, whatever N is.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from tsssl_fast.functional.contrastive.row_losses import Rows
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.operators import pairs
from tsssl_fast.ops.contrastive.reference.pairs import classes, unit
from tsssl_fast.ops.contrastive.rules import Rules
from tsssl_fast.ops.contrastive.spec import BLOCK_ELEMENTS


def by_rows(count: int, width: int, block: Callable[[int, int], Tensor]) -> Tensor:
    """block(first, last) over all rows, concatenated; recomputed in the backward."""
    step = max(1, BLOCK_ELEMENTS // max(width, 1))
    parts = [
        checkpoint(block, i, min(i + step, count), use_reentrant=False)
        for i in range(0, count, step)
    ]
    return torch.cat(parts)


def own_positive(
    q: Tensor, k: Tensor | None, beta: Tensor, rules: Rules, negative: Tensor
) -> Tensor:
    """Mean over a row's positives p of log(1 + exp(negative_i - a_ip)): each positive against the
    negatives only. 0 for rows without positives."""
    u, v = _side(q, rules), _side(q if k is None else k, rules)

    def block(first: int, last: int) -> Tensor:
        _, positive = classes(len(v), k is None, rules, first, last)
        a = u[first:last] @ v.T * beta.to(u.dtype)
        x = torch.where(positive, negative[first:last, None] - a, -torch.inf)
        some = torch.where(positive, torch.logaddexp(x, x.new_zeros(())), 0.0)
        return some.sum(dim=1) / positive.sum(dim=1).clamp_min(1)

    return by_rows(len(q), len(v), block)


def sparse_weight(
    q: Tensor, k: Tensor, beta: Tensor, rules: Rules, weight: Tensor, backend: str
) -> Rows:
    """The operator with the rows of a CSR weight made dense block by block."""
    crow, col, values = weight.crow_indices(), weight.col_indices(), weight.values()

    def block(first: int, last: int) -> Tensor:
        start, stop = int(crow[first]), int(crow[last])
        size = (last - first, len(k))
        dense = torch.zeros(size, dtype=values.dtype, device=values.device)
        rows = torch.repeat_interleave(
            torch.arange(last - first, device=col.device),
            crow[first + 1 : last + 1].diff(prepend=crow[first : first + 1]),
        )
        dense[rows, col[start:stop]] = values[start:stop]
        part = rules._replace(
            q_id=_part(rules.q_id, first, last),
            q_group=_part(rules.q_group, first, last),
            q_valid=_part(rules.q_valid, first, last),
            mask=_part(rules.mask, first, last),
            weight=dense,
            skip_diagonal=False,
        )
        if rules.skip_diagonal:
            dense[torch.arange(last - first), torch.arange(first, last)] = 0
        return pairs.pair_logsumexp(q[first:last], k, beta, part, backend).T

    return Rows(*by_rows(len(q), len(k), block).T)


def _part(x: Tensor | None, first: int, last: int) -> Tensor | None:
    return None if x is None else x[first:last]


def _side(z: Tensor, rules: Rules) -> Tensor:
    z = z.to(spec.compute_dtype(z.dtype))
    return unit(z)[0] if rules.normalize else z
