"""The Triton kernels on torch tensors: the family's operators, forward and backward."""

from typing import Any

import torch
from torch import Tensor

from tsssl_fast import _checks
from tsssl_fast.gpu.backend import on
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive import triton_configs as configs
from tsssl_fast.ops.contrastive.rules import Rules
from tsssl_fast.ops.contrastive.triton_launch import (
    finish_rows,
    gain_of,
    prepare_rows,
    pull_rows,
    rule_arguments,
)
from tsssl_fast.ops.contrastive.triton_sweeps import (
    Results,
    Sweep,
    chunked_gradients,
    gradients_of,
    sums_of,
)
from tsssl_fast.ops.contrastive.triton_views import (
    prepare_views,
    shape_of,
    write_gradients,
    write_losses,
)


def nt_xent(
    z1: Tensor, z2: Tensor, temperature: float, reduction: str, keep: bool
) -> tuple[Tensor, Tensor, Tensor]:
    if not (keep and configs.formed(z1.dtype, configs.pitch(z1.shape[-1]), reduction)):
        loss, saved = _paired_forward(z1, z2, None, temperature, True)
        return _checks.reduce(loss, reduction), saved, loss.new_empty(0)
    rows = 2 * len(z1)
    loss, saved, kept = (
        torch.empty(size, device=z1.device)
        for size in ((rows,), (len(spec.NT_XENT_ROWS), rows), (2, *z1.shape))
    )
    grad = torch.full((rows,), 1 / rows if reduction == "mean" else 1.0, device=z1.device)
    with on(z1):
        problem = prepare_views(z1, z2, None, temperature, True, saved[1])
        write_losses(problem, loss, saved)
        write_gradients(problem, grad, saved, (kept[0], kept[1]))
    return _checks.reduce(loss, reduction), saved, kept


def nt_xent_backward(
    grad: Tensor,
    z1: Tensor,
    z2: Tensor,
    saved: Tensor,
    kept: Tensor,
    temperature: float,
    reduction: str,
) -> tuple[Tensor, Tensor]:
    if kept.dim() == spec.GRADIENT_DIMS:
        return (kept[0] * grad).to(z1.dtype), (kept[1] * grad).to(z1.dtype)
    rows = saved.shape[1]
    grad = (grad / rows if reduction == "mean" else grad).expand(rows)
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


def _paired_forward(
    z1: Tensor, z2: Tensor, lengths: Tensor | None, temperature: float, normalize: bool
) -> tuple[Tensor, Tensor]:
    groups, n = shape_of(z1)
    size = (n,) if lengths is None else (groups, n)
    # Rows behind a problem's length are zero, and no kernel writes them.
    new = torch.empty if lengths is None else torch.zeros
    loss = new(size, device=z1.device)
    saved = new((len(spec.NT_XENT_ROWS), *size), device=z1.device)
    flat = saved.view(len(spec.NT_XENT_ROWS), -1)
    with on(z1):
        problem = prepare_views(z1, z2, lengths, temperature, normalize, flat[1])
        write_losses(problem, loss, flat)
    return loss, saved


def _paired_backward(
    grad: Tensor,
    z1: Tensor,
    z2: Tensor,
    saved: Tensor,
    lengths: Tensor | None,
    temperature: float,
    normalize: bool,
) -> tuple[Tensor, Tensor]:
    groups, n = shape_of(z1)
    new = torch.empty if lengths is None else torch.zeros
    grads = (
        new(z1.shape, dtype=z1.dtype, device=z1.device),
        new(z2.shape, dtype=z2.dtype, device=z2.device),
    )
    with on(z1):
        scale = torch.empty(groups * n, device=z1.device)
        problem = prepare_views(z1, z2, lengths, temperature, normalize, scale)
        rows = saved.view(len(spec.NT_XENT_ROWS), -1)
        write_gradients(problem, grad.reshape(-1).float(), rows, grads)
    return grads


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
