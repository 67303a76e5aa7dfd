"""Rows of series in numba: csrc/preprocess/preprocess.cpp. Double arithmetic in the definition's
order, rounded once; statistics skip NaN and add up in 32 partial sums and a tree."""

# mypy: disable-error-code=no-untyped-def

import math

import numpy as np

from tsssl_fast.backends.numba.compiling import part
from tsssl_fast.backends.numba.launching import kernel, take
from tsssl_fast.ops.preprocess.spec import Task

TASK_ELEMENTS = 16384
_PARTIALS = 32
FILL_CONSTANT, FILL_FORWARD, FILL_BACKWARD, FILL_BOTH, FILL_LINEAR, STANDARDIZE = range(6)
MINMAX, MOVING_AVERAGE, EXPONENTIAL, CLIP_DEVIATIONS, CLIP_INTERQUARTILE = range(6, 11)
assert int(Task.CLIP_INTERQUARTILE) == CLIP_INTERQUARTILE


@part
def _tree(partial):
    width = _PARTIALS // 2
    while width > 0:
        for i in range(width):
            partial[i] = partial[i] + partial[i + width]
        width //= 2
    return partial[0]


@part
def _sum(x, length, kind, mean, partial):
    """Over the known steps: kind 0 their number, 1 their values, 2 their squared deviations."""
    partial[:] = 0.0
    for begin in range(0, length, _PARTIALS):
        for i in range(min(_PARTIALS, length - begin)):
            v = np.float64(x[begin + i])
            value = 1.0 if kind == 0 else (v if kind == 1 else (v - mean) * (v - mean))
            partial[i] = partial[i] + (value if v == v else 0.0)
    return _tree(partial)


@part
def _moments(x, length, partial):
    """Mean and standard deviation of the known steps."""
    n = _sum(x, length, 0, 0.0, partial)
    mean = _sum(x, length, 1, 0.0, partial) / n
    return mean, math.sqrt(_sum(x, length, 2, mean, partial) / n)


@part
def _fill_direction(x, y, length, forward):
    last = x.dtype.type(np.nan)
    for i in range(length):
        t = i if forward else length - 1 - i
        last = x[t] if x[t] == x[t] else last
        y[t] = last


@part
def _fill_linear(x, y, length):
    """Between two known steps a straight line, beyond the first and the last their values."""
    known = -1
    for t in range(length + 1):
        if t < length and x[t] != x[t]:
            continue
        for i in range(known + 1, t):
            if known >= 0 and t < length:
                a, b = np.float64(x[known]), np.float64(x[t])
                w = np.float64(i - known) / np.float64(t - known)
                y[i] = a + w * (b - a)
            else:
                y[i] = x[known] if known >= 0 else (x[t] if t < length else x[i])
        if t < length:
            y[t] = x[t]
        known = t


@part
def _minmax(x, y, length, low, high):
    least, greatest = np.inf, -np.inf
    for t in range(length):
        v = np.float64(x[t])
        least = v if v < least else least
        greatest = v if v > greatest else greatest
    width = greatest - least if greatest > least else 1.0
    for t in range(length):
        y[t] = low + (np.float64(x[t]) - least) / width * (high - low)


@part
def _moving_average(x, y, length, window, repeat):
    """Neighbours in ascending order; steps beyond the ends are left out, or the ends repeated."""
    half, last = window // 2, length - 1
    for t in range(length):
        total, count = 0.0, 0
        for i in range(t - half, t + half + 1):
            if repeat or 0 <= i <= last:
                total = total + np.float64(x[min(max(i, 0), last)])
                count += 1
        y[t] = total / np.float64(count)


@part
def _clip(x, y, length, low, high):
    for t in range(length):
        v = np.float64(x[t])
        y[t] = low if v < low else (high if v > high else v)


@part
def _select(v, n, k):
    """Puts the k-th smallest of n values at place k, smaller ones before it (Hoare)."""
    begin, end = 0, n - 1
    while begin < end:
        pivot = v[begin + (end - begin) // 2]
        i, j = begin, end
        while i <= j:
            while v[i] < pivot:
                i += 1
            while pivot < v[j]:
                j -= 1
            if i <= j:
                v[i], v[j] = v[j], v[i]
                i += 1
                j -= 1
        if k <= j:
            end = j
        elif k >= i:
            begin = i
        else:
            return


@part
def _quantile(v, n, q):
    """Linear between the two neighbours, as numpy's default."""
    place = q * np.float64(n - 1)
    k = np.int64(place)
    _select(v, n, k)
    low = np.float64(v[k])
    if k + 1 >= n:
        return low
    following = v[k + 1]
    for i in range(k + 2, n):
        following = v[i] if v[i] < following else following
    return low + (place - np.float64(k)) * (np.float64(following) - low)


@part
def _clip_interquartile(x, y, length, factor, spare):
    n = 0
    for t in range(length):
        if x[t] == x[t]:
            spare[n] = x[t]
            n += 1
    low, high = -np.inf, np.inf
    if n > 0:
        first, third = _quantile(spare, n, 0.25), _quantile(spare, n, 0.75)
        low, high = first - factor * (third - first), third + factor * (third - first)
    _clip(x, y, length, low, high)


@part
def _transform(x, y, length, task, first, second, spare, partial):
    if task == FILL_CONSTANT:
        for t in range(length):
            y[t] = x[t] if x[t] == x[t] else first
    elif task in (FILL_FORWARD, FILL_BACKWARD):
        _fill_direction(x, y, length, task == FILL_FORWARD)
    elif task == FILL_BOTH:
        _fill_direction(x, spare, length, True)
        _fill_direction(spare, y, length, False)
    elif task == FILL_LINEAR:
        _fill_linear(x, y, length)
    elif task == STANDARDIZE:
        mean, deviation = _moments(x, length, partial)
        constant = deviation <= first * abs(mean)
        for t in range(length):
            v = np.float64(x[t])
            y[t] = v - v if constant else (v - mean) / deviation  # NaN stays
    elif task == MINMAX:
        _minmax(x, y, length, first, second)
    elif task == MOVING_AVERAGE:
        _moving_average(x, y, length, np.int64(first), second != 0)
    elif task == EXPONENTIAL:
        level = np.float64(x[0])
        for t in range(length):
            level = level + first * (np.float64(x[t]) - level)
            y[t] = level
    elif task == CLIP_DEVIATIONS:
        mean, deviation = _moments(x, length, partial)
        _clip(x, y, length, mean - first * deviation, mean + first * deviation)
    else:
        _clip_interquartile(x, y, length, first, spare)


@kernel
def transform_rows(counter, thread, x, channels, lengths, task, first, second, memory, out):
    """Row by row, (rows, T); padding keeps its values. memory: a row and the partial sums of every
    thread."""
    spare, partial = memory
    rows, steps = x.shape
    group = max(1, TASK_ELEMENTS // steps)
    while True:
        begin = take(counter) * group
        if begin >= rows:
            break
        for r in range(begin, min(begin + group, rows)):
            length = lengths[r // channels]
            _transform(x[r], out[r], length, task, first, second, spare[thread], partial[thread])
            for t in range(length, steps):
                out[r, t] = x[r, t]
