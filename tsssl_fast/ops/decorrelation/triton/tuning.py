"""Block sizes of the decorrelation kernels, few and keyed on target and dtype of the arithmetic."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Config:
    """block: side of a tile of second moments or of the gradient; depth: of one step of a product;
    rows, columns: a tile of the sums over the batch; programs: the depth is split until there are
    that many programs."""

    block: int
    depth: int
    rows: int
    columns: int
    programs: int
    num_warps: int = 4
    num_stages: int = 2
    moment_registers: int | None = None
    precise_depth: int | None = None

    @property
    def collected(self) -> int:
        """Side of a tile that collect_kernel adds: a whole block of float64 squares would spill."""
        return self.block // 2

    @property
    def options(self) -> dict[str, int | bool]:
        return {
            "num_warps": self.num_warps,
            "num_stages": self.num_stages,
            "enable_fp_fusion": True,
        }

    def gradient_depth(self, precision: str) -> int:
        """Of product_kernel: without tensor cores, a whole depth of operands would spill."""
        return self.precise_depth or self.depth if precision == "ieee" else self.depth

    @property
    def moment_options(self) -> dict[str, int | bool]:
        """Left to itself, ptxas takes 80 registers for sm_80 and spills."""
        most = {} if self.moment_registers is None else {"maxnreg": self.moment_registers}
        return {**self.options, **most}


_SMALL = Config(16, 16, 16, 16, 4)
CONFIGS = {
    "interpreter": {torch.float32: _SMALL, torch.float64: _SMALL},
    "sm_80": {
        torch.float32: Config(
            64, 32, 32, 64, 216, num_warps=8, moment_registers=128, precise_depth=16
        ),
        torch.float64: Config(32, 16, 32, 64, 216),
    },
    "sm_90": {
        torch.float32: Config(
            64, 32, 32, 64, 264, num_warps=8, moment_registers=128, precise_depth=16
        ),
        torch.float64: Config(32, 16, 32, 64, 264),
    },
    "gfx942": {
        torch.float32: Config(64, 32, 32, 64, 608, num_warps=8),
        torch.float64: Config(32, 16, 32, 64, 608),
    },
}


def splits(config: Config, tiles: int, length: int, step: int) -> tuple[int, int]:
    """Among how many programs a sum of `length` is split, and how much each takes: of the shape
    alone."""
    most = max(1, length // (4 * step))
    count = min(most, -(-config.programs // tiles))
    split = -(-length // (count * step)) * step
    return -(-length // split), split


def tiles(side: int, block: int, symmetric: bool) -> int:
    """Of a square matrix, or of its lower triangle."""
    blocks = -(-side // block)
    return blocks * (blocks + 1) // 2 if symmetric else blocks * blocks
