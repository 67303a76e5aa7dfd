"""Series as read -> (N, C, T) float32: equal lengths, no holes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tsssl_fast import preprocess

__all__ = ["MISSING", "UNEQUAL", "series"]

MISSING = ("raise", "linear", "forward_backward", "zero")
UNEQUAL = ("raise", "resample", "pad", "truncate")


def series(data: str, key: str, given: Any, missing: str, unequal: str, length: int = 0) -> Tensor:
    """(N, C, T) float32 from an array (N, C, T) or a list of arrays (C, T_i).

    data, key: for messages. length: T where the policy has to choose one; 0: the longest, for
    "truncate" the shortest. Holes are filled before lengths change.
    """
    if isinstance(given, np.ndarray) and given.dtype != object:
        _check(data, key, given, 3)
        x = _filled(data, key, torch.from_numpy(np.array(given, np.float32, order="C")), missing)
        if not length or x.shape[-1] == length:
            return x
        rows: Sequence[Tensor] = list(x)
    else:
        rows = _ragged(data, key, given, missing)
    lengths = {row.shape[-1] for row in rows} | ({length} if length else set())
    if len(lengths) > 1 and unequal == "raise":
        raise ValueError(
            f"data: {data}: {key} holds series of unequal length, {min(lengths)} to "
            f"{max(lengths)} steps; choose unequal='resample', 'pad' or 'truncate'"
        )
    steps = length or (min(lengths) if unequal == "truncate" else max(lengths))
    return torch.stack([_fitted(row, steps, unequal) for row in rows])


def _ragged(data: str, key: str, given: Any, missing: str) -> list[Tensor]:
    rows = [np.asarray(row) for row in given]
    for row in rows:
        _check(data, key, row, 2)
    if len({len(row) for row in rows}) > 1:
        raise ValueError(f"data: {data}: {key} holds series of different numbers of channels")
    if not rows:
        raise ValueError(f"data: {data}: {key} holds no series")
    return [
        _filled(data, key, torch.from_numpy(np.array(row, np.float32, order="C"))[None], missing)[0]
        for row in rows
    ]


def _check(data: str, key: str, given: np.ndarray, dimensions: int) -> None:
    shape = "(N, C, T) with N, C, T >= 1" if dimensions == 3 else "(C, T) with C, T >= 1"
    if given.dtype.kind not in "fiu" or given.ndim != dimensions or 0 in given.shape:
        raise ValueError(
            f"data: {data}: {key} is {given.dtype} {given.shape}; accepted: numbers {shape}"
        )


def _filled(data: str, key: str, x: Tensor, missing: str) -> Tensor:
    holes = int(torch.isnan(x).sum())
    if holes:
        if missing == "raise":
            policies = "', '".join(MISSING[1:])
            raise ValueError(f"data: {data}: {key} has {holes} NaN; choose missing='{policies}'")
        if missing != "zero":
            x = preprocess.fill_missing(x, method=missing)
        x = torch.nan_to_num(x, nan=0.0, posinf=torch.inf, neginf=-torch.inf)
    if not torch.isfinite(x).all():
        raise ValueError(f"data: {data}: {key} has infinite values; accepted: finite float32")
    return x


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
