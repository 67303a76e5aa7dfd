"""Which column of a table is what.

| role   | column                                                          | also recognised   |
| ------ | --------------------------------------------------------------- | ----------------- |
| series | says which rows are one series                                  | recording, id ... |
| time   | orders the rows of a series, and gives the sampling rate        | timestamp, t ...  |
| label  | the class: the same in all rows of a series, or one per step    | class, target ... |
| group  | rows of one group stay on one side of a split                   | subject, user ... |
| split  | `train` or `test`, in a file that holds both                    |                   |
| values | the channels, names with commas between; else all that remains  |                   |

`columns={role: name}` names others, and a column that is named must be there. Names are compared
without regard to case. Of what remains, in a table with a row per step:

* a column without a name, or the first called `Unnamed: 0`, is the index that a program wrote, and
  no channel;
* a column `date` beside a time of day is its day;
* a number that rises in near-equal steps within every series (of 5 rows or more) is a time, if
  another channel remains;
* a whole number that is constant within every series and not in all of them is an identifier: a
  group where there is none, otherwise left out;
* text is left out where it is constant within every series and labels are known, else refused.

Where the channels of training are known (`Reading.channels`) and a table has all of them, they are
its channels whatever they hold here; other numbers and text are left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tsssl_fast.common import checks

ROLES = ("series", "time", "label", "group", "split", "values")
KNOWN: Mapping[str, Sequence[str]] = {
    "series": ("series", "series_id", "recording", "recording_id", "case_id", "case", "id"),
    "time": (
        *("time", "timestamp", "time_s", "time_ms", "time_us", "time_ns", "t", "datetime"),
        *("date", "seconds", "milliseconds"),
    ),
    "label": ("label", "class", "activity", "target", "class_label"),
    "group": ("group", "subject", "subject_id", "user", "user_id", "participant", "person"),
    "split": ("split",),
}
LEAST_ROWS = 5  # of a series in which a rising number may be told from chance
Order = np.ndarray | slice
NEAR = 1.5  # the longest step over the shortest


@dataclass(frozen=True)
class Runs:
    """Rows of a table in order of their series: where each one starts and ends."""

    starts: np.ndarray
    ends: np.ndarray


def named(path: Path, header: Sequence[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Role -> column, by `columns` and by the names that are known; no "values" but given ones.

    Raises ValueError for an unknown role, a column that is not there, or one of the values that is
    named twice.
    """
    for role in columns:
        checks.choice("columns: role", role, ROLES)
    given = {role: name for role, name in columns.items() if role != "values"}
    channels = [*filter(None, columns.get("values", "").split(","))]
    wanted = [*given.values(), *channels]
    for name in wanted:
        if name not in header:
            raise ValueError(f"data: {path}: no column {name!r}; accepted: {', '.join(header)}")
    for name in channels:
        if channels.count(name) > 1 or name in given.values():
            raise ValueError(f"columns: {name!r} is named twice; accepted: once, with the values")
    free = {name.casefold(): name for name in reversed(header) if name not in wanted}
    found: dict[str, str] = {}
    for role, known in KNOWN.items():
        match = next((free[name] for name in known if name in free), None)
        if role not in given and match is not None:
            found[role] = match
    roles = found | given
    if columns.get("values"):
        roles["values"] = columns["values"]
    return roles


def is_clock(values: np.ndarray, runs: Runs) -> bool:
    """Whether a column rises in near-equal steps within every series."""
    if not len(values) or (runs.ends - runs.starts).min() < LEAST_ROWS:
        return False
    steps = np.diff(values)
    within = np.ones(len(steps), bool)
    within[runs.starts[1:] - 1] = False
    inside = steps[within]
    return bool(inside.min() > 0 and inside.max() <= NEAR * inside.min())


def is_identifier(values: np.ndarray, runs: Runs) -> bool:
    """Whether a column holds a whole number per series, and not the same for all of them."""
    if not len(values) or len(runs.starts) < 2 or (runs.ends - runs.starts).min() < 2:
        return False
    if not np.isfinite(values).all() or (values % 1 != 0).any():
        return False
    low = np.minimum.reduceat(values, runs.starts)
    high = np.maximum.reduceat(values, runs.starts)
    return bool((low == high).all() and low.min() < low.max())


def order_of(codes: np.ndarray, seconds: np.ndarray | None) -> Order:
    """The rows by series and time; all of them as they stand where that is their order."""
    if seconds is None:
        return np.argsort(codes, kind="stable") if (np.diff(codes) < 0).any() else slice(None)
    steps = np.diff(codes)
    sorted_already = (steps >= 0).all() and (np.diff(seconds)[steps == 0] >= 0).all()
    return slice(None) if sorted_already else np.lexsort((seconds, codes))


def disorder(codes: np.ndarray, seconds: np.ndarray, name: str) -> list[str]:
    """What is told where the rows of a series do not stand in order of their time."""
    rows = np.argsort(codes, kind="stable")
    back = int(((np.diff(codes[rows]) == 0) & (np.diff(seconds[rows]) < 0)).sum())
    return [f"{back} rows are earlier than the row before: sorted by {name}"] if back else []


def factorized(cells: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Codes in order of the first appearance, and the texts."""
    import pandas as pd

    codes, values = pd.factorize(cells)
    return codes.astype(np.int64), [str(value) for value in values]
