"""What every reader gives: series as they stand in a file, by split."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tsssl_fast.data import stored


@dataclass(frozen=True)
class Split:
    """Some series.

    x: an array (N, C, T), another sequence of that kind (`stored.Rows`) or N arrays (C, T_i) of
    numbers; labels: (N,) of any kind, or N arrays
    (T_i,), a label per step; groups: (N,) of any kind; ids: N names; seconds: N arrays (T_i,)
    float64, the time of every step.
    """

    x: Any
    labels: Any = None
    groups: Any = None
    ids: tuple[str, ...] = ()
    seconds: Sequence[np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def per_step(self) -> bool:
        """Whether there is a label per step."""
        labels = self.labels
        return labels is not None and len(labels) > 0 and np.ndim(labels[0]) > 0

    def take(self, rows: np.ndarray) -> "Split":
        """The series `rows`, in that order."""

        def of(values: Any) -> Any:
            if values is None or isinstance(values, np.ndarray):
                return None if values is None else values[rows]
            return type(values)(values[int(row)] for row in rows)

        x = of(self.x) if isinstance(self.x, list) else stored.taken(self.x, rows)
        return Split(x, *(of(part) for part in (self.labels, self.groups, self.ids, self.seconds)))


@dataclass(frozen=True)
class Recordings:
    """All series of a file.

    splits: "train" and, where the file has one, "test". channels: their names, where they have any.
    classes: names of labels that are positions. regression: whether labels are targets, where the
    file says so. notes: choices that were made, a line each. refused: why labels can not be used;
    those are left out.
    """

    name: str
    splits: dict[str, Split]
    channels: tuple[str, ...] = ()
    classes: Sequence[str] | None = None
    regression: bool | None = None
    notes: list[str] = field(default_factory=list)
    refused: str = ""

    def unlabelled(self) -> "Recordings":
        splits = {key: replace(split, labels=None) for key, split in self.splits.items()}
        return replace(self, splits=splits, classes=None, regression=None)

    def with_splits(self, splits: dict[str, Split], *notes: str) -> "Recordings":
        return replace(self, splits=splits, notes=[*self.notes, *notes])


def clock(split: Split) -> tuple[float, bool] | None:
    """The sampling rate in Hz and whether all steps of all series last the same, to 1 %.

    None without time stamps. The rate is one over the median step.
    """
    if split.seconds is None:
        return None
    steps = [np.diff(seconds) for seconds in split.seconds if len(seconds) > 1]
    if not steps:
        return None
    every = np.concatenate(steps)
    middle = float(np.median(every))
    if not middle > 0:
        return None
    return 1 / middle, bool((np.abs(every - middle) <= 0.01 * middle).all())
