"""The loss arithmetic of the family in Python: from a kernel's raw sums to the terms and the loss,
and from their gradients to the raw sums' derivatives.

The C++ kernels do the same with the same numbers (csrc/decorrelation/terms.h): at 16 x 16 reading
the sums into Python and making tensors of the results costs more than the kernel.
"""

import operator
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends.dispatch import Backend
from tsssl_fast.backends.precision import widest
from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.spec import (
    BarlowTwinsMoments,
    BarlowTwinsSettings,
    Outputs,
    VICRegMoments,
    VICRegSettings,
)

Number = float | Tensor  # a tensor has no dimensions and is float64, or float32 on a device without
Read = Callable[[Tensor], Sequence[Number]]
Kernel = Callable[..., Any]
Settings = VICRegSettings | BarlowTwinsSettings
Moments = VICRegMoments | BarlowTwinsMoments


def on_host(x: Tensor) -> Sequence[Number]:
    """The numbers of a vector in Python: for kernels of the CPU, the faster way."""
    return x.tolist()


def on_device(x: Tensor) -> Sequence[Number]:
    """The same as tensors: a device is not waited for, and its work can be captured in a graph."""
    return x.to(widest(x)).unbind()


def finished(backend: Backend, read: Read) -> Backend:
    """The backend whose kernels give (moments, second moments) and take the raw sums' derivatives,
    as one whose kernels are the operators themselves."""
    kernels = {}
    for name, settings, moments in (
        ("vicreg", VICRegSettings, VICRegMoments),
        ("barlow_twins", BarlowTwinsSettings, BarlowTwinsMoments),
    ):
        backward = f"{name}_backward"
        kernels[name] = _forward(backend.kernels[name], read, settings, moments)
        kernels[backward] = _backward(backend.kernels[backward], read, settings)
    return backend.extended(spec.with_views(kernels))


def _forward(kernel: Kernel, read: Read, of: type[Settings], parts: type[Moments]) -> Kernel:
    def run(z: Sequence[Tensor], settings: Sequence[float], flags: int, precision: int) -> Outputs:
        chosen = of(*settings)
        moments, second_moments = kernel(z, *chosen.others, flags, precision)
        sums = read(parts.sums(moments, len(z)))
        if of is VICRegSettings:  # the hinge and the covariance of every view
            sums = (sums[0], _total(sums[1 : 1 + len(z)]), _total(sums[1 + len(z) :]))
        return _outputs(z[0], sums, chosen, moments, second_moments)

    return run


def _backward(kernel: Kernel, read: Read, of: type[Settings]) -> Kernel:
    def run(
        grad_loss: Tensor | None,
        grad_terms: Tensor | None,
        z: Sequence[Tensor],
        moments: Tensor,
        second_moments: Tensor,
        settings: Sequence[float],
        flags: int,
        precision: int,
    ) -> Sequence[Tensor]:
        chosen = of(*settings)
        upstream = _upstream(grad_loss, grad_terms, chosen, read)
        others = (*chosen.others, flags, precision)
        return kernel(upstream, z, moments, second_moments, *others)

    return run


def _outputs(
    z: Tensor,
    sums: Sequence[Number],
    settings: Settings,
    moments: Tensor,
    second_moments: Tensor,
) -> Outputs:
    terms: Any = [factor * x for factor, x in zip(settings.factors, sums, strict=True)]
    # A weight of 0 switches a term off, whatever its value.
    loss = _total([w * t for w, t in zip(settings.weights, terms, strict=True) if w])
    dtype = spec.compute_dtype(z.dtype)
    if isinstance(sums[0], Tensor):
        loss = loss.to(dtype) if isinstance(loss, Tensor) else moments.new_zeros((), dtype=dtype)
        return Outputs(loss, torch.stack(terms).to(dtype), moments, second_moments)
    scalar = torch.tensor(loss, dtype=dtype, device=z.device)
    return Outputs(
        scalar, torch.tensor(terms, dtype=dtype, device=z.device), moments, second_moments
    )


def _upstream(
    grad_loss: Tensor | None,
    grad_terms: Tensor | None,
    settings: Settings,
    read: Read,
) -> list[Number]:
    """Derivatives of what follows in each raw sum; the number 0 where nothing does."""
    reached: list[list[Number]] = [[] for _ in settings.weights]
    if grad_loss is not None:
        (outer,) = read(grad_loss.reshape(1))
        for of, weight in zip(reached, settings.weights, strict=True):
            if weight:
                of.append(outer * weight)
    if grad_terms is not None:
        for of, own in zip(reached, read(grad_terms), strict=True):
            of.append(own)
    return [factor * _total(of) for factor, of in zip(settings.factors, reached, strict=True)]


def _total(numbers: Sequence[Number]) -> Number:
    return reduce(operator.add, numbers) if numbers else 0.0
