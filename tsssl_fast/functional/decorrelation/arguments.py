"""Arguments that the decorrelation losses share, checked."""

from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor

from tsssl_fast.backends import dispatch
from tsssl_fast.common import checks

Convention = TypeVar("Convention")

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


def backend_name(name: str | None) -> str:
    return dispatch.check_name(name, "backend") if name else ""
