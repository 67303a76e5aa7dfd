"""What a frozen encoder says of each series, in a file: a row per series, with its id.

| file       | holds                                                                              |
| ---------- | ---------------------------------------------------------------------------------- |
| `.npz`     | features (N, D) float32; id, split and, where there are labels, label: (N,) text,  |
|            | or numbers where labels are targets                                                |
| `.csv`     | columns id, split, label, then a column for each feature, f0, f1, ...              |
| `.parquet` | the same columns; written by pyarrow                                               |
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tsssl_fast import evaluate
from tsssl_fast.data import Dataset, Scaling
from tsssl_fast.data.stored import unless_small

__all__ = ["Embeddings", "check_embeddings_file", "embed"]

FILES = (".npz", ".csv", ".parquet")


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Rows of both splits, those of the train split first.

    features: (N, D) float32. id: (N,) names of the series, or their places in the split. split:
    (N,) "train" or "test". label: (N,) names of classes, "" for none, or targets, NaN for none;
    None where the data have no labels.
    """

    features: np.ndarray
    id: np.ndarray
    split: np.ndarray
    label: np.ndarray | None

    def write(self, path: str | Path) -> None:
        """Writes the file in one step; an existing one is replaced.

        Raises ValueError for another ending than those of the module's table; ImportError where
        what writes it is not installed.
        """
        path = check_embeddings_file(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{os.getpid()}.{path.name}")
        try:
            self._write(temporary)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _write(self, path: Path) -> None:
        columns: dict[str, Any] = {"id": self.id, "split": self.split}
        if self.label is not None:
            columns["label"] = self.label
        if path.suffix == ".npz":
            np.savez(path, features=self.features, **columns)
            return
        import pandas

        features = pandas.DataFrame(
            self.features, columns=[f"f{i}" for i in range(self.features.shape[1])]
        )
        table = pandas.concat([pandas.DataFrame(columns), features], axis=1)
        if path.suffix == ".csv":
            table.to_csv(path, index=False)
        else:
            table.to_parquet(path, index=False, engine="pyarrow")


def check_embeddings_file(path: str | Path) -> Path:
    """Before anything is computed. Raises as `Embeddings.write`."""
    path = Path(path)
    if path.suffix not in FILES:
        raise ValueError(f"out: {path}; accepted: a name that ends in {', '.join(FILES)}")
    needed = {".npz": (), ".csv": ("pandas",), ".parquet": ("pandas", "pyarrow")}[path.suffix]
    for library in needed:
        try:
            __import__(library)
        except ImportError as error:
            raise ImportError(
                f"out: {path.suffix} is written by {library}; install it by: pip install {library}"
            ) from error
    return path


def embed(
    encoder: nn.Module, scaling: Scaling, data: Dataset, pooling: str = "final"
) -> Embeddings:
    """Features of all series of `data`, scaled by `scaling`.

    pooling: of `evaluate.features`. Series of unequal length have the features that they have
    alone, with encoders that take lengths.
    """
    parts: list[tuple[Any, Any, str, Any]] = []
    for split in ("train", "test"):
        x, y = getattr(data, f"x_{split}"), getattr(data, f"y_{split}")
        if len(x) == 0:
            continue
        lengths = getattr(data, f"lengths_{split}", None)
        z = evaluate.features(encoder, scaling(unless_small(x)), pooling=pooling, lengths=lengths)
        ids = getattr(data, f"ids_{split}", ()) or [str(i) for i in range(len(x))]
        parts.append((z.numpy(), np.array(ids), split, _labels(data, y)))
    features, ids, splits, labels = zip(*parts, strict=True)
    return Embeddings(
        np.concatenate(features),
        np.concatenate(ids),
        np.repeat(splits, [len(z) for z in features]),
        None if labels[0] is None else np.concatenate(labels),
    )


def _labels(data: Dataset, y: torch.Tensor) -> np.ndarray | None:
    if data.classes:
        return np.array([*data.classes, ""])[y.numpy()]
    return y.numpy() if y.is_floating_point() else None
