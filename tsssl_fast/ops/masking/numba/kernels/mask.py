"""Kernels of `mask`."""


# mypy: disable-error-code=no-untyped-def

import numpy as np

from tsssl_fast.backends.numba.compiling import part
from tsssl_fast.backends.numba.launching import kernel, take
from tsssl_fast.ops.augment.numba.kernels.arithmetic import MASK, philox
from tsssl_fast.ops.augment.spec import CHANNEL_SHIFT, ELEMENT_PURPOSE
from tsssl_fast.ops.masking.spec import CODE, COUNT, RUNS, SIZE, Code, Fill

TASK_ELEMENTS = 16384
PARTIALS = 32
SPAN, GEOMETRIC, NOISE = int(Code.SPAN), int(Code.GEOMETRIC), int(Code.NOISE)
MEAN, NOISY, TOKEN = int(Fill.MEAN), int(Fill.NOISE), int(Fill.TOKEN)
_HALF = np.uint64(32)


@part
def draw(key, identity, stream, first, count, words):
    """`count` words, rounded up to whole blocks, from block `first` of a stream of a sample."""
    bits = np.uint64(identity)
    low, high = bits & MASK, bits >> _HALF
    for q in range((count + 3) // 4):
        block = np.uint64(first + q)
        w0, w1, w2, w3 = philox(block, np.uint64(stream), low, high, key[0], key[1])
        words[4 * q] = np.uint32(w0)
        words[4 * q + 1] = np.uint32(w1)
        words[4 * q + 2] = np.uint32(w2)
        words[4 * q + 3] = np.uint32(w3)


@part
def _taken(word, units, left):
    """Selection sampling: whether one of `units` that are left is among the `left` to take."""
    return ((np.int64(word) * units) >> 32) < left


@part
def _hide_units(words, count, size, out):
    steps = len(out)
    units, left = (steps + size - 1) // size, count
    for i in range(units):
        taken = _taken(words[i], units - i, left)
        left -= taken
        for t in range(i * size, min((i + 1) * size, steps)):
            out[t] = taken


@part
def _hide_spans(words, second, count, size, runs, out):
    """A unit is a visible step or a whole span; the span number `shorter` has what is left."""
    units, left = len(out) - count + runs, runs
    shorter = (np.int64(second) * runs) >> 32
    t = 0
    for i in range(units):
        length, hidden = 1, False
        if _taken(words[i], units - i, left):
            length = count - (runs - 1) * size if runs - left == shorter else size
            left -= 1
            hidden = True
        out[t : t + length] = hidden
        t += length


@part
def _hide_runs(words, count, runs, out):
    """Words 0 to count - 2: whether a run ends after hidden step j; from count - 1 on: whether one
    starts before visible step g."""
    gaps = len(out) - count + 1
    to_start, to_end = runs, runs - 1
    t, j = 0, 0
    for g in range(gaps):
        if _taken(words[count - 1 + g], gaps - g, to_start):
            to_start -= 1
            while True:
                out[t] = 1
                t += 1
                j += 1
                if j == count:
                    break
                if _taken(words[j - 1], count - j, to_end):
                    to_end -= 1
                    break
        if g < gaps - 1:
            out[t] = 0
            t += 1


@part
def _hide(key, identity, plan, view, row, words, out):
    code, count, size, runs = plan[CODE], plan[COUNT], plan[SIZE], plan[RUNS]
    if count == 0:
        out[:] = 0
        return
    stream, block = code << 24 | view, row << CHANNEL_SHIFT
    if code == SPAN:
        draw(key, identity, stream, block, 4, words)
        second = words[1]
        draw(key, identity, stream | ELEMENT_PURPOSE, block, len(out) - count + runs, words)
        _hide_spans(words, second, count, size, runs, out)
    elif code == GEOMETRIC:
        draw(key, identity, stream | ELEMENT_PURPOSE, block, len(out), words)
        _hide_runs(words, count, runs, out)
    else:
        units = (len(out) + size - 1) // size
        draw(key, identity, stream | ELEMENT_PURPOSE, block, units, words)
        _hide_units(words, count, size, out)


@kernel
def mask(counter, thread, key, ids, plan, views, rows, words, out):
    """out: (views or views + 1 for the intersection, N * rows, T)."""
    planes, items, steps = out.shape
    group = max(1, TASK_ELEMENTS // (steps * views))
    while True:
        begin = take(counter) * group
        if begin >= items:
            break
        for i in range(begin, min(begin + group, items)):
            for v in range(views):
                _hide(key, ids[i // rows], plan, v, i % rows, words[thread], out[v, i])
            if planes > views:
                for t in range(steps):
                    both = out[0, i, t]
                    for v in range(1, views):
                        both &= out[v, i, t]
                    out[views, i, t] = both


@part
def tree(partial):
    width = PARTIALS // 2
    while width > 0:
        for i in range(width):
            partial[i] = partial[i] + partial[i + width]
        width //= 2
    return partial[0]
