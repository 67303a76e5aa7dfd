"""`mask` by the C++ kernels."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.common import random


def mask(
    shape: Sequence[int],
    seed: Tensor | tuple[int, ...],
    plan: Sequence[int],
    views: int,
    intersection: bool,
    sample_ids: Tensor | None,
) -> Tensor:
    out = torch.empty((views + intersection, *shape), dtype=torch.bool)
    native.module().mask(
        *(random.numbers(seed), sample_ids, plan, shape, views, intersection),
        *(native.threads(), out),
    )
    return out
