"""Labelled time series from a file or by name: (N, C, T) float32 tensors and integer labels.

    data = tsssl_fast.data.load("gestures.npz")
    data.x_train.shape  # (N, C, T)

| DATA     | read as                                                                         |
| -------- | ------------------------------------------------------------------------------- |
| `*.npz`  | arrays X_train (N, C, T), y_train (N,), X_test, y_test; where present `classes` |
|          | and `subject_train`, groups that cross-validation keeps together                |
| `*.ts`   | the UEA text format, by aeon; NAME_TRAIN.ts and NAME_TEST.ts belong together    |
| `*.arff` | the same of the UEA archive's ARFF files                                        |
| `*.csv`  | a row per time step, columns named by `columns`; see `table.py`                 |
| a name   | a data set that aeon knows: shipped with it (BasicMotions), on disk, or fetched |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tsssl_fast.common import checks
from tsssl_fast.data import readers, table
from tsssl_fast.data.labels import labelled
from tsssl_fast.data.scaling import SCALINGS, Scaling
from tsssl_fast.data.series import MISSING, UNEQUAL, series

__all__ = ["MISSING", "SCALINGS", "UNEQUAL", "Dataset", "Scaling", "load"]


@dataclass(frozen=True)
class Dataset:
    """A train and a test split. Without labels, `y_*` hold -1 and `classes` is empty.

    x_train, x_test: (N, C, T) float32; y_train, y_test: (N,) int64, 0-based indices into `classes`.
    groups: (N_train,) int64 or None: rows of one group (a subject) stay on one side of a validation
    split.
    """

    name: str
    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    classes: tuple[str, ...]
    groups: Tensor | None = None

    @property
    def channels(self) -> int:
        return self.x_train.shape[1]

    @property
    def length(self) -> int:
        return self.x_train.shape[2]


def load(
    data: str | Path,
    *,
    missing: str = "raise",
    labels: bool = True,
    unequal: str = "raise",
    columns: Mapping[str, str] | None = None,
) -> Dataset:
    """Reads DATA: a file or a name that aeon knows; see the module for the forms.

    Args:
        data: path or name.
        missing: what to do with NaN, within one series and channel, by `preprocess.fill_missing`:
            "raise"; "linear" interpolates along time, the ends repeat the nearest value;
            "forward_backward" repeats the last value, at the head the first; "zero". A channel
            without any value becomes 0.
        labels: whether labels must be there; False reads series for pre-training alone.
        unequal: with series of unequal length: "raise"; "resample" stretches all to the longest
            train series, linearly; "pad" repeats the last value up to it; "truncate" cuts to the
            shortest of both splits.
        columns: of a CSV file, role -> name; see `table.py`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that can not be read, lacks an array or a column, has series of unequal
            length or NaN without a policy, infinite values, no labels with labels=True, or test
            labels that the train split lacks; an unknown name.
        ImportError: aeon is not installed and DATA needs it.
    """
    checks.choice("missing", missing, MISSING)
    checks.choice("unequal", unequal, UNEQUAL)
    path = Path(data)
    if columns and path.suffix != ".csv":
        raise ValueError(f"columns: {data} has none; accepted: with a .csv file")
    if path.suffix == ".npz":
        arrays = readers.read_npz(path)
    elif path.suffix in (".ts", ".arff"):
        arrays = readers.read_text(path)
    elif path.suffix == ".csv":
        arrays = table.read_csv(path, columns or {})
    elif path.suffix or path.exists() or len(path.parts) != 1:
        if not path.exists():
            raise FileNotFoundError(f"data: {path}: no such file; accepted: {readers.ACCEPTED}")
        raise ValueError(f"data: {path}: not a format that is read; accepted: {readers.ACCEPTED}")
    else:
        arrays = readers.read_aeon(str(data))
    name = path.stem.removesuffix("_TRAIN").removesuffix("_TEST")
    return _dataset(name, str(data), arrays, missing, labels, unequal)


def _dataset(
    name: str, data: str, arrays: dict[str, Any], missing: str, labels: bool, unequal: str
) -> Dataset:
    wanted = ("X_train", "X_test", *(("y_train", "y_test") if labels else ()))
    lacking = [key for key in wanted if key not in arrays]
    if lacking:
        what = "no labels, " if all(key.startswith("y_") for key in lacking) else ""
        raise ValueError(f"data: {data}: {what}no array {', '.join(lacking)}")
    x_train = series(data, "X_train", arrays["X_train"], missing, unequal)
    steps = 0 if unequal == "raise" else x_train.shape[-1]
    if unequal == "truncate":
        x_test = series(data, "X_test", arrays["X_test"], missing, unequal)
        steps = min(steps, x_test.shape[-1])
        x_train, x_test = x_train[..., :steps].contiguous(), x_test[..., :steps].contiguous()
    else:
        x_test = series(data, "X_test", arrays["X_test"], missing, unequal, steps)
    if x_train.shape[1:] != x_test.shape[1:]:
        raise ValueError(
            f"data: {data}: X_test holds (C, T) = {tuple(x_test.shape[1:])}; accepted: "
            f"{tuple(x_train.shape[1:])} as X_train"
        )
    if "y_train" in arrays and "y_test" in arrays:
        y_train, y_test, classes = labelled(data, arrays, len(x_train), len(x_test))
    else:
        y_train, y_test = (torch.full((len(x),), -1) for x in (x_train, x_test))
        classes = ()
    groups = arrays.get("subject_train")
    if groups is not None:
        groups = torch.as_tensor(np.unique(groups, return_inverse=True)[1], dtype=torch.int64)
        if len(groups) != len(x_train):
            raise ValueError(
                f"data: {data}: subject_train has {len(groups)} rows, X_train {len(x_train)}"
            )
    return Dataset(name, x_train, y_train, x_test, y_test, classes, groups)
