"""The Numba kernels of the augmentations as a backend; imported at the first call."""

import torch

from tsssl_fast.backends.dispatch import lazy_kernels
from tsssl_fast.backends.numba import availability
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.spec import Source


def _warm() -> None:
    kernels = BACKEND.kernels
    source = Source(torch.zeros((0, spec.COLUMNS), dtype=torch.float64), (0, 0, 0, 0))
    kernels["augment_sample"](source, 1, (1, 1, 1))
    for dtype in (torch.float32, torch.float64):
        x = torch.zeros((1, 1, 1, 1), dtype=dtype)
        kernels["augment"](x, source, 1)
        kernels["augment_backward"](x, source, True)


BACKEND = availability.backend(
    lazy_kernels(__name__, {"augment": ("augment", "augment_backward", "augment_sample")}),
    *(spec.DTYPES, _warm),
)
