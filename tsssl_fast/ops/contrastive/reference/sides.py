"""Common to `sigmoid_pairs` and `triplet`: signs, blocks of rows."""

from collections.abc import Iterator

import torch
from torch import Tensor

from tsssl_fast.ops.contrastive.reference.pairs import PLAIN, classes
from tsssl_fast.ops.contrastive.rules import Rules
from tsssl_fast.ops.contrastive.spec import BLOCK_ELEMENTS


def signs(u: Tensor, v: Tensor, rules: Rules, first: int, last: int) -> Tensor:
    """y_ij of rows [first, last); 0 where the pair takes no part."""
    negative, positive = (x.to(u.device) for x in classes(len(v), False, rules, first, last))
    if rules.q_id is None:
        rows = torch.arange(first, last, device=u.device)[:, None]
        positive = negative & (rows == torch.arange(len(v), device=u.device))
        negative = negative & ~positive
    return positive.to(u.dtype) - negative.to(u.dtype)


def blocks(rows: int, width: int) -> Iterator[tuple[int, int]]:
    step = max(1, BLOCK_ELEMENTS // max(width, 1))
    for first in range(0, rows, step):
        yield first, min(first + step, rows)


def rules_of(
    q_id: Tensor | None,
    k_id: Tensor | None,
    q_valid: Tensor | None,
    k_valid: Tensor | None,
    normalize: bool,
) -> Rules:
    """The rules that these losses know."""
    return PLAIN._replace(
        q_id=q_id, k_id=k_id, q_valid=q_valid, k_valid=k_valid, normalize=normalize
    )
