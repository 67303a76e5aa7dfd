"""The work of the GPU kernels, counted from their loops: products, exponentials, instructions,
bytes.

What is counted per pair of rows comes from the epilogues in ops/contrastive/triton/kernels.
"""

from dataclasses import dataclass

from gpu_objects.targets import Rates

from tsssl_fast.ops.contrastive.triton import tuning as configs
from tsssl_fast.ops.decorrelation.triton import tuning as decorrelation


@dataclass(frozen=True)
class Work:
    """flops: of products in `dtype`; exps: exponentials; instructions: of the epilogue, by lane;
    dram: compulsory bytes; l2: bytes that tiles read again. steps: works that follow each other.
    """

    name: str
    dtype: str
    flops: float
    exps: float
    instructions: float
    dram: float
    l2: float
    steps: tuple["Work", ...] = ()

    def times(self, rates: Rates) -> dict[str, float]:
        """Seconds that each unit is busy at its peak."""
        return {
            "products": self.flops / rates.tensor[self.dtype],
            "exponentials": self.exps / rates.exp2,
            "instructions": self.instructions / rates.instructions,
            "dram": self.dram / rates.dram,
            "l2": self.l2 / rates.l2,
        }

    def bound(self, rates: Rates) -> float:
        """Seconds of the busiest unit; of steps, their sum: the second waits for the first."""
        if self.steps:
            return sum(step.bound(rates) for step in self.steps)
        return max(self.times(rates).values())


def in_turn(name: str, *steps: Work) -> Work:
    """One kernel after the other."""
    fields = ("flops", "exps", "instructions", "dram", "l2")
    sums = [sum(getattr(step, field) for step in steps) for field in fields]
    return Work(name, steps[0].dtype, *sums, steps)


def unit(rows: int, columns: int, dim: int) -> float:
    """Flops of one full similarity product."""
    return 2.0 * rows * columns * dim


def nt_xent_forward(batch: int, dim: int, family: str) -> Work:
    """Half the tiles, a full diagonal of slots; per pair: scale, shift, two sums."""
    n = 2 * batch
    tile = configs.tiles("paired sums", _dtype(), configs.pitch(dim), family)
    share = 0.5 * (1 + 1 / configs.SLOTS)
    pairs = share * n * n
    size = configs.pitch(dim) * 2
    # The row tile stays on the chip, or comes again for every column tile.
    loads = 1 / tile.rows + (0 if tile.resident else 1 / tile.columns)
    return Work(
        *(f"NT-Xent forward {batch} x {dim}", "bf16", share * unit(n, n, dim), pairs),
        *(4 * pairs, 4 * n * size, pairs * loads * size),
    )


def nt_xent_backward(batch: int, dim: int, family: str) -> Work:
    """Rows own their gradient: similarities again, and one product with what pulls on both sides.

    Per pair: two scales, a sum, the shift, a product, half a conversion.
    """
    n = 2 * batch
    pairs = float(n) * n
    size = configs.pitch(dim) * 2
    head = (f"NT-Xent backward {batch} x {dim}", "bf16", 2 * unit(n, n, dim), pairs)
    if not configs.fused(_dtype(), configs.pitch(dim)):
        # A chunk's similarities are written and read in float32, its weights in 16 bits; per pair
        # one scale more. A chunk is larger than the L2 cache: all of it is DRAM's.
        return Work(*head, 7.5 * pairs, 12 * pairs + 4 * n * size + 12 * n * dim, 0.0)
    tile = configs.tiles("paired gradients", _dtype(), configs.pitch(dim), family)
    return Work(
        *head,
        *(5.5 * pairs, 4 * n * size + 12 * n * dim, pairs / tile.rows * size),
    )


def nt_xent(batch: int, dim: int, family: str) -> Work:
    """Losses and gradients, wherever these are computed."""
    steps = nt_xent_forward(batch, dim, family), nt_xent_backward(batch, dim, family)
    return in_turn(f"NT-Xent {batch} x {dim}", *steps)


def clip(batch: int, dim: int, family: str) -> Work:
    """Two towers, both directions, forward and backward."""
    name = f"CLIP {batch} x {dim}"
    if not configs.fused(_dtype(), configs.pitch(dim)):
        return chunked(name, batch, batch, dim, one_set=False)
    pairs = float(batch) * batch
    size = configs.pitch(dim) * 2
    # One product forward; backward a recomputed one and one more on each side. Exponentials: of
    # rows and columns each time.
    return Work(
        *(name, "bf16", 5 * unit(batch, batch, dim), 6 * pairs, 75 * pairs),
        *(8 * batch * size, 3 * pairs / 64 * size),
    )


def chunked(name: str, rows: int, columns: int, dim: int, *, one_set: bool) -> Work:
    """Row chunks: similarities written and read (float32), weights written and read (16 bits).

    A chunk of 2^26 similarities is larger than the L2 cache, so these bytes count as DRAM's.
    """
    pairs = float(rows) * columns
    sweeps = 1 if one_set else 2  # forward: rows, and columns with the roles exchanged
    products = sweeps + 1 + (1 if one_set else 2)
    readings = 1 if one_set else 2
    dram = pairs * (8 * (sweeps + 1) + 2 + 2 * readings)
    return Work(
        *(name, "bf16", products * unit(rows, columns, dim), pairs * (sweeps + 2)),
        *(25 * pairs * (sweeps + 1), dram, 0.0),
    )


def vicreg(n: int, dim: int, family: str, products: str) -> Work:
    """Two views, forward and backward, on the smaller side; products: "fp32" (ordinary units) or
    "tf32".

    Half of both second moments and two whole products: 6 m² M flops, m the smaller side. Every tile
    loads both its operands, standardised by 3 instructions an element. Compulsory bytes: the views
    forward and backward, the gradients, the moments written and read.
    """
    import torch

    side, other = min(n, dim), max(n, dim)
    loaded = 6.0 * side * side * other / decorrelation.CONFIGS[family][torch.float32].block
    return Work(
        *(f"VICReg {n} x {dim}, {products}", products, 6.0 * side * side * other, 0.0),
        *(3 * loaded, 4.0 * (6 * n * dim + 4 * side * side), 4 * loaded),
    )


def augment(batch: int, channels: int, steps: int) -> Work:
    """The seven operations of SimCLR-TS, all on, two views in one launch.

    Per element: ten rounds of Philox (10 instructions, four words a block) 25, a uniform number and
    its use 5, deviation 4, a sine by its polynomial 20, two interpolations 12 each, smoothing 6,
    block and flips 10.
    """
    size = float(batch) * channels * steps
    return Work(
        *(f"augment {batch} x {channels} x {steps}", "fp32", 0.0, 0.0),
        *(2 * size * 94, 4 * size * 3, 0.0),
    )


def _dtype() -> object:
    import torch

    return torch.bfloat16
