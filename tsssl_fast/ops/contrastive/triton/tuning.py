"""Tiles of the pair kernels, by what decides them: operand width, columns, architecture.

One configuration a class and no autotuning: a first call compiles what it launches, nothing else.

* 16 bits, pitch <= 256: one walk over all columns, the row tile stays on the chip. 128 rows feed
  two warp groups' wgmma on sm_90; sm_80 keeps under 100 KiB of shared memory, so that the smaller
  parts of its generation (sm_86, sm_89) run it too.
* float32, pitch <= 128: columns in steps of BK, because a product without tensor cores keeps BK
  values of each operand in registers.
* beyond: row chunks. The accumulator of a row tile (rows x columns, float32) would leave the tensor
  cores tiles of 32 rows; a chunk's similarities by torch's product and one pass over them does not.
  At D = 768 on Hopper the published fused kernel reached a quarter of the chunked one's rate. The
  sums of two views with one shift accumulate no row of D numbers: their tiles walk over the columns
  in steps of BK at every width, and chunks are left to the gradient.
"""

from enum import IntEnum
from typing import NamedTuple

import torch

FUSED_COLUMNS = {"float32": 128, "16 bits": 256}
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


def width(columns: int, family: str) -> int:
    """Columns of a tile that holds them all: a power of two, on a GPU one of 64, 128, 256.

    Fewer would save products where exponentials, not products, take the time.
    """
    return max(16 if family == "interpreter" else 64, 1 << (columns - 1).bit_length())


def fused(dtype: torch.dtype, columns: int) -> bool:
    """Whether tiles hold all columns; else row chunks."""
    return columns <= FUSED_COLUMNS["float32" if dtype == torch.float32 else "16 bits"]


# (kernel, architecture) of 16-bit operands -> by width: rows, columns, warps, stages.
_NARROW = {
    ("paired sums", "sm_80"): {64: (128, 64, 8, 2), 128: (128, 64, 8, 2), 256: (64, 64, 8, 2)},
    ("paired sums", "sm_90"): {64: (128, 128, 8, 2), 128: (128, 128, 8, 2), 256: (128, 64, 8, 2)},
    ("paired sums", "gfx942"): {64: (64, 64, 4, 2), 128: (64, 64, 4, 2), 256: (64, 32, 4, 2)},
    ("paired gradients", "sm_80"): {64: (128, 32, 8, 2), 128: (128, 32, 8, 2), 256: (64, 32, 8, 2)},
    ("paired gradients", "sm_90"): {
        64: (128, 64, 8, 2),
        128: (128, 64, 8, 2),
        256: (128, 32, 8, 2),
    },
    ("paired gradients", "gfx942"): {64: (64, 64, 4, 1), 128: (64, 64, 4, 1), 256: (64, 32, 4, 1)},
}
# Sums of wide rows of 16 bits: rows, columns, step, warps, stages.
_STREAMED = {
    "sm_80": (128, 64, 64, 8, 3),
    "sm_90": (128, 128, 64, 8, 3),
    "gfx942": (64, 64, 64, 4, 2),
}
# The engine's kernels keep more than the product in registers: columns of a tile of 64 rows, and
# warps, by what the rules ask for (Load).
_GENERAL = {
    ("sums", "cuda"): ((64, 4), (32, 8), (16, 8)),
    ("sums", "gfx942"): ((64, 4), (16, 4), (16, 4)),
    ("gradients", "cuda"): ((32, 4), (32, 8), (16, 8)),
    ("gradients", "gfx942"): ((32, 4), (16, 4), (16, 4)),
}
# float32: rows, columns, step, warps, stages.
_FLOAT32 = {
    "paired sums": (64, 64, 16, 4, 2),
    "paired gradients": (64, 32, 16, 8, 2),
}


class Load(IntEnum):
    """What a tile carries beside the product: nothing, sums of both sides, matrices or counts."""

    LIGHT = 0
    BOTH = 1
    HEAVY = 2


def tiles(
    kernel: str, dtype: torch.dtype, columns: int, family: str, load: Load = Load.LIGHT
) -> Tiles:
    """kernel: "paired sums", "paired gradients", "sums" or "gradients"; family: that of
    gpu.backend."""
    wide = width(columns, family)
    streamed = dtype == torch.float32 or not fused(dtype, columns)
    if family == "interpreter":
        return Tiles(16, 16, 16 if streamed else wide, 1, 1, not streamed)
    if kernel in ("sums", "gradients"):
        amd = family == "gfx942"
        keys, warps = _GENERAL[kernel, "gfx942" if amd else "cuda"][load]
        stages = 1 if amd else 2
        if dtype == torch.float32:
            return Tiles(32, keys, 16, 8 if load == Load.HEAVY and not amd else 4, stages, False)
        rows = 32 if wide > 128 and kernel == "gradients" and family != "sm_90" else 64
        return Tiles(rows, keys, wide, 8 if wide > 128 and not amd else warps, stages, True)
    if dtype == torch.float32:
        return Tiles(*_FLOAT32[kernel], False)
    if streamed:
        return Tiles(*_STREAMED[family], False)
    rows, keys, warps, stages = _NARROW[kernel, family][wide]
    return Tiles(rows, keys, wide, warps, stages, True)


def load_of(both: bool, statistics: bool, matrices: bool) -> Load:
    return Load.HEAVY if matrices or statistics else Load.BOTH if both else Load.LIGHT


def chunk_tiles(family: str) -> Tiles:
    """For a chunk's similarities, which are in memory."""
    if family == "interpreter":
        return Tiles(4, 16, 16, 1, 1, False)
    return Tiles(4, 128, 16, 4, 2, False)


def chunk_rows(keys: int, family: str) -> int:
    return 8 if family == "interpreter" else max(128, CHUNK_ELEMENTS // keys // 128 * 128)


def gradient_in_forward(dtype: torch.dtype, columns: int, reduction: str) -> bool:
    """Whether nt_xent's forward computes the gradient: of wide rows, where the upstream gradient is
    one number. On the chip there is nothing to save: no pair's number outlives its tile."""
    return reduction != "none" and not fused(dtype, columns)
