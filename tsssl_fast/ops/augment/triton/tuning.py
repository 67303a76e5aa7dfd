"""Tile sizes and launch options of the kernels in kernels/entries.py.

A pipeline compiles once per set of operation codes, dtype and tile: order, number, arguments and
probabilities of its operations are data.
"""

# Channels and steps of a tile.
TILES = ((1, 256), (4, 64), (16, 16))
# A fused multiply-add rounds once where the definition rounds twice.
WARPS, STAGES = 4, 1
# Left to itself, ptxas takes so few registers for some pipelines that they spill.
REGISTERS = {"maxnreg": 255}


def options(target: str) -> dict[str, int | bool]:
    """Of a launch on a target of backend.family."""
    options = {"num_warps": WARPS, "num_stages": STAGES, "enable_fp_fusion": False}
    return {**options, **(REGISTERS if target.startswith("sm_") else {})}


def tile(channels: int, steps: int) -> tuple[int, int]:
    """The tile that pads least; of two alike the one with more steps, whose rows are read whole."""

    def padded(shape: tuple[int, int]) -> int:
        return (-(-channels // shape[0]) * shape[0]) * (-(-steps // shape[1]) * shape[1])

    return min(TILES, key=padded)


WIDE = {"fp64": "fp64"}  # the others compute in float32
