"""The Numba kernels of the augmentations as a backend."""

import torch

from tsssl_fast.backends.numba import availability
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.numba.augment import backward, forward, sample
from tsssl_fast.ops.augment.spec import Source


def _warm() -> None:
    source = Source(torch.zeros((0, spec.COLUMNS), dtype=torch.float64), (0, 0, 0, 0))
    sample(source, 1, (1, 1, 1))
    for dtype in (torch.float32, torch.float64):
        x = torch.zeros((1, 1, 1, 1), dtype=dtype)
        forward(x, source, 1)
        backward(x, source, True)


BACKEND = availability.backend(
    {"augment": forward, "augment_backward": backward, "augment_sample": sample},
    *(spec.DTYPES, _warm),
)
