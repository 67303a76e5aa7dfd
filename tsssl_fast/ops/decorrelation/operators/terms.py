"""From a kernel's raw sums to the loss and its terms, and back from their gradients.

The C++ binding does the same with the same numbers (csrc/bindings/decorrelation.cpp): at 16 x 16
reading the sums into Python and making tensors of the results costs more than the kernel.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends.dispatch import Backend
from tsssl_fast.ops.decorrelation import spec

Outputs = tuple[Tensor, Tensor, Tensor, Tensor]  # loss, terms, moments, square
Kernel = Callable[..., Any]


def finished(backend: Backend) -> Backend:
    """The backend whose kernels give (moments, square) and take the raw sums' derivatives, as one
    whose kernels are the operators themselves."""
    raw = backend.kernels
    vicreg = _vicreg(raw["vicreg"])
    return backend.extended(
        {
            "vicreg": vicreg,
            "vicreg_views": vicreg,
            "vicreg_backward": _vicreg_backward(raw["vicreg_backward"]),
            "barlow_twins": _barlow_twins(raw["barlow_twins"]),
            "barlow_twins_backward": _barlow_twins_backward(raw["barlow_twins_backward"]),
        }
    )


def _vicreg(kernel: Kernel) -> Kernel:
    def run(z: Sequence[Tensor], settings: Sequence[float], flags: int) -> Outputs:
        moments, square = kernel(z, *settings[6:], flags)
        views = len(z)
        head = moments[: 1 + 2 * views].tolist()
        sums = (head[0], sum(head[1 : 1 + views]), sum(head[1 + views :]))
        return _outputs(z[0], sums, settings, moments, square)

    return run


def _vicreg_backward(kernel: Kernel) -> Kernel:
    def run(
        grad_loss: Tensor | None,
        grad_terms: Tensor | None,
        z: Sequence[Tensor],
        moments: Tensor,
        square: Tensor,
        settings: Sequence[float],
        flags: int,
    ) -> list[Tensor]:
        upstream = _upstream(grad_loss, grad_terms, settings, 3)
        return kernel(upstream, z, moments, square, *settings[6:], flags)

    return run


def _barlow_twins(kernel: Kernel) -> Kernel:
    def run(z1: Tensor, z2: Tensor, settings: Sequence[float], flags: int) -> Outputs:
        moments, square = kernel(z1, z2, settings[4], flags)
        return _outputs(z1, moments[:2].tolist(), settings, moments, square)

    return run


def _barlow_twins_backward(kernel: Kernel) -> Kernel:
    def run(
        grad_loss: Tensor | None,
        grad_terms: Tensor | None,
        z1: Tensor,
        z2: Tensor,
        moments: Tensor,
        square: Tensor,
        settings: Sequence[float],
        flags: int,
    ) -> tuple[Tensor, Tensor]:
        upstream = _upstream(grad_loss, grad_terms, settings, 2)
        return kernel(upstream, z1, z2, moments, square, settings[4], flags)

    return run


def _outputs(
    z: Tensor, sums: Sequence[float], settings: Sequence[float], moments: Tensor, square: Tensor
) -> Outputs:
    count = len(sums)
    terms = [f * s for f, s in zip(settings, sums, strict=False)]
    # A weight of 0 switches a term off, whatever its value.
    loss = sum(w * t for w, t in zip(settings[count:], terms, strict=False) if w)
    dtype = spec.compute_dtype(z.dtype)
    return (
        torch.tensor(loss, dtype=dtype, device=z.device),
        torch.tensor(terms, dtype=dtype, device=z.device),
        moments,
        square,
    )


def _upstream(
    grad_loss: Tensor | None, grad_terms: Tensor | None, settings: Sequence[float], count: int
) -> list[float]:
    """Derivatives of what follows in each raw sum."""
    outer = 0.0 if grad_loss is None else grad_loss.item()
    own = [0.0] * count if grad_terms is None else grad_terms.tolist()
    factors, weights = settings[:count], settings[count : 2 * count]
    return [
        f * ((outer * w if w else 0.0) + g) for f, w, g in zip(factors, weights, own, strict=True)
    ]
