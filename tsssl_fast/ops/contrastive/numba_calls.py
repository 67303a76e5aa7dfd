"""The operators of the contrastive family on the numba kernels."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from tsssl_fast import _checks, _jit
from tsssl_fast.ops.contrastive import numba_kernels, numba_problem, spec
from tsssl_fast.ops.contrastive.numba_blocks import Memory, Settings
from tsssl_fast.ops.contrastive.numba_kernels import GRADIENT, MAXIMA, SUMS
from tsssl_fast.ops.contrastive.numba_problem import Layout, Schedule, Set
from tsssl_fast.ops.contrastive.reference import PLAIN
from tsssl_fast.ops.contrastive.rules import Rules


def _places(size: int, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of the first and of the second view (-1: padding), and every row's positive."""
    begin = 2 * size * np.arange(len(lengths))
    step = np.arange(size)
    first = np.where(step < lengths[:, None], begin[:, None] + step, -1)
    second = np.where(step < lengths[:, None], first + lengths[:, None], -1)
    partner = np.full(2 * first.size, -1)
    live = first >= 0
    partner[first[live]], partner[second[live]] = second[live], first[live]
    return first.ravel(), second.ravel(), partner


@lru_cache(16)
def _whole(groups: int, size: int) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], Layout]:
    """Of groups without padding: kept, because making it takes longer than the loss of 64 rows."""
    lengths = np.full(groups, size)
    return _places(size, lengths), Layout(2 * size * np.arange(groups), 2 * lengths, 0)


class _Groups:
    """Two views of G groups of L rows: group g has rows 2 L g to 2 L g + 2 lengths[g] - 1."""

    def __init__(self, z1: Tensor, z2: Tensor, lengths: Tensor | None, normalize: bool) -> None:
        self.dtype, (groups, size, dim) = z1.dtype, z1.shape
        self.z1, self.z2 = (z.to(spec.compute_dtype(z.dtype)) for z in (z1, z2))
        if lengths is None:
            places, layout = _whole(groups, size)
        else:
            n = lengths.numpy()
            places, layout = _places(size, n), Layout(2 * size * np.arange(groups), 2 * n, 0)
        self.first, self.second, partner = places
        self.normalize = normalize
        self.schedule = Schedule(layout, dim)
        self.rows = Set(2 * groups * size, self.z1)
        self.rules = numba_problem.classes(self.z1, PLAIN, True, partner)

    def fill(self, scale: Tensor) -> None:
        for z, place in ((self.z1, self.first), (self.z2, self.second)):
            self.rows.fill(z, place, None, self.normalize, scale)

    def sums(self, made: Settings, memory: Memory, saved: Tensor, loss: Tensor) -> None:
        """Writes the rows of spec.NT_XENT_ROWS and the losses."""
        self.fill(saved[1])
        side = self.rows.forward(made)
        for phase in (SUMS,) if made.fixed else (MAXIMA, SUMS):
            self.schedule.walk(phase, side, side, self.rules, made, True, memory)
        rows, live = _jit.array(saved), self.schedule.live
        _jit.run(numba_kernels.report, 1, side, made, live, rows[2:], rows[:0])
        _jit.run(numba_kernels.nt_xent_values, 1, rows, live, _jit.array(loss))

    def gradients(
        self, made: Settings, memory: Memory, saved: Tensor, grad: Tensor, out: Sequence[Tensor]
    ) -> None:
        """Writes both views' gradients, from filled rows; grad: upstream, one number a row."""
        live, pulls = self.schedule.live, self.z1.new_zeros((3, saved.shape[1]))
        arguments = (_jit.array(saved), live, _jit.array(grad), made, _jit.array(pulls))
        _jit.run(numba_kernels.nt_xent_pulls, 1, *arguments)
        side = self.rows.backward(pulls, saved[2:4], True)
        self.schedule.walk(GRADIENT, side, side, self.rules, made, True, memory)
        for place, gradient in zip((self.first, self.second), out, strict=True):
            self.rows.finish(side, saved[1], place, self.normalize, made.beta, gradient)


def grouped_forward(
    z1: Tensor, z2: Tensor, lengths: Tensor | None, temperature: float, normalize: bool
) -> tuple[Tensor, Tensor]:
    problem = _Groups(z1, z2, lengths, normalize)
    z, size = problem.z1, (z1.shape[0], 2 * z1.shape[1])
    loss, saved = z.new_zeros(size), z.new_empty((len(spec.NT_XENT_ROWS), *size))
    made = numba_problem.settings(1 / temperature, normalize, False, z.dtype)
    memory = problem.schedule.memory(z)
    problem.sums(made, memory, saved.view(len(saved), -1), loss.view(-1))
    return loss, saved


