"""`mask` by the C++ kernels."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tsssl_fast.backends import cpp as native


def mask(
    shape: Sequence[int],
    seed: Tensor,
    plan: Sequence[int],
    views: int,
    intersection: bool,
    sample_ids: Tensor | None,
) -> Tensor:
    out = torch.empty((views + intersection, *shape), dtype=torch.bool)
    native.module().mask(
        *(seed, sample_ids, plan, shape, views, intersection),
        *(native.threads(), out),
    )
    return out
