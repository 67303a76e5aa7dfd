"""Common to `sigmoid_pairs` and `triplet`: rows, signs, blocks of rows."""

from collections.abc import Iterator

import torch
from torch import Tensor

from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.reference.pairs import PLAIN, classes, unit
from tsssl_fast.ops.contrastive.rules import Rules
from tsssl_fast.ops.contrastive.spec import BLOCK_ELEMENTS


def side(z: Tensor, valid: Tensor | None, rules: Rules) -> tuple[Tensor, Tensor]:
    """Rows in the compute dtype, normalised where asked, and their scales."""
    z = z.to(spec.compute_dtype(z.dtype)).contiguous()  # one order of every sum
    if valid is not None:
        z = torch.where(valid[:, None], z, 0.0)  # whatever it holds
    return unit(z) if rules.normalize else (z, z.new_ones(len(z)))


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


def through_norm(du: Tensor, u: Tensor, norms: Tensor, rules: Rules) -> Tensor:
    if not rules.normalize:
        return du
    return (du - (du * u).sum(dim=1, keepdim=True) * u) * norms[:, None]


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
