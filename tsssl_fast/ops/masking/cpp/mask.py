"""`mask` by the C++ kernels."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.common import random


def mask(shape: Sequence[int], seed: Tensor | tuple[int, ...], *rest: Any) -> Tensor:
    plan, views, intersection, sample_ids = rest
    out = torch.empty((views + intersection, *shape), dtype=torch.bool)
    native.module().mask(
        *(random.numbers(seed), sample_ids, plan, shape, views, intersection),
        *(native.threads(), out),
    )
    return out
