"""The operations on the (C, T) block of one (view, sample) in numba, and their adjoints:
csrc/augment/operations.h and pointwise.h. Steps from subject.length on are padding."""

# mypy: disable-error-code=no-untyped-def

from typing import NamedTuple

import numpy as np

from tsssl_fast.backends.numba.compiling import part
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.numba.kernels import positions, rows, vectors
from tsssl_fast.ops.augment.numba.kernels.draws import A, stream_of
from tsssl_fast.ops.augment.spec import names

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
        code == names.CROP_RESIZE
        or code == names.WINDOW_SLICE
        or code == names.TIME_WARP
        or code == names.TIME_SCALE
        or code == names.WINDOW_WARP
    )


@part
def _gathers(code):
    return code == names.SEGMENT_PERMUTATION or code == names.TIME_SHIFT


@part
def moves(row, length):
    """How many times an operation moves the block to the other buffer."""
    code = np.int64(row[spec.CODE])
    if _interpolates(code):
        return 1 if length > 1 else 0
    if code == names.SMOOTH:
        return np.int64(row[-A + names.SMOOTH_PASSES])
    if _gathers(code) or code in (names.TIME_FLIP, names.CHANNEL_FLIP):
        return 1
    return 1 if code == names.BIDIRECTIONAL_FLIP or code == names.CHANNEL_PERMUTATION else 0


@part
def _time_map(row, slot, length, left, weight):
    code = np.int64(row[spec.CODE])
    if code == names.TIME_WARP:
        speed = slot[names.TIME_WARP_SPEEDS :]
        positions.warp_positions(speed, length, left, weight)
    elif code == names.WINDOW_WARP:
        width, start = slot[names.WINDOW_WARP_LENGTH], slot[names.WINDOW_WARP_START]
        factor = slot[names.WINDOW_WARP_FACTOR]
        positions.window_positions(width, start, factor, length, left, weight)
    elif code == names.SEGMENT_PERMUTATION:
        order = slot[names.SEGMENT_PERMUTATION_ORDER :]
        count = np.int64(slot[names.SEGMENT_PERMUTATION_SEGMENTS])
        positions.segment_sources(order, count, length, left)
    elif code == names.TIME_SHIFT:
        edge = np.int64(row[-A + names.TIME_SHIFT_EDGE])
        positions.shift_sources(slot[names.TIME_SHIFT_SHIFT], edge, length, left)
    else:
        start, step = 0.0, slot[names.TIME_SCALE_SPEED]
        if code != names.TIME_SCALE:
            start = slot[names.CROP_RESIZE_START]
            step = (slot[names.CROP_RESIZE_LENGTH] - 1.0) / np.float64(length - 1)
        positions.line_positions(start, step, length, left, weight)


@part
def _reach(row, slot, length):
    """First step that a stretched series does not reach and that is to be zero."""
    t = length
    if np.int64(row[spec.CODE]) == names.TIME_SCALE and row[-A + names.TIME_SCALE_ZERO] != 0:
        speed = slot[names.TIME_SCALE_SPEED]
        while t > 0 and np.float64(t - 1) * speed > np.float64(length - 1):
            t -= 1
    return t


@part
def _smooth(row, slot, subject, adjoint, x, y):
    number = x.dtype.type
    magnitude, edge = slot[names.SMOOTH_MAGNITUDE], row[-A + names.SMOOTH_EDGE]
    side, centre = number(magnitude * 0.5), number(1.0 - magnitude)
    beyond = 1 if edge == names.SMOOTH_REFLECT and subject.length > 1 else 0
    beyond = -1 if edge == names.SMOOTH_ZERO else beyond
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
    if code == names.SMOOTH:
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
            source = c if code == names.TIME_FLIP else channels - 1 - c
            if code == names.CHANNEL_PERMUTATION:
                source = np.int64(slot[names.CHANNEL_PERMUTATION_SOURCES + c])
            given, out = (x[c], y[source]) if adjoint else (x[source], y[c])
            last = np.uint64(length - 1)
            if code in (names.TIME_FLIP, names.BIDIRECTIONAL_FLIP):
                for t in range(np.uint64(length)):
                    out[t] = given[last - t]
            else:
                for t in range(np.uint64(length)):
                    out[t] = given[t]


@part
def _blockout(a, slot, subject, adjoint, x):
    begin, first = (
        np.int64(slot[names.BLOCKOUT_START]),
        np.int64(slot[names.BLOCKOUT_FIRST_CHANNEL]),
    )
    end, number = begin + np.int64(slot[names.BLOCKOUT_LENGTH]), x.dtype.type
    for c in range(first, first + np.int64(slot[names.BLOCKOUT_CHANNELS])):
        value = number(a[names.BLOCKOUT_FILL])
        if a[names.BLOCKOUT_FILL_MEAN] != 0:
            value = number(vectors.row_mean(x[c], subject.length))
        rows.fill(x[c], begin, end, number(0) if adjoint else value)


