"""`pair_logsumexp` by the Numba kernels."""

import numpy as np
import torch
from torch import Tensor

from tsssl_fast.backends.numba import arrays, launching
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.numba.calls import _layout
from tsssl_fast.ops.contrastive.numba.kernels import entries
from tsssl_fast.ops.contrastive.numba.kernels import problem as numba_problem
from tsssl_fast.ops.contrastive.numba.kernels.entries import GRADIENT, MAXIMA, SUMS
from tsssl_fast.ops.contrastive.numba.kernels.problem import Schedule, Set
from tsssl_fast.ops.contrastive.rules import Rules


class _Pairs:
    """Queries against keys, or against themselves."""

    def __init__(self, q: Tensor, k: Tensor | None, rules: Rules) -> None:
        self.normalize, self.valid = rules.normalize, (rules.q_valid, rules.k_valid)
        self.z = [x.to(spec.compute_dtype(x.dtype)) for x in ((q,) if k is None else (q, k))]
        self.sets = [Set(len(x), x) for x in self.z]
        self.places = [np.arange(len(x)) for x in self.z]
        columns = 0 if k is None else len(k)
        self.schedule = Schedule(_layout(len(q), columns), q.shape[1])
        self.rules = numba_problem.classes(self.z[0], rules, k is None)

    def fill(self, scale: Tensor) -> None:
        begin = 0
        for x, side, place, valid in zip(self.z, self.sets, self.places, self.valid, strict=False):
            side.fill(x, place, valid, self.normalize, scale[begin : begin + len(x)])
            begin += len(x)


def pairs_forward(
    q: Tensor, k: Tensor | None, beta: Tensor, rules: Rules, statistics: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    problem = _Pairs(q, k, rules)
    z = problem.z[0]
    rows = len(q) + (len(k) if k is not None and rules.symmetric else 0)
    out = z.new_empty((3, rows))
    sums = z.new_empty((len(spec.SUM_ROWS), rows))
    scale = z.new_empty(sum(len(x) for x in problem.z))
    found = z.new_empty((len(spec.STATISTICS), rows if statistics else 0))
    problem.fill(scale)
    made = numba_problem.settings(beta.item(), rules.normalize, statistics, z.dtype)
    sides = [side.forward(made) for side in problem.sets]
    both, memory = k is None or rules.symmetric, problem.schedule.memory(z)
    for phase in (SUMS,) if made.fixed else (MAXIMA, SUMS):
        problem.schedule.walk(phase, sides[0], sides[-1], problem.rules, made, both, memory)
    begin = 0
    for side in sides if rules.symmetric else sides[:1]:
        end = begin + len(side.rows)
        parts = [arrays.array(x[:, begin:end]) for x in (sums, found)]
        live = np.array([[0, end - begin]])
        launching.run(entries.report, 1, side, made, live, *parts)
        sums[:, begin:end] = torch.from_numpy(parts[0])
        if statistics:
            found[:, begin:end] = torch.from_numpy(parts[1])
        begin = end
    weighted = rules.weight is not None
    launching.run(entries.pair_values, 1, arrays.array(sums), weighted, arrays.array(out))
    return out, sums, scale, found


def pairs_backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor | None,
    beta: Tensor,
    rules: Rules,
    sums: Tensor,
    scale: Tensor,
    key_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    problem = _Pairs(q, k, rules)
    z, m = problem.z[0], len(q)
    scale = scale.clone()
    problem.fill(scale)
    made = numba_problem.settings(beta.item(), rules.normalize, False, z.dtype)
    slopes = z.new_empty((3, sums.shape[1]))
    arguments = (arrays.array(grad.to(z.dtype)), made, arrays.array(slopes))
    weighted = rules.weight is not None
    launching.run(entries.pair_slopes, 1, arrays.array(sums), weighted, *arguments)
    keys = k is not None and key_gradient
    sides = [problem.sets[0].backward(slopes[:, :m], sums[:2, :m], True)]
    if k is not None:
        if not rules.symmetric:  # the keys have no loss
            slopes, sums = z.new_zeros((3, m + len(k))), z.new_zeros((2, m + len(k)))
        sides.append(problem.sets[1].backward(slopes[:, m:], sums[:2, m:], keys))
    both, memory = keys or k is None, problem.schedule.memory(z)
    problem.schedule.walk(GRADIENT, sides[0], sides[-1], problem.rules, made, both, memory)
    out = [z.new_empty(q.shape), z.new_empty(k.shape if k is not None and keys else 0)]
    ends = (scale[:m], scale[m:])
    along = [
        problem.sets[i].finish(
            sides[i], ends[i], problem.places[i], rules.normalize, made.beta, out[i]
        )
        for i in range(2 if keys else 1)
    ]
    d_beta = along[0] / (2 if k is None else 1)
    return out[0].to(q.dtype), out[1].to(q.dtype), beta.new_full((), d_beta)
