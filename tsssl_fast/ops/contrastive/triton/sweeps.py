"""One sweep over all pairs: sums of one side's rows, or gradients of one side, by tiles or by row
chunks (tuning says which)."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from tsssl_fast.backends.precision import NAMES, product
from tsssl_fast.backends.triton.availability import allowed_here, dot_precision, family
from tsssl_fast.ops.contrastive.triton import tuning as configs
from tsssl_fast.ops.contrastive.triton.kernels.pair_gradients import pair_gradients
from tsssl_fast.ops.contrastive.triton.kernels.pair_sums import STATISTICS, SUMS, pair_sums
from tsssl_fast.ops.contrastive.triton.launch import Operands, combine_rows, options, slots_of

_BY_ROW = ("row_id", "row_group", "row_valid")


class Sweep(NamedTuple):
    """Rows against columns: operands, rules as kernel arguments, and the batch's shape."""

    rows: Operands
    columns: Operands
    beta: Tensor
    rules: dict[str, Any]
    one_set: bool
    half: int = 0
    lengths: Tensor | None = None
    groups: int = 1

    @property
    def m(self) -> int:
        return len(self.rows.x) // self.groups

    @property
    def p(self) -> int:
        return len(self.columns.x) // self.groups

    @property
    def matrices(self) -> bool:
        return self.rules["mask"] is not None or self.rules["weight"] is not None

    @property
    def fused(self) -> bool:
        return configs.fused(self.rows.x.dtype, self.rows.x.shape[1])


class Results(NamedTuple):
    """Where a forward puts its rows; kernels.reduce.combine."""

    out: Tensor | None
    sums: Tensor
    statistics: Tensor | None
    loss: Tensor | None
    one_minus_p: Tensor | None


