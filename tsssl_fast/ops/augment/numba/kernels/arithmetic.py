"""Philox and the elementary functions in numba: csrc/rng/philox.h and csrc/series/math.h, one
IEEE operation after the other, so that the bits are those of reference/arithmetic.py.

Words are uint64 below 2^32: numba turns mixtures of signed and unsigned integers into float64.
"""

# mypy: disable-error-code=no-untyped-def

import numpy as np
from numba.core import types
from numba.extending import overload

from tsssl_fast.backends.numba.compiling import (
    bits_float32,
    bits_float64,
    float32_bits,
    float64_bits,
    part,
)
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.reference import arithmetic

MASK = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
CHUNK = 2048  # steps, of one channel or several, whose words are drawn at a time


@part(inlined=True)
def philox(c0, c1, c2, c3, k0, k1):
    """Four words from a counter and a key."""
    for _ in range(10):
        p0, p1 = (c0 & MASK) * _M0, (c2 & MASK) * _M1
        c0 = (p1 >> _HALF) ^ c1 ^ k0
        c2 = (p0 >> _HALF) ^ c3 ^ k1
        c1, c3 = p1 & MASK, p0 & MASK
        k0, k1 = (k0 + _W0) & MASK, (k1 + _W1) & MASK
    return c0, c1, c2, c3


@part
def fold(k0, k1, value):
    """A new key from a key and a 64-bit value."""
    v = np.uint64(value)
    w0, w1, _, _ = philox(v & MASK, v >> _HALF, np.uint64(0), np.uint64(0), k0, k1)
    return w0, w1


