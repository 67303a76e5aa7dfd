"""The contract of the augmentation family: dtypes, operation codes, the layout of a program.

A program is a float64 tensor (rows, COLUMNS), one row per operation; every number in it is exact.
The parameters of one (view, sample) are `slots` float64 numbers, row after row: slot 0 of a row
says whether the operation acts, the others are listed in README.md.
"""

import enum
from collections.abc import Sequence

import torch
from torch import Tensor

from tsssl_fast.common.dtypes import compute_dtype as compute_dtype

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)

# Values: `cpp` and `numba`, which take every operation and every dtype above, equal `reference` bit
# for bit (a NaN equals a NaN). Gradients sum in another order:
# in float32 their error against float64 is at most ERROR_FACTOR times the error of autograd through
# the reference in float32, plus one ulp of the largest component; in float64 they differ from
# autograd by at most FLOAT64_ULPS ulp of the largest component.
ERROR_FACTOR = 2.0
FLOAT64_ULPS = 8


class Code(enum.IntEnum):
    """The stream of an operation: never renumber, every golden vector depends on it."""

    TIME_FLIP = 1
    SIGN_FLIP = 2
    BLOCKOUT = 3
    RANDOM_NOISE = 4
    CROP_RESIZE = 5
    MAGNITUDE_WARP = 6
    TIME_WARP = 7
    SMOOTH = 8
    GROUP = 9
    CHANNEL_FLIP = 10
    BIDIRECTIONAL_FLIP = 11
    JITTER = 12
    RANDOM_CROP = 13
    SCALE = 14
    TIME_SCALE = 15
    CHANNEL_PERMUTATION = 16
    ROTATION = 17
    SEGMENT_PERMUTATION = 18
    TIME_SHIFT = 19
    WINDOW_SLICE = 20
    WINDOW_WARP = 21
    DRIFT = 22
    CHANNEL_DROPOUT = 23
    TIME_DROPOUT = 24
    QUANTIZE = 25
    MAGNITUDE_SPLINE = 26
    IDENTITY = 27
    MIXUP = 28  # from here on: operations in plain torch (torch_only.py)
    CUTMIX = 29
    FREQUENCY_MASK = 30
    PHASE_SURROGATE = 31
    OVERLAPPING_CROPS = 32  # no row of a program
    MOVING_AVERAGE = 33
    INDEX_NOISE = 34  # literal forms of published code, which nobody needs fast
    STEP_SCALE = 35
    FIRST_CHANNEL_SEGMENTS = 36


PLAIN = frozenset(Code) - frozenset(range(Code.MIXUP))


# Columns of a row: VIEW -1 means every view; THRESHOLD is the coin's; PARENT is the row of the
# group that the operation belongs to, or -1, and CHILD its number there. Arguments follow.
CODE, OCCURRENCE, VIEW, THRESHOLD, FIXED_SLOTS, CHANNEL_SLOTS, PARENT, CHILD = range(8)
ARGUMENTS = 16
COLUMNS = 24

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


def seed_tensor(seed: Tensor | tuple[int, ...]) -> Tensor:
    """The seed's numbers as int64: a call of one backend alone passes them as they are."""
    return seed if isinstance(seed, Tensor) else torch.tensor(seed)
