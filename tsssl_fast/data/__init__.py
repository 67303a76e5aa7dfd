"""Time series from a file, a folder or by name: (N, C, T) tensors and labels.

    data = tsssl_fast.data.load("gestures.npz")
    data.x_train.shape  # (N, C, T)

| DATA                     | read as                                                             |
| ------------------------ | ------------------------------------------------------------------- |
| `.npz`, `.npy`, `.pt`    | arrays X_train (N, C, T), y_train (N,), ...; see `arrays.py`        |
| `.csv` `.tsv` `.txt`     | tables, a row per step or per series; see `table.py`, `columns.py`  |
| `.parquet`               | a table                                                             |
| `.ts`, `.arff`, `.tsf`   | the archives' text formats; see `archive.py`                        |
| a folder                 | a file per recording, or X_train.npy, y_train.npy, ...              |
| a name                   | a data set that aeon knows: shipped with it (BasicMotions), fetched |

NAME_TRAIN and NAME_TEST with the same ending belong together. `Reading` has the settings; `inspect`
says what a file holds. Choices that are made are told by the logger `tsssl_fast`, a line each.
"""

import logging
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tsssl_fast.data import labels as label_rules
from tsssl_fast.data import readers, times, windows
from tsssl_fast.data.generated import generated
from tsssl_fast.data.labels import NONE
from tsssl_fast.data.reading import MISSING, UNEQUAL, UNKEPT, Reading
from tsssl_fast.data.recordings import Recordings
from tsssl_fast.data.scaling import SCALINGS, Scaling
from tsssl_fast.data.series import series
from tsssl_fast.data.stored import Series, collected

__all__ = [
    "MISSING",
    "NONE",
    "SCALINGS",
    "UNEQUAL",
    "Dataset",
    "Reading",
    "Scaling",
    "Series",
    "collected",
    "generated",
    "load",
]

_log = logging.getLogger("tsssl_fast")


@dataclass(frozen=True)
class Dataset:
    """A train split and a test split, which may be empty.

    x_train, x_test: (N, C, T) float32, or float64 where the file has more digits; `Scaling` makes
    them float32. Tensors, or each a `Series` where `load` was asked for it. y_train, y_test: (N,)
    int64, 0-based positions in `classes`, -1 for a series without a label; or of a
    regression (N,) float64 targets, NaN for none, and `classes` is empty.
    groups: (N_train,) int64 or None: rows of one group (a subject, or a recording that was cut)
    stay on one side of a validation split.
    channel_names: of the channels, where the file names them. ids_train, ids_test: names of the
    series. lengths_train, lengths_test: (N,) int64 steps before padding, or None.
    rate: Hz, or None. regression: whether labels are targets.
    """

    name: str
    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    classes: tuple[str, ...]
    groups: Tensor | None = None
    channel_names: tuple[str, ...] = ()
    ids_train: tuple[str, ...] = ()
    ids_test: tuple[str, ...] = ()
    lengths_train: Tensor | None = None
    lengths_test: Tensor | None = None
    rate: float | None = None
    regression: bool = False

    @property
    def channels(self) -> int:
        """C."""
        return self.x_train.shape[1]

    @property
    def length(self) -> int:
        """T, in steps."""
        return self.x_train.shape[2]

    def labelled(self) -> "Dataset":
        """The series that have a label; itself where all have one.

        Raises ValueError where a split has none, or the test split has no series.
        """
        train, test = (~none_of(y) for y in (self.y_train, self.y_test))
        if len(self.x_test) == 0:
            raise ValueError(f"data: {self.name} has no test split; choose test_share=")
        for split, known in (("train", train), ("test", test)):
            if not known.any():
                raise ValueError(f"data: {self.name}: no labels in the {split} split")
        return self.only_train(train)._only("test", test)

    def only_train(self, rows: Tensor) -> "Dataset":
        """With the train series of `rows` (N_train,) bool alone."""
        return self._only("train", rows)

    def _only(self, split: str, rows: Tensor) -> "Dataset":
        if rows.all():
            return self
        kept: dict[str, Any] = {}
        for name in (f"{part}_{split}" for part in ("x", "y", "lengths")):
            values = getattr(self, name)
            kept[name] = values.take(rows) if isinstance(values, Series) else values
            if isinstance(values, Tensor):
                kept[name] = values[rows]
        ids = getattr(self, f"ids_{split}")
        pairs = zip(ids, rows.tolist(), strict=bool(ids))
        kept[f"ids_{split}"] = tuple(name for name, keep in pairs if keep)
        if split == "train" and self.groups is not None:
            kept["groups"] = self.groups[rows]
        return replace(self, **kept)


def none_of(y: Tensor) -> Tensor:
    """(N,) bool: which series have no label."""
    return torch.isnan(y) if y.is_floating_point() else y == NONE


def load(
    data: str | Path,
    *,
    labels: bool | None = True,
    reading: Reading | None = None,
    in_memory: bool = True,
    **settings: Any,
) -> Dataset:
    """Reads DATA: a file, a folder or a name that aeon knows; see the module for the forms.

    Args:
        data: path or name.
        labels: whether labels must be there and every class of the test split in the train split;
            False reads series for pre-training, with what labels there are; None looks at none, of
            whatever shape or kind, but for the classes by which `test_share` draws.
        reading: how to read; settings: fields of `Reading`, instead of its.
        in_memory: False: series of more than 64 MB are a `stored.Series`, whose rows are read when
            they are asked for: from the file, or where they were made equal in length and memory is
            short, from a temporary one. Pre-training and embeddings take them; the rest of the
            library wants tensors.

    A file without a test split has all its series in the train split, unless `test_share` asks for
    one.

    Raises:
        FileNotFoundError: no such file.
        TypeError: a setting that `Reading` lacks or of another type.
        ValueError: a file that can not be read, lacks an array or a column, has series of unequal
            length or NaN without a policy, infinite values, no labels with labels=True, or test
            labels that the train split lacks; an unknown name.
        ImportError: a library that reads DATA is not installed.
    """
    how = Reading.of({**(reading.as_dict() if reading else {}), **settings})
    if reading is not None:
        how = replace(how, **{k: getattr(reading, k) for k in UNKEPT if k not in settings})
    read, rate = prepared(data, how, labels)
    return _dataset(str(data), read, how, bool(labels), rate, in_memory)


