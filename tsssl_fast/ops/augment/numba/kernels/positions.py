"""Time maps in numba: csrc/series/positions.h. For every output step the position that it reads,
in float64, split into a left neighbour and a weight in the dtype of the series."""

# mypy: disable-error-code=no-untyped-def

import numpy as np

from tsssl_fast.backends.numba.compiling import part

# Positions are computed for whole vectors: left and weight have room for this many steps more. What
# comes after the last step is never read.
SURPLUS = 16


@part
def segment_end(k, step, t, length):
    """Where segment k ends: the first step from t on whose number times `step` reaches k + 1."""
    border = np.float64(k + 1)
    end = min(np.int64(border / step), length)
    while end > t and np.float64(end - 1) * step >= border:
        end -= 1
    while end < length and np.float64(end) * step < border:
        end += 1
    return max(end, t)


@part(inlined=True)
def _split(position, length, left, weight, t):
    """For 2 steps or more."""
    last = np.float64(length - 1)
    position = 0.0 if position < 0.0 else position
    position = last if position > last else position
    i = min(np.int32(position), np.int32(length - 2))
    left[np.uint64(t)] = i
    weight[np.uint64(t)] = position - np.float64(i)


@part
def line_positions(start, step, length, left, weight):
    for t in range(0, length, SURPLUS):
        for i in range(t, t + SURPLUS):
            _split(start + np.float64(np.int32(i)) * step, length, left, weight, i)


@part
def warp_positions(speed, length, left, weight):
    """The integral of a speed that is linear between equidistant values, both ends fixed."""
    segments = len(speed) - 1
    total = 0.0
    for k in range(segments):
        total = total + (speed[k] + speed[k + 1]) * 0.5
    scale = np.float64(length - 1) / total
    step = np.float64(segments) / np.float64(length - 1)
    before = 0.0
    t = 0
    for k in range(segments):
        begin, slope = before * scale, speed[k] * scale
        bend = ((speed[k + 1] - speed[k]) * 0.5) * scale
        before = before + (speed[k] + speed[k + 1]) * 0.5
        end = segment_end(k, step, t, length) if k < segments - 1 else length
        # The surplus of a segment is the next one's to overwrite.
        for first in range(t, end, SURPLUS):
            for i in range(first, first + SURPLUS):
                f = np.float64(np.int32(i)) * step - np.float64(k)
                _split(begin + f * (slope + f * bend), length, left, weight, i)
        t = end


@part
def window_positions(width, start, factor, length, left, weight):
    """A window of `width` steps from `start`, stretched by `factor`."""
    stretched = width * factor
    whole = (np.float64(length) - width) + stretched
    step = (whole - 1.0) / np.float64(length - 1)
    for t in range(0, length, SURPLUS):
        for i in range(t, t + SURPLUS):
            u = np.float64(np.int32(i)) * step
            inside, after = start + (u - start) / factor, (u - stretched) + width
            position = u if u < start else (inside if u < start + stretched else after)
            _split(position, length, left, weight, i)


@part
def segment_sources(order, count, length, left):
    """left[t]: the step that stands at t after `count` segments change their places."""
    t = 0
    for place in range(count):
        for k in range(count):
            if np.int64(order[k]) == place:
                for i in range(k * length // count, (k + 1) * length // count):
                    left[t] = i
                    t += 1


@part
def shift_sources(shift, mode, length, left):
    """mode 0 circular, 1 the ends repeated, 2 zeros (-1)."""
    by = np.int64(shift)
    for t in range(length):
        i = t - by
        if mode == 0:
            i = i % length
        elif i < 0 or i >= length:
            i = -1 if mode == 2 else (0 if i < 0 else length - 1)
        left[t] = i
