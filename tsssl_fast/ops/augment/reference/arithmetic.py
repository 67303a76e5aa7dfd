"""sin, cos, log and normals as fixed polynomials: the definition of csrc/series/math.h.

Every line is one IEEE operation after the other, in float32 or float64: libm's functions differ in
the last bit between libraries (float32 log of numpy and torch agree on 79 % of arguments), these do
not.
"""

import numpy as np
import torch
from torch import Tensor

SIN32 = (2.7557319e-6, -1.9841270e-4, 8.3333333e-3, -1.6666667e-1)
COS32 = (2.4801587e-5, -1.3888889e-3, 4.1666667e-2, -0.5)
LOG32 = (0.22222222, 0.28571429, 0.4, 0.66666667)
SIN64 = (
    *(1 / 355687428096000.0, -1 / 1307674368000.0, 1 / 6227020800.0, -1 / 39916800.0),
    *(1 / 362880.0, -1 / 5040.0, 1 / 120.0, -1 / 6.0),
)
COS64 = (
    *(1 / 20922789888000.0, -1 / 87178291200.0, 1 / 479001600.0, -1 / 3628800.0),
    *(1 / 40320.0, -1 / 720.0, 1 / 24.0, -0.5),
)
LOG64 = tuple(2 / n for n in range(23, 2, -2))
SQRT_HALF = {torch.float32: 0x3F3504F3, torch.float64: 0x3FE6A09E667F3BCD}
LN2 = {torch.float32: 0.69314718, torch.float64: 0.6931471805599453}


def _polynomial(z: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    p = z * coefficients[0] + coefficients[1]
    for c in coefficients[2:]:
        p = p * z + c
    return p


def sincos_turns(phase: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """sin and cos of 2 pi phase / 2^32; phase int64 in [0, 2^32).

    The nearest quarter turn comes from the integer, the rest lies in [-pi/4, pi/4].
    """
    shifted = (phase + 0x20000000) & 0xFFFFFFFF
    quarter = shifted >> 30
    rest = (shifted & 0x3FFFFFFF) - 0x20000000
    a = rest.to(dtype) * 1.4629180792671596e-9
    z = a * a
    single = dtype == torch.float32
    s = a + a * (z * _polynomial(z, SIN32 if single else SIN64))
    c = z * _polynomial(z, COS32 if single else COS64) + 1.0
    odd = (quarter & 1) != 0
    sin, cos = torch.where(odd, c, s), torch.where(odd, s, c)
    return (
        torch.where((quarter & 2) != 0, -sin, sin),
        torch.where(((quarter + 1) & 2) != 0, -cos, cos),
    )


def log_fraction(k: Tensor, dtype: torch.dtype) -> Tensor:
    """Natural logarithm of k / 2^24, k int64 in [1, 2^24].

    k = 2^e m with m in [sqrt(1/2), sqrt(2)), log m = 2 artanh((m - 1) / (m + 1)).
    """
    single = dtype == torch.float32
    integer, digits = (torch.int32, 23) if single else (torch.int64, 52)
    base = SQRT_HALF[dtype]
    offset = k.to(dtype).view(integer) - base
    e = offset >> digits
    m = ((offset & ((1 << digits) - 1)) + base).view(dtype)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    p = _polynomial(z, LOG32 if single else LOG64)
    return (e - 24).to(dtype) * LN2[dtype] + (s * 2.0 + s * (z * p))


def root(x: Tensor) -> Tensor:
    """The square root, correctly rounded; a constant in derivatives.

    torch on a CPU calls MKL's vector library, whose float32 roots miss by one ulp on 16 % of
    arguments.
    """
    x = x.detach()
    return torch.from_numpy(np.sqrt(x.numpy())) if x.device.type == "cpu" else torch.sqrt(x)


def normals(radius: Tensor, angle: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Box-Muller: two words to two independent standard normals, |z| <= 5.77."""
    r = root(log_fraction((radius >> 8) + 1, dtype) * -2.0)
    sin, cos = sincos_turns(angle, dtype)
    return r * cos, r * sin
