"""The Numba kernels of the decorrelation losses as a backend; imported at the first call."""

import torch

from tsssl_fast.backends.dispatch import lazy_kernels
from tsssl_fast.backends.numba import availability
from tsssl_fast.backends.precision import IEEE, exact
from tsssl_fast.ops.decorrelation import spec


def _warm() -> None:
    kernels, settings = BACKEND.kernels, (1.0, 1e-4, 0.0, spec.ALL_TERMS, IEEE)
    for dtype in (torch.float32, torch.float64):
        for shape in ((3, 2), (2, 4), (257, 322)):  # the last: too large for parts of the depth
            # One column alone: what cancels in float32 is taken again in float64.
            z = [torch.zeros(shape, dtype=dtype) for _ in range(3)]
            z[0][0, 0], z[1][0, 0] = 3.0, 4.0
            moments, square = kernels["vicreg"](z, *settings)
            kernels["vicreg_backward"]((1.0, 1.0, 1.0), z, moments, square, *settings)
            z = z[:2]
            options = (1e-5, spec.CENTER, IEEE)
            moments, square = kernels["barlow_twins"](z, *options)
            kernels["barlow_twins_backward"]((1.0, 1.0), z, moments, square, *options)


BACKEND = availability.backend(
    exact(
        lazy_kernels(__name__, {op: (op, f"{op}_backward") for op in ("vicreg", "barlow_twins")})
    ),
    *(spec.DTYPES, _warm),
)
