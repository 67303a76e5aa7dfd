"""One call of the contrastive kernels: its arrays, and the phases over them."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tsssl_fast.backends.numba import arrays as numba_arrays
from tsssl_fast.backends.numba import launching
from tsssl_fast.ops.contrastive.numba.kernels import entries, schedule
from tsssl_fast.ops.contrastive.numba.kernels.blocks import QUANTITIES, Memory, Settings, Side
from tsssl_fast.ops.contrastive.numba.kernels.classes import Classes
from tsssl_fast.ops.contrastive.rules import GROUP_RULES, Rules

# exp(a - |beta|) of unit rows stays a normal number: one shift for all
# (csrc/include/tsssl/contrastive.h).
_FIXED_LIMIT = {torch.float32: 60.0, torch.float64: 600.0}
_LOWEST = {torch.float32: -3e38, torch.float64: -1e308}
NUMBER: dict[torch.dtype, Callable[[float], Any]] = {
    torch.float32: np.float32,
    torch.float64: np.float64,
}
# Multiplications (50 us of them) and elements (40 us) below which a second thread costs more than
# it brings: to start a team takes 20 us.
_TASK = 1 << 22
_ELEMENTS = 1 << 17


def settings(beta: float, normalize: bool, statistics: bool, dtype: torch.dtype) -> Settings:
    number = NUMBER[dtype]
    fixed = normalize and 2 * abs(beta) < _FIXED_LIMIT[dtype]
    power = round(abs(beta) / math.log(2)) if fixed else 0
    return Settings(number(beta), power, fixed, statistics, number(_LOWEST[dtype]))


def empty(*size: int, like: Tensor) -> np.ndarray:
    """Through torch, whose uninitialised memory the tests poison."""
    return numba_arrays.array(like.new_empty(size))


class Set:
    """The rows of one side, and how the input's rows map to them."""

    def __init__(self, count: int, like: Tensor) -> None:
        self.like, self.count, self.dim = like, count, like.shape[-1]
        self.rows = empty(count, self.dim, like=like)

    def fill(
        self, z: Tensor, place: np.ndarray, valid: Tensor | None, normalize: bool, scale: Tensor
    ) -> None:
        z = z.reshape(-1, self.dim)
        launching.run(
            *(
                entries.prepare,
                launching.threads(z.numel() // _ELEMENTS),
                numba_arrays.array(z),
                place,
            ),
            *(numba_arrays.flags(valid), normalize, self.rows, numba_arrays.array(scale)),
        )

    def forward(self, settings: Settings) -> Side:
        shift = self.like.new_full((2, self.count), settings.lowest)
        total = torch.zeros((QUANTITIES, self.count), dtype=torch.float64)
        if settings.statistics:
            total[8:] = float(settings.lowest)
        none = self.like.new_zeros((3, 0))
        return Side(self.rows, *map(numba_arrays.array, (total, shift[0], shift[1], none, none)))

    def backward(self, slopes: Tensor, shift: Tensor, gradient: bool) -> Side:
        """slopes: (3, rows) of Side, shift: (2, rows) of negatives and of positives."""
        size = (self.count if gradient else 0, self.dim)
        total = torch.zeros((QUANTITIES, 0), dtype=torch.float64)
        arrays = (total, shift[0], shift[1], slopes, self.like.new_zeros(size))
        return Side(self.rows, *map(numba_arrays.array, arrays))

    def finish(
        self,
        side: Side,
        scale: Tensor,
        place: np.ndarray,
        normalize: bool,
        beta: Any,
        out: Tensor,
    ) -> float:
        """Writes the gradient of the input's rows; returns sum <u, dL/du> / beta over them."""
        out = out.view(-1, self.dim)
        along = np.zeros(len(place))
        threads = launching.threads(out.numel() // _ELEMENTS)
        arguments = (
            side,
            numba_arrays.array(scale),
            place,
            normalize,
            beta,
            numba_arrays.array(out),
            along,
        )
        launching.run(entries.finish, threads, *arguments)
        return float(along.sum())


class Layout:
    """Blocks and tasks of one problem, or of groups of rows side by side."""

    def __init__(self, begin: np.ndarray, rows: np.ndarray, columns: int) -> None:
        self.groups, self.tasks, blocks, self.block = schedule.layout(begin, rows)
        self.live = np.stack([begin, begin + rows], axis=1).astype(np.int64)
        self.pairs = float((rows.astype(np.float64) ** 2).sum()) / 2
        if columns:
            self.tasks = schedule.tasks_across(int(rows[0]), columns)
            blocks += schedule.block_count(columns)
            self.block = max(self.block, schedule.block_size(columns))
            self.pairs = float(rows[0]) * columns
        self.columns, self.blocks = columns, blocks


class Schedule:
    """A layout's walk over rows of `dim` numbers on torch's threads."""

    def __init__(self, layout: Layout, dim: int) -> None:
        self.layout, self.live = layout, layout.live
        self.threads = launching.threads(min(layout.tasks, int(layout.pairs * dim) // _TASK))

    def memory(self, like: Tensor, kept: bool = False) -> Memory:
        threads, block = self.threads, self.layout.block
        tiles = self.layout.tasks if kept else threads
        kind = torch.empty((threads, block), dtype=torch.uint8)
        return Memory(
            kept,
            empty(tiles, block * block, like=like),
            empty(threads, (QUANTITIES + 1) * block, like=like),
            numba_arrays.array(kind),
            numba_arrays.array(like.new_ones((threads, block))),
        )

    def walk(
        self,
        phase: int,
        q: Side,
        k: Side,
        rules: Classes,
        made: Settings,
        both: bool,
        memory: Memory,
    ) -> None:
        layout = self.layout
        progress = np.zeros(layout.blocks, np.int64)
        work = (layout.groups, layout.columns, layout.tasks)
        arguments = (phase, q, k, rules, made, both, work, progress, memory)
        launching.run(entries.meet, self.threads, *arguments, blas=True)


_NO_CODES = np.empty(0, np.int64)


def _codes(x: Tensor | None, other: Tensor | None) -> np.ndarray:
    return _NO_CODES if x is None or other is None else numba_arrays.array(x.to(torch.int64))


def classes(like: Tensor, rules: Rules, one_set: bool, partner: np.ndarray = _NO_CODES) -> Classes:
    no_pairs = torch.empty((0, 0), dtype=torch.bool)
    weight = like.new_empty((0, 0)) if rules.weight is None else rules.weight.to(like.dtype)
    ids = _codes(rules.q_id, rules.k_id), _codes(rules.k_id, rules.q_id)
    groups = _codes(rules.q_group, rules.k_group), _codes(rules.k_group, rules.q_group)
    return Classes(
        *(*ids, *groups, numba_arrays.flags(rules.q_valid), numba_arrays.flags(rules.k_valid)),
        mask=numba_arrays.flags(no_pairs if rules.mask is None else rules.mask),
        weight=numba_arrays.array(weight),
        partner=partner,
        one_set=one_set,
        skip_diagonal=rules.skip_diagonal,
        only_same=GROUP_RULES[rules.group_rule] == "only_same",
    )
