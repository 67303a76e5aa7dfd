"""Grids and arguments of the contrastive Triton kernels; what several operators launch."""

from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from tsssl_fast.ops.contrastive.rules import Rules
from tsssl_fast.ops.contrastive.triton import tuning
from tsssl_fast.ops.contrastive.triton.kernels.reduce import combine, gradient_coefficients
from tsssl_fast.ops.contrastive.triton.kernels.rows import finish, prepare

VECTOR = 128  # rows of a program that works on vectors
ROWS, COLUMNS = 16, 64  # tile of the row-wise kernels
# On four, sizes that are multiples of 16 spill a few registers (float32 on sm_80, 16 bits on sm_90)
# and float32 at any stride takes 155; on eight at most 80, without spills.
FINISH_WARPS = 8


class Operands(NamedTuple):
    """x (rows, pitch) and the factors that make its rows unit vectors; None: they are."""

    x: Tensor
    r: Tensor | None


def options(warps: int, stages: int = 2) -> dict[str, Any]:
    return {"num_warps": warps, "num_stages": stages, "enable_fp_fusion": True}


def flags(valid: Tensor | None) -> Tensor | None:
    return None if valid is None else valid.contiguous().view(torch.uint8)


def prepare_rows(
    z1: Tensor,
    z2: Tensor,
    scale: Tensor,
    half: int,
    normalize: bool,
    valid: Tensor | None = None,
    lengths: Tensor | None = None,
) -> Operands:
    """Operands of (N, D) or (G, L, D) tensors, the rows of z2 after half rows of z1; writes scale.

    With z2 is z1 and half = N, one tensor's rows.
    """
    a, b = (z if z.dim() == 3 else z[None] for z in (z1, z2))
    groups, _, dim = a.shape
    n = scale.numel() // groups
    pitch = tuning.pitch(dim)
    unit = z1.dtype == torch.float32
    x = torch.zeros if lengths is not None else torch.empty
    out = x((groups * n, pitch), dtype=z1.dtype, device=z1.device)
    r = None if unit or not normalize else torch.empty(groups * n, device=z1.device)
    prepare[(triton.cdiv(n, ROWS), groups)](
        *(a, b, *strides3(a), *strides3(b), flags(valid), lengths, out, r, scale),
        *(n, half, dim, pitch, normalize, unit, ROWS, COLUMNS),
        **options(4),
    )
    return Operands(out, r)


def strides3(z: Tensor) -> tuple[int, int, int]:
    return z.stride(0), z.stride(1), z.stride(2)


def rule_arguments(rules: Rules, swap: bool, one_set: bool, columns: int) -> dict[str, Any]:
    """The rules as kernel arguments, rows being the queries or, with `swap`, the keys.

    columns: row length of mask and weight.
    """
    sides = ("row", "column") if not swap else ("column", "row")
    q, k = sides
    arrays: dict[str, Tensor | None] = {
        f"{q}_id": rules.q_id,
        f"{k}_id": rules.k_id,
        f"{q}_group": rules.q_group,
        f"{k}_group": rules.k_group,
        f"{q}_valid": flags(rules.q_valid),
        f"{k}_valid": flags(rules.k_valid),
    }
    out: dict[str, Any] = {
        name: None if x is None else x.contiguous() for name, x in arrays.items()
    }
    out["mask"] = flags(rules.mask)
    out["weight"] = None if rules.weight is None else rules.weight.float().contiguous()
    out["mask_row"], out["mask_column"] = (1, columns) if swap else (columns, 1)
    out["SELF"] = one_set or rules.skip_diagonal
    has_groups = rules.q_group is not None and rules.k_group is not None
    out["GROUPS"] = rules.group_rule if has_groups else 0
    out["POSITIVES"] = 1 if rules.q_id is not None and rules.k_id is not None else 0
    return out


def slots_of(rows: int, tile: int, most: int) -> tuple[int, int]:
    """(slots, rows of a slot): at most `most` slots of whole tiles."""
    span = triton.cdiv(triton.cdiv(rows, tile), most) * tile
    return triton.cdiv(rows, span), span


def combine_rows(
    part: Tensor,
    lengths: Tensor | None,
    out: Tensor | None,
    sums: Tensor,
    statistics: Tensor | None,
    loss: Tensor | None,
    one_minus_p: Tensor | None,
    n: int,
    groups: int,
    span: int,
    slots: int,
    row: int,
    weighted: bool,
) -> None:
    """Rows [row, row + n) of the results."""
    rows = sums.shape[1]
    combine[(triton.cdiv(n, VECTOR), groups)](
        *(part, lengths, out, sums, statistics, loss, one_minus_p, n, span, slots, row, rows),
        *(weighted, statistics is not None, VECTOR),
        **options(4),
    )


def coefficients_of(grad: Tensor, sums: Tensor, weighted: bool) -> Tensor:
    """reduce.gradient_coefficients: (5, rows)."""
    rows = sums.shape[1]
    coefficients = torch.empty((5, rows), device=sums.device)
    gradient_coefficients[(triton.cdiv(rows, VECTOR),)](
        *(grad, sums, coefficients, grad.stride(0), grad.stride(1), rows, weighted, VECTOR),
        **options(4),
    )
    return coefficients


def gain_of(bound: Tensor, dtype: torch.dtype) -> Tensor | None:
    """A power of two that lifts weights up to `bound` to 2^14 where float16 holds them."""
    if dtype != torch.float16:
        return None
    usable = (bound > 0) & bound.isfinite()
    return torch.where(usable, 2.0 ** (14 - torch.where(usable, bound, 1.0).log2().ceil()), 1.0)


def finish_rows(
    part: Tensor,
    operands: Operands,
    scale: Tensor,
    beta: Tensor,
    gain: Tensor | None,
    paired: Tensor | None,
    lengths: Tensor | None,
    outs: tuple[Tensor, Tensor],
    half: int,
    splits: int,
    groups: int,
    normalize: bool,
    by_row: bool,
) -> None:
    """Gradients in the inputs' dtype into outs (each (..., rows, dim), contiguous)."""
    rows, pitch = operands.x.shape
    n = rows // groups
    dim = outs[0].shape[-1]
    finish[(triton.cdiv(n, ROWS), groups)](
        *(part, operands.x, operands.r, scale, beta, gain, paired, lengths, *outs),
        *(n, half, dim, pitch, splits, outs[0].numel() // (groups * dim)),
        *(normalize, by_row and operands.r is not None, ROWS, COLUMNS),
        **options(FINISH_WARPS),
    )
