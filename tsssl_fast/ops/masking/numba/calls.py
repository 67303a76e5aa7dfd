"""What the calls of the Numba kernels share: keys, identities, random words."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tsssl_fast.backends.numba import arrays
from tsssl_fast.common import random


def key(seed: Tensor | tuple[int, ...] | None) -> Any:
    folded = (0, 0) if seed is None else random.fold_seed(*random.numbers(seed))
    return np.array(folded, np.uint64)


def identities(n: int, sample_ids: Tensor | None) -> Any:
    return arrays.array(torch.arange(n) if sample_ids is None else sample_ids)


def words(threads: int, steps: int) -> Any:
    return arrays.array(torch.empty((threads, steps + 4), dtype=torch.int32)).view("uint32")
