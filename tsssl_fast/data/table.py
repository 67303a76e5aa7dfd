"""Series from CSV files with a row per time step.

| role   | column                                                                 | default  |
| ------ | ---------------------------------------------------------------------- | -------- |
| series | says which rows are one series                                         | `series` |
| time   | orders the rows of a series; without it they keep the file's order     | `time`   |
| label  | the class, the same in all rows of a series                            | `label`  |
| group  | rows of one group (a subject) stay on one side of a validation split   | `group`  |
| split  | `train` or `test`, in a file that holds both                           | `split`  |
| values | the channels, names with commas between; else all columns that remain  |          |

Without the column `split`, NAME_TRAIN.csv and NAME_TEST.csv belong together. A default that the
file lacks is no role; a column that is named must be there. An empty cell is a missing value.
"""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tsssl_fast.common import checks
from tsssl_fast.data.readers import both, existing

ROLES = ("series", "time", "label", "group", "split", "values")


def read_csv(path: Path, columns: Mapping[str, str]) -> dict[str, Any]:
    """Arrays by split; X a list of series (C, T)."""
    for role in columns:
        checks.choice("columns: role", role, ROLES)
    header, rows = _rows(existing(path))
    roles = _roles(path, header, columns)
    if "split" not in roles:
        arrays: dict[str, Any] = {}
        for split, file in both(path).items():
            header, rows = _rows(file)
            _split(file, split, rows, header, _roles(file, header, columns), arrays)
        return arrays
    arrays = {}
    place = header.index(roles["split"])
    for name in {row[place] for row in rows} - {"train", "test"}:
        raise ValueError(f"data: {path}: split {name!r}; accepted: train, test")
    for split in ("train", "test"):
        _split(path, split, [r for r in rows if r[place] == split], header, roles, arrays)
    return arrays


def _rows(path: Path) -> tuple[list[str], list[list[str]]]:
    # Not by pandas: it fills a short row with missing values, takes the first column of rows that
    # are one cell too long for an index and renames repeated columns, each without a word.
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = list(csv.reader(file))
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"data: {path}: not a CSV file ({error})") from error
    if len(lines) < 2:
        raise ValueError(f"data: {path}: no rows; accepted: a header and a row per time step")
    repeated = [name for name in dict.fromkeys(lines[0]) if lines[0].count(name) > 1]
    if repeated:
        raise ValueError(f"data: {path}: several columns {repeated[0]!r}; accepted: one of a name")
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(lines[0]):
            raise ValueError(
                f"data: {path}: line {number} has {len(line)} cells; accepted: {len(lines[0])}, as "
                "the header"
            )
    return lines[0], lines[1:]


def _roles(path: Path, header: list[str], columns: Mapping[str, str]) -> dict[str, str]:
    named = {role: name for role, name in columns.items() if role != "values"}
    wanted = [*named.values(), *filter(None, columns.get("values", "").split(","))]
    for name in wanted:
        if name not in header:
            raise ValueError(f"data: {path}: no column {name!r}; accepted: {', '.join(header)}")
    free = set(header) - set(wanted)
    defaults = {role: role for role in ROLES[:-1] if role not in named and role in free}
    roles = defaults | named
    if columns.get("values"):
        roles["values"] = columns["values"]
    if "series" not in roles:
        raise ValueError(
            f"data: {path}: no column 'series'; name the one that tells series apart by "
            "columns={'series': NAME}"
        )
    return roles


def _split(
    path: Path,
    split: str,
    rows: list[list[str]],
    header: list[str],
    roles: Mapping[str, str],
    arrays: dict[str, Any],
) -> None:
    """Adds X, y and groups of one split; series in the order of their first rows."""
    values = [name for name in roles.get("values", "").split(",") if name]
    values = values or [name for name in header if name not in roles.values()]
    if not rows or not values:
        raise ValueError(f"data: {path}: no {'rows' if not rows else 'channels'} for {split}")
    by_series: dict[str, list[list[str]]] = {}
    for row in rows:
        by_series.setdefault(row[header.index(roles["series"])], []).append(row)
    found: dict[str, list[Any]] = {"X": [], "y": [], "subject": []}
    for name, lines in by_series.items():
        if "time" in roles:
            times = _numbers(path, lines, header, [roles["time"]])[0]
            lines = [lines[i] for i in np.argsort(times, kind="stable")]
        found["X"].append(_numbers(path, lines, header, values))
        for role, key in (("label", "y"), ("group", "subject")):
            if role in roles:
                cells = {line[header.index(roles[role])] for line in lines}
                if len(cells) > 1:
                    raise ValueError(
                        f"data: {path}: series {name!r} has several values in column "
                        f"{roles[role]!r}: {', '.join(sorted(cells)[:3])}"
                    )
                found[key].append(cells.pop())
    arrays[f"X_{split}"] = found["X"]
    for key in ("y", "subject"):
        if found[key]:
            arrays[f"{key}_{split}"] = np.array(found[key])


def _numbers(path: Path, lines: list[list[str]], header: list[str], names: list[str]) -> np.ndarray:
    """(columns, rows) float64, NaN for empty cells."""
    places = [header.index(name) for name in names]
    try:
        return np.array([[float(line[p] or "nan") for line in lines] for p in places])
    except ValueError as error:
        raise ValueError(
            f"data: {path}: {error} in columns {', '.join(names)}; accepted: numbers, or name the "
            "channels by columns={'values': 'A,B'}"
        ) from error
