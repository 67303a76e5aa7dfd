"""Second moments and gradients of standardised columns on torch tensors."""

from dataclasses import dataclass
from typing import Any

import torch
import triton.language as tl
from torch import Tensor

from tsssl_fast.backends.triton import availability
from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.triton import tuning as configs
from tsssl_fast.ops.decorrelation.triton.kernels import gradient, moments, statistics

_TRITON = {torch.float32: tl.float32, torch.float64: tl.float64}


@dataclass(frozen=True)
class View:
    """A view and its standardised columns (3, dim), whose dtype is that of the arithmetic.

    active: a boolean on the device; where it is false, kernels of this view do nothing. None: they
    run.
    """

    z: Tensor
    columns: Tensor
    active: Tensor | None = None

    @property
    def compute(self) -> torch.dtype:
        return self.columns.dtype

    @property
    def precision(self) -> str:
        """Of tl.dot: torch's setting for float32; float64 has one."""
        if self.compute == torch.float64:
            return "ieee"
        return availability.dot_precision(self.columns)

    @property
    def config(self) -> configs.Config:
        return configs.CONFIGS[availability.family(self.z)][self.compute]

    @property
    def guard(self) -> tuple[Tensor, bool]:
        """A kernel's `active`, which is not read unless GUARDED, and that."""
        return (self.columns, False) if self.active is None else (self.active, True)

    def product_options(self) -> dict[str, Any]:
        """Of kernels with a tl.dot."""
        return {
            "COMPUTE": _TRITON[self.compute],
            "PRECISION": self.precision,
            "BLOCK": self.config.block,
            "DEPTH": self.config.depth,
            **self.config.options,
        }


def row_squares(view: View) -> Tensor:
    """(n,) float64: the sums of x_ij^2 over the columns."""
    n, dim = view.z.shape
    config, (active, guarded) = view.config, view.guard
    out = view.z.new_empty(n, dtype=torch.float64)
    with availability.on(view.z):
        statistics.row_squares_kernel[(-(-n // config.rows),)](
            *(view.z, *view.z.stride(), view.columns, out, active, n, dim),
            GUARDED=guarded,
            COMPUTE=_TRITON[view.compute],
            ROWS=config.rows,
            COLUMNS=config.columns,
            **config.options,
        )
    return out


def second_moments(a: View, b: View, out: Tensor, mirror: Tensor, rows: Tensor | None) -> Tensor:
    """Fills out (side, side) with X Yᵀ and mirror with its transpose; the squares off the diagonal.

    rows: on the n side, the diagonal in float64. Only half is computed where both are one.
    """
    n, dim = a.z.shape
    gram, symmetric = spec.gram(n, dim), out is mirror
    side, depth = (n, dim) if gram else (dim, n)
    config, (active, guarded) = a.config, a.guard
    tiles = configs.tiles(side, config.block, symmetric)
    count, split = configs.splits(config, tiles, depth, config.depth)
    collected = configs.tiles(side, config.collected, symmetric)
    sums = out.new_empty(tiles if count == 1 else collected, dtype=torch.float64)
    diagonal = sums if rows is None else rows
    work = out if count == 1 else out.new_empty((count, side, side))
    with availability.on(a.z):
        moments.moments_kernel[(tiles, count)](
            *(a.z, b.z, *a.z.stride(), *b.z.stride(), a.columns, b.columns, diagonal),
            *(work, mirror, sums, active, n, dim, split),
            GUARDED=guarded,
            GRAM=gram,
            SYMMETRIC=symmetric,
            SPLIT=count > 1,
            **{**a.product_options(), **config.moment_options},
        )
        if count > 1:
            moments.collect_kernel[(collected,)](
                *(work, count, side, diagonal, out, mirror, sums, active),
                GUARDED=guarded,
                GRAM=gram,
                SYMMETRIC=symmetric,
                BLOCK=config.collected,
                **config.options,
            )
    return sums.sum()


def inner_product(a: Tensor, b: Tensor, view: View) -> Tensor:
    """sum over i != j of a_ij b_ij in float64; view: whether to."""
    side = a.shape[0]
    config, (active, guarded) = configs.CONFIGS[availability.family(a)][torch.float64], view.guard
    blocks = -(-side // config.rows)
    sums = a.new_empty(blocks, dtype=torch.float64)
    with availability.on(a):
        moments.inner_product_kernel[(blocks,)](
            *(a, b, sums, active, side),
            GUARDED=guarded,
            ROWS=config.rows,
            COLUMNS=config.columns,
            **config.options,
        )
    return sums.sum()


@dataclass(frozen=True)
class Factors:
    """Numbers, or float64 tensors of one number or of one per column; see kernels/gradient.py."""

    alpha: Tensor | float = 0.0
    invariance: Tensor | float = 0.0
    inner: Tensor | float = 0.0
    cross: Tensor | float = 0.0
    outer: Tensor | float = 0.0
    project: Tensor | None = None

    def table(self, like: Tensor) -> Tensor:
        """(6, dim) in the dtype and on the device of `like`."""
        table = like.new_zeros((6, like.shape[1]))
        values = (self.inner, self.cross, self.outer, self.project, self.alpha, self.invariance)
        for row, value in zip(table, values, strict=True):
            if value is not None:
                row.copy_(value) if isinstance(value, Tensor) else row.fill_(value)
        return table


def write_gradient(
    out: Tensor,
    view: View,
    partner: View | None,
    other: Tensor | None,
    matrix: Tensor | None,
    k: Factors,
) -> None:
    """Writes dz (n, dim) to `out`, of the dtype of z. partner: Barlow Twins; other: the view that
    the invariance compares with."""
    z = view.z
    n, dim = z.shape
    config, (active, guarded) = view.config, view.guard
    grid = (-(-n // config.block), -(-dim // config.block))
    factors = k.table(view.columns)
    second, compared = partner or view, z if other is None else other
    project = k.project is not None and matrix is not None
    g, along = out, view.columns
    with availability.on(z):
        if matrix is not None:
            if project:
                g = factors.new_empty((n, dim))
                along = z.new_empty((grid[0], dim), dtype=torch.float64)
            gram = spec.gram(n, dim)
            diagonal = _scaled_diagonal(matrix, k.alpha) if gram else factors
            gradient.product_kernel[grid](
                *(z, second.z, compared, *z.stride(), *second.z.stride(), *compared.stride()),
                *(matrix, diagonal, view.columns, second.columns, factors, along, g),
                *(active, n, dim),
                GUARDED=guarded,
                GRAM=gram,
                CROSS=partner is not None,
                PROJECT=project,
                INVARIANCE=other is not None,
                **{
                    **view.product_options(),
                    "DEPTH": config.gradient_depth(view.precision),
                },
            )
        if matrix is None or project:
            gradient.finish_kernel[grid](
                *(g, z, compared, *z.stride(), *compared.stride(), view.columns, factors),
                *(along.sum(0) if project else along, out, active, n, dim),
                GUARDED=guarded,
                HAS_PRODUCT=project,
                PROJECT=project,
                INVARIANCE=other is not None,
                COMPUTE=_TRITON[view.compute],
                BLOCK=config.block,
                **config.options,
            )


def _scaled_diagonal(matrix: Tensor, alpha: Tensor | float) -> Tensor:
    """alpha S_ii; 0 where alpha is, whatever S_ii."""
    diagonal = alpha * matrix.diagonal()
    return torch.where(alpha == 0, 0.0, diagonal) if isinstance(alpha, Tensor) else diagonal
