"""Labels of any kind -> positions in a list of class names, or targets.

No label is: NaN, None, and as text an empty cell, ?, NA, N/A, n/a, NaN, <NA> or null; -1 among
whole numbers, also written as text, whose others are 0 to K-1 or 1 to K with K >= 2 (so -1 and 1
alone are two classes), unless the file declares its classes. `no_label` names others instead. Names
stay as they are written; labels that are numbers come in their order.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

NONE = -1  # the position of a series without a label
MARKERS = frozenset({"", "?", "NA", "N/A", "n/a", "NaN", "nan", "<NA>", "null", "NULL"})
_WHOLE = re.compile(r"[+-]?\d{1,15}")


@dataclass(frozen=True)
class Labels:
    """y: split -> (N,) int64 positions in `classes`, -1 for none; or of a regression float64
    targets, NaN for none, and no classes."""

    y: dict[str, Tensor]
    classes: tuple[str, ...]
    regression: bool
    notes: tuple[str, ...] = ()


def decoded(values: Any) -> np.ndarray:
    """As an array; byte strings, as ARFF readers and old NumPy files have them, as text."""
    array = np.asarray(values)
    if array.dtype.kind == "O" and any(isinstance(v, bytes) for v in array.flat):
        array = np.array([v.decode() if isinstance(v, bytes) else v for v in array.flat])
    return np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array


def empty(values: np.ndarray, no_label: str = "auto", declared: bool = False) -> np.ndarray:
    """Which of the labels (N,) of any kind are none. declared: -1 is a class."""
    if values.dtype.kind in "fiub":
        none = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
        if no_label != "auto":
            for text in no_label.split(","):
                none |= values == _number(text)
            return none
        counted = not declared and _count_up(values[~none & (values != -1)])
        return none | ((values == -1) & counted)
    markers = MARKERS if no_label == "auto" else {"", *no_label.split(",")}
    none = np.array([v is None or v != v or str(v).strip() in markers for v in values.flat], bool)
    if no_label == "auto" and not declared:
        texts = {str(v).strip() for v in values[~none]}
        others = [int(text) for text in texts if _WHOLE.fullmatch(text) and int(text) != -1]
        whole = len(others) == len(texts - {"-1"}) and _count_up(np.array(others))
        none |= [whole and str(v).strip() == "-1" for v in values.flat]
    return none


def _count_up(values: np.ndarray) -> bool:
    """Whether they are 0 to K-1 or 1 to K, with K >= 2."""
    found = np.unique(values)
    counted = len(found) >= 2 and found[0] in (0, 1)
    return bool(counted and np.array_equal(found, found[0] + np.arange(len(found))))


def resolve(
    data: str,
    given: dict[str, Any],
    sizes: dict[str, int],
    *,
    names: Sequence[str] | None = None,
    task: str = "auto",
    declared: bool | None = None,
    no_label: str = "auto",
    unseen: str = "raise",
) -> Labels:
    """Labels of the splits together.

    given: split -> (N,) labels; a split that is not there has none. names: what labels that are
    positions stand for. declared: whether the file says that they are targets. unseen: "raise" or
    "ignore", for labels of the test split that the train split lacks.
    """
    arrays = {split: decoded(values) for split, values in given.items()}
    for split, y in arrays.items():
        if y.shape != (sizes[split],):
            raise ValueError(
                f"data: {data}: y_{split} has shape {y.shape}; accepted: ({sizes[split]},)"
            )
        if y.dtype.kind not in "fiubUTO":
            raise ValueError(f"data: {data}: y_{split} is {y.dtype}; accepted: numbers or text")
    everything = _joined(arrays)
    none = empty(everything, no_label, declared is not None)
    ends = np.cumsum([len(y) for y in arrays.values()])[:-1]
    absent = dict(zip(arrays, np.split(none, ends), strict=True))
    notes = [
        f"{split} split: {count} of {len(absent[split])} series have no label"
        for split in arrays
        if (count := int(absent[split].sum()))
    ]
    numbers = _numbers(everything, none)
    if _is_regression(task, declared, numbers, none, data):
        assert numbers is not None
        targets = dict(zip(arrays, np.split(numbers, ends), strict=True))
        found = {split: torch.full((n,), torch.nan).double() for split, n in sizes.items()}
        found |= {split: torch.from_numpy(targets[split].copy()) for split in arrays}
        return Labels(found, (), True, tuple(notes))
    keys = everything if numbers is None else numbers
    parts = dict(zip(arrays, np.split(keys, ends), strict=True))
    train = parts.get("train", keys[:0])
    values = np.unique(train[~absent["train"]]) if "train" in arrays else train
    written = _written(everything[: len(train)], train, values)
    found = {split: torch.full((n,), NONE) for split, n in sizes.items()}
    for split, part in parts.items():
        known = ~absent[split]
        seen = np.isin(part, values)
        strange = np.unique(arrays[split][known & ~seen].astype(str))
        if strange.size and unseen == "raise" and values.size:
            raise ValueError(
                f"data: {data}: y_{split} has labels that y_train lacks: [{', '.join(strange[:5])}]"
            )
        known &= seen
        if known.any():
            found[split][torch.from_numpy(known)] = torch.from_numpy(
                np.searchsorted(values, part[known]).astype(np.int64)
            )
    return Labels(found, _named(values, written, names), False, tuple(notes))


def _joined(arrays: dict[str, np.ndarray]) -> np.ndarray:
    kinds = {"text" if y.dtype.kind in "UTO" else "number" for y in arrays.values()}
    if len(kinds) > 1:
        return np.concatenate([y.astype(str).astype(object) for y in arrays.values()])
    every = np.concatenate(list(arrays.values()))
    if every.dtype.kind in "UTO":
        return np.array(
            [v if v is None or v != v else str(v).replace("\0", "").strip() for v in every], object
        )
    return every


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _numbers(values: np.ndarray, none: np.ndarray) -> np.ndarray | None:
    """(N,) float64 with NaN for none; None where a label is no number."""
    if values.dtype.kind in "iu" and np.abs(values.astype(np.float64)).max(initial=0) > 2**53:
        return None
    if values.dtype.kind in "fiu":
        return np.where(none, np.nan, values.astype(np.float64))
    try:
        numbers = np.where(none, "nan", values).astype(np.float64)
    except (ValueError, TypeError):
        return None
    return None if np.isnan(numbers[~none]).any() else numbers


def _is_regression(
    task: str, declared: bool | None, numbers: np.ndarray | None, none: np.ndarray, data: str
) -> bool:
    if numbers is None and (task == "regression" or (task == "auto" and declared)):
        raise ValueError(f"data: {data}: labels are no numbers; accepted: numbers with regression")
    if task != "auto":
        return task == "regression"
    if declared is not None or numbers is None:
        return bool(declared)
    known = numbers[~none]
    once = (np.unique(known, return_counts=True)[1] == 1).sum()
    return bool((known % 1 != 0).any() and once > len(known) / 2)


def _written(labels: np.ndarray, keys: np.ndarray, values: np.ndarray) -> list[str]:
    """How each of the values is first written among the labels."""
    return [str(labels[np.flatnonzero(keys == value)[0]]) for value in values]


def _named(values: np.ndarray, written: list[str], names: Sequence[str] | None) -> tuple[str, ...]:
    if names is not None and values.dtype.kind in "fiu" and len(values):
        whole = values.astype(np.int64)
        if (whole == values).all() and whole[0] >= 0 and whole[-1] < len(names):
            return tuple(str(names[value]) for value in whole)
    return tuple(written)
