"""Series as read -> (N, C, T): equal lengths, no holes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tsssl_fast import preprocess


def series(
    data: str, key: str, given: Any, missing: str, unequal: str, length: int = 0
) -> tuple[Tensor, Tensor | None]:
    """x (N, C, T), and the lengths (N,) int64 before padding where "pad" made them equal.

    float32 where the values are floats of up to 32 bits or integers of up to 16, which it holds
    exactly, else float64. data, key: for messages. length: T where the policy has to choose one; 0:
    the longest, for "truncate" the shortest. Holes are filled before lengths change.
    """
    if isinstance(given, np.ndarray) and given.dtype != object:
        _check(data, key, given, 3)
        x = _filled(data, key, _tensor(given), missing)
        if not length or x.shape[-1] == length:
            return x, None
        rows: Sequence[Tensor] = list(x)
    else:
        rows = _ragged(data, key, given, missing)
    lengths = {row.shape[-1] for row in rows} | ({length} if length else set())
    if len(lengths) > 1 and unequal == "raise":
        raise ValueError(
            f"data: {data}: {key} holds series of unequal length, {min(lengths)} to "
            f"{max(lengths)} steps; choose unequal='resample', 'pad' or 'truncate', or a window"
        )
    steps = length or (min(lengths) if unequal == "truncate" else max(lengths))
    kept = torch.tensor([min(row.shape[-1], steps) for row in rows])
    padded = kept if unequal == "pad" and len(lengths) > 1 else None
    return torch.stack([_fitted(row, steps, unequal) for row in rows]), padded


def _tensor(given: np.ndarray) -> Tensor:
    kind, size = given.dtype.kind, given.dtype.itemsize
    narrow = size <= 4 if kind == "f" else size <= 2
    return torch.from_numpy(np.array(given, np.float32 if narrow else np.float64, order="C"))


def _ragged(data: str, key: str, given: Any, missing: str) -> list[Tensor]:
    rows = [np.asarray(row) for row in given]
    for row in rows:
        _check(data, key, row, 2)
    if len({len(row) for row in rows}) > 1:
        raise ValueError(f"data: {data}: {key} holds series of different numbers of channels")
    if not rows:
        raise ValueError(f"data: {data}: {key} holds no series")
    tensors = [_tensor(row) for row in rows]
    wide = any(tensor.dtype == torch.float64 for tensor in tensors)
    tensors = [tensor.double() if wide else tensor for tensor in tensors]
    if missing == "raise":
        _refuse(data, key, sum(int(torch.isnan(tensor).sum()) for tensor in tensors))
    return [_filled(data, key, tensor[None], missing)[0] for tensor in tensors]


def _check(data: str, key: str, given: np.ndarray, dimensions: int) -> None:
    shape = "(N, C, T) with N, C, T >= 1" if dimensions == 3 else "(C, T) with C, T >= 1"
    if given.dtype.kind not in "fiu" or given.ndim != dimensions or 0 in given.shape:
        raise ValueError(
            f"data: {data}: {key} is {given.dtype} {given.shape}; accepted: numbers {shape}"
        )


def _refuse(data: str, key: str, holes: int) -> None:
    if holes:
        raise ValueError(
            f"data: {data}: {key} has {holes} NaN; choose missing='linear', 'forward_backward' or "
            "'zero'"
        )


def _filled(data: str, key: str, x: Tensor, missing: str) -> Tensor:
    holes = int(torch.isnan(x).sum())
    if holes:
        if missing == "raise":
            _refuse(data, key, holes)
        if missing != "zero":
            x = preprocess.fill_missing(x, method=missing)
        x = torch.nan_to_num(x, nan=0.0, posinf=torch.inf, neginf=-torch.inf)
    if not torch.isfinite(x).all():
        raise ValueError(f"data: {data}: {key} has infinite values; accepted: finite numbers")
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