def matrix_product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b in float32: on tensor cores for 16 bits, where torch can keep float32 results."""
    if a.dtype == torch.float32:
        return product(a, b, NAMES[allowed_here()])
    if a.is_cuda and torch.__version__ >= "2.8":
        return torch.mm(a, b, out_dtype=torch.float32)
    return product(a.float(), b.float())


def _chunks(sweep: Sweep) -> Iterator[tuple[int, int, Tensor, dict[str, Any]]]:
    """(first, rows, similarities without r, kernel arguments) of every row chunk."""
    rows, columns = sweep.rows, sweep.columns
    size = configs.chunk_rows(sweep.p, family(rows.x))
    for first in range(0, sweep.m, size):
        last = min(sweep.m, first + size)
        rules = dict(sweep.rules)
        for name in _BY_ROW:
            if rules[name] is not None:
                rules[name] = rules[name][first:last]
        r = None if rows.r is None else rows.r[first:last]
        arguments = {
            **{"x": rows.x, "y": columns.x, "rx": r, "ry": columns.r, "beta": sweep.beta},
            **{"m": last - first, "p": sweep.p, "half": sweep.half, "first": first},
            **{"pitch": rows.x.shape[1], "lengths": None, **rules},
        }
        yield first, last, matrix_product(rows.x[first:last], columns.x.T), arguments


def sums_of(sweep: Sweep, results: Results, columns: bool, weighted: bool, row: int = 0) -> None:
    """Fills the rows of one side from `row` on; with `columns`, those of the other behind them."""
    if not sweep.fused:
        _chunked_sums(sweep, results, row, weighted)
        return
    x = sweep.rows.x
    kind = family(x)
    symmetric = sweep.one_set and not sweep.matrices
    both = symmetric or columns
    load = configs.load_of(both, results.statistics is not None, sweep.matrices)
    tile = configs.tiles("sums", x.dtype, x.shape[1], kind, load)
    fields = SUMS + (STATISTICS if results.statistics is not None else 0)
    if both:
        row_slots, row_span = slots_of(sweep.m, max(tile.rows, tile.columns), configs.SLOTS)
        column_slots, column_span = slots_of(sweep.p, tile.columns, configs.SLOTS)
        if symmetric:
            column_slots, column_span = row_slots, row_span
    else:
        row_slots, row_span = triton.cdiv(sweep.m, tile.rows), tile.rows
        column_slots, column_span = _splits(row_slots * sweep.groups, sweep.p, tile.columns)
    part = torch.empty((fields, column_slots, len(x)), device=x.device)
    column_part = part
    if columns:
        column_part = torch.empty((fields, row_slots, len(sweep.columns.x)), device=x.device)
    grid = (row_slots, row_slots // 2 + 1 if symmetric else column_slots, sweep.groups)
    pair_sums[grid](
        **{"x": x, "y": sweep.columns.x, "rx": sweep.rows.r, "ry": sweep.columns.r},
        **{"scores": None, "beta": sweep.beta, "lengths": sweep.lengths},
        **{"row_part": part, "column_part": column_part, "first": 0, "half": sweep.half},
        **{"m": sweep.m, "p": sweep.p, "pitch": x.shape[1], **sweep.rules},
        **{"row_span": row_span, "column_span": column_span},
        **{"row_slots": column_slots, "column_slots": row_slots},
        **{"ONE_SET": symmetric, "COLUMNS": both, "STATS": results.statistics is not None},
        **{"BM": tile.rows, "BN": tile.columns, "BK": tile.step, "RESIDENT": tile.resident},
        **{"PRECISION": dot_precision(x)},
        **options(tile.warps, tile.stages),
    )
    rest = (sweep.groups, column_span, column_slots)
    combine_rows(part, sweep.lengths, *results, sweep.m, *rest, 0, weighted)
    if columns:
        rest = (sweep.groups, row_span, row_slots)
        combine_rows(column_part, None, *results, sweep.p, *rest, sweep.m, weighted)


def _chunked_sums(sweep: Sweep, results: Results, row: int, weighted: bool) -> None:
    tile = configs.chunk_tiles(family(sweep.rows.x))
    fields = SUMS + (STATISTICS if results.statistics is not None else 0)
    for first, last, scores, arguments in _chunks(sweep):
        blocks = triton.cdiv(last - first, tile.rows)
        slots, span = _splits(blocks, sweep.p, tile.columns)
        part = torch.empty((fields, slots, last - first), device=scores.device)
        pair_sums[(blocks, slots, 1)](
            **arguments,
            **{"scores": scores, "row_part": part, "column_part": part},
            **{"row_span": tile.rows, "column_span": span},
            **{"row_slots": slots, "column_slots": blocks},
            **{"ONE_SET": False, "COLUMNS": False, "STATS": results.statistics is not None},
            **{"BM": tile.rows, "BN": tile.columns, "BK": tile.step, "RESIDENT": False},
            **{"PRECISION": "ieee"},
            **options(tile.warps, tile.stages),
        )
        combine_rows(*(part, None, *results, last - first, 1, span, slots, row + first, weighted))


def gradients_of(
    sweep: Sweep, row_slopes: Tensor | None, column_slopes: Tensor | None, gain: Tensor | None
) -> tuple[Tensor, Tensor, int]:
    """(part, sum of beta's gradient, splits) of one side; `part` as finish_rows takes it."""
    x = sweep.rows.x
    if not sweep.fused:
        part, _, d_beta = chunked_gradients(sweep, row_slopes, column_slopes, gain, False)
        return part, d_beta, 1
    load = configs.load_of(column_slopes is not None, False, sweep.matrices)
    tile = configs.tiles("gradients", x.dtype, x.shape[1], family(x), load)
    blocks = triton.cdiv(sweep.m, tile.rows)
    splits, span = _splits(blocks * sweep.groups, sweep.p, tile.columns)
    part = torch.empty((splits, *x.shape), device=x.device)
    beta_part = x.new_zeros((splits, len(x)), dtype=torch.float32)
    pair_gradients[(blocks, splits, sweep.groups)](
        **{"x": x, "y": sweep.columns.x, "rx": sweep.rows.r, "ry": sweep.columns.r},
        **{"scores": None, "beta": sweep.beta, "gain": gain, "lengths": sweep.lengths},
        **{"part": part, "beta_part": beta_part, "column_span": span},
        **{"m": sweep.m, "p": sweep.p, "half": sweep.half, "first": 0},
        **{"pitch": x.shape[1], **_coefficients(row_slopes, column_slopes), **sweep.rules},
        **{"ONE_SET": sweep.one_set, "BM": tile.rows, "BN": tile.columns, "BK": tile.step},
        **{"BD": configs.width(x.shape[1], family(x)), "RESIDENT": tile.resident},
        **{"PRECISION": dot_precision(x)},
        **options(tile.warps, tile.stages),
    )
    return part, beta_part.sum(dtype=torch.float64), splits


def chunked_gradients(
    sweep: Sweep,
    row_slopes: Tensor | None,
    column_slopes: Tensor | None,
    gain: Tensor | None,
    both: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """(rows' part, with `both` the columns', beta's gradient), from V_ij = r_i r_j dL/da_ij."""
    x, y = sweep.rows.x, sweep.columns.x
    tile = configs.chunk_tiles(family(x))
    part = torch.empty(x.shape, device=x.device)
    column_part = torch.zeros(y.shape if both else (0,), device=x.device)
    d_beta = torch.zeros((), dtype=torch.float64, device=x.device)
    for first, last, scores, arguments in _chunks(sweep):
        # float32 weights take their similarities' place.
        v = scores if x.dtype == torch.float32 else torch.empty_like(scores, dtype=x.dtype)
        chunk_slopes = None if row_slopes is None else row_slopes[:, first:last]
        blocks = triton.cdiv(last - first, tile.rows)
        splits, span = _splits(blocks, sweep.p, tile.columns)
        beta_part = torch.empty((splits, last - first), device=x.device)
        pair_gradients[(blocks, splits, 1)](
            **arguments,
            **{"scores": scores, "gain": gain, "part": v, "beta_part": beta_part},
            **{"column_span": span, **_coefficients(chunk_slopes, column_slopes)},
            **{"ONE_SET": sweep.one_set, "BM": tile.rows, "BN": tile.columns, "BK": tile.step},
            **{"BD": 16, "RESIDENT": False, "PRECISION": "ieee"},
            **options(tile.warps, tile.stages),
        )
        d_beta += beta_part.sum(dtype=torch.float64)
        part[first:last] = matrix_product(v, y)
        if both:
            column_part += matrix_product(v.T, x[first:last])
    return part, column_part, d_beta


def _coefficients(row_slopes: Tensor | None, column_slopes: Tensor | None) -> dict[str, Any]:
    return {
        **{"row_slopes": row_slopes, "column_slopes": column_slopes},
        "row_step": 0 if row_slopes is None else row_slopes.stride(0),
        "column_step": 0 if column_slopes is None else column_slopes.stride(0),
    }


def _splits(programs: int, p: int, tile: int) -> tuple[int, int]:
    """(splits, columns of a split) so that about PROGRAMS programs run."""
    return slots_of(p, tile, max(1, configs.PROGRAMS // programs))
