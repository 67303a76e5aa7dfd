"""The contract of the masking family: dtypes, codes, what a plan of a mask holds.

Masks, filled series, gathered and restored tokens: `cpp` and `numba` equal `reference` bit for bit.
Losses and gradients that sum: in float32 their error against float64 is at most ERROR_FACTOR times
the error of the reference in float32, plus one ulp; in float64 they differ from the reference by at
most FLOAT64_ULPS ulp of the largest component.
"""

import enum
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch

from tsssl_fast.common.dtypes import compute_dtype as compute_dtype

# By the file that implements them in a backend's folder.
FILES = {
    "mask": ("mask",),
    "fill": ("mask_fill", "mask_fill_backward"),
    "loss": ("masked_loss", "masked_loss_backward"),
    "tokens": ("gather_tokens", "restore_tokens", "restore_tokens_backward"),
}
OPERATORS = tuple(op for ops in FILES.values() for op in ops)

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
ERROR_FACTOR = 2.0
FLOAT64_ULPS = 8


class Code(enum.IntEnum):
    """The stream of a mask or a fill; below 64 are those of the augmentations. Never renumber."""

    POINT = 64
    PATCH = 65
    SPAN = 66
    GEOMETRIC = 67
    CHANNEL = 68
    NOISE = 69


UNITS = frozenset({Code.POINT, Code.PATCH, Code.CHANNEL})  # equal units, each hidden or visible

# A plan is the list (code, count, size, runs) of integers: `count` of the units of `size` steps are
# hidden; of spans and geometric runs, `count` steps in `runs` runs, spans of `size` but for one.
CODE, COUNT, SIZE, RUNS = range(4)


class Fill(enum.IntEnum):
    """What stands where a series is hidden."""

    ZERO = 0
    MEAN = 1
    NOISE = 2
    TOKEN = 3


class Loss(enum.IntEnum):
    """The penalty of a difference."""

    MSE = 0
    L1 = 1
    HUBER = 2


class Reduction(enum.IntEnum):
    """Weighted mean of every sample, weighted mean of all, weighted sum of all."""

    NONE = 0
    MEAN = 1
    SUM = 2


def kernels(*modules: ModuleType) -> dict[str, Callable[..., Any]]:
    """What a backend's files define under the operators' names."""
    return {op: getattr(m, op) for m in modules for op in OPERATORS if hasattr(m, op)}
