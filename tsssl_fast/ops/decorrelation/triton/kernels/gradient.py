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
    z,
    other,
    i,
    c,
    inside,
    stride_i,
    stride_c,
    stride_oi,
    stride_oc,
    columns,
    factors,
    along,
    out,
    n,
    dim,
    COMPUTE: tl.constexpr,
    PROJECT: tl.constexpr,
    INVARIANCE: tl.constexpr,
):
    """factors: (6, dim): inner, cross, outer, project, alpha, invariance."""
    real = c < dim
    if PROJECT:
        x = standardised(z, i, c, inside, stride_i, stride_c, columns, dim, COMPUTE)
        project = tl.load(factors + 3 * dim + c, mask=real, other=0.0)
        g = g - project * tl.load(along + c, mask=real, other=0.0).to(COMPUTE) * x
    v = tl.load(z + i.to(tl.int64) * stride_i + c.to(tl.int64) * stride_c, mask=inside, other=0.0)
    mean = tl.load(columns + c, mask=real, other=0.0)
    rest = tl.load(columns + dim + c, mask=real, other=0.0)
    scale = tl.load(columns + 2 * dim + c, mask=real, other=0.0)
    outer = tl.load(factors + 2 * dim + c, mask=real, other=0.0)
    g = scale * g + outer * ((v.to(COMPUTE) - mean) - rest)
    if INVARIANCE:
        at = other + i.to(tl.int64) * stride_oi + c.to(tl.int64) * stride_oc
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
    g = tl.zeros((BLOCK, BLOCK), COMPUTE)
    for k0 in range(0, side, DEPTH):
        down = k0 + tl.arange(0, DEPTH)[:, None]
        along_k = k0 + tl.arange(0, DEPTH)[None, :]
        if GRAM:
            used = (i < n) & (along_k < n) & (i != along_k)
            left = tl.load(matrix + i.to(tl.int64) * n + along_k, mask=used, other=0.0)
            used = (down < n) & (c < dim)
            right = standardised(z, down, c, used, stride_i, stride_c, columns, dim, COMPUTE)
        else:
            used = (i < n) & (along_k < dim)
            if CROSS:
                left = standardised(
                    partner, i, along_k, used, stride_pi, stride_pc, columns_p, dim, COMPUTE
                )
            else:
                left = standardised(z, i, along_k, used, stride_i, stride_c, columns, dim, COMPUTE)
            used = (down < dim) & (c < dim) & (down != c)
            right = tl.load(matrix + down.to(tl.int64) * dim + c, mask=used, other=0.0)
        g = tl.dot(
            left.to(COMPUTE), right.to(COMPUTE), g, input_precision=PRECISION, out_dtype=COMPUTE
        )
    # The diagonal, the largest entries, meets the column factors in one rounding.
    factor = tl.load(factors + c, mask=c < dim, other=0.0)
    if GRAM:
        factor = tl.load(diagonal + i, mask=i < n, other=0.0) + factor
    x = standardised(z, i, c, inside, stride_i, stride_c, columns, dim, COMPUTE)
    # A factor of 0 leaves the product out, whatever its value.
    alpha = tl.load(factors + 4 * dim + c, mask=c < dim, other=0.0)
    g = tl.where(alpha == 0.0, 0.0, alpha * g) + factor * x
    if CROSS:
        y = standardised(partner, i, c, inside, stride_pi, stride_pc, columns_p, dim, COMPUTE)
        g += tl.load(factors + dim + c, mask=c < dim, other=0.0) * y
    if PROJECT:
        sums = tl.sum(g.to(tl.float64) * x.to(tl.float64), axis=0)[None, :]
        tl.store(along + tl.program_id(0).to(tl.int64) * dim + c, sums, mask=c < dim)
        tl.store(out + i.to(tl.int64) * dim + c, g, mask=inside)
    else:
        _finish(
            g,
            z,
            other,
            i,
            c,
            inside,
            stride_i,
            stride_c,
            stride_oi,
            stride_oc,
            columns,
            factors,
            along,
            out,
            n,
            dim,
            COMPUTE,
            PROJECT,
            INVARIANCE,
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
    tile = tl.zeros((BLOCK, BLOCK), COMPUTE)
    if HAS_PRODUCT:
        tile = tl.load(g + i.to(tl.int64) * dim + c, mask=inside, other=0.0)
    _finish(
        tile,
        z,
        other,
        i,
        c,
        inside,
        stride_i,
        stride_c,
        stride_oi,
        stride_oc,
        columns,
        factors,
        along,
        out,
        n,
        dim,
        COMPUTE,
        PROJECT,
        INVARIANCE,
    )
