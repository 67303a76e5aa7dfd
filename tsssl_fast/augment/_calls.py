"""Checks of a pipeline's call, and what it does with NaN."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tsssl_fast.ops.augment import spec

if TYPE_CHECKING:
    from tsssl_fast.augment.parameters import Parameters

NAN_POLICIES = ("propagate", "raise", "mask")


def check_series(x: Tensor, layout: str) -> None:
    accepted = ", ".join(f"({axes})" for axes in (", ".join(layout),))
    if x.dim() != 3:
        hint = ""
        if x.dim() == 2:
            hint = "; one series is x[None], one channel each is x[:, None]"
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


def per_sample(name: str, value: Tensor | None, n: int) -> Tensor | None:
    """A checked (N,) int64 tensor on the CPU, contiguous."""
    if value is None:
        return None
    if not isinstance(value, Tensor) or value.dtype != torch.int64:
        given = getattr(value, "dtype", type(value).__name__)
        raise TypeError(f"{name}: {given}; accepted: an int64 tensor")
    if value.shape != (n,):
        raise ValueError(f"{name}: shape {tuple(value.shape)}; accepted: (N,) = ({n},)")
    return value.cpu().contiguous()


def without_nan(x: Tensor, policy: str) -> Tensor:
    if policy == "raise" and bool(x.isnan().any()):
        count = int(x.isnan().sum())
        raise ValueError(f"x: {count} NaN; accepted: none with nan='raise'")
    return torch.where(x.isnan(), 0.0, x) if policy == "mask" else x


def mark_missing(y: Tensor, x: Tensor, parameters: "Parameters") -> Tensor:
    """y with NaN where the nearest source step of x (N, C, T) was NaN."""
    missing = parameters.apply_to(x.isnan(), fill=False)
    return torch.where(missing, torch.nan, y)
