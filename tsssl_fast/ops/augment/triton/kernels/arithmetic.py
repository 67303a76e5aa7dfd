"""The arithmetic of ops/augment/reference/arithmetic.py in Triton, operation by operation.

Compile with enable_fp_fusion=False: a fused multiply-add changes 1.3 % of the normals. A plain
float32 division or square root is approximate in Triton, so both go through `_rn`. A minus sign is
a factor of -1: Triton's own subtracts from zero and loses the sign of a zero.
"""

# The body of a kernel is Triton's language, not Python.
# mypy: ignore-errors

import triton
import triton.language as tl

_RADIANS = tl.constexpr(1.4629180792671596e-9)  # 2 pi / 2^32
_LN2 = tl.constexpr(0.6931471805599453)
_SQRT_HALF_32 = tl.constexpr(0x3F3504F3)
_SQRT_HALF_64 = tl.constexpr(0x3FE6A09E667F3BCD)


@triton.jit
def words(key, block, stream, id_lo, id_hi):
    """Four words per block: Philox4x32-10 at the counter (block, stream, id_lo, id_hi)."""
    return tl.philox(key, block, stream, id_lo, id_hi)


@triton.jit
def uniform(word, dtype: tl.constexpr):
    """[0, 1) with 24 bits."""
    return (word & 0xFFFFFF).to(dtype) * 5.9604644775390625e-08


@triton.jit
def divide(a, b):
    if a.dtype == tl.float32:
        return tl.div_rn(a, b)
    return a / b


@triton.jit
def root(x):
    if x.dtype == tl.float32:
        return tl.sqrt_rn(x)
    return tl.sqrt(x)


@triton.jit
def _sincos_quarter(a):
    z = a * a
    if a.dtype == tl.float32:
        s = ((z * 2.7557319e-6 - 1.9841270e-4) * z + 8.3333333e-3) * z - 1.6666667e-1
        c = ((z * 2.4801587e-5 - 1.3888889e-3) * z + 4.1666667e-2) * z - 0.5
    else:
        s = z * (1 / 355687428096000.0) - (1 / 1307674368000.0)
        s = s * z + (1 / 6227020800.0)
        s = s * z - (1 / 39916800.0)
        s = s * z + (1 / 362880.0)
        s = s * z - (1 / 5040.0)
        s = s * z + (1 / 120.0)
        s = s * z - (1 / 6.0)
        c = z * (1 / 20922789888000.0) - (1 / 87178291200.0)
        c = c * z + (1 / 479001600.0)
        c = c * z - (1 / 3628800.0)
        c = c * z + (1 / 40320.0)
        c = c * z - (1 / 720.0)
        c = c * z + (1 / 24.0)
        c = c * z - 0.5
    return a + a * (z * s), z * c + 1.0


@triton.jit
def sincos_turns(phase, dtype: tl.constexpr):
    """sin and cos of 2 pi phase / 2^32; phase uint32."""
    shifted = phase + 0x20000000
    quarter = shifted >> 30
    rest = (shifted & 0x3FFFFFFF).to(tl.int32) - 0x20000000
    s, c = _sincos_quarter(rest.to(dtype) * _RADIANS)
    odd = (quarter & 1) != 0
    sin, cos = tl.where(odd, c, s), tl.where(odd, s, c)
    sin = tl.where((quarter & 2) != 0, sin * -1.0, sin)
    return sin, tl.where(((quarter + 1) & 2) != 0, cos * -1.0, cos)


@triton.jit
def _log_fraction(k, dtype: tl.constexpr):
    """Natural logarithm of k / 2^24, k int32 in [1, 2^24]."""
    x = k.to(dtype)
    if dtype == tl.float32:
        offset = x.to(tl.int32, bitcast=True) - _SQRT_HALF_32
        e = offset >> 23
        m = ((offset & 0x007FFFFF) + _SQRT_HALF_32).to(tl.float32, bitcast=True)
    else:
        offset = x.to(tl.int64, bitcast=True) - _SQRT_HALF_64
        e = (offset >> 52).to(tl.int32)
        m = ((offset & 0x000FFFFFFFFFFFFF) + _SQRT_HALF_64).to(tl.float64, bitcast=True)
    s = divide(m - 1.0, m + 1.0)
    z = s * s
    if dtype == tl.float32:
        p = ((z * 0.22222222 + 0.28571429) * z + 0.4) * z + 0.66666667
    else:
        p = z * (2 / 23.0) + (2 / 21.0)
        p = p * z + (2 / 19.0)
        p = p * z + (2 / 17.0)
        p = p * z + (2 / 15.0)
        p = p * z + (2 / 13.0)
        p = p * z + (2 / 11.0)
        p = p * z + (2 / 9.0)
        p = p * z + (2 / 7.0)
        p = p * z + (2 / 5.0)
        p = p * z + (2 / 3.0)
    return (e - 24).to(dtype) * _LN2 + (s * 2.0 + s * (z * p))


@triton.jit
def normals(radius, angle, dtype: tl.constexpr):
    """Box-Muller: two words to two independent standard normals."""
    r = root(_log_fraction((radius >> 8).to(tl.int32) + 1, dtype) * -2.0)
    sin, cos = sincos_turns(angle, dtype)
    return r * cos, r * sin