@part
def stream_words(subject, stream, first, channels, steps, words):
    """The words of `steps` steps, rounded up to whole blocks, from block `first`, and as many of
    every further channel: loops without calls or branches, which become vectors."""
    k0, k1, low, high = subject.key0, subject.key1, subject.id_low, subject.id_high
    blocks = np.uint64((steps + 3) // 4)
    for c in range(channels):
        start = np.uint64(first) + (np.uint64(c) << np.uint64(spec.CHANNEL_SHIFT))
        own = words[4 * np.int64(blocks) * c :]
        for q in range(blocks):
            w0, w1, w2, w3 = philox(start + q, stream, low, high, k0, k1)
            word = np.uint64(4) * q
            own[word] = np.uint32(w0)
            own[word + np.uint64(1)] = np.uint32(w1)
            own[word + np.uint64(2)] = np.uint32(w2)
            own[word + np.uint64(3)] = np.uint32(w3)


@part(inlined=True)
def scattered_words(subject, plan, words):
    """The words of blocks that belong to several streams: the number of a block below its stream,
    but for the view's bits. In one loop too: blocks one by one wait for each other's
    multiplications."""
    k0, k1, low, high = subject.key0, subject.key1, subject.id_low, subject.id_high
    for q in range(np.uint64(len(plan))):
        number, stream = plan[q] & MASK, (plan[q] >> _HALF) | subject.view_word
        w0, w1, w2, w3 = philox(number, stream, low, high, k0, k1)
        word = np.uint64(4) * q
        words[word] = np.uint32(w0)
        words[word + np.uint64(1)] = np.uint32(w1)
        words[word + np.uint64(2)] = np.uint32(w2)
        words[word + np.uint64(3)] = np.uint32(w3)


@part(inlined=True)
def multiply_high(word, count):
    """An integer in [0, count) from a word."""
    return np.float64(np.int64((np.uint64(word) * np.uint64(count)) >> _HALF))


@part(inlined=True)
def unit(word):
    """[0, 1) with 24 bits, in float64."""
    return np.float64(np.int64(word & np.uint64(0xFFFFFF))) * 2.0**-24


def _single(coefficients):
    return tuple(np.float32(c) for c in coefficients)


_S0, _S1, _S2, _S3 = _single(arithmetic.SIN32)
_C0, _C1, _C2, _C3 = _single(arithmetic.COS32)
_L0, _L1, _L2, _L3 = _single(arithmetic.LOG32)
_TWO_PI32, _LN2_32 = np.float32(1.4629180792671596e-9), np.float32(0.69314718)
_ONE, _TWO = np.float32(1), np.float32(2)
_D0, _D1, _D2, _D3, _D4, _D5, _D6, _D7 = arithmetic.SIN64
_E0, _E1, _E2, _E3, _E4, _E5, _E6, _E7 = arithmetic.COS64
_F0, _F1, _F2, _F3, _F4, _F5, _F6, _F7, _F8, _F9, _F10 = arithmetic.LOG64
_ROOT32, _ROOT64 = np.int32(0x3F3504F3), np.int64(0x3FE6A09E667F3BCD)


@part(inlined=True)
def _sincos32(rest):
    a = np.float32(rest) * _TWO_PI32
    z = a * a
    s = ((_S0 * z + _S1) * z + _S2) * z + _S3
    c = ((_C0 * z + _C1) * z + _C2) * z + _C3
    return a + a * (z * s), _ONE + z * c


@part(inlined=True)
def _sincos64(rest):
    a = np.float64(rest) * 1.4629180792671596e-9
    z = a * a
    s = ((((((_D0 * z + _D1) * z + _D2) * z + _D3) * z + _D4) * z + _D5) * z + _D6) * z + _D7
    c = ((((((_E0 * z + _E1) * z + _E2) * z + _E3) * z + _E4) * z + _E5) * z + _E6) * z + _E7
    return a + a * (z * s), 1.0 + z * c


@part(inlined=True)
def _log32(k):
    offset = float32_bits(np.float32(k)) - _ROOT32
    m = bits_float32(np.int32((offset & np.int32(0x007FFFFF)) + _ROOT32))
    s = (m - _ONE) / (m + _ONE)
    z = s * s
    p = ((_L0 * z + _L1) * z + _L2) * z + _L3
    return np.float32((offset >> np.int32(23)) - np.int32(24)) * _LN2_32 + (s * _TWO + s * (z * p))


@part(inlined=True)
def _log64(k):
    offset = float64_bits(np.float64(k)) - _ROOT64
    m = bits_float64((offset & np.int64(0x000FFFFFFFFFFFFF)) + _ROOT64)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    p = ((((_F0 * z + _F1) * z + _F2) * z + _F3) * z + _F4) * z + _F5
    p = ((((p * z + _F6) * z + _F7) * z + _F8) * z + _F9) * z + _F10
    return np.float64((offset >> 52) - 24) * 0.6931471805599453 + (s * 2.0 + s * (z * p))


def sincos_turns(phase, like):
    """sin and cos of 2 pi phase / 2^32 in the dtype of the number `like`; phase int64 in
    [0, 2^32)."""


@overload(sincos_turns, inline="always")
def _sincos_turns(phase, like):
    quarter_turn = _sincos32 if like == types.float32 else _sincos64

    def run(phase, like):
        shifted = np.int64(phase + 0x20000000) & np.int64(0xFFFFFFFF)
        quarter = shifted >> 30
        sin, cos = quarter_turn((shifted & 0x3FFFFFFF) - 0x20000000)
        odd = (quarter & 1) != 0
        s, c = (cos if odd else sin), (sin if odd else cos)
        return (-s if (quarter & 2) != 0 else s), (-c if ((quarter + 1) & 2) != 0 else c)

    return run


_EIGHTH, _ODD, _MINUS = np.int32(0x20000000), np.int32(0x40000000), np.int32(-0x80000000)


@part(inlined=True)
def _sin32(phase):
    """Coefficients are chosen: both polynomials take half as long again. All in 32 bits, or the
    vectors hold half as many."""
    shifted = np.int32(phase + _EIGHTH)
    odd = np.int32(shifted & _ODD) != np.int32(0)
    a = np.float32(np.int32(phase << np.int32(2))) * (_TWO_PI32 * np.float32(0.25))
    z = a * a
    p = _C0 if odd else _S0
    p = p * z + (_C1 if odd else _S1)
    p = p * z + (_C2 if odd else _S2)
    p = p * z + (_C3 if odd else _S3)
    m = _ONE if odd else a
    s = m + m * (z * p)
    return bits_float32(np.int32(float32_bits(s) ^ np.int32(shifted & _MINUS)))


def sin_turns(phase, like):
    """sin of 2 pi phase / 2^32 in the dtype of the number `like`; phase int32, any."""


@overload(sin_turns, inline="always")
def _sin_turns(phase, like):
    if like == types.float32:
        return lambda phase, like: _sin32(phase)
    return lambda phase, like: sincos_turns(np.int64(phase) & 0xFFFFFFFF, like)[0]


def normals(radius, angle, like):
    """Box-Muller in the dtype of `like`: two words to two independent normals."""


@overload(normals, inline="always")
def _normals(radius, angle, like):
    log = _log32 if like == types.float32 else _log64
    number = np.float32 if like == types.float32 else np.float64
    minus_two = number(-2)

    def run(radius, angle, like):
        r = np.sqrt(minus_two * log((np.int64(radius) >> 8) + 1))
        sin, cos = sincos_turns(np.int64(angle), like)
        return r * cos, r * sin

    return run
