"""The kernels of the augmentation family in numba: csrc/augment/augment.cpp. A task is a group of
(view, sample) items; the parameters are drawn first, then the operations run in order over the
item's (C, T) block."""

# mypy: disable-error-code=no-untyped-def

from typing import NamedTuple

import numpy as np

from tsssl_fast.backends.numba.compiling import part
from tsssl_fast.backends.numba.launching import kernel, take
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.numba.kernels.draws import Subject, draw, plan_words, seed_key
from tsssl_fast.ops.augment.numba.kernels.operations import (
    Work,
    add_block,
    change_block,
    move_block,
    moves,
)

TASK_ELEMENTS = 8192  # at least, per task: about 40 microseconds


class Draws(NamedTuple):
    """What the random numbers of a call depend on."""

    program: np.ndarray  # (rows, COLUMNS) float64
    bounds: np.ndarray  # (rows + 1,) int64: slots of every row
    seed: np.ndarray  # (4,) int64
    ids: np.ndarray  # (N,) int64, or empty: 0 to N - 1
    lengths: np.ndarray  # (N,) int64, or empty: no padding
    given: np.ndarray  # (views, N, slots) float64, or empty: to be drawn


class Memory(NamedTuple):
    """Working memory, one row per thread."""

    blocks: np.ndarray  # (threads, 2, C, T)
    left: np.ndarray
    weight: np.ndarray
    words: np.ndarray
    noise: np.ndarray
    plan: np.ndarray
    slots: np.ndarray


@part
def _work(memory, thread):
    return Work(
        memory.left[thread],
        memory.weight[thread],
        memory.words[thread],
        memory.noise[thread],
    )


@part(inlined=True)
def _subject(draws, key, view, sample, channels, steps):
    u = np.uint64(draws.ids[sample] if draws.ids.size > 0 else sample)
    return Subject(
        key[0],
        key[1],
        u & np.uint64(0xFFFFFFFF),
        u >> np.uint64(32),
        np.uint64(view),
        channels,
        draws.lengths[sample] if draws.lengths.size > 0 else steps,
    )


@part(inlined=True)
def _parameters(draws, subject, view, sample, plan, words, slots):
    if draws.given.size > 0:
        for i in range(draws.given.shape[2]):
            slots[i] = draws.given[view, sample, i]
    else:
        draw(draws.program, draws.bounds, subject, False, plan, words, slots)


@part
def _copy(x, y):
    for c in range(x.shape[0]):
        for t in range(x.shape[1]):
            y[c, t] = x[c, t]


@part
def _keep_padding(x, length, out):
    for c in range(x.shape[0]):
        for t in range(length, x.shape[1]):
            out[c, t] = x[c, t]


@part(inlined=True)
def _forward_item(x, draws, subject, slots, work, spare, result):
    swaps = 0
    for r in range(len(draws.program)):
        if slots[draws.bounds[r] + spec.ACTS] != 0:
            swaps += moves(draws.program[r], subject.length)
    # Start in the buffer from which the last move ends in the output.
    here, there = result, spare
    if swaps % 2 != 0:
        here, there = there, here
    # A first operation that moves reads x itself: no copy.
    copied = False
    for r in range(len(draws.program)):
        row, slot = draws.program[r], slots[draws.bounds[r] : draws.bounds[r + 1]]
        if slot[spec.ACTS] == 0:
            continue
        passes = moves(row, subject.length)
        for _ in range(passes):
            move_block(row, slot, subject, False, work, here if copied else x, there)
            here, there, copied = there, here, True
        if passes == 0:
            if not copied:
                _copy(x, here)
            copied = True
            change_block(row, slot, subject, False, work, here)
            add_block(row, slot, subject, work, here)
    if not copied:
        _copy(x, here)
    _keep_padding(x, subject.length, result)


@kernel
def forward(counter, thread, x, draws, memory, out):
    """x: (views or 1, N, C, T); out: (views, N, C, T)."""
    views, n, channels, steps = out.shape
    group = max(1, TASK_ELEMENTS // max(1, channels * steps))
    work, key = _work(memory, thread), seed_key(draws.seed)
    plan, slots = memory.plan[thread], memory.slots[thread]
    plan_words(draws.program, draws.bounds, plan)
    while True:
        begin = take(counter) * group
        if begin >= views * n:
            break
        for item in range(begin, min(begin + group, views * n)):
            # The views of one sample follow each other: its series is still in cache.
            sample, view = item // views, item % views
            subject = _subject(draws, key, view, sample, channels, steps)
            _parameters(draws, subject, view, sample, plan, work.words, slots)
            source = x[min(view, len(x) - 1), sample]
            spare, result = memory.blocks[thread, 0], out[view, sample]
            _forward_item(source, draws, subject, slots, work, spare, result)


@kernel
def backward(counter, thread, grad, draws, memory, total, out):
    """grad: (views, N, C, T); out: the same, or with `total` (1, N, C, T), summed over views."""
    views, n, channels, steps = grad.shape
    work, key = _work(memory, thread), seed_key(draws.seed)
    plan, slots = memory.plan[thread], memory.slots[thread]
    plan_words(draws.program, draws.bounds, plan)
    while True:
        sample = take(counter)
        if sample >= n:
            break
        for view in range(views):
            subject = _subject(draws, key, view, sample, channels, steps)
            _parameters(draws, subject, view, sample, plan, work.words, slots)
            here, there = memory.blocks[thread, 0], memory.blocks[thread, 1]
            _copy(grad[view, sample], here)
            for r in range(len(draws.program) - 1, -1, -1):
                row, slot = draws.program[r], slots[draws.bounds[r] : draws.bounds[r + 1]]
                if slot[spec.ACTS] == 0:
                    continue
                passes = moves(row, subject.length)
                for _ in range(passes):
                    move_block(row, slot, subject, True, work, here, there)
                    here, there = there, here
                if passes == 0:
                    change_block(row, slot, subject, True, work, here)
            _keep_padding(grad[view, sample], subject.length, here)
            result = out[0 if total else view, sample]
            for c in range(result.shape[0]):
                for t in range(result.shape[1]):
                    before = result[c, t] if total and view > 0 else result.dtype.type(0)
                    result[c, t] = before + here[c, t]


@kernel
def sample(counter, thread, draws, channels, steps, plans, words, out):
    """Parameters of every row, acting or not; out: (views, N, slots) float64."""
    views, n, slots = out.shape
    group = max(1, TASK_ELEMENTS // max(1, 16 * slots))
    key, plan, own = seed_key(draws.seed), plans[thread], words[thread]
    plan_words(draws.program, draws.bounds, plan)
    while True:
        begin = take(counter) * group
        if begin >= views * n:
            break
        for item in range(begin, min(begin + group, views * n)):
            view, number = item // n, item % n
            subject = _subject(draws, key, view, number, channels, steps)
            draw(draws.program, draws.bounds, subject, True, plan, own, out[view, number])
