"""Row-wise Triton kernels: operands before the pairs (`prepare`), gradients after them (`finish`).

Work of N D beside the pairs' N P D. Rows may come from two tensors (two views): row i < half is row
i of the first, the others follow from the second. Grid axis 1 is the problem of a batch (grouped
NT-Xent), whose half is lengths[g].
"""

# The body of a kernel is Triton's language, not Python.
# mypy: ignore-errors

import triton
import triton.language as tl

from tsssl_fast.backends.triton.interpreter import narrow
from tsssl_fast.ops.contrastive import spec

TINY = tl.constexpr(spec.TINY_NORM)


@triton.jit
def _columns(z, column, d, dim, keep):
    at = z[:, None] + d[None, :] * column
    # By way of float32: the interpreter has no conversion between bfloat16 and float64.
    return tl.load(at, mask=keep[:, None] & (d < dim)[None, :], other=0.0).to(tl.float32)


@triton.jit
def prepare(
    z1,
    z2,
    group1,
    row1,
    column1,
    group2,
    row2,
    column2,
    valid,
    lengths,
    x,
    r,
    scale,
    n,
    half,
    dim,
    pitch,
    NORMALIZE: tl.constexpr,
    UNIT: tl.constexpr,
    BM: tl.constexpr,
    BD: tl.constexpr,
):
    """x (n, pitch), zeros from column dim on, with r_i x_i = z_i / ||z_i||, and scale = 1 / ||z||.

    UNIT (float32): x is the unit row itself, rounded once from float64, r = 1. Else x = z 2^-e with
    norm in [1, 2): exact in 16 bits, so that tensor cores multiply what the caller gave and
    float32 does the rest. group, row, column: strides of z.
    """
    g = tl.program_id(1).to(tl.int64)
    total = n
    if lengths is not None:
        half = tl.load(lengths + g).to(tl.int32)
        n = 2 * half
    i = tl.program_id(0) * BM + tl.arange(0, BM)
    live = i < n
    keep1, keep2 = live & (i < half), live & (i >= half)
    if valid is not None:
        flag = tl.load(valid + i, mask=live, other=0) != 0
        keep1, keep2 = keep1 & flag, keep2 & flag
    from1 = z1 + g * group1 + i.to(tl.int64) * row1
    from2 = z2 + g * group2 + (i - half).to(tl.int64) * row2
    squares = tl.zeros([BM], tl.float64)
    for d0 in range(0, dim, BD):
        d = (d0 + tl.arange(0, BD)).to(tl.int64)
        z = _columns(from1, column1, d, dim, keep1) + _columns(from2, column2, d, dim, keep2)
        z = z.to(tl.float64)
        squares += tl.sum(z * z, 1)
    norm = tl.sqrt(squares)
    zero = norm <= TINY
    safe = tl.where(zero, 1.0, norm)
    at = g * total + i
    if NORMALIZE:
        tl.store(scale + at, tl.where(zero, 0.0, 1.0 / safe).to(tl.float32), mask=live)
        if UNIT:
            factor = 1.0 / safe
        else:
            e = ((safe.to(tl.int64, bitcast=True) >> 52) & 2047) - 1023
            factor = ((1023 - e) << 52).to(tl.float64, bitcast=True)
            tl.store(r + at, tl.where(zero, 0.0, 1.0 / (safe * factor)).to(tl.float32), mask=live)
        factor = tl.where(zero, 0.0, factor)
    else:
        tl.store(scale + at, tl.full([BM], 1.0, tl.float32), mask=live)
        factor = tl.full([BM], 1.0, tl.float64)
    for d0 in range(0, pitch, BD):
        d = (d0 + tl.arange(0, BD)).to(tl.int64)
        z = _columns(from1, column1, d, dim, keep1) + _columns(from2, column2, d, dim, keep2)
        z = z.to(tl.float64)
        if UNIT and NORMALIZE:
            u = tl.where(zero[:, None], z * 0.0, z / safe[:, None])
        else:
            u = z * factor[:, None]
        tl.store(
            x + at.to(tl.int64)[:, None] * pitch + d,
            narrow(u.to(tl.float32), x.dtype.element_ty),
            mask=live[:, None] & (d < pitch),
        )


