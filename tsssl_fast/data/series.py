"""Series as read -> (N, C, T): equal lengths, no holes."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tsssl_fast import preprocess
from tsssl_fast.data import stored
from tsssl_fast.data.stored import Series, Windows, blocks

_log = logging.getLogger("tsssl_fast")


def series(
    data: str,
    key: str,
    given: Any,
    missing: str,
    unequal: str,
    length: int = 0,
    in_memory: bool = True,
) -> tuple[Tensor | Series, Tensor | None]:
    """x (N, C, T), and the lengths (N,) int64 before padding where "pad" made them equal.

    float32 where the values are floats of up to 32 bits or integers of up to 16, which it holds
    exactly, else float64. data, key: for messages. length: T where the policy has to choose one; 0:
    the longest, for "truncate" the shortest. Holes are filled before lengths change. in_memory:
    False leaves large series of equal length where they are, and those that were made equal in
    the file that holds them where memory is short.
    """
    rows: Any = given
    if isinstance(given, list | tuple) or given.dtype == object:
        rows = [np.asarray(row) for row in given]
        _check_rows(data, key, rows)
        shapes = {row.shape for row in rows}
        if len(shapes) == 1:
            rows = _side_by_side(rows)
    else:
        _check(data, key, given, 3)
    if not isinstance(rows, list) and length in (0, rows.shape[2]):
        lazy = Series(rows)
        lazy = _filled(lazy, missing, *_holes(data, key, [lazy], missing))
        small = lazy.nbytes <= stored.HELD
        return lazy.held() if in_memory or small else lazy, None
    x, padded = _fitted_all(data, key, rows, missing, unequal, length)
    if in_memory or x.nbytes <= stored.HELD:
        return torch.from_numpy(x), padded
    return Series(x), padded


def _side_by_side(rows: list[np.ndarray]) -> Any:
    """(N, C, T) of equal rows, which stay where they are."""
    places = np.stack([np.arange(len(rows)), np.zeros(len(rows), np.int64)], axis=1)
    return Windows(rows, places, rows[0].shape[1])


def _fitted_all(
    data: str, key: str, rows: Any, missing: str, unequal: str, length: int
) -> tuple[np.ndarray, Tensor | None]:
    """(N, C, T), in a temporary file where memory is short, and the lengths of padded series."""
    own = [row.shape[-1] for row in rows]
    lengths = {*own} | ({length} if length else set())
    if len(lengths) > 1 and unequal == "raise":
        raise ValueError(
            f"data: {data}: {key} holds series of unequal length, {min(lengths)} to "
            f"{max(lengths)} steps; choose unequal='resample', 'pad' or 'truncate', or a window"
        )
    steps = length or (min(lengths) if unequal == "truncate" else max(lengths))
    each = [Series(np.asarray(row)[None]) for row in rows]
    dtype = torch.float64 if any(one.dtype == torch.float64 for one in each) else torch.float32
    each = [one.changed(partial(Tensor.to, dtype=dtype), dtype) for one in each]
    holes = _holes(data, key, each, missing)
    kind = np.float64 if dtype == torch.float64 else np.float32
    x = stored.allocated((len(rows), len(rows[0]), steps), kind)
    for place, one in enumerate(each):
        x[place] = _fitted(_filled(one, missing, holes[place])[:][0], steps, unequal).numpy()
    padded = torch.tensor([min(one, steps) for one in own])
    return x, padded if unequal == "pad" and len(lengths) > 1 else None


def _check_rows(data: str, key: str, rows: list[np.ndarray]) -> None:
    for row in rows:
        _check(data, key, row, 2)
    if len({len(row) for row in rows}) > 1:
        raise ValueError(
            f"data: {data}: {key} holds series of different numbers of channels; accepted: of one"
        )
    if not rows:
        raise ValueError(f"data: {data}: {key} holds no series; accepted: one or more")


def _check(data: str, key: str, given: Any, dimensions: int) -> None:
    shape = "(N, C, T) with N, C, T >= 1" if dimensions == 3 else "(C, T) with C, T >= 1"
    if given.dtype.kind not in "fiu" or len(given.shape) != dimensions or 0 in given.shape:
        raise ValueError(
            f"data: {data}: {key} is {given.dtype} {given.shape}; accepted: numbers {shape}"
        )


def _holes(data: str, key: str, each: Sequence[Series], missing: str) -> list[int]:
    """How many values each lacks; refused without a policy, otherwise told."""
    holes = [_look(data, key, one) for one in each]
    total = sum(holes)
    if total and missing == "raise":
        raise ValueError(
            f"data: {data}: {key} has {total} NaN; choose missing='linear', 'forward_backward' or "
            "'zero'"
        )
    if total:
        _log.info(
            "data: %d of %d values of %s were missing: filled by missing=%r",
            *(total, sum(one.shape.numel() for one in each), key, missing),
        )
    return holes


def _look(data: str, key: str, x: Series) -> int:
    """How many values are missing; raises ValueError for infinite ones."""
    holes, finite = 0, True
    for _, part in blocks(x):
        holes += int(torch.isnan(part).sum())
        finite = finite and not bool(torch.isinf(part).any())
    if not finite:
        raise ValueError(f"data: {data}: {key} has infinite values; accepted: finite numbers")
    return holes


def _filled(x: Series, missing: str, holes: int) -> Series:
    return x.changed(partial(_fill, missing)) if holes else x


def _fill(missing: str, x: Tensor) -> Tensor:
    if missing != "zero":
        x = preprocess.fill_missing(x, method=missing)
    return torch.nan_to_num(x, nan=0.0)  # a channel without any value


def _fitted(row: Tensor, steps: int, unequal: str) -> Tensor:
    """(C, T_i) -> (C, steps)."""
    have = row.shape[-1]
    if have == steps:
        return row
    if unequal == "resample":
        whole = torch.nn.functional.interpolate(
            row[None], size=steps, mode="linear", align_corners=True
        )
        return whole[0]
    if have > steps:
        return row[:, :steps]
    return torch.cat([row, row[:, -1:].expand(-1, steps - have)], dim=1)
