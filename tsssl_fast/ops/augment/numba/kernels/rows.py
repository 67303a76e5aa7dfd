"""Operations on one channel in numba: csrc/series/rows.h, csrc/series/noise.h and
csrc/augment/waves.h, in its dtype.

Constants are cast to that dtype: a float32 times a Python number would be a float64.
"""

# mypy: disable-error-code=no-untyped-def

import numpy as np

from tsssl_fast.backends.numba.compiling import part
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.numba.kernels.arithmetic import CHUNK, normals, sin_turns, stream_words
from tsssl_fast.ops.augment.numba.kernels.positions import segment_end
from tsssl_fast.ops.augment.numba.kernels.vectors import row_std
from tsssl_fast.ops.augment.spec import names


@part
def fill(x, begin, end, value):
    for t in range(np.uint64(begin), np.uint64(max(begin, end))):
        x[t] = value


@part
def _channel_block(channel, t):
    return np.uint64((channel << spec.CHANNEL_SHIFT) + t // 4)


@part(inlined=True)
def _add_scaled(x, y, factor):
    for t in range(len(x)):
        x[t] = x[t] + y[t] * factor


@part(inlined=True)
def _add_uniform(x, words, factor):
    number = x.dtype.type
    one, unit = number(1), number(2.0**-23)
    for t in range(len(x)):
        uniform = number(np.int32(words[t] & np.uint32(0xFFFFFF))) * unit - one
        x[t] = x[t] + uniform * factor


@part(inlined=True)
def _add_normal(x, words, steps, factor, noise):
    one = x.dtype.type(1)
    for i in range(steps // 2):
        a, b = normals(words[2 * i], words[2 * i + 1], one)
        noise[2 * i] = a
        noise[2 * i + 1] = b
    _add_scaled(x, noise, factor)


@part
def add_noise(x, size, relative, normal, subject, stream, memory):
    """x += size r on every channel, r uniform on [-1, 1) or standard normal; `relative`: size is
    in the channel's standard deviations; memory: words and numbers."""
    words, noise = memory
    length, amplitude = subject.length, size
    # Whole groups of 64 steps: the tail of a vector loop costs more than words nobody reads.
    whole = min(CHUNK, max(1, (length + 63) // 64) * 64)
    group = CHUNK // whole  # channels whose words are drawn at once: 1 where a row takes several
    for first in range(0, subject.channels, group):
        channels = min(group, subject.channels - first)
        for t in range(0, length, whole):
            count = min(whole, length - t)
            steps = (count + 63) // 64 * 64
            stream_words(subject, stream, _channel_block(first, t), channels, steps, words)
            for i in range(channels):
                row = x[first + i]
                if t == 0 and relative:
                    amplitude = size * x.dtype.type(row_std(row, length))
                if normal:
                    _add_normal(row[t : t + count], words[i * steps :], steps, amplitude, noise)
                else:
                    _add_uniform(row[t : t + count], words[i * steps :], amplitude)


@part
def drop_steps(x, length, channel, value, a, subject, stream, words):
    """Masked steps of a row, every step on its own or in spans of geometric length."""
    masked = False
    leave, enter = a[names.TIME_DROPOUT_LEAVE], a[names.TIME_DROPOUT_ENTER]
    for t in range(0, length, CHUNK):
        count = min(CHUNK, length - t)
        stream_words(subject, stream, _channel_block(channel, t), 1, count, words)
        for i in range(count):
            word = np.float64(words[i])
            if a[names.TIME_DROPOUT_SPANS] == 0 or t + i == 0:
                masked = word < a[names.TIME_DROPOUT_THRESHOLD]
            else:
                masked = word >= leave if masked else word < enter
            if masked:
                x[t + i] = value


@part
def phase_step(periods, length):
    turns = periods / np.float64(length)
    rest = turns - np.floor(turns)
    return np.int64(rest * 4294967296.0 + 0.5) & 0xFFFFFFFF


@part
def multiply_wave(x, length, theta, step, offset, amplitude):
    """x *= offset + amplitude sin(2 pi (theta + periods t / length)); phases in 2^-32 turns."""
    first, step = np.int32(theta), np.int32(step)
    # A counter of 32 bits: phases are computed in vectors of its width.
    for t in range(np.int32(length)):
        i = np.uint64(np.uint32(t))
        sin = sin_turns(np.int32(first + np.int32(step * t)), amplitude)
        x[i] = x[i] * (offset + amplitude * sin)


@part
def interpolate_adjoint(grad, out, length, left, weight):
    """Every output step gives its gradient to its two neighbours, in ascending order."""
    fill(out, 0, length, grad.dtype.type(0))
    for t in range(length):
        right = weight[t] * grad[t]
        i = left[t]
        out[i] += grad[t] - right
        out[i + 1] += right


@part
def gather(x, y, length, source):
    zero = x.dtype.type(0)
    for t in range(length):
        y[t] = zero if source[t] < 0 else x[source[t]]


@part
def gather_adjoint(grad, out, length, source):
    fill(out, 0, length, grad.dtype.type(0))
    for t in range(length):
        if source[t] >= 0:
            out[source[t]] += grad[t]


@part
def smooth(x, y, length, centre, side, beyond):
    """(1 - s) x[t] + (s / 2) (x[t-1] + x[t+1]); beyond: the step that stands before the first, -1
    for a zero; after the last its mirror image."""
    last = length - 1
    before = x[beyond] if beyond >= 0 else x.dtype.type(0)
    after = x[last - beyond] if beyond >= 0 else x.dtype.type(0)
    y[0] = centre * x[0] + side * (before + (x[1] if last > 0 else after))
    for t in range(1, last):
        y[t] = centre * x[t] + side * (x[t - 1] + x[t + 1])
    if last > 0:
        y[last] = centre * x[last] + side * (x[last - 1] + after)


@part
def smooth_adjoint(grad, out, length, centre, side, beyond):
    last = length - 1
    for t in range(length):
        out[t] = centre * grad[t]
    for t in range(1, length):
        out[t - 1] += side * grad[t]
    for t in range(last):
        out[t + 1] += side * grad[t]
    if beyond >= 0:
        out[beyond] += side * grad[0]
        out[last - beyond] += side * grad[last]


@part
def curve(knots, length, out):
    """A cubic through equidistant knots, the ends repeated (Catmull-Rom)."""
    number, count = out.dtype.type, len(knots)
    step = np.float64(count - 1) / np.float64(max(length - 1, 1))
    t = 0
    for k in range(count - 1):
        p0, p1, p2 = knots[max(k - 1, 0)], knots[k], knots[k + 1]
        p3 = knots[min(k + 2, count - 1)]
        c0, c1 = number(p1), number((p2 - p0) * 0.5)
        c2 = number((p0 - p1 * 2.5) + (p2 * 2.0 - p3 * 0.5))
        c3 = number((p3 - p0) * 0.5 + (p1 - p2) * 1.5)
        end = segment_end(k, step, t, length) if k < count - 2 else length
        for i in range(t, end):
            f = number(np.float64(np.int32(i)) * step - np.float64(k))
            out[i] = c0 + f * (c1 + f * (c2 + f * c3))
        t = end


@part
def quantize(x, length, levels):
    """Rounds to `levels` equidistant values from the least to the greatest of the row."""
    low = high = x[0]
    defined = True
    for t in range(length):
        low = x[t] if x[t] < low else low
        high = x[t] if x[t] > high else high
        defined = defined and x[t] == x[t]
    if not defined or not high > low:
        return
    number = x.dtype.type
    width = (high - low) / number(levels - 1.0)
    for t in range(length):
        x[t] = low + np.floor((x[t] - low) / width + number(0.5)) * width
