"""NT-Xent of two views on the Triton kernels: losses, and gradients for an upstream gradient per
row; the forward of `nt_xent` may ask for both (tuning.gradient_in_forward)."""

import math
from typing import NamedTuple

import torch
import triton
from torch import Tensor

from tsssl_fast.backends.triton.availability import dot_precision, family
from tsssl_fast.ops.contrastive.reference.pairs import PLAIN
from tsssl_fast.ops.contrastive.triton import tuning as configs
from tsssl_fast.ops.contrastive.triton.kernels.paired import (
    paired_gradients,
    paired_rows,
    paired_sums,
    paired_weights,
)
from tsssl_fast.ops.contrastive.triton.launch import (
    COLUMNS,
    ROWS,
    coefficients_of,
    finish_rows,
    gain_of,
    options,
    prepare_rows,
    rule_arguments,
    slots_of,
)
from tsssl_fast.ops.contrastive.triton.sweeps import (
    Results,
    Sweep,
    gradients_of,
    matrix_product,
    sums_of,
)

# One shift serves all rows of unit length while 2 beta is below this: exp(-2 beta) and gradients
# scaled by 1e12 stay normal float32 numbers.
SAFE_SPREAD = 60.0
_PAIRED = 2  # kernels.tiles.PAIRED


def shape_of(z: Tensor) -> tuple[int, int]:
    """(problems, rows of a problem) of two views."""
    return (z.shape[0] if z.dim() == 3 else 1), 2 * z.shape[-2]


def _one_shift(beta: float, normalize: bool) -> bool:
    return normalize and 2 * beta < SAFE_SPREAD


class Paired(NamedTuple):
    """Two views ready for their pairs."""

    sweep: Sweep
    scale: Tensor
    beta: float
    normalize: bool


def prepare_views(
    z1: Tensor,
    z2: Tensor,
    lengths: Tensor | None,
    temperature: float,
    normalize: bool,
    scale: Tensor,
) -> Paired:
    """Writes scale."""
    groups, n = shape_of(z1)
    operands = prepare_rows(z1, z2, scale, n // 2, normalize, lengths=lengths)
    rules = rule_arguments(PLAIN, False, True, 0)
    rules["POSITIVES"] = _PAIRED
    strength = torch.full((), 1 / temperature, device=z1.device)
    sweep = Sweep(operands, operands, strength, rules, True, n // 2, lengths, groups)
    return Paired(sweep, scale, 1 / temperature, normalize)


def write_losses(problem: Paired, loss: Tensor, saved: Tensor) -> None:
    """Writes them, and the rows of spec.NT_XENT_ROWS but scale."""
    sweep, _, beta, normalize = problem
    if _one_shift(beta, normalize):
        _one_shift_forward(sweep, beta, loss, saved)
    else:
        results = Results(None, saved[2:], None, loss.view(-1), saved[0])
        sums_of(sweep, results, False, False)


def write_gradients(
    problem: Paired, grad: Tensor, rows: Tensor, outs: tuple[Tensor, Tensor]
) -> None:
    """grad: upstream, float32, one number a row; rows: those of spec.NT_XENT_ROWS."""
    sweep, scale, beta, normalize = problem
    slope = grad * rows[0]
    gain = gain_of(4 * slope.abs().amax(), sweep.rows.x.dtype)
    positive: Tensor | None = None
    if _one_shift(beta, normalize):
        part, splits = _one_shift_backward(sweep, beta, slope, rows, gain)
        positive = slope
    else:
        grads = torch.stack([slope, -slope, torch.zeros_like(slope)])
        coefficients = coefficients_of(grads, rows[2:], False)
        part, _, splits = gradients_of(sweep, coefficients, coefficients, gain)
    finish_rows(
        *(part, sweep.rows, scale, sweep.beta, gain, positive, sweep.lengths, outs),
        *(sweep.half, splits, sweep.groups, normalize, not sweep.fused),
    )


def _one_shift_forward(sweep: Sweep, beta: float, loss: Tensor, saved: Tensor) -> None:
    x, r = sweep.rows
    tile = configs.tiles("paired sums", x.dtype, x.shape[1], family(x))
    slots, span = slots_of(sweep.m, max(tile.rows, tile.columns), configs.SLOTS)
    part = torch.empty((slots, len(x)), device=x.device)
    strength = beta / math.log(2)
    power = float(math.ceil(strength))
    tail = (sweep.m, sweep.half, x.shape[1], span, slots)
    paired_sums[(slots, slots // 2 + 1, sweep.groups)](
        *(x, r, sweep.lengths, part, strength, power, *tail),
        *(tile.rows, tile.columns, tile.step, tile.resident, dot_precision(x)),
        **options(tile.warps, tile.stages),
    )
    paired_rows[(triton.cdiv(sweep.m, ROWS), sweep.groups)](
        *(x, r, sweep.lengths, part, beta, power, loss, saved, *tail, ROWS, COLUMNS),
        **options(4),
    )


def _one_shift_backward(
    sweep: Sweep, beta: float, slope: Tensor, rows: Tensor, gain: Tensor | None
) -> tuple[Tensor, int]:
    x, r = sweep.rows
    strength = beta / math.log(2)
    power = float(math.ceil(strength))
    # The forward may have been another backend's, with another shift.
    to_negative = torch.where(
        rows[4] == 0, 0.0, slope / rows[4] * (power * math.log(2) - rows[2]).exp()
    )
    if not sweep.fused:
        return _one_shift_chunks(sweep, to_negative, gain, strength, power), 1
    tile = configs.tiles("paired gradients", x.dtype, x.shape[1], family(x))
    blocks = triton.cdiv(sweep.m, tile.rows)
    splits, span = slots_of(
        sweep.p, tile.columns, max(1, configs.PROGRAMS // (blocks * sweep.groups))
    )
    part = torch.empty((splits, *x.shape), device=x.device)
    paired_gradients[(blocks, splits, sweep.groups)](
        *(x, r, sweep.lengths, to_negative, gain, part, strength, power),
        *(sweep.m, sweep.half, x.shape[1], span),
        *(tile.rows, tile.columns, tile.step, configs.width(x.shape[1], family(x))),
        *(tile.resident, dot_precision(x)),
        **options(tile.warps, tile.stages),
    )
    return part, splits


def _one_shift_chunks(
    sweep: Sweep, to_negative: Tensor, gain: Tensor | None, strength: float, power: float
) -> Tensor:
    """Of wide rows, with the factor r_i: torch's product, one pass over it, torch's product."""
    x, r = sweep.rows
    n, tile = sweep.m, configs.chunk_tiles(family(x))
    size = configs.chunk_rows(n, family(x))
    part = torch.empty(x.shape, device=x.device)
    for first in range(0, n, size):
        last = min(n, first + size)
        scores = matrix_product(x[first:last], x.T)
        # float32 weights take their similarities' place.
        weights = scores if x.dtype == torch.float32 else torch.empty_like(scores, dtype=x.dtype)
        grid = (triton.cdiv(last - first, tile.rows), triton.cdiv(n, tile.columns))
        paired_weights[grid](
            *(scores, r, to_negative, gain, weights, strength, power),
            *(last - first, n, sweep.half, first, tile.rows, tile.columns),
            **options(tile.warps, tile.stages),
        )
        part[first:last] = matrix_product(weights, x)
    return part
