"""exp as a polynomial that becomes vectors: csrc/simd/vec.h in numba. libm's is called number by
number, 5 ns each."""

# mypy: disable-error-code=no-untyped-def

import numpy as np
from numba.core import types
from numba.extending import overload

from tsssl_fast.backends.numba.compiling import (
    FUSED,
    bits_float32,
    bits_float64,
    float32_bits,
    float64_bits,
    part,
)


def _single(*numbers):
    return tuple(np.float32(x) for x in numbers)


# Adding it rounds to an integer: 1.5 * 2^23, 1.5 * 2^52.
_MAGIC32, _MAGIC64 = np.float32(12582912.0), 6755399441055744.0
_MAGIC_BITS32, _MAGIC_BITS64 = np.int32(0x4B400000), np.int64(0x4338000000000000)
_LOG2E32, _HIGH32, _LOW32 = _single(1.44269504, 0.693359375, 2.12194440e-4)
_P0, _P1, _P2, _P3, _P4, _P5 = _single(
    0.00139411608, 0.00837516829, 0.0416663523, 0.166664150, 0.5, 1.0
)


@part(fastmath=FUSED, inlined=True)
def _exp32(x, power):
    t = x * _LOG2E32 + _MAGIC32
    k = t - _MAGIC32
    n = float32_bits(t) - _MAGIC_BITS32
    r = (x - k * _HIGH32) + k * _LOW32
    p = ((((_P0 * r + _P1) * r + _P2) * r + _P3) * r + _P4) * r + _P5
    return (p * r + _P5) * bits_float32(np.int32((n + (127 - power)) << 23))


@part(fastmath=FUSED, inlined=True)
def _exp64(x, power):
    t = x * 1.4426950408889634 + _MAGIC64
    k = t - _MAGIC64
    n = float64_bits(t) - _MAGIC_BITS64
    r = (x - k * 0.693147180369123816490) - k * 1.90821492927058770002e-10
    p = (1.0 / 6227020800.0 * r + 1.0 / 479001600.0) * r + 1.0 / 39916800.0
    p = ((p * r + 1.0 / 3628800.0) * r + 1.0 / 362880.0) * r + 1.0 / 40320.0
    p = ((p * r + 1.0 / 5040.0) * r + 1.0 / 720.0) * r + 1.0 / 120.0
    p = ((p * r + 1.0 / 24.0) * r + 1.0 / 6.0) * r + 0.5
    return ((p * r + 1.0) * r + 1.0) * bits_float64((n + (1023 - power)) << 52)


def exp_scaled(x, power):
    """exp(x) 2^-power, which the caller keeps in the range of normal numbers."""


@overload(exp_scaled, jit_options={"forceinline": True})
def _exp_scaled(x, power):
    run = _exp32 if x == types.float32 else _exp64
    return lambda x, power: run(x, power)


def exp_negative(x):
    """exp(min(x, 0)); 0 below the smallest normal number; NaN stays.

    Above 0 lie pairs of another class than the maximum that x is relative to: not used, but an
    overflow would be.
    """


@overload(exp_negative, jit_options={"forceinline": True})
def _exp_negative(x):
    exp = _exp32 if x == types.float32 else _exp64
    number = np.float32 if x == types.float32 else np.float64
    zero, lowest = number(0), number(-87.33 if x == types.float32 else -708.3)

    def run(x):
        top = zero if x > zero else x
        e = exp(top, 0)
        return zero if top < lowest else e

    return run
