"""Triton functions that hide what the interpreter of Triton 3.9 does differently: it multiplies the
bits of bfloat16 operands in tl.dot, and truncates where a GPU rounds to bfloat16.

Imports triton: only for kernel modules.
"""

# The body of a kernel is Triton's language, not Python.
# mypy: ignore-errors

import triton
import triton.language as tl


@triton.jit
def narrow(x, kind: tl.constexpr):
    """Float32 x in another dtype, rounded to nearest even, also in the interpreter."""
    if kind == tl.bfloat16:
        bits = x.to(tl.int32, bitcast=True)
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & -65536
        x = tl.where(x == x, rounded.to(tl.float32, bitcast=True), x)
    return x.to(kind)


@triton.jit
def dot(a, b, acc, PRECISION: tl.constexpr):
    """acc + a b in float32. a of float32 is narrowed to b's dtype. PRECISION: input_precision of
    tl.dot, or "interpreted": products of 16-bit numbers taken in float32, which holds them."""
    if PRECISION == "interpreted":
        a = narrow(a, b.dtype) if a.dtype == tl.float32 else a
        return tl.dot(a.to(tl.float32), b.to(tl.float32), acc, input_precision="ieee")
    return tl.dot(a.to(b.dtype), b, acc, input_precision=PRECISION)


@triton.jit
def log1p(x):
    """log(1 + x) for x in [0, 1]: log(u) corrected by what 1 + x lost (Kahan)."""
    u = 1 + x
    rest = u - 1
    return tl.where(rest == 0, x, tl.log(u) * (x / tl.where(rest == 0, 1.0, rest)))