def prepared(
    data: str | Path, reading: Reading, labels: bool | None = False
) -> tuple[Recordings, float | None]:
    """What a file holds, resampled, cut and split as it is asked for; and the sampling rate.

    labels: as of `load`.
    """
    read = readers.read(data, reading)
    if read.refused and labels is not None:
        raise ValueError(read.refused)
    if labels is None and not reading.test_share:  # which draws as for evaluation
        read = read.unlabelled()
    if reading.resample:
        read = times.resampled(read, reading.resample)
    rate, notes = windows.stated_rate(read, reading)
    read = read.with_splits(read.splits, *notes)
    if reading.window:
        read = windows.windowed(read, reading, rate)
    if reading.test_share:
        read = windows.split_off(read, reading)
    return read if labels is not None else read.unlabelled(), rate


def _dataset(
    data: str,
    read: Recordings,
    reading: Reading,
    wanted: bool,
    rate: float | None,
    in_memory: bool,
) -> Dataset:
    train, test = read.splits["train"], read.splits.get("test")
    for split in read.splits.values():
        if split.per_step and wanted:
            raise ValueError(
                f"data: {data}: series {split.ids[0]!r} has several values in column 'label', one "
                "per step; choose window= (such as 2s) to cut it"
            )
    x_train, x_test, padded, padded_test = _series(data, read, reading, in_memory)
    given = {
        key: split.labels
        for key, split in read.splits.items()
        if split.labels is not None and not split.per_step
    }
    if wanted and "train" not in given:
        lacking = "no array " + ", ".join(f"y_{key}" for key in read.splits if key not in given)
        if readers.is_table(data):
            lacking = "no column of them; accepted: columns={'label': 'NAME'}"
        raise ValueError(f"data: {data}: no labels, {lacking}")
    sizes = {"train": len(x_train), "test": len(x_test)}
    found = label_rules.Labels({key: torch.full((n,), NONE) for key, n in sizes.items()}, (), False)
    if given:
        found = label_rules.resolve(
            data,
            given,
            sizes,
            names=read.classes,
            task=reading.task,
            declared=read.regression,
            no_label=reading.no_label,
            unseen="raise" if wanted else "ignore",
        )
    if wanted and bool(none_of(found.y["train"]).all()):
        raise ValueError(f"data: {data}: no labels, y_train has NaN or markers of none alone")
    for note in (*read.notes, *found.notes):
        _tell(note)
    groups = None
    if train.groups is not None:
        groups = torch.as_tensor(_codes(train.groups), dtype=torch.int64)
    return Dataset(
        *(read.name, x_train, found.y["train"], x_test, found.y["test"], found.classes, groups),
        channel_names=read.channels,
        ids_train=train.ids,
        ids_test=() if test is None else test.ids,
        lengths_train=padded,
        lengths_test=padded_test,
        rate=rate,
        regression=found.regression,
    )


def _series(data: str, read: Recordings, reading: Reading, in_memory: bool) -> Any:
    """Train and test series of one (C, T) and dtype, and the lengths of padded ones."""
    how = (reading.missing, reading.unequal)
    train, test = read.splits["train"], read.splits.get("test")
    x_train: Any
    x_test: Any
    x_train, padded = series(data, "X_train", train.x, *how, in_memory=in_memory)
    if test is None:
        none = torch.empty((0, *x_train.shape[1:]), dtype=x_train.dtype)
        return x_train, none, padded, None
    steps = 0 if reading.unequal in ("raise", "truncate") else x_train.shape[-1]
    x_test, padded_test = series(data, "X_test", test.x, *how, steps, in_memory)
    steps = min(x_train.shape[-1], x_test.shape[-1])
    if reading.unequal == "truncate" and {x_train.shape[-1], x_test.shape[-1]} != {steps}:
        x_train, x_test = (_held(x)[..., :steps].contiguous() for x in (x_train, x_test))
    if x_train.shape[1:] != x_test.shape[1:]:
        raise ValueError(
            f"data: {data}: X_test holds (C, T) = {tuple(x_test.shape[1:])}; accepted: "
            f"{tuple(x_train.shape[1:])} as X_train"
        )
    kind = torch.promote_types(x_train.dtype, x_test.dtype)
    return _of_dtype(x_train, kind), _of_dtype(x_test, kind), padded, padded_test


def _held(x: Tensor | Series) -> Tensor:
    return x.held() if isinstance(x, Series) else x


def _of_dtype(x: Any, kind: torch.dtype) -> Any:
    if isinstance(x, Series):
        return x if x.dtype == kind else x.changed(partial(Tensor.to, dtype=kind), kind)
    return x.to(kind)


def _codes(groups: Any) -> Any:
    return np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)


def _tell(note: str) -> None:
    if note.startswith("warning: "):
        _log.warning("data: %s", note.removeprefix("warning: "))
    else:
        _log.info("data: %s", note)
