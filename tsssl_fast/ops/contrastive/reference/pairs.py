"""The definition in plain torch: any device, any floating dtype, differentiable to any order.

`nt_xent` and `pair_logsumexp` are what the tests hold every kernel to. BACKEND runs the same
mathematics as operators, with the gradients in closed form. All of it builds the M x P matrix.
"""

import math

import torch
from torch import Tensor

from tsssl_fast.backends.precision import product
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.rules import GROUP_RULES, Rules

PLAIN = Rules(None, None, None, None, None, None, None, None, True, False, False, 0)


def pair_logsumexp(q: Tensor, k: Tensor | None, beta: Tensor, rules: Rules) -> Tensor:
    """Row statistics of the logits a = beta s: (3, M), with `rules.symmetric` (3, M + P).

    Row 0: log sum exp over the negatives; row 1: over the positives; row 2: the gap, row 1 minus
    the (weighted) mean of the positives' logits. Empty classes: -inf, -inf, 0.
    """
    s, negative, positive = _pairs(q, k, rules)
    a = s * beta.to(s.dtype)
    w = None if rules.weight is None else rules.weight.to(a.dtype)
    out = _rows(a, negative, positive, w)
    if rules.symmetric:
        back = None if w is None else w.T
        out = torch.cat([out, _rows(a.T, negative.T, positive.T, back)], dim=1)
    return out


def log1p_exp(x: Tensor) -> Tensor:
    """log(1 + exp(x)), which keeps its digits at both ends; 0 for -inf. The second derivative of
    torch.logaddexp is NaN where exp(-x) overflows."""
    return -torch.nn.functional.logsigmoid(-x)


def in_range(z: Tensor) -> tuple[Tensor, Tensor]:
    """Rows whose squares do not overflow, and (..., 1) the power of two that was multiplied in: 1
    but for rows of huge numbers, so that ordinary ones keep their bits."""
    half = math.frexp(torch.finfo(z.dtype).max)[1] // 2
    huge = z.detach().abs().amax(dim=-1, keepdim=True) > 2.0 ** (half - 4)
    factor = torch.where(huge, 2.0 ** -(half + 16), 1.0).to(z.dtype)
    return z * factor, factor


def unit(z: Tensor) -> tuple[Tensor, Tensor]:
    """Rows over their norm, and 1 / norm; both 0 for rows that count as zero."""
    z, factor = in_range(z)
    norm = torch.linalg.vector_norm(z.detach(), dim=-1, keepdim=True)
    zero = norm <= spec.TINY_NORM * factor
    # A safe input for the norm's derivative: the zero rows never reach it.
    norm = torch.linalg.vector_norm(torch.where(zero, torch.ones_like(z), z), dim=-1, keepdim=True)
    scale = torch.where(zero, 0.0, factor / norm)[..., 0]
    return torch.where(zero, torch.zeros_like(z), z / norm), scale


def side(z: Tensor, valid: Tensor | None, rules: Rules) -> tuple[Tensor, Tensor]:
    """Rows in the compute dtype, normalised where asked, and their scales."""
    z = z.to(spec.compute_dtype(z.dtype)).contiguous()  # one order of every sum
    if valid is not None:
        z = torch.where(valid[:, None], z, 0.0)  # whatever it holds
    return unit(z) if rules.normalize else (z, z.new_ones(len(z)))


def _sides(q: Tensor, k: Tensor | None, rules: Rules) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    u, u_scale = side(q, rules.q_valid, rules)
    v, v_scale = (u, u_scale) if k is None else side(k, rules.k_valid, rules)
    return u, v, u_scale, v_scale


def _pairs(q: Tensor, k: Tensor | None, rules: Rules) -> tuple[Tensor, Tensor, Tensor]:
    """Similarities and the two classes, (M, P) each."""
    u, v, _, _ = _sides(q, k, rules)
    negative, positive = classes(len(v), k is None, rules, 0, len(u))
    return product(u, v.T), negative.to(q.device), positive.to(q.device)


def classes(p: int, one_set: bool, rules: Rules, first: int, last: int) -> tuple[Tensor, Tensor]:
    """Negatives and positives of rows [first, last) against P columns, boolean."""
    arrays = [x for x in rules[:8] if isinstance(x, Tensor)]
    device = arrays[0].device if arrays else None
    rows = torch.arange(first, last, device=device)[:, None]
    columns = torch.arange(p, device=device)
    live = rows.ge(0) & columns.ge(0)
    if one_set or rules.skip_diagonal:
        live &= rows != columns
    if rules.q_valid is not None:
        live &= rules.q_valid[first:last, None]
    if rules.k_valid is not None:
        live &= rules.k_valid
    if rules.mask is not None:
        live &= rules.mask[first:last]
    positive = torch.zeros_like(live)
    if rules.q_id is not None and rules.k_id is not None:
        positive = live & (rules.q_id[first:last, None] == rules.k_id)
    negative = live & ~positive
    if rules.q_group is not None and rules.k_group is not None:
        same = rules.q_group[first:last, None] == rules.k_group
        negative &= same if GROUP_RULES[rules.group_rule] == "only_same" else ~same
    return negative, positive


