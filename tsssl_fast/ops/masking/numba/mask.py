"""`mask` by the Numba kernels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tsssl_fast.backends.numba import launching
from tsssl_fast.ops.masking.numba.calls import identities, key, words
from tsssl_fast.ops.masking.numba.kernels import mask as kernels


def mask(shape: Sequence[int], seed: Tensor | tuple[int, ...], *rest: Any) -> Tensor:
    plan, views, intersection, sample_ids = rest
    n, rows, steps = shape
    out = torch.empty((views + intersection, n, rows, steps), dtype=torch.bool)
    threads = launching.threads(out.numel() // kernels.TASK_ELEMENTS)
    launching.run(
        *(kernels.mask, threads, key(seed), identities(n, sample_ids)),
        *(np.array(plan, np.int64), views, rows, words(threads, steps)),
        out.numpy().view(np.uint8).reshape(-1, n * rows, steps),
    )
    return out
