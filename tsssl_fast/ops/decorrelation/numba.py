"""The numba kernels (numba_kernels.py) on torch tensors. They are imported at the first call."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from tsssl_fast import _numba
from tsssl_fast.dispatch import Backend
from tsssl_fast.ops.decorrelation import spec


def _lazy(name: str) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        from tsssl_fast.ops.decorrelation import numba_calls

        return getattr(numba_calls, name)(*arguments)

    return call


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    return _numba.why_not(tensors, spec.DTYPES)


def _warm() -> None:
    kernels, settings = BACKEND.kernels, (1.0, 1e-4, spec.ALL_TERMS)
    for dtype in (torch.float32, torch.float64):
        for shape in ((3, 2), (2, 4), (257, 322)):  # the last: too large for parts of the depth
            # One column alone: what cancels in float32 is taken again in float64.
            z = [torch.zeros(shape, dtype=dtype) for _ in range(3)]
            z[0][0, 0], z[1][0, 0] = 3.0, 4.0
            moments, square = kernels["vicreg"](z, *settings)
            kernels["vicreg_backward"]((1.0, 1.0, 1.0), z, moments, square, *settings)
            z = z[:2]
            moments, square = kernels["barlow_twins"](*z, 1e-5, spec.CENTER)
            kernels["barlow_twins_backward"]((1.0, 1.0), *z, moments, square, 1e-5, spec.CENTER)


BACKEND = Backend(
    "numba",
    kernels={
        "vicreg": _lazy("vicreg"),
        "vicreg_views": _lazy("vicreg"),
        "vicreg_backward": _lazy("vicreg_backward"),
        "barlow_twins": _lazy("barlow_twins"),
        "barlow_twins_backward": _lazy("barlow_twins_backward"),
    },
    why_not=_why_not,
    devices=frozenset({"cpu"}),
    warm=_warm,
)
