"""The Triton kernels on torch tensors: the family's operators, forward and backward."""

import math
from typing import Any

import torch
import triton
from torch import Tensor

from tsssl_fast.gpu.backend import dot_precision, family, on
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive import triton_configs as configs
from tsssl_fast.ops.contrastive.reference import PLAIN
from tsssl_fast.ops.contrastive.rules import Rules
from tsssl_fast.ops.contrastive.triton_launch import (
    COLUMNS,
    ROWS,
    Operands,
    finish_rows,
    gain_of,
    options,
    prepare_rows,
    pull_rows,
    rule_arguments,
    slots_of,
)
from tsssl_fast.ops.contrastive.triton_paired import paired_gradients, paired_rows, paired_sums
from tsssl_fast.ops.contrastive.triton_sweeps import (
    Results,
    Sweep,
    chunked_gradients,
    gradients_of,
    sums_of,
)

# One shift serves all rows of unit length while 2 beta is below this: exp(-2 beta) and gradients
# scaled by 1e12 stay normal float32 numbers.
SAFE_SPREAD = 60.0
_PAIRED = 2  # triton_tiles.PAIRED


def nt_xent(z1: Tensor, z2: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    return _paired_forward(z1, z2, None, temperature, True)


def nt_xent_backward(
    grad: Tensor, z1: Tensor, z2: Tensor, saved: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    return _paired_backward(grad, z1, z2, saved, None, temperature, True)


def grouped_nt_xent(
    z1: Tensor, z2: Tensor, lengths: Tensor | None, temperature: float, normalize: bool
) -> tuple[Tensor, Tensor]:
    return _paired_forward(z1, z2, _all_lengths(z1, lengths), temperature, normalize)


def grouped_nt_xent_backward(
    grad: Tensor,
    z1: Tensor,
    z2: Tensor,
    saved: Tensor,
    lengths: Tensor | None,
    temperature: float,
    normalize: bool,
) -> tuple[Tensor, Tensor]:
    return _paired_backward(grad, z1, z2, saved, _all_lengths(z1, lengths), temperature, normalize)


def _all_lengths(z: Tensor, lengths: Tensor | None) -> Tensor:
    if lengths is None:
        return torch.full((z.shape[0],), z.shape[1], device=z.device)
    return lengths.contiguous()


def _shape(z: Tensor) -> tuple[int, int]:
    """(problems, rows of a problem) of two views."""
    return (z.shape[0] if z.dim() == 3 else 1), 2 * z.shape[-2]


def _one_shift(beta: float, normalize: bool) -> bool:
    return normalize and 2 * beta < SAFE_SPREAD


def _paired_sweep(
    operands: Operands, lengths: Tensor | None, beta: float, groups: int, half: int
) -> Sweep:
    rules = rule_arguments(PLAIN, False, True, 0)
    rules["POSITIVES"] = _PAIRED
    strength = torch.full((), beta, device=operands.x.device)
    return Sweep(operands, operands, strength, rules, True, half, lengths, groups)


def _paired_forward(
    z1: Tensor, z2: Tensor, lengths: Tensor | None, temperature: float, normalize: bool
) -> tuple[Tensor, Tensor]:
    groups, n = _shape(z1)
    size = (n,) if lengths is None else (groups, n)
    # Rows behind a problem's length are zero, and no kernel writes them.
    new = torch.empty if lengths is None else torch.zeros
    loss = new(size, device=z1.device)
    saved = new((len(spec.NT_XENT_ROWS), *size), device=z1.device)
    flat = saved.view(len(spec.NT_XENT_ROWS), -1)
    beta = 1 / temperature
    with on(z1):
        operands = prepare_rows(z1, z2, flat[1], n // 2, normalize, lengths=lengths)
        sweep = _paired_sweep(operands, lengths, beta, groups, n // 2)
        if _one_shift(beta, normalize) and sweep.fused:
            _one_shift_forward(sweep, beta, loss, flat)
        else:
            results = Results(None, flat[2:], None, loss.view(-1), flat[0])
            sums_of(sweep, results, False, False)
    return loss, saved


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


def _paired_backward(
    grad: Tensor,
    z1: Tensor,
    z2: Tensor,
    saved: Tensor,
    lengths: Tensor | None,
    temperature: float,
    normalize: bool,
) -> tuple[Tensor, Tensor]:
    groups, n = _shape(z1)
    new = torch.empty if lengths is None else torch.zeros
    grad1, grad2 = (new(z.shape, dtype=z.dtype, device=z.device) for z in (z1, z2))
    beta = 1 / temperature
    with on(z1):
        scale = torch.empty(groups * n, device=z1.device)
        operands = prepare_rows(z1, z2, scale, n // 2, normalize, lengths=lengths)
        sweep = _paired_sweep(operands, lengths, beta, groups, n // 2)
        rows = saved.view(len(spec.NT_XENT_ROWS), -1)
        pull = grad.reshape(-1).float() * rows[0]
        gain = gain_of(4 * pull.abs().amax(), z1.dtype)
        if _one_shift(beta, normalize) and sweep.fused:
            part, splits = _one_shift_backward(sweep, beta, pull, rows, gain)
            positive: Tensor | None = pull
        else:
            grads = torch.stack([pull, -pull, torch.zeros_like(pull)])
            coefficients = pull_rows(grads, rows[2:], False)
            part, _, splits = gradients_of(sweep, coefficients, coefficients, gain)
            positive = None
        finish_rows(
            *(part, operands, scale, sweep.beta, gain, positive, lengths, (grad1, grad2)),
            *(n // 2, splits, groups, normalize, not sweep.fused),
        )
    return grad1, grad2


def _one_shift_backward(
    sweep: Sweep, beta: float, pull: Tensor, rows: Tensor, gain: Tensor | None
) -> tuple[Tensor, int]:
    x, r = sweep.rows
    tile = configs.tiles("paired gradients", x.dtype, x.shape[1], family(x))
    blocks = triton.cdiv(sweep.m, tile.rows)
    splits, span = slots_of(
        sweep.p, tile.columns, max(1, configs.PROGRAMS // (blocks * sweep.groups))
    )
    strength = beta / math.log(2)
    power = float(math.ceil(strength))
    # The forward may have been another backend's, with another shift.
    to_negative = torch.where(
        rows[4] == 0, 0.0, pull / rows[4] * (power * math.log(2) - rows[2]).exp()
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


def _pair_sweeps(
    q: Tensor, k: Tensor | None, beta: Tensor, rules: Rules, scale: Tensor
) -> tuple[Sweep, Sweep]:
    """The queries' sweep and the keys'."""
    m = len(q)
    rows = prepare_rows(q, q, scale[:m], m, rules.normalize, rules.q_valid)
    columns = rows
    if k is not None:
        columns = prepare_rows(k, k, scale[m:], len(k), rules.normalize, rules.k_valid)
    else:
        rules = rules._replace(k_valid=rules.q_valid)
    one_set, p = k is None, len(columns.x)
    forth = Sweep(rows, columns, beta, rule_arguments(rules, False, one_set, p), one_set)
    back = Sweep(columns, rows, beta, rule_arguments(rules, True, one_set, p), one_set)
    return forth, back


def pair_logsumexp(
    q: Tensor, k: Tensor | None, beta: Tensor, rules: Rules, statistics: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    m = len(q)
    scales = m if k is None else m + len(k)
    rows = scales if rules.columns else m
    new: Any = {"device": q.device}
    out, sums = torch.empty((3, rows), **new), torch.empty((len(spec.SUM_ROWS), rows), **new)
    scale = torch.empty(scales, **new)
    found = torch.empty((len(spec.STATISTICS), rows if statistics else 0), **new)
    weighted = rules.weight is not None
    with on(q):
        forth, back = _pair_sweeps(q, k, beta, rules, scale)
        results = Results(out, sums, found if statistics else None, None, None)
        sums_of(forth, results, rules.columns and forth.fused, weighted)
        if rules.columns and not forth.fused:
            sums_of(back, results, False, weighted, m)
    return out, sums, scale, found


def pair_logsumexp_backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor | None,
    beta: Tensor,
    rules: Rules,
    sums: Tensor,
    scale: Tensor,
    key_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    m = len(q)
    keys = k is not None and key_gradient
    grad_q = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    grad_k = torch.empty(k.shape if k is not None and keys else 0, dtype=q.dtype, device=q.device)
    with on(q):
        forth, back = _pair_sweeps(q, k, beta, rules, torch.empty_like(scale))
        coefficients = pull_rows(grad, sums, rules.weight is not None)
        own = coefficients[:, :m]
        other = own if k is None else coefficients[:, m:] if rules.columns else None
        size = grad.abs().float()
        gain = gain_of(2 * (size[0] + size[1] + 2 * size[2]).amax(), q.dtype)
        by_row = not forth.fused
        if by_row:
            part, key_part, d_beta = chunked_gradients(forth, own, other, gain, keys)
            splits = key_splits = 1
        else:
            part, d_beta, splits = gradients_of(forth, own, other, gain)
            if keys:
                key_part, _, key_splits = gradients_of(back, other, own, gain)
        ends = [(part, forth.rows, scale[:m], grad_q, splits)]
        if keys:
            ends.append((key_part, back.rows, scale[m:], grad_k, key_splits))
        for sums_part, operands, by, out, n in ends:
            finish_rows(
                *(sums_part, operands, by, beta, gain, None, None, (out, out), len(out), n, 1),
                *(rules.normalize, by_row),
            )
    return grad_q, grad_k, d_beta.to(beta.dtype)
