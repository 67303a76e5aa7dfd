"""The operations on the (C, T) block of one (view, sample) in numba, and their adjoints:
csrc/augment/operations.h and pointwise.h. Steps from subject.length on are padding."""

# mypy: disable-error-code=no-untyped-def

from typing import NamedTuple

import numpy as np

from tsssl_fast.backends.numba.compiling import part
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.numba.kernels import draws as code_of
from tsssl_fast.ops.augment.numba.kernels import positions, rows, vectors
from tsssl_fast.ops.augment.numba.kernels.draws import A, stream_of
from tsssl_fast.ops.augment.spec import Code

TIME_FLIP, CHANNEL_FLIP = int(Code.TIME_FLIP), int(Code.CHANNEL_FLIP)
BIDIRECTIONAL_FLIP, TIME_DROPOUT = int(Code.BIDIRECTIONAL_FLIP), int(Code.TIME_DROPOUT)
_ELEMENTS = np.uint64(spec.ELEMENT_PURPOSE)


class Work(NamedTuple):
    """Working memory of one thread."""

    left: np.ndarray  # (T,) int32
    weight: np.ndarray  # (T,) in the dtype of the series
    words: np.ndarray  # uint32: of one row's slots, or CHUNK
    noise: np.ndarray  # (CHUNK,) in the dtype of the series


@part
def _interpolates(code):
    return (
        code == code_of.CROP_RESIZE
        or code == code_of.WINDOW_SLICE
        or code == code_of.TIME_WARP
        or code == code_of.TIME_SCALE
        or code == code_of.WINDOW_WARP
    )


@part
def _gathers(code):
    return code == code_of.SEGMENT_PERMUTATION or code == code_of.TIME_SHIFT


@part
def moves(row, length):
    """How many times an operation moves the block to the other buffer."""
    code = np.int64(row[spec.CODE])
    if _interpolates(code):
        return 1 if length > 1 else 0
    if code == code_of.SMOOTH:
        return np.int64(row[-A + 2])
    if _gathers(code) or code in (TIME_FLIP, CHANNEL_FLIP):
        return 1
    return 1 if code == BIDIRECTIONAL_FLIP or code == code_of.CHANNEL_PERMUTATION else 0


@part
def _time_map(row, slot, length, left, weight):
    code = np.int64(row[spec.CODE])
    if code == code_of.TIME_WARP:
        speed = slot[2 : np.int64(row[spec.FIXED_SLOTS])]
        positions.warp_positions(speed, length, left, weight)
    elif code == code_of.WINDOW_WARP:
        positions.window_positions(slot[1], slot[2], slot[3], length, left, weight)
    elif code == code_of.SEGMENT_PERMUTATION:
        positions.segment_sources(slot[2:], np.int64(slot[1]), length, left)
    elif code == code_of.TIME_SHIFT:
        positions.shift_sources(slot[1], np.int64(row[-A + 3]), length, left)
    else:
        start, step = 0.0, slot[1]
        if code != code_of.TIME_SCALE:
            start, step = slot[2], (slot[1] - 1.0) / np.float64(length - 1)
        positions.line_positions(start, step, length, left, weight)


@part
def _reach(row, slot, length):
    """First step that a stretched series does not reach and that is to be zero."""
    t = length
    if np.int64(row[spec.CODE]) == code_of.TIME_SCALE and row[-A + 2] != 0:
        while t > 0 and np.float64(t - 1) * slot[1] > np.float64(length - 1):
            t -= 1
    return t


@part
def _smooth(row, slot, subject, adjoint, x, y):
    number = x.dtype.type
    side, centre = number(slot[1] * 0.5), number(1.0 - slot[1])
    edge = row[-A + 3]
    beyond = -1 if edge == 1 else (1 if edge == 2 and subject.length > 1 else 0)
    for c in range(subject.channels):
        if adjoint:
            rows.smooth_adjoint(x[c], y[c], subject.length, centre, side, beyond)
        else:
            rows.smooth(x[c], y[c], subject.length, centre, side, beyond)


@part
def move_block(row, slot, subject, adjoint, work, x, y):
    """Operations that move steps or channels, from x to y; once, whatever `moves` says."""
    code, length, channels = np.int64(row[spec.CODE]), subject.length, subject.channels
    left, weight = work.left, work.weight
    if code == code_of.SMOOTH:
        _smooth(row, slot, subject, adjoint, x, y)
    elif _interpolates(code):
        _time_map(row, slot, length, left, weight)
        end, zero = _reach(row, slot, length), x.dtype.type(0)
        for c in range(channels):
            if adjoint:
                rows.fill(x[c], end, length, zero)
                rows.interpolate_adjoint(x[c], y[c], length, left, weight)
            else:
                vectors.interpolate(x[c], y[c], length, left, weight)
                rows.fill(y[c], end, length, zero)
    elif _gathers(code):
        _time_map(row, slot, length, left, weight)
        for c in range(channels):
            if adjoint:
                rows.gather_adjoint(x[c], y[c], length, left)
            else:
                rows.gather(x[c], y[c], length, left)
    else:
        for c in range(channels):
            source = c if code == TIME_FLIP else channels - 1 - c
            if code == code_of.CHANNEL_PERMUTATION:
                source = np.int64(slot[1 + c])
            given, out = (x[c], y[source]) if adjoint else (x[source], y[c])
            last = np.uint64(length - 1)
            if code in (TIME_FLIP, BIDIRECTIONAL_FLIP):
                for t in range(np.uint64(length)):
                    out[t] = given[last - t]
            else:
                for t in range(np.uint64(length)):
                    out[t] = given[t]