def _shifted_sum(a: Tensor, keep: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Maximum of a over `keep` (0 where that is empty), and the sum of w exp(a - maximum)."""
    top = a.detach().masked_fill(~keep, -torch.inf).amax(dim=1)
    top = torch.where(top == -torch.inf, 0.0, top)
    e = torch.where(keep, a - top[:, None], 0.0).exp() * keep
    return top, (e if weight is None else e * weight).sum(dim=1)


def _masked_logsumexp(a: Tensor, keep: Tensor, weight: Tensor | None) -> Tensor:
    """log sum of w exp(a) over `keep`; -inf with zero gradient where that is empty."""
    top, total = _shifted_sum(a, keep, weight)
    some = total != 0  # NaN counts as some
    return torch.where(some, torch.where(some, total, 1.0).log() + top, -torch.inf)


def _rows(a: Tensor, negative: Tensor, positive: Tensor, weight: Tensor | None) -> Tensor:
    above = _masked_logsumexp(a, positive, weight)
    w = positive.to(a.dtype) if weight is None else positive * weight
    count = w.sum(dim=1)
    mean = torch.where(positive, a * w, 0.0).sum(dim=1) / torch.where(count == 0, 1.0, count)
    gap = torch.where(count == 0, 0.0, torch.where(count == 0, 0.0, above) - mean)
    return torch.stack([_masked_logsumexp(a, negative, weight), above, gap])


def forward(
    q: Tensor, k: Tensor | None, beta: Tensor, rules: Rules, statistics: bool = False
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    s, negative, positive = _pairs(q, k, rules)
    _, _, q_scale, k_scale = _sides(q, k, rules)
    a = s * beta.to(s.dtype)
    weight = None if rules.weight is None else rules.weight.to(s.dtype)
    sums = _sums(a, negative, positive, weight)
    if rules.symmetric:
        back = None if weight is None else weight.T
        sums = torch.cat([sums, _sums(a.T, negative.T, positive.T, back)], dim=1)
    scale = q_scale if k is None else torch.cat([q_scale, k_scale])
    found = s.new_empty((len(spec.STATISTICS), 0))
    if statistics:
        found = _statistics(s, a, negative, positive)
        if rules.symmetric:
            found = torch.cat([found, _statistics(s.T, a.T, negative.T, positive.T)], dim=1)
    return pair_logsumexp(q, k, beta, rules), sums, scale, found


def _sums(a: Tensor, negative: Tensor, positive: Tensor, weight: Tensor | None) -> Tensor:
    """The rows of spec.SUM_ROWS."""
    n_shift, n_total = _shifted_sum(a, negative, weight)
    p_shift, p_total = _shifted_sum(a, positive, weight)
    w = positive.to(a.dtype) if weight is None else positive * weight
    logit = torch.where(positive, a * w, 0.0).sum(dim=1)
    return torch.stack([n_shift, p_shift, n_total, p_total, w.sum(dim=1), logit])


def _statistics(s: Tensor, a: Tensor, negative: Tensor, positive: Tensor) -> Tensor:
    """The rows of spec.STATISTICS."""
    lowest = torch.finfo(a.dtype).min
    spread = ((4 * s - 4).clamp_max(0).exp() * (negative | positive)).sum(dim=1)
    tops = [
        a.masked_fill(~c, -torch.inf).amax(dim=1).clamp_min(lowest) for c in (negative, positive)
    ]
    logit = torch.where(negative, a, 0.0).sum(dim=1)
    counts = [c.sum(dim=1).to(a.dtype) for c in (negative, positive)]
    return torch.stack([logit, *counts, spread, *tops])


def backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor | None,
    beta: Tensor,
    rules: Rules,
    sums: Tensor,
    scale: Tensor,
    key_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Closed form: dL/da on every pair, then the two products."""
    s, negative, positive = _pairs(q, k, rules)
    u, v, _, _ = _sides(q, k, rules)
    b = beta.to(s.dtype)
    m = len(q)
    w = _slopes(grad[:, :m], s * b, negative, positive, rules.weight, sums[:, :m])
    if rules.symmetric:
        back = None if rules.weight is None else rules.weight.T
        w = w + _slopes(grad[:, m:], s.T * b, negative.T, positive.T, back, sums[:, m:]).T
    d_beta = (w * s).sum().to(beta.dtype)
    if k is None:
        return (
            through_norm(b * product(w + w.T, u), u, scale, rules).to(q.dtype),
            q.new_empty(0),
            d_beta,
        )
    dq = through_norm(b * product(w, v), u, scale[:m], rules).to(q.dtype)
    if not key_gradient:
        return dq, k.new_empty(0), d_beta
    return dq, through_norm(b * product(w.T, u), v, scale[m:], rules).to(k.dtype), d_beta


def _slopes(
    grad: Tensor, a: Tensor, negative: Tensor, positive: Tensor, weight: Tensor | None, sums: Tensor
) -> Tensor:
    n_shift, p_shift, n_total, p_total, count, _ = sums
    one = (count == 1) if weight is None else torch.zeros_like(count, dtype=torch.bool)
    on_positive = grad[1] + torch.where(one, 0.0, grad[2])
    e_n = torch.where(negative, a - n_shift[:, None], 0.0).exp()
    e_p = torch.where(positive, a - p_shift[:, None], 0.0).exp()
    to_n = torch.where(n_total == 0, 0.0, grad[0] / n_total)
    to_p = torch.where(p_total == 0, 0.0, on_positive / p_total)
    constant = torch.where((count == 0) | one, 0.0, grad[2] / count)
    w = torch.where(negative, e_n * to_n[:, None], 0.0)
    w = torch.where(positive, e_p * to_p[:, None] - constant[:, None], w)
    return w if weight is None else w * weight.to(w.dtype)


def through_norm(du: Tensor, u: Tensor, scale: Tensor, rules: Rules) -> Tensor:
    if not rules.normalize:
        return du
    return (du - (du * u).sum(dim=1, keepdim=True) * u) * scale[:, None]