def grouped_backward(
    grad: Tensor,
    z1: Tensor,
    z2: Tensor,
    saved: Tensor,
    lengths: Tensor | None,
    temperature: float,
    normalize: bool,
) -> tuple[Tensor, Tensor]:
    problem = _Groups(z1, z2, lengths, normalize)
    z, rows = problem.z1, saved.reshape(len(saved), -1)
    problem.fill(torch.empty_like(rows[1]))
    made = numba_problem.settings(1 / temperature, normalize, False, z.dtype)
    out = [z.new_empty(x.shape) for x in (z1, z2)]
    upstream = grad.to(z.dtype).reshape(-1)
    problem.gradients(made, problem.schedule.memory(z), rows, upstream, out)
    return out[0].to(problem.dtype), out[1].to(problem.dtype)


def nt_xent_forward(
    z1: Tensor, z2: Tensor, temperature: float, reduction: str, keep: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """With a reduction the gradient is formed here, from logits in working memory, where they are
    few (spec.kept_rows): half a unit of products less, and a backward of one multiplication."""
    rows, dim = 2 * z1.shape[0], z1.shape[1]
    formed = keep and reduction != "none" and spec.kept_rows(rows, dim) > 0
    problem = _Groups(z1[None], z2[None], None, True)
    z = problem.z1
    loss, saved = z.new_empty(rows), z.new_empty((len(spec.NT_XENT_ROWS), rows))
    made = numba_problem.settings(1 / temperature, True, False, z.dtype)
    memory = problem.schedule.memory(z, formed)
    problem.sums(made, memory, saved, loss)
    kept = z.new_empty((2, *z1.shape) if formed else 0)
    if formed:
        grad = z.new_full((rows,), 1 / rows if reduction == "mean" else 1.0)
        problem.gradients(made, memory, saved, grad, kept.unbind())
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
    grad = grad.to(saved.dtype) / (rows if reduction == "mean" else 1)
    grad = grad.expand(rows)[None]
    out = grouped_backward(grad, z1[None], z2[None], saved[:, None], None, temperature, True)
    return out[0][0], out[1][0]


@lru_cache(16)
def _layout(rows: int, columns: int) -> Layout:
    return Layout(np.zeros(1, int), np.array([rows]), columns)


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
    rows = len(q) + (len(k) if k is not None and rules.columns else 0)
    out = z.new_empty((3, rows))
    sums = z.new_empty((len(spec.SUM_ROWS), rows))
    scale = z.new_empty(sum(len(x) for x in problem.z))
    found = z.new_empty((len(spec.STATISTICS), rows if statistics else 0))
    problem.fill(scale)
    made = numba_problem.settings(beta.item(), rules.normalize, statistics, z.dtype)
    sides = [side.forward(made) for side in problem.sets]
    both, memory = k is None or rules.columns, problem.schedule.memory(z)
    for phase in (SUMS,) if made.fixed else (MAXIMA, SUMS):
        problem.schedule.walk(phase, sides[0], sides[-1], problem.rules, made, both, memory)
    begin = 0
    for side in sides if rules.columns else sides[:1]:
        end = begin + len(side.rows)
        parts = [_jit.array(x[:, begin:end]) for x in (sums, found)]
        live = np.array([[0, end - begin]])
        _jit.run(numba_kernels.report, 1, side, made, live, *parts)
        sums[:, begin:end] = torch.from_numpy(parts[0])
        if statistics:
            found[:, begin:end] = torch.from_numpy(parts[1])
        begin = end
    weighted = rules.weight is not None
    _jit.run(numba_kernels.pair_values, 1, _jit.array(sums), weighted, _jit.array(out))
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
    pulls = z.new_empty((3, sums.shape[1]))
    arguments = (_jit.array(grad.to(z.dtype)), made, _jit.array(pulls))
    weighted = rules.weight is not None
    _jit.run(numba_kernels.pair_pulls, 1, _jit.array(sums), weighted, *arguments)
    keys = k is not None and key_gradient
    sides = [problem.sets[0].backward(pulls[:, :m], sums[:2, :m], True)]
    if k is not None:
        if not rules.columns:  # no loss pulls at the keys
            pulls, sums = z.new_zeros((3, m + len(k))), z.new_zeros((2, m + len(k)))
        sides.append(problem.sets[1].backward(pulls[:, m:], sums[:2, m:], keys))
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
