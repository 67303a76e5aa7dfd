"""Argument checks of the public functions: the argument, what was given, what is accepted."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
REDUCTIONS = ("mean", "sum", "none")
Check = Callable[[str, Any], object]  # raises for a value that is not accepted


def by(check: Callable[..., Any], *limits: Any, **others: Any) -> Check:
    """A check and its limits, to stand beside an argument's type: `passes: Annotated[int,
    by(at_least, 1)] = 1`."""
    return lambda name, value: check(name, value, *limits, **others)


def matrix(name: str, x: Tensor, least: int = 1) -> None:
    """A floating (N, D) tensor with N >= least and D >= 1."""
    floating(name, x)
    if x.dim() != 2:
        raise ValueError(f"{name}: shape {tuple(x.shape)}; accepted: (N, D)")
    if x.shape[0] < least or x.shape[1] == 0:
        raise ValueError(
            f"{name}: shape {tuple(x.shape)}; accepted: (N, D) with N >= {least}, D >= 1"
        )


def floating(name: str, x: Tensor) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}: {type(x).__name__}; accepted: torch.Tensor")
    if x.dtype not in FLOATING:
        raise TypeError(f"{name}: dtype {x.dtype}; accepted: {', '.join(map(str, FLOATING))}")
    if x.layout != torch.strided:
        raise ValueError(f"{name}: layout {x.layout}; accepted: torch.strided")


def names_of_views(count: int) -> tuple[str, ...]:
    """z1, z2, more[0], more[1] and so on."""
    return ("z1", "z2", *(f"more[{v}]" for v in range(count - 2)))


def alike(names: Sequence[str], tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """The same shape and device; returned in one dtype, as `promoted` says."""
    first, mixed = tensors[0], False
    for name, x in zip(names[1:], tensors[1:], strict=True):
        if x.device != first.device:
            raise ValueError(f"{name}: device {x.device}; accepted: {first.device} as {names[0]}")
        if x.shape != first.shape:
            raise ValueError(
                f"{name}: shape {tuple(x.shape)}; accepted: {tuple(first.shape)} as {names[0]}"
            )
        mixed = mixed or x.dtype != first.dtype
    return promoted(*tensors) if mixed else tensors


def promoted(*tensors: Any) -> tuple[Any, ...]:
    """The tensors in the dtype that torch.promote_types gives for theirs, the tensor itself where
    that is its own; what is no tensor stays."""
    dtypes = [x.dtype for x in tensors if isinstance(x, Tensor)]
    dtype = functools.reduce(torch.promote_types, dtypes)
    return tuple(x.to(dtype) if isinstance(x, Tensor) else x for x in tensors)


def positive(name: str, value: float) -> float:
    """A finite number above zero, as a Python float."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}: {type(value).__name__}; accepted: a number")
    if not 0 < value < math.inf:  # which a compiler knows of a number that it does not
        raise ValueError(f"{name}: {value}; accepted: a finite number > 0")
    return float(value)


def values_are_known(x: Tensor) -> bool:
    """Whether they lie on the CPU, neither traced nor transformed. On a GPU whoever looks waits."""
    if x.device.type != "cpu" or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    transformed = torch._C._functorch.maybe_current_level() is not None
    return not transformed and not torch._C._len_torch_dispatch_stack()


def positive_values(name: str, x: Tensor) -> None:
    """A tensor of finite numbers above zero, where its values are known; elsewhere the loss is
    NaN."""
    if not values_are_known(x):
        return
    if x.dim() == 0:
        least = most = x.detach().item()
    elif x.numel():
        least, most = (bound.item() for bound in x.detach().aminmax())
    else:
        return
    if not 0 < least <= most < math.inf:
        given = f"{least:g}" if least == most or math.isnan(least) else f"{least:g} to {most:g}"
        raise ValueError(f"{name}: {given}; accepted: finite numbers > 0")


def at_least(name: str, value: float, least: float) -> None:
    """A finite number >= least."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}: {type(value).__name__}; accepted: a number")
    if not least <= value < math.inf:
        raise ValueError(f"{name}: {value}; accepted: a finite number >= {least:g}")


def fraction(name: str, value: float) -> None:
    """A number in [0, 1)."""
    at_least(name, value, 0.0)
    if value >= 1:
        raise ValueError(f"{name}: {value}; accepted: a number in [0, 1)")


def non_negative(name: str, value: float) -> float:
    """A finite number, zero or above, as a Python float."""
    at_least(name, value, 0.0)
    return float(value)


def choice(name: str, value: str, accepted: Sequence[str]) -> None:
    if value not in accepted:
        raise ValueError(f"{name}: {value!r}; accepted: {', '.join(accepted)}")


def reduce(loss: Tensor, reduction: str) -> Tensor:
    """Applies a reduction that has been checked."""
    if reduction == "none":
        return loss
    return loss.mean() if reduction == "mean" else loss.sum()
