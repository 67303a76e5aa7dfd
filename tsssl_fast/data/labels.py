"""Labels of any kind -> indices into class names."""

from typing import Any

import numpy as np
import torch
from torch import Tensor


def decoded(values: Any) -> np.ndarray:
    """As an array; byte strings, as ARFF readers and old NumPy files have them, as text."""
    array = np.asarray(values)
    if array.dtype.kind == "O" and any(isinstance(v, bytes) for v in array.flat):
        array = np.array([v.decode() if isinstance(v, bytes) else v for v in array.flat])
    return np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array


def labelled(
    data: str, arrays: dict[str, Any], n_train: int, n_test: int
) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    y_train, y_test = (decoded(arrays[key]) for key in ("y_train", "y_test"))
    for key, y, n in (("y_train", y_train, n_train), ("y_test", y_test, n_test)):
        if y.shape != (n,):
            raise ValueError(f"data: {data}: {key} has shape {y.shape}; accepted: ({n},)")
        if y.dtype.kind == "f" and np.isnan(y).any():
            raise ValueError(f"data: {data}: no labels, {key} has NaN")
    values, train = np.unique(y_train, return_inverse=True)
    strange = np.setdiff1d(y_test, values)
    if strange.size:
        raise ValueError(
            f"data: {data}: y_test has labels that y_train lacks: {strange[:5].tolist()}"
        )
    names = decoded(arrays["classes"]) if "classes" in arrays else None
    if (
        names is not None
        and values.dtype.kind in "iu"
        and values[0] >= 0
        and values[-1] < len(names)
    ):
        classes = tuple(str(names[value]) for value in values)
    else:
        classes = tuple(str(value) for value in values)
    test = np.searchsorted(values, y_test)
    return (
        torch.from_numpy(train.astype(np.int64)),
        torch.from_numpy(test.astype(np.int64)),
        classes,
    )
