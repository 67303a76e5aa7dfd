"""The contract of the preprocessing family: dtypes and tasks.

`cpp` and `numba` equal `reference` bit for bit: double arithmetic in one order, rounded once to the
series' dtype. Not differentiable: preprocessing prepares data.
"""

import enum

import torch

from tsssl_fast.common.dtypes import compute_dtype as compute_dtype

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


class Task(enum.IntEnum):
    """What happens to a row; the numbers are those of csrc/include/tsssl/preprocess.h."""

    FILL_CONSTANT = 0
    FILL_FORWARD = 1
    FILL_BACKWARD = 2
    FILL_BOTH = 3
    FILL_LINEAR = 4
    STANDARDIZE = 5
    MINMAX = 6
    MOVING_AVERAGE = 7
    EXPONENTIAL = 8
    CLIP_DEVIATIONS = 9
    CLIP_INTERQUARTILE = 10
