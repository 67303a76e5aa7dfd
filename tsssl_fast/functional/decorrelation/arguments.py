"""Arguments that the decorrelation losses share, checked."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from tsssl_fast.backends import dispatch
from tsssl_fast.backends.precision import widest
from tsssl_fast.common import checks

Convention = TypeVar("Convention")
Operator = Callable[..., tuple[Tensor, ...]]

_PAIR = ("z1", "z2")


def convention_of(
    name: str, table: Mapping[str, Convention], renamed: Mapping[str, str]
) -> Convention:
    try:
        return table[name]
    except (KeyError, TypeError):
        if name in tuple(renamed):
            raise ValueError(f"convention: {name!r} is now {renamed[name]!r}") from None
        checks.choice("convention", name, tuple(table))
        raise


def check_views(
    views: tuple[Tensor, ...], names: tuple[str, ...] | None = None, least: int = 2
) -> tuple[Tensor, ...]:
    """The views in one dtype and as rows: (N, ..., D) -> (rows, D), where that is possible without
    a copy. least: rows. names: None: z1, z2, more[0], more[1] and so on."""
    if names is None:  # the common case without the formatting: 1 microsecond
        names = _PAIR if len(views) == 2 else checks.names_of_views(len(views))
    for name, z in zip(names, views, strict=True):
        checks.floating(name, z)
        shape = tuple(z.shape)
        if len(shape) < 2:
            raise ValueError(f"{name}: shape {shape}; accepted: (N, D) or (N, ..., D)")
        if shape[-1] == 0 or (least and 0 in shape):
            raise ValueError(f"{name}: shape {shape}; accepted: (N, D) with N >= 1, D >= 1")
    views = tuple(checks.alike(names, views))
    shape = tuple(views[0].shape)
    if len(shape) > 2:
        views = tuple(z.flatten(0, -2) for z in views)
    if len(views[0]) < least:
        raise ValueError(
            f"{names[0]}: shape {shape}; accepted: (N, D) with N >= 2 "
            "(the statistics of one row are undefined)"
        )
    return views


def graph_is_made() -> bool:
    """Whether torch.compile or torch.jit.trace makes a graph of what runs."""
    return torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None


def sizes(z: Tensor) -> Any:
    """N and D of (N, D). torch.jit.trace has them as numbers of its graph: exact ones."""
    shape: Any = z.shape
    if isinstance(shape[0], Tensor):
        shape = [size.to(widest(z)) for size in shape]
    return shape


def in_graph(operator: Operator, *args: Any) -> tuple[Tensor, ...]:
    """The results of an operator where a graph is made. The numbers in its settings stay those of
    the first call, or are a graph for each value: factors, of the shape, and weights come after it,
    in float32, so that last bits may differ from a call without a graph.

    args: views, settings, flags, precision and backend.
    """
    *views, settings, flags, products, name = args
    raw = type(settings)(*(1.0,) * (2 * len(settings.weights)), *settings.others)
    _, sums, *saved = operator(*views, raw, flags, products, name)
    terms = [factor * x for factor, x in zip(settings.factors, sums.unbind(), strict=True)]
    # A weight of 0 switches a term off, whatever its value.
    parts = zip(settings.weights, settings.factors, sums.unbind(), strict=True)
    weighted = [weight * factor * x for weight, factor, x in parts if weight]
    loss = torch.stack(weighted).sum() if weighted else sums.new_zeros(())
    return loss.to(sums.dtype), torch.stack(terms).to(sums.dtype), *saved


def backend_name(name: str | None) -> str:
    return dispatch.check_name(name, "backend") if name else ""
