"""`pair_logsumexp` by the Triton kernels."""

from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends.triton.availability import on
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.rules import Rules
from tsssl_fast.ops.contrastive.triton.launch import (
    coefficients_of,
    finish_rows,
    gain_of,
    prepare_rows,
    rule_arguments,
)
from tsssl_fast.ops.contrastive.triton.sweeps import (
    Results,
    Sweep,
    chunked_gradients,
    gradients_of,
    sums_of,
)


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
    rows = scales if rules.symmetric else m
    new: Any = {"device": q.device}
    out, sums = torch.empty((3, rows), **new), torch.empty((len(spec.SUM_ROWS), rows), **new)
    scale = torch.empty(scales, **new)
    found = torch.empty((len(spec.STATISTICS), rows if statistics else 0), **new)
    weighted = rules.weight is not None
    with on(q):
        forth, back = _pair_sweeps(q, k, beta, rules, scale)
        results = Results(out, sums, found if statistics else None, None, None)
        sums_of(forth, results, rules.symmetric and forth.fused, weighted)
        if rules.symmetric and not forth.fused:
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
        coefficients = coefficients_of(grad, sums, rules.weight is not None)
        own = coefficients[:, :m]
        other = own if k is None else coefficients[:, m:] if rules.symmetric else None
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