@part
def _rotate(a, slot, length, adjoint, x):
    w, i = slot[names.ROTATION_W], slot[names.ROTATION_X]
    j, k = slot[names.ROTATION_Y], slot[names.ROTATION_Z]
    number = x.dtype.type
    m00, m01, m02 = 1.0 - 2.0 * (j * j + k * k), 2.0 * (i * j - k * w), 2.0 * (i * k + j * w)
    m10, m11, m12 = 2.0 * (i * j + k * w), 1.0 - 2.0 * (i * i + k * k), 2.0 * (j * k - i * w)
    m20, m21, m22 = 2.0 * (i * k - j * w), 2.0 * (j * k + i * w), 1.0 - 2.0 * (i * i + j * j)
    if adjoint:
        m01, m10, m02, m20, m12, m21 = m10, m01, m20, m02, m21, m12
    r00, r01, r02 = number(m00), number(m01), number(m02)
    r10, r11, r12 = number(m10), number(m11), number(m12)
    r20, r21, r22 = number(m20), number(m21), number(m22)
    for n in range(np.int64(a[names.ROTATION_TRIPLES])):
        first = names.ROTATION_CHANNELS + 3 * n
        x0, x1 = x[np.int64(a[first])], x[np.int64(a[first + 1])]
        x2 = x[np.int64(a[first + 2])]
        for t in range(length):
            a0, a1, a2 = x0[t], x1[t], x2[t]
            x0[t] = (r00 * a0 + r01 * a1) + r02 * a2
            x1[t] = (r10 * a0 + r11 * a1) + r12 * a2
            x2[t] = (r20 * a0 + r21 * a1) + r22 * a2


@part
def _change_row(row, slot, subject, adjoint, work, c, x):
    """One channel of an operation that scales or cuts; the adjoint cuts with zeros."""
    code, a, length, number = np.int64(row[spec.CODE]), row[-A:], subject.length, x.dtype.type
    zero = number(0)
    knots = np.int64(row[spec.CHANNEL_SLOTS])
    if code == names.SIGN_FLIP:
        if knots == 0 or slot[names.SIGN_FLIP_FLIPS + c] != 0:
            for t in range(length):
                x[t] = -x[t]
    elif code == names.RANDOM_CROP:
        value = zero if adjoint else number(a[names.RANDOM_CROP_FILL])
        start = slot[names.RANDOM_CROP_START]
        rows.fill(x, 0, np.int64(start), value)
        rows.fill(x, np.int64(start + slot[names.RANDOM_CROP_LENGTH]), length, value)
    elif code == names.SCALE:
        factor = number(slot[names.SCALE_FACTORS + c])
        for t in range(length):
            x[t] = x[t] * factor
    elif code == names.CHANNEL_DROPOUT and slot[names.CHANNEL_DROPOUT_DROPPED + c] != 0:
        value = zero if adjoint else number(a[names.CHANNEL_DROPOUT_FILL])
        rows.fill(x, 0, length, value)
    elif code == names.TIME_DROPOUT:
        stream = stream_of(row, subject) | _ELEMENTS
        value = zero if adjoint else number(a[names.TIME_DROPOUT_FILL])
        channel = 0 if a[names.TIME_DROPOUT_PER_CHANNEL] == 0 else c
        rows.drop_steps(x, length, channel, value, a, subject, stream, work.words)
    elif code == names.MAGNITUDE_SPLINE:
        magnitude, one = number(slot[names.MAGNITUDE_SPLINE_MAGNITUDE]), number(1)
        first = names.MAGNITUDE_SPLINE_KNOTS + c * knots
        rows.curve(slot[first : first + knots], length, work.weight)
        for t in range(length):
            x[t] = x[t] * (one + magnitude * work.weight[t])
    elif code == names.MAGNITUDE_WARP:
        amplitude = number(slot[names.MAGNITUDE_WARP_MAGNITUDE])
        offset = number(1) if a[names.MAGNITUDE_WARP_LITERAL] == 0 else amplitude
        theta = np.int64(slot[names.MAGNITUDE_WARP_THETA + c] * 4294967296.0)
        step = rows.phase_step(slot[names.MAGNITUDE_WARP_PERIODS], length)
        rows.multiply_wave(x, length, theta, step, offset, amplitude)


@part
def change_block(row, slot, subject, adjoint, work, x):
    """Operations that scale, cut or mix what stands at a step."""
    code = np.int64(row[spec.CODE])
    if code == names.BLOCKOUT:
        _blockout(row[-A:], slot, subject, adjoint, x)
    elif code == names.ROTATION:
        _rotate(row[-A:], slot, subject.length, adjoint, x)
    else:
        for c in range(subject.channels):
            _change_row(row, slot, subject, adjoint, work, c, x[c])


@part
def add_block(row, slot, subject, work, x):
    """Operations whose derivative is the identity: they add what counts as constant, or round."""
    code, a, length, number = np.int64(row[spec.CODE]), row[-A:], subject.length, x.dtype.type
    knots = np.int64(row[spec.CHANNEL_SLOTS])
    if code == names.RANDOM_NOISE or code == names.JITTER:
        stream, relative = stream_of(row, subject) | _ELEMENTS, code == names.RANDOM_NOISE
        memory = (work.words, work.noise)
        amplitude, normal = (
            number(slot[names.RANDOM_NOISE_MAGNITUDE]),
            a[names.RANDOM_NOISE_NORMAL] != 0,
        )
        rows.add_noise(x, amplitude, relative, normal, subject, stream, memory)
    elif code == names.DRIFT:
        for c in range(subject.channels):
            size = number(slot[names.DRIFT_MAGNITUDE])
            if a[names.DRIFT_RELATIVE] != 0:
                size = size * number(vectors.row_std(x[c], length))
            first = names.DRIFT_KNOTS + c * knots
            rows.curve(slot[first : first + knots], length, work.weight)
            for t in range(length):
                x[c, t] = x[c, t] + size * work.weight[t]
    elif code == names.OFFSET:
        for c in range(subject.channels):
            value = number(slot[names.OFFSET_OFFSETS + (c if knots != 0 else 0)])
            for t in range(length):
                x[c, t] = x[c, t] + value
    elif code == names.QUANTIZE:
        for c in range(subject.channels):
            rows.quantize(x[c], length, slot[names.QUANTIZE_LEVELS])
