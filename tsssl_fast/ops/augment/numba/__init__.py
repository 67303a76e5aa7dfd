"""The Numba kernels of the augmentations as a backend."""

import torch

from tsssl_fast.backends.numba import availability
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.numba.augment import backward, forward, sample


def _warm() -> None:
    program, seed = torch.zeros((0, spec.COLUMNS), dtype=torch.float64), torch.zeros(4).long()
    sample(program, seed, 1, (1, 1, 1), None, None)
    for dtype in (torch.float32, torch.float64):
        x = torch.zeros((1, 1, 1, 1), dtype=dtype)
        forward(x, program, seed, 1, None, None, None)
        backward(x, True, program, seed, None, None, None)


BACKEND = availability.backend(
    {"augment": forward, "augment_backward": backward, "augment_sample": sample},
    *(spec.DTYPES, _warm),
)
