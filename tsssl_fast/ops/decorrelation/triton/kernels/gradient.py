"""The gradient that every decorrelation loss shares; see csrc/decorrelation/gradient.h.

With x the standardised columns of a view, y of its partner, S the second moments without their
diagonal:
  g_j  = alpha (S x)_j + (diagonal + inner_j) x_j + cross_j y_j     (Gram side)
  g_j  = alpha (u S)_j + inner_j x_j + cross_j y_j                  (dim side; u is x or y)
  dz_j = scale_j (g_j - project_j <g_j, x_j> x_j) + outer_j x_j / scale_j
         + invariance (z_j - other_j)
"""

# The body of a kernel is Triton's language, not Python.
# mypy: ignore-errors

import triton
import triton.language as tl

from tsssl_fast.backends.triton.interpreter import narrow
from tsssl_fast.ops.decorrelation.triton.kernels.tiles import standardised


@triton.jit
def _finish(
    g,
    view,
    other,
    i,
    c,
    inside,
    factors,
    along,
    out,
    dim,
    COMPUTE: tl.constexpr,
    PROJECT: tl.constexpr,
    INVARIANCE: tl.constexpr,
):
    """view: see tiles.standardised. other: what the invariance compares with, and its strides.
    factors: (6, dim): inner, cross, outer, project, alpha, invariance."""
    real, columns = c < dim, view[3]
    if PROJECT:
        x = standardised(view, i, c, inside, dim, COMPUTE)
        project = tl.load(factors + 3 * dim + c, mask=real, other=0.0)
        g = g - project * tl.load(along + c, mask=real, other=0.0).to(COMPUTE) * x
    at = view[0] + i.to(tl.int64) * view[1] + c.to(tl.int64) * view[2]
    v = tl.load(at, mask=inside, other=0.0)
    mean = tl.load(columns + c, mask=real, other=0.0)
    rest = tl.load(columns + dim + c, mask=real, other=0.0)
    scale = tl.load(columns + 2 * dim + c, mask=real, other=0.0)
    outer = tl.load(factors + 2 * dim + c, mask=real, other=0.0)
    g = scale * g + outer * ((v.to(COMPUTE) - mean) - rest)
    if INVARIANCE:
        at = other[0] + i.to(tl.int64) * other[1] + c.to(tl.int64) * other[2]
        w = tl.load(at, mask=inside, other=0.0)
        invariance = tl.load(factors + 5 * dim + c, mask=real, other=0.0)
        g += invariance * (v.to(tl.float64) - w.to(tl.float64)).to(COMPUTE)
    if out.dtype.element_ty != tl.float64:
        g = g.to(tl.float32)
    tl.store(out + i.to(tl.int64) * dim + c, narrow(g, out.dtype.element_ty), mask=inside)


@triton.jit
def product_kernel(
    z,
    partner,
    other,
    stride_i,
    stride_c,
    stride_pi,
    stride_pc,
    stride_oi,
    stride_oc,
    matrix,  # (side, side)
    diagonal,  # (n,) alpha S_ii, with GRAM
    columns,  # (3, dim), of z; see tiles.standardised
    columns_p,  # of its partner
    factors,  # (6, dim)
    along,  # (blocks of rows, dim) float64, with PROJECT: parts of <g_j, x_j>
    out,  # (n, dim); with PROJECT g, in the dtype of the arithmetic
    active,
    n,
    dim,
    GUARDED: tl.constexpr,
    GRAM: tl.constexpr,
    CROSS: tl.constexpr,
    PROJECT: tl.constexpr,
    INVARIANCE: tl.constexpr,
    COMPUTE: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """CROSS: Barlow Twins, with u = y; else u = x."""
    if GUARDED and tl.load(active) == 0:
        return
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)[:, None]
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)[None, :]
    inside = (i < n) & (c < dim)
    side = dim
    if GRAM:
        side = n
    view, compared = (z, stride_i, stride_c, columns), (other, stride_oi, stride_oc)
    second = (partner, stride_pi, stride_pc, columns_p)
    g = tl.zeros((BLOCK, BLOCK), COMPUTE)
    for k0 in range(0, side, DEPTH):
        down = k0 + tl.arange(0, DEPTH)[:, None]
        along_k = k0 + tl.arange(0, DEPTH)[None, :]
        if GRAM:
            used = (i < n) & (along_k < n) & (i != along_k)
            left = tl.load(matrix + i.to(tl.int64) * n + along_k, mask=used, other=0.0)
            used = (down < n) & (c < dim)
            right = standardised(view, down, c, used, dim, COMPUTE)
        else:
            used = (i < n) & (along_k < dim)
            left = standardised(second if CROSS else view, i, along_k, used, dim, COMPUTE)
            used = (down < dim) & (c < dim) & (down != c)
            right = tl.load(matrix + down.to(tl.int64) * dim + c, mask=used, other=0.0)
        g = tl.dot(
            left.to(COMPUTE), right.to(COMPUTE), g, input_precision=PRECISION, out_dtype=COMPUTE
        )
    # The diagonal, the largest entries, meets the column factors in one rounding.
    factor = tl.load(factors + c, mask=c < dim, other=0.0)
    if GRAM:
        factor = tl.load(diagonal + i, mask=i < n, other=0.0) + factor
    x = standardised(view, i, c, inside, dim, COMPUTE)
    # A factor of 0 leaves the product out, whatever its value.
    alpha = tl.load(factors + 4 * dim + c, mask=c < dim, other=0.0)
    g = tl.where(alpha == 0.0, 0.0, alpha * g) + factor * x
    if CROSS:
        y = standardised(second, i, c, inside, dim, COMPUTE)
        g += tl.load(factors + dim + c, mask=c < dim, other=0.0) * y
    if PROJECT:
        sums = tl.sum(g.to(tl.float64) * x.to(tl.float64), axis=0)[None, :]
        tl.store(along + tl.program_id(0).to(tl.int64) * dim + c, sums, mask=c < dim)
        tl.store(out + i.to(tl.int64) * dim + c, g, mask=inside)
    else:
        _finish(
            g, view, compared, i, c, inside, factors, along, out, dim, COMPUTE, PROJECT, INVARIANCE
        )


@triton.jit
def finish_kernel(
    g,  # (n, dim) in the dtype of the arithmetic, with HAS_PRODUCT
    z,
    other,
    stride_i,
    stride_c,
    stride_oi,
    stride_oc,
    columns,
    factors,
    along,  # (dim,) float64, with PROJECT
    out,
    active,
    n,
    dim,
    GUARDED: tl.constexpr,
    HAS_PRODUCT: tl.constexpr,
    PROJECT: tl.constexpr,
    INVARIANCE: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    if GUARDED and tl.load(active) == 0:
        return
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)[:, None]
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)[None, :]
    inside = (i < n) & (c < dim)
    view, compared = (z, stride_i, stride_c, columns), (other, stride_oi, stride_oc)
    tile = tl.zeros((BLOCK, BLOCK), COMPUTE)
    if HAS_PRODUCT:
        tile = tl.load(g + i.to(tl.int64) * dim + c, mask=inside, other=0.0)
    _finish(
        tile, view, compared, i, c, inside, factors, along, out, dim, COMPUTE, PROJECT, INVARIANCE
    )