@triton.jit
def _partial(part, at, d, total, splits, keep, pitch):
    """Sum over the splits, in their order."""
    acc = tl.load(part + at[:, None] * pitch + d, mask=keep, other=0.0)
    for s in range(1, splits):
        there = part + (s * total + at)[:, None] * pitch + d
        acc += tl.load(there, mask=keep, other=0.0)
    return acc


@triton.jit
def _unit_row_gradient(part, x, r, positive, at, d, partner, total, splits, keep, pitch, factor):
    """dL/du of rows `at` in columns d, and u there."""
    du = _partial(part, at, d, total, splits, keep, pitch) * factor[:, None]
    u = tl.load(x + at[:, None] * pitch + d, mask=keep, other=0.0).to(tl.float32)
    if r is not None:
        u *= tl.load(r + at, mask=tl.max(keep.to(tl.int32), 1) != 0, other=0.0)[:, None]
    if positive is not None:
        live = tl.max(keep.to(tl.int32), 1) != 0
        both = tl.load(positive + at, mask=live, other=0.0) + tl.load(
            positive + partner, mask=live, other=0.0
        )
        other = tl.load(x + partner[:, None] * pitch + d, mask=keep, other=0.0).to(tl.float32)
        if r is not None:
            other *= tl.load(r + partner, mask=live, other=0.0)[:, None]
        du -= both[:, None] * other
    return du, u


@triton.jit
def finish(
    part,
    x,
    r,
    scale,
    beta,
    gain,
    positive,
    lengths,
    out1,
    out2,
    n,
    half,
    dim,
    pitch,
    splits,
    group,
    NORMALIZE: tl.constexpr,
    BY_ROW: tl.constexpr,
    BM: tl.constexpr,
    BD: tl.constexpr,
):
    """dz = (du - u <u, du>) scale with du = beta (sum of `part` over splits) / gain.

    gain: power of two that the weights were multiplied by (None: 1). BY_ROW: `part` also holds the
    factor r_i, which is taken out. positive: of paired rows, minus
    dL/da of their positive: -(positive_i + positive_p) u_p is its part. group: rows of out1 (and
    out2) per problem.
    """
    g = tl.program_id(1).to(tl.int64)
    total = n * tl.num_programs(1).to(tl.int64)
    base = g * n
    if lengths is not None:
        half = tl.load(lengths + g).to(tl.int32)
        n = 2 * half
    i = tl.program_id(0) * BM + tl.arange(0, BM)
    live = i < n
    at = base + i
    partner = base + tl.where(i < half, i + half, i - half)
    strength = tl.load(beta).to(tl.float32)
    factor = tl.where(live, 1.0, 0.0)
    if gain is not None:
        factor /= tl.load(gain)
    if BY_ROW:
        by = tl.load(r + at, mask=live, other=1.0)
        factor = tl.where(by == 0, 0.0, factor / tl.where(by == 0, 1.0, by))
    along = tl.zeros([BM], tl.float32)
    if NORMALIZE:
        for d0 in range(0, dim, BD):
            d = (d0 + tl.arange(0, BD)).to(tl.int64)
            keep = live[:, None] & (d < dim)[None, :]
            du, u = _unit_row_gradient(
                part, x, r, positive, at, d, partner, total, splits, keep, pitch, factor
            )
            along += tl.sum(du * u, 1)
        strength *= tl.load(scale + at, mask=live, other=0.0)
    for d0 in range(0, dim, BD):
        d = (d0 + tl.arange(0, BD)).to(tl.int64)
        keep = live[:, None] & (d < dim)[None, :]
        du, u = _unit_row_gradient(
            part, x, r, positive, at, d, partner, total, splits, keep, pitch, factor
        )
        dz = du
        if NORMALIZE:
            dz = du - u * along[:, None]
        dz = narrow(dz * (tl.zeros([BM], tl.float32) + strength)[:, None], out1.dtype.element_ty)
        tl.store(out1 + (g * group + i)[:, None] * dim + d, dz, mask=keep & (i < half)[:, None])
        tl.store(
            out2 + (g * group + i - half)[:, None] * dim + d, dz, mask=keep & (i >= half)[:, None]
        )
