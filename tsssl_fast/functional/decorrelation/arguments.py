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
    """The views, in one dtype. names: None: z1, z2, more[0], more[1] and so on."""
    if names is None:  # the common case without the formatting: 1 microsecond
        names = _PAIR if len(views) == 2 else _names(len(views))
    for name, z in zip(names, views, strict=True):
        checks.matrix(name, z, min(least, 1))
    views = tuple(checks.alike(names, views))
    if views[0].shape[0] < least:
        raise ValueError(
            f"{names[0]}: shape {tuple(views[0].shape)}; accepted: (N, D) with N >= 2 "
            "(the statistics of one row are undefined)"
        )
    return views


def _names(count: int) -> tuple[str, ...]:
    return (*_PAIR, *(f"more[{v}]" for v in range(count - 2)))


def backend_name(name: str | None) -> str:
    return dispatch.check_name(name, "backend") if name else ""
