"""Kernels of `mask_fill`."""


# mypy: disable-error-code=no-untyped-def

import numpy as np

from tsssl_fast.backends.numba.compiling import part
from tsssl_fast.backends.numba.launching import kernel, take
from tsssl_fast.ops.augment.numba.kernels.arithmetic import normals
from tsssl_fast.ops.augment.spec import CHANNEL_SHIFT, ELEMENT_PURPOSE
from tsssl_fast.ops.masking.numba.kernels.mask import (
    NOISE,
    NOISY,
    PARTIALS,
    TASK_ELEMENTS,
    TOKEN,
    draw,
    tree,
)


@part
def _sum(x, m, kind, mean, partial):
    """Over visible steps that are no NaN: their number, their values, their squared deviations."""
    partial[:] = 0.0
    for t in range(len(x)):
        v = np.float64(x[t])
        value = 1.0 if kind == 0 else (v if kind == 1 else (v - mean) * (v - mean))
        i = t % PARTIALS
        partial[i] = partial[i] + (value if v == v and m[t] == 0 else 0.0)
    return tree(partial)


@part
def _fill_row(x, m, kind, token, channel, stream, words, partial, out):
    key, identity, view = stream
    number = x.dtype.type
    value, deviation = number(0), number(0)
    if kind == TOKEN:
        value = token[channel]
    elif kind != 0:
        count = _sum(x, m, 0, 0.0, partial)
        count = count if count > 0 else 1.0
        mean = _sum(x, m, 1, 0.0, partial) / count
        value = number(mean)
        if kind == NOISY:
            deviation = number(np.sqrt(_sum(x, m, 2, mean, partial) / count))
            purpose = NOISE << 24 | ELEMENT_PURPOSE | view
            draw(key, identity, purpose, channel << CHANNEL_SHIFT, len(x), words)
            for t in range(0, len(x), 2):
                first, second = normals(words[t], words[t + 1], value)
                out[t] = value + deviation * first if m[t] else x[t]
                if t + 1 < len(x):
                    out[t + 1] = value + deviation * second if m[t + 1] else x[t + 1]
            return
    for t in range(len(x)):
        out[t] = value if m[t] else x[t]


@kernel
def fill(counter, thread, x, m, kind, token, key, ids, view, words, partial, out):
    n, channels, steps = x.shape
    group = max(1, TASK_ELEMENTS // (channels * steps))
    while True:
        begin = take(counter) * group
        if begin >= n:
            break
        for i in range(begin, min(begin + group, n)):
            for c in range(channels):
                stream = (key, ids[i], view)
                memory = (words[thread], partial[thread])
                _fill_row(x[i, c], m[i, c], kind, token, c, stream, *memory, out[i, c])


@kernel
def fill_backward(counter, thread, grad, m, gx, sums):
    """sums: (N, C) float64, of the hidden gradients of every row."""
    n, channels, steps = grad.shape
    group = max(1, TASK_ELEMENTS // (channels * steps))
    while True:
        begin = take(counter) * group
        if begin >= n:
            break
        for i in range(begin, min(begin + group, n)):
            for c in range(channels):
                total = 0.0
                for t in range(steps):
                    hidden = m[i, c, t] != 0
                    total += np.float64(grad[i, c, t]) if hidden else 0.0
                    gx[i, c, t] = grad.dtype.type(0) if hidden else grad[i, c, t]
                sums[i, c] = total
