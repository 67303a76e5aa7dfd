"""Tiles of the pair kernels, by what decides them: operand width, columns, architecture.

One configuration a class and no autotuning: a first call compiles what it launches, nothing else.

* 16 bits, pitch <= 256: one walk over all columns, the row tile stays on the chip. 128 rows feed one
  wgmma pair of warp groups on sm_90; sm_80 keeps under 100 KiB of shared memory, so that the
  smaller parts of its generation (sm_86, sm_89) run it too.
* float32, pitch <= 128: columns in steps of BK, because a product without tensor cores keeps BK
  values of each operand in registers.
* beyond: row chunks. The accumulator of a row tile (rows x columns, float32) would leave the tensor
  cores tiles of 32 rows; a chunk's similarities by torch's product and one pass over them does not.
  At D = 768 on Hopper the published fused kernel reached a quarter of the chunked one's rate.
"""

from typing import NamedTuple

import torch

CHUNK_ELEMENTS = 2**26  # similarities of a row chunk: 256 MiB of float32
PROGRAMS = 256  # about two a multiprocessor; a constant, so that sums do not depend on the device
SLOTS = 32  # of a symmetric launch: 528 programs


class Tiles(NamedTuple):
    """rows x columns of a tile, step over the operands' columns, warps, stages."""

    rows: int
    columns: int
    step: int
    warps: int
    stages: int
    resident: bool


def pitch(dim: int) -> int:
    """Columns of the operands: dim, padded so that every row starts on 32 bytes or more."""
    return max(16, -(-dim // 16) * 16)


def width(columns: int) -> int:
    """The power of two that spans `columns`."""
    return max(16, 1 << (columns - 1).bit_length())


def fused(dtype: torch.dtype, columns: int) -> bool:
    """Whether tiles hold all columns; else row chunks."""
    return columns <= (128 if dtype == torch.float32 else 256)


def tiles(kernel: str, dtype: torch.dtype, columns: int, family: str) -> Tiles:
    """kernel: "sums" or "gradients"; family: gpu.backend.family."""
    wide = width(columns)
    if family == "interpreter":
        step = 16 if dtype == torch.float32 else wide
        return Tiles(16, 16, step, 1, 1, dtype != torch.float32)
    if dtype == torch.float32:
        return Tiles(64, 32 if kernel == "gradients" else 64, 16, 8, 2, False)
    if family == "sm_90":
        return Tiles(128, 64 if wide > 128 else 128, wide, 8, 2, True)
    if family == "gfx942":
        return Tiles(64, 32 if wide > 128 else 64, wide, 4, 2, True)
    return Tiles(64 if wide > 128 else 128, 64, wide, 8 if wide <= 128 else 4, 2, True)


def chunk_tiles(family: str) -> Tiles:
    """For a chunk's similarities, which are in memory."""
    if family == "interpreter":
        return Tiles(4, 16, 16, 1, 1, False)
    return Tiles(16, 128, 16, 4, 2, False)