@part
def _blockout(a, slot, subject, adjoint, x):
    begin, first = np.int64(slot[2]), np.int64(slot[4])
    end, number = begin + np.int64(slot[1]), x.dtype.type
    for c in range(first, first + np.int64(slot[3])):
        value = number(a[3])
        if a[7] != 0:
            value = number(vectors.row_mean(x[c], subject.length))
        rows.fill(x[c], begin, end, number(0) if adjoint else value)


@part
def _rotate(a, slot, length, adjoint, x):
    w, i, j, k = slot[2], slot[3], slot[4], slot[5]
    number = x.dtype.type
    m00, m01, m02 = 1.0 - 2.0 * (j * j + k * k), 2.0 * (i * j - k * w), 2.0 * (i * k + j * w)
    m10, m11, m12 = 2.0 * (i * j + k * w), 1.0 - 2.0 * (i * i + k * k), 2.0 * (j * k - i * w)
    m20, m21, m22 = 2.0 * (i * k - j * w), 2.0 * (j * k + i * w), 1.0 - 2.0 * (i * i + j * j)
    if adjoint:
        m01, m10, m02, m20, m12, m21 = m10, m01, m20, m02, m21, m12
    r00, r01, r02 = number(m00), number(m01), number(m02)
    r10, r11, r12 = number(m10), number(m11), number(m12)
    r20, r21, r22 = number(m20), number(m21), number(m22)
    for n in range(np.int64(a[0])):
        x0, x1 = x[np.int64(a[1 + 3 * n])], x[np.int64(a[2 + 3 * n])]
        x2 = x[np.int64(a[3 + 3 * n])]
        for t in range(length):
            a0, a1, a2 = x0[t], x1[t], x2[t]
            x0[t] = (r00 * a0 + r01 * a1) + r02 * a2
            x1[t] = (r10 * a0 + r11 * a1) + r12 * a2
            x2[t] = (r20 * a0 + r21 * a1) + r22 * a2


@part
def _change_row(row, slot, subject, adjoint, work, c, x):
    """One channel of an operation that scales or cuts; the adjoint cuts with zeros."""
    code, a, length, number = np.int64(row[spec.CODE]), row[-A:], subject.length, x.dtype.type
    value = number(0) if adjoint else number(a[3])
    knots = np.int64(row[spec.CHANNEL_SLOTS])
    if code == code_of.SIGN_FLIP:
        if knots == 0 or slot[1 + c] != 0:
            for t in range(length):
                x[t] = -x[t]
    elif code == code_of.RANDOM_CROP:
        rows.fill(x, 0, np.int64(slot[2]), value)
        rows.fill(x, np.int64(slot[2] + slot[1]), length, value)
    elif code == code_of.SCALE:
        factor = number(slot[2 + c])
        for t in range(length):
            x[t] = x[t] * factor
    elif code == code_of.CHANNEL_DROPOUT and slot[1 + c] != 0:
        rows.fill(x, 0, length, value)
    elif code == TIME_DROPOUT:
        stream = stream_of(row, subject) | _ELEMENTS
        value = number(0) if adjoint else number(a[5])
        channel = 0 if a[4] == 0 else c
        rows.drop_steps(x, length, channel, value, a, subject, stream, work.words)
    elif code == code_of.MAGNITUDE_SPLINE:
        sigma, one = number(slot[1]), number(1)
        rows.curve(slot[2 + c * knots : 2 + (c + 1) * knots], length, work.weight)
        for t in range(length):
            x[t] = x[t] * (one + sigma * work.weight[t])
    elif code == code_of.MAGNITUDE_WARP:
        amplitude = number(slot[1])
        offset = number(1) if a[4] == 0 else amplitude
        theta = np.int64(slot[3 + c] * 4294967296.0)
        rows.multiply_wave(x, length, theta, rows.phase_step(slot[2], length), offset, amplitude)


@part
def change_block(row, slot, subject, adjoint, work, x):
    """Operations that scale, cut or mix what stands at a step."""
    code = np.int64(row[spec.CODE])
    if code == code_of.BLOCKOUT:
        _blockout(row[-A:], slot, subject, adjoint, x)
    elif code == code_of.ROTATION:
        _rotate(row[-A:], slot, subject.length, adjoint, x)
    else:
        for c in range(subject.channels):
            _change_row(row, slot, subject, adjoint, work, c, x[c])


@part
def add_block(row, slot, subject, work, x):
    """Operations whose derivative is the identity: they add what counts as constant, or round."""
    code, a, length, number = np.int64(row[spec.CODE]), row[-A:], subject.length, x.dtype.type
    knots = np.int64(row[spec.CHANNEL_SLOTS])
    if code == code_of.RANDOM_NOISE or code == code_of.JITTER:
        stream, relative = stream_of(row, subject) | _ELEMENTS, code == code_of.RANDOM_NOISE
        memory = (work.words, work.noise)
        rows.add_noise(x, number(slot[1]), relative, a[2] != 0, subject, stream, memory)
    elif code == code_of.DRIFT:
        for c in range(subject.channels):
            size = number(slot[1])
            if a[2] != 0:
                size = size * number(vectors.row_std(x[c], length))
            rows.curve(slot[2 + c * knots : 2 + (c + 1) * knots], length, work.weight)
            for t in range(length):
                x[c, t] = x[c, t] + size * work.weight[t]
    elif code == code_of.QUANTIZE:
        for c in range(subject.channels):
            rows.quantize(x[c], length, slot[1])
