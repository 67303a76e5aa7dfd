"""Labelled time series from a file or by name: (N, C, T) float32 tensors and integer labels.

    data = tsssl_fast.data.load("gestures.npz")
    data.x_train.shape  # (N, C, T)

| DATA    | read as                                                                         |
| ------- | ------------------------------------------------------------------------------- |
| `*.npz` | arrays X_train (N, C, T), y_train (N,), X_test, y_test; where present `classes` |
|         | and `subject_train`, groups that cross-validation keeps together                |
| `*.ts`  | the UEA text format, by aeon; NAME_TRAIN.ts and NAME_TEST.ts belong together    |
| a name  | a data set that aeon knows: shipped with it (BasicMotions), on disk, or fetched |
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tsssl_fast import _checks

__all__ = ["MISSING", "SCALINGS", "Dataset", "Scaling", "load"]

MISSING = ("raise", "linear", "zero")
SCALINGS = ("standard", "scale", "none")
ACCEPTED = "a .npz file, a .ts file or the name of a data set that aeon knows"


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


def load(data: str | Path, *, missing: str = "raise", labels: bool = True) -> Dataset:
    """Reads DATA: `.npz`, `.ts` or a name that aeon knows; see the module for the three forms.

    Args:
        data: path or name.
        missing: what to do with NaN: "raise"; "linear" interpolates along time within one series
            and channel (the ends repeat the nearest value, a channel without any value becomes 0);
            "zero".
        labels: whether labels must be there; False reads series for pre-training alone.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that can not be read, lacks an array, has series of unequal length,
            infinite values, NaN with missing="raise", no labels with labels=True, or test labels
            that the train split lacks; an unknown name.
        ImportError: aeon is not installed and DATA is not a .npz file.
    """
    _checks.choice("missing", missing, MISSING)
    path = Path(data)
    if path.suffix == ".npz":
        arrays = _read_npz(path)
    elif path.suffix == ".ts":
        arrays = _read_ts(path)
    elif path.suffix or path.exists() or len(path.parts) != 1:
        if not path.exists():
            raise FileNotFoundError(f"data: {path}: no such file; accepted: {ACCEPTED}")
        raise ValueError(f"data: {path}: not a format that is read; accepted: {ACCEPTED}")
    else:
        arrays = _read_aeon(str(data))
    name = path.stem.removesuffix("_TRAIN").removesuffix("_TEST")
    return _dataset(name, str(data), arrays, missing, labels)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"data: {path}: no such file")
    return path


def _read_npz(path: Path) -> dict[str, Any]:
    try:
        with np.load(_existing(path), allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        raise ValueError(f"data: {path}: not a complete .npz file ({error})") from error


def _read_ts(path: Path) -> dict[str, Any]:
    stem = path.stem.removesuffix("_TRAIN").removesuffix("_TEST")
    if stem == path.stem:
        raise ValueError(f"data: {path}: accepted: NAME_TRAIN.ts with NAME_TEST.ts beside it")
    arrays: dict[str, Any] = {}
    for split in ("train", "test"):
        file = _existing(path.with_name(f"{stem}_{split.upper()}.ts"))
        try:
            # Without labels aeon returns the array alone.
            read = _aeon().load_from_ts_file(str(file))
        except Exception as error:  # aeon raises whatever the first bad line leads to
            raise ValueError(
                f"data: {file}: not a complete .ts file ({type(error).__name__}: {error})"
            ) from error
        x, y = read if isinstance(read, tuple) else (read, None)
        arrays[f"X_{split}"] = x
        if y is not None and len(y) == len(x):
            arrays[f"y_{split}"] = y
    return arrays


def _read_aeon(name: str) -> dict[str, Any]:
    from_aeon = _aeon()
    if name == "BasicMotions":
        read = from_aeon.load_basic_motions
    else:
        from aeon.datasets import tsc_datasets

        if name not in {*tsc_datasets.univariate, *tsc_datasets.multivariate}:
            raise ValueError(f"data: {name!r}: no file and no data set; accepted: {ACCEPTED}")

        def read(split: str) -> Any:
            return from_aeon.load_classification(name, split=split)

    arrays: dict[str, Any] = {}
    for split in ("train", "test"):
        try:
            arrays[f"X_{split}"], arrays[f"y_{split}"] = read(split=split)
        except Exception as error:  # a download, an archive and a parser can each fail in their way
            raise ValueError(
                f"data: {name!r}: aeon could not load it ({type(error).__name__}: {error})"
            ) from error
    return arrays


def _aeon() -> Any:
    try:
        import aeon.datasets
    except ImportError as error:
        raise ImportError(
            "data: this form is read by aeon; install it by: pip install 'tsssl_fast[train]'"
        ) from error
    return aeon.datasets


def _dataset(name: str, data: str, arrays: dict[str, Any], missing: str, labels: bool) -> Dataset:
    wanted = ("X_train", "X_test", *(("y_train", "y_test") if labels else ()))
    lacking = [key for key in wanted if key not in arrays]
    if lacking:
        what = "no labels, " if all(key.startswith("y_") for key in lacking) else ""
        raise ValueError(f"data: {data}: {what}no array {', '.join(lacking)}")
    x_train, x_test = (_series(data, key, arrays[key], missing) for key in ("X_train", "X_test"))
    if x_train.shape[1:] != x_test.shape[1:]:
        raise ValueError(
            f"data: {data}: X_test holds (C, T) = {tuple(x_test.shape[1:])}; accepted: "
            f"{tuple(x_train.shape[1:])} as X_train"
        )
    if "y_train" in arrays and "y_test" in arrays:
        y_train, y_test, classes = _labels(data, arrays, len(x_train), len(x_test))
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


def _series(data: str, key: str, given: Any, missing: str) -> Tensor:
    if not isinstance(given, np.ndarray):
        raise ValueError(
            f"data: {data}: {key} holds series of unequal length; accepted: equal length"
        )
    if given.dtype.kind not in "fiu" or given.ndim != 3 or 0 in given.shape:
        raise ValueError(
            f"data: {data}: {key} is {given.dtype} {given.shape}; accepted: numbers (N, C, T) "
            "with N, C, T >= 1"
        )
    x = np.array(given, dtype=np.float32, order="C")
    hole = np.isnan(x)
    if hole.any():
        if missing == "raise":
            raise ValueError(
                f"data: {data}: {key} has {int(hole.sum())} NaN; choose missing='linear' or 'zero'"
            )
        x[hole] = 0
        if missing == "linear":
            _interpolate(x, hole)
    if not np.isfinite(x).all():
        raise ValueError(f"data: {data}: {key} has infinite values; accepted: finite float32")
    return torch.from_numpy(x)


def _interpolate(x: np.ndarray, hole: np.ndarray) -> None:
    """Fills the holes of each (series, channel) from its own other values, in place."""
    time = np.arange(x.shape[-1])
    for row, gap in zip(x.reshape(-1, len(time)), hole.reshape(-1, len(time)), strict=True):
        if gap.any() and not gap.all():
            row[gap] = np.interp(time[gap], time[~gap], row[~gap])


def _labels(
    data: str, arrays: dict[str, Any], n_train: int, n_test: int
) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    y_train, y_test = (np.asarray(arrays[key]) for key in ("y_train", "y_test"))
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
    names = arrays.get("classes")
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


@dataclass(frozen=True)
class Scaling:
    """x -> (x - shift) / scale per channel, fitted on a train split and kept with the encoder.

    shift, scale: (C,) float32.
    """

    shift: Tensor
    scale: Tensor

    @classmethod
    def fit(cls, x: Tensor, kind: str = "standard", group: int = 1) -> "Scaling":
        """From x (N, C, T), over samples and time.

        Args:
            kind: "standard": mean 0 and standard deviation 1 per channel; "scale": divides by the
                root mean square and keeps the zero, so that rotations of sensor axes stay
                rotations; "none".
            group: that many neighbouring channels share one scale, 3 for the axes of a sensor.

        A constant channel keeps its scale. Raises ValueError for an unknown kind or a group that
        does not divide C.
        """
        _checks.choice("scaling", kind, SCALINGS)
        channels = x.shape[1]
        if group < 1 or channels % group:
            raise ValueError(
                f"scale_group: {group}; accepted: a divisor of the {channels} channels"
            )
        shift = torch.zeros(channels)
        if kind == "none":
            return cls(shift, torch.ones(channels))
        if kind == "standard":
            shift = x.mean((0, 2))
        power = (x - shift[:, None]).square().mean((0, 2))
        scale = power.view(-1, group).mean(1).sqrt().repeat_interleave(group)
        return cls(shift, torch.where(scale > 1e-12, scale, 1.0))

    def __call__(self, x: Tensor) -> Tensor:
        if x.dim() != 3 or x.shape[1] != len(self.shift):
            raise ValueError(
                f"x: shape {tuple(x.shape)}; accepted: (N, {len(self.shift)}, T) as in pre-training"
            )
        return (x - self.shift[:, None]) / self.scale[:, None]
