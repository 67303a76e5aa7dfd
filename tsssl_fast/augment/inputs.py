"""What a call is given: series as tensors or arrays, their checks, and what happens to NaN."""

import operator
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from tsssl_fast.ops.augment import spec

if TYPE_CHECKING:
    from tsssl_fast.augment.parameters import Parameters

Array = np.ndarray[Any, Any]
Series = TypeVar("Series", Tensor, Array)

NAN_POLICIES = ("propagate", "raise", "mask")


def check_series(x: Tensor, layout: str, single: bool = False) -> None:
    """Series in the layout; single: the caller takes one series (C, T) as well."""
    accepted = f"({', '.join(layout)})" + (f" or ({', '.join(layout[1:])})" if single else "")
    if x.dim() != 3:
        hint = "; one series is x[None], one channel each is x[:, None]" if x.dim() == 2 else ""
        raise ValueError(f"x: shape {tuple(x.shape)}; accepted: {accepted}{hint}")
    if 0 in x.shape:
        raise ValueError(f"x: shape {tuple(x.shape)}; accepted: {accepted}, all sizes >= 1")
    c, t = (x.shape[1], x.shape[2]) if layout == "NCT" else (x.shape[2], x.shape[1])
    if c > spec.MAX_CHANNELS or t > spec.MAX_STEPS:
        other = "NTC" if layout == "NCT" else "NCT"
        fits = t <= spec.MAX_CHANNELS and c <= spec.MAX_STEPS
        hint = f"; layout={other!r} would fit" if fits else ""
        raise ValueError(
            f"x: shape {tuple(x.shape)} as {layout}; accepted: C <= {spec.MAX_CHANNELS}, "
            f"T <= {spec.MAX_STEPS}{hint}"
        )


def from_array(name: str, x: Any) -> Tensor:
    """A tensor of a numpy array's values, whatever its strides and byte order."""
    if not isinstance(x, np.ndarray):
        raise TypeError(f"{name}: {type(x).__name__}; accepted: torch.Tensor or numpy.ndarray")
    if not x.dtype.isnative:
        x = x.astype(x.dtype.newbyteorder("="))
    if not x.flags.writeable or any(stride < 0 for stride in x.strides):
        x = x.copy()
    try:
        return torch.from_numpy(x)
    except TypeError:
        raise TypeError(
            f"{name}: dtype {x.dtype}; accepted: float16, float32, float64"
            if name == "x"
            else f"{name}: dtype {x.dtype}; accepted: int64"
        ) from None


def per_sample(name: str, value: Any, n: int) -> Tensor | None:
    """A checked (N,) int64 tensor on the CPU, contiguous."""
    if value is None:
        return None
    if isinstance(value, np.ndarray):
        value = from_array(name, value)
    if not isinstance(value, Tensor) or value.dtype != torch.int64:
        given = getattr(value, "dtype", type(value).__name__)
        raise TypeError(f"{name}: {given}; accepted: an int64 tensor")
    if value.shape != (n,):
        raise ValueError(f"{name}: shape {tuple(value.shape)}; accepted: (N,) = ({n},)")
    return value.cpu().contiguous()


def of_one(name: str, value: Any) -> Tensor | None:
    """(1,) int64 of one series' number: an integer, or an int64 tensor with one element."""
    if value is None:
        return None
    if isinstance(value, Tensor | np.ndarray) and value.ndim > 0:
        return per_sample(name, value, 1)
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        given = type(value).__name__
        raise TypeError(f"{name}: {given}; accepted: an integer") from None
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{name}: {number}; accepted: an integer in [-2**63, 2**63)")
    return torch.tensor([number])


def without_nan(x: Tensor, policy: str) -> Tensor:
    if policy == "raise" and bool(x.isnan().any()):
        count = int(x.isnan().sum())
        raise ValueError(f"x: {count} NaN; accepted: none with nan='raise'")
    return torch.where(x.isnan(), 0.0, x) if policy == "mask" else x


def mark_missing(y: Tensor, x: Tensor, parameters: "Parameters") -> Tensor:
    """y with NaN where the nearest source step of x (N, C, T) was NaN."""
    missing = parameters.apply_to(x.isnan(), fill=False)
    return torch.where(missing, torch.nan, y)


def as_arrays(result: Any) -> Any:
    """A call's result with numpy arrays for its tensors; parameters stay what they are."""
    if isinstance(result, tuple):
        return tuple(as_arrays(part) for part in result)
    return result.detach().numpy() if isinstance(result, Tensor) else result
