"""What the cases share: a loss as a run, and the providers that every loss has."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from registry import BACKENDS, Case, Inputs, Provider, Run, Unavailable
from torch import Tensor

from tsssl_fast import BackendUnavailableError, use_backend

Loss = Callable[..., Tensor]


def run(loss: Loss, inputs: Inputs) -> Run:
    """Forward and backward: the value and the gradients by every input."""

    def once() -> tuple[Tensor, ...]:
        leaves = [z.detach().requires_grad_() for z in inputs]
        value = loss(*leaves)
        return (value.detach(), *torch.autograd.grad(value, leaves))

    return once


def forward(function: Callable[..., Tensor]) -> Provider:
    """The result alone."""
    return lambda inputs: lambda: (function(*inputs),)


def plain(loss: Loss) -> Provider:
    return lambda inputs: run(loss, inputs)


def compiled_by_torch(loss: Loss) -> Loss:
    return torch.compile(loss, dynamic=False)


def on(backend: str, provider: Provider) -> Provider:
    """This package's provider on one backend; the C++ kernels are what it chooses by itself."""

    def build(inputs: Inputs) -> Run:
        once = provider(inputs)

        def there() -> tuple[Tensor, ...]:
            with use_backend(backend):
                return once()

        try:
            there()
        except BackendUnavailableError as error:
            raise Unavailable(str(error)) from error
        return once if backend == "cpp" else there

    return build


def backends(provider: Provider) -> dict[str, Provider]:
    return {name: on(name, provider) for name in BACKENDS}


def series(shape: tuple[int, int, int]) -> Callable[[], Inputs]:
    """(N, C, T) of standard normal numbers."""
    return lambda: (torch.randn(shape, generator=torch.Generator().manual_seed(0)),)


def of_loss(ours: Loss, eager: Loss) -> dict[str, Provider]:
    """Every backend, plain torch, and plain torch compiled."""
    return {
        **backends(plain(ours)),
        "eager": plain(eager),
        "compiled": lambda inputs: run(compiled_by_torch(eager), inputs),
    }


def library(module: str, build: Callable[[Any], Loss]) -> Provider:
    """A library itself, where it is installed."""

    def made(inputs: Inputs) -> Run:
        try:
            found = importlib.import_module(module)
        except ImportError as error:
            raise Unavailable(f"{module.partition('.')[0]}: not installed") from error
        return run(build(found), inputs)

    return made


def in_double(loss: Loss) -> Callable[[Inputs], Inputs]:
    return lambda inputs: run(loss, tuple(z.double() for z in inputs))()


def two_views(n: int, dim: int, noise: float = 0.5) -> Callable[..., Inputs]:
    def inputs(seed: int = 0) -> Inputs:
        generator = torch.Generator().manual_seed(seed)
        a = torch.randn(n, dim, generator=generator)
        return a, a + noise * torch.randn(n, dim, generator=generator)

    return inputs


def at(case: Case, precision: str, quick: bool = False) -> Case:
    """The same case at another precision: no bars, no libraries."""
    kept = (*BACKENDS, "eager", "compiled", "gram")
    inputs = case.inputs
    if precision == "bf16":

        def inputs() -> Inputs:
            return tuple(z.bfloat16() for z in case.inputs())

    return replace(
        case,
        precision=precision,
        inputs=inputs,
        providers={name: case.providers[name] for name in case.providers if name in kept},
        bars={},
        plain=None,
        quick=quick,
    )


def pairs_bytes(pairs: float) -> float:
    """Of a loss over so many pairs: in float64 four matrices of plain torch at a time."""
    return 32.0 * pairs
