"""The contract of the augmentation family: dtypes, rules of accuracy, limits.

A program is a float64 tensor (rows, COLUMNS), one row per operation; every number in it is exact.
The parameters of one (view, sample) are `slots` float64 numbers, row after row. What stands in a
row and in its slots is listed in operation_table.py.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tsssl_fast.common.dtypes import compute_dtype as compute_dtype
from tsssl_fast.ops.augment import operation_table
from tsssl_fast.ops.augment.operation_table import ACTS as ACTS
from tsssl_fast.ops.augment.operation_table import ARGUMENTS as ARGUMENTS
from tsssl_fast.ops.augment.operation_table import COLUMNS as COLUMNS
from tsssl_fast.ops.augment.operation_table import Code as Code

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)

# Values: `cpp` and `numba`, which take every operation and every dtype above, equal `reference` bit
# for bit (a NaN equals a NaN). Gradients sum in another order:
# in float32 their error against float64 is at most ERROR_FACTOR times the error of autograd through
# the reference in float32, plus one ulp of the largest component; in float64 they differ from
# autograd by at most FLOAT64_ULPS ulp of the largest component.
ERROR_FACTOR = 2.0
FLOAT64_ULPS = 8

names = operation_table  # what backends' kernels take their constants from

CODE, OCCURRENCE, VIEW, THRESHOLD, FIXED_SLOTS, CHANNEL_SLOTS, PARENT, CHILD = range(
    len(operation_table.HEADER)
)

ALWAYS = 2.0**32  # threshold of the coin: it falls below for every 32-bit word

# Limits of the counter: view in 15 bits, occurrence in 8; a channel has 2^17 blocks of 4 steps.
MAX_VIEWS = 1 << 15
MAX_OCCURRENCES = 1 << 8
MAX_STEPS = 4 << 17
MAX_CHANNELS = 1 << 15
ELEMENT_PURPOSE = 0x8000
CHANNEL_SHIFT = 17
MAX_KNOTS = 62
MAX_SEGMENTS = 64
MAX_CHILDREN = 64
MAX_WEIGHTS = 12
MAX_TRIPLES = 5
MAX_WIDTH = 1025

STD_PARTIALS = 32


def bounds(program: Sequence[Sequence[float]], channels: int) -> list[int]:
    """Row i of the program has the slots bounds[i] to bounds[i + 1] - 1."""
    ends = [0]
    for row in program:
        ends.append(ends[-1] + int(row[FIXED_SLOTS]) + int(row[CHANNEL_SLOTS]) * channels)
    return ends


class Source(NamedTuple):
    """What a batch is augmented by.

    program: (rows, COLUMNS) float64. seed: seed, epoch, step and rank, (4,) int64 or as numbers.
    sample_ids, lengths: (N,) int64. parameters: (views, N, slots) float64 that were drawn before.
    """

    program: Tensor
    seed: Tensor | tuple[int, ...]
    sample_ids: Tensor | None = None
    lengths: Tensor | None = None
    parameters: Tensor | None = None
