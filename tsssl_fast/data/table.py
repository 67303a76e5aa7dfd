"""Tables as text (Parquet: `parquet.py`) -> series; `columns.py` says which column is what.

A table has a row per step ("long") or a row per series ("wide"). It is wide where it has no header
and one row, or its first column holds whole numbers of which most occur repeatedly, as the UCR
archive has them; or where more than half of its columns are named by a common beginning and a
counting number, eight or more of them (`t0, t1, ...`, or several channels `x_0, x_1, ..., y_0,
...`), and none is named as a series or a time. Everything else is long; `table` says otherwise.

A long table without a column for the series is one recording, or one for each group. Without the
column `split`, NAME_TRAIN and NAME_TEST with the same ending belong together.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tsssl_fast.data import channels as channels_of
from tsssl_fast.data import columns as roles_of
from tsssl_fast.data import delimited, stored, times
from tsssl_fast.data.cells import Table, listed
from tsssl_fast.data.labels import MARKERS
from tsssl_fast.data.reading import UNITS, Reading
from tsssl_fast.data.recordings import Recordings, Split

UNNAMED = "Unnamed: 0"  # an index that pandas read as a column and wrote again
LEAST_STEPS = 8  # columns of a channel that count up, for a table to be wide
TEXT_ROLES = ("series", "label", "group", "split")
_COUNTED = re.compile(r"(.*?)[_\- ]?(\d+)")


def read_text(path: Path, reading: Reading) -> Recordings:
    """`.csv`, `.tsv` and `.txt`."""
    text = delimited.open_text(path)
    header = list(text.header) or [str(number) for number in range(text.width)]
    header[0] = header[0] if header[0] != UNNAMED else ""
    unnamed = [at for at, name in enumerate(header) if not name]
    names = [name or f"\0{at}" for at, name in enumerate(header)]
    roles = roles_of.named(path, [n for n in names if n[0] != "\0"], reading.columns)
    as_text = [roles[role] for role in TEXT_ROLES if role in roles]
    cells = delimited.read(text, names, as_text)
    table = Table(path, cells, names, roles, reading, text.decimal, text.line)
    table.notes += text.notes
    for at in unnamed:
        empty = bool(cells[names[at]].isna().all())
        if at and not empty:
            raise ValueError(
                f"data: {path}: column {at + 1} has no name; accepted: only the first, an index"
            )
        table.notes.append(
            "the last column is empty and left out"
            if at and empty
            else "the column without a name is an index and no channel"
        )
    table.header = [name for name in names if name[0] != "\0"]
    return recordings(table, bool(text.header))


def recordings(table: Table, has_header: bool) -> Recordings:
    """The series of a table whose columns have been named."""
    form = table.reading.table
    if form == "auto":
        form = "wide" if _is_wide(table, has_header) else "long"
        if form == "wide":
            table.notes.append("a row per series (table='long' says otherwise)")
        elif not has_header:
            table.notes.append("no header: a row per step (table='wide' says otherwise)")
    read = _wide(table, has_header) if form == "wide" else _long(table)
    return replace(read, notes=[*table.notes, *read.notes])


def _is_wide(table: Table, has_header: bool) -> bool:
    if not has_header:
        first = table.numbers(table.header[0])
        if first is None or len(table.header) < 3:
            return False
        if len(first) == 1:  # a series of one step is none
            return True
        known = first[np.isfinite(first)]
        return bool(
            len(known) and (known % 1 == 0).all() and len(np.unique(known)) <= len(known) / 2
        )
    if "series" in table.roles and table.cells[table.roles["series"]].duplicated().any():
        return False
    if "time" in table.roles or "values" in table.roles:
        return False
    counted = [len(steps) for steps in _counting(table.header).values()]
    return sum(counted) > len(table.header) / 2 and max(counted, default=0) >= LEAST_STEPS


def _may_be_label(table: Table) -> bool:
    """Whether the first column of a table without a header is no step of the series."""
    name = table.header[0]
    if name in table.roles.get("values", "").split(","):
        return False
    if table.reading.task == "regression":
        return True
    try:
        values = table.numbers(name)
    except ValueError:  # numbers and words
        return True
    if values is None or (values[np.isfinite(values)] % 1 == 0).all():
        return True
    table.notes.append("no header, and fractions in the first column: no labels")
    return False


def _counting(header: Sequence[str]) -> dict[str, list[str]]:
    """Channel -> its columns in order, of columns whose names count up without a gap."""
    found: dict[str, list[tuple[int, str]]] = {}
    for name in header:
        match = _COUNTED.fullmatch(name)
        if match:
            found.setdefault(match[1], []).append((int(match[2]), name))
    steps = {prefix: sorted(columns) for prefix, columns in found.items()}
    return {
        prefix: [name for _, name in columns]
        for prefix, columns in steps.items()
        if [n for n, _ in columns] == list(range(columns[0][0], columns[0][0] + len(columns)))
    }


def _wide(table: Table, has_header: bool) -> Recordings:
    roles = dict(table.roles)
    if not has_header and "label" not in roles and _may_be_label(table):
        roles["label"] = table.header[0]
        table.notes.append("no header: the first column is the label")
    table.roles = roles
    free = [name for name in table.header if name not in roles.values()]
    if roles.get("values"):
        free = [name for name in roles["values"].split(",") if name]
    channels = _counting(free) if has_header else {}
    channels = {prefix: names for prefix, names in channels.items() if len(names) > 1}
    if len({len(names) for names in channels.values()}) != 1:
        channels = {"": free}
    left = [name for name in free if not any(name in names for names in channels.values())]
    if left:
        table.notes.append(f"left out: {listed(left)}")
    steps = len(next(iter(channels.values())))
    x = stored.allocated((len(table.cells), len(channels), steps))
    for place, names in enumerate(channels.values()):
        for step, name in enumerate(names):
            x[:, place, step] = table.taken(name)
    ends = np.isnan(x).all(1)[:, ::-1].argmin(1)  # steps without any value at the end
    ends[np.isnan(x).all((1, 2))] = 0
    rows: Any = x
    if ends.any():
        rows = [series[:, : series.shape[1] - end] for series, end in zip(x, ends, strict=True)]
        table.notes.append(
            f"{int((ends > 0).sum())} series end in missing values: they are that much shorter"
        )
    ids = tuple(table.text("series")) if "series" in roles else tuple(map(str, range(len(x))))
    labels = _labels(table.text("label")) if "label" in roles else None
    groups = table.text("group") if "group" in roles else None
    split = table.text("split") if "split" in roles else None
    shown = tuple(prefix.strip("_- ") for prefix in channels) if len(channels) > 1 else ()
    return _by_split(table, Split(rows, labels, groups, ids), split, shown)


def _long(table: Table) -> Recordings:
    path, roles, cells = table.path, table.roles, table.cells
    if "split" in roles:
        _check_split(path, table.text("split"))
    keyed = roles.get("series") or roles.get("group")
    codes = np.zeros(len(cells), np.int64)
    ids: list[str] = [path.stem]
    if keyed:
        role = "series" if "series" in roles else "group"
        codes, ids = roles_of.factorized(table.text(role))
        if "" in ids:
            row = int((codes == ids.index("")).argmax())
            raise ValueError(
                f"data: {path}: column {keyed!r} is empty in line {table.line(row)}; accepted: "
                "a name in each row"
            )
    seconds = _seconds(table) if "time" in roles else None
    order = roles_of.order_of(codes, seconds)
    if seconds is not None and not isinstance(order, slice):
        table.notes += roles_of.disorder(codes, seconds, roles["time"])
    codes = codes[order]
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    runs = roles_of.Runs(starts, np.append(starts[1:], len(codes)))
    names = channels_of.chosen(table, order, runs)
    if seconds is None and "time" in roles:  # recognised by its values, which rise already
        seconds = _seconds(table)
    values = _matrix(table, names, order)
    parts = list(zip(runs.starts, runs.ends, strict=True))
    stamps = None if seconds is None else [seconds[order][a:b] for a, b in parts]
    if stamps is not None:
        again = sum(int((np.diff(part) == 0).sum()) for part in stamps)
        if again:
            table.notes.append(f"{again} rows have the time stamp of the row before")
    constant: dict[str, Any] = {}
    for role in ("label", "group", "split"):
        if role in table.roles:
            constant[role] = _per_series(table, role, order, parts, ids)
    split = Split(
        [values[:, a:b] for a, b in parts],
        _labels(constant.get("label")),
        constant.get("group"),
        tuple(ids),
        stamps,
    )
    return _by_split(table, split, constant.get("split"), tuple(names))


def _seconds(table: Table) -> np.ndarray:
    name = table.roles["time"]
    column = table.cells[name]
    values = times.whole(column)
    if values is None:
        try:
            values = table.numbers(name)
        except ValueError:  # dates, of which some look like numbers
            values = None
    if values is not None:
        if np.isnan(values).any():
            raise ValueError(
                f"data: {table.path}: column {name!r} is empty in line "
                f"{table.line(int(np.isnan(values).argmax()))}; accepted: a time in each row"
            )
        unit, why = times.unit_of(name, values, table.reading.time_unit)
        table.notes.append(f"time: {name} in {unit} ({why})")
        return times.since_first(values) * UNITS[unit]
    others = [n for n in table.header if n not in table.roles.values() and n.casefold() == "date"]
    if others and times.is_of_day(column):
        column = table.cells[others[0]].astype(str).str.strip() + " " + column.astype(str)
        table.header.remove(others[0])
        name = f"{others[0]} and {name}"
    found, how = times.dates(table.path, column, name, table.line)
    table.notes.append(f"time: {name}, {how}")
    return found


def _per_series(
    table: Table,
    role: str,
    order: roles_of.Order,
    parts: Sequence[tuple[int, int]],
    ids: Sequence[str],
) -> Any:
    """(N,) cells, constant within every series; labels may be arrays, one cell per step."""
    cells = table.text(role)[order]
    varying = [i for i, (a, b) in enumerate(parts) if (cells[a:b] != cells[a]).any()]
    if not varying:
        return cells[[a for a, _ in parts]]
    if role == "label":
        return [cells[a:b] for a, b in parts]
    a, b = parts[varying[0]]
    raise ValueError(
        f"data: {table.path}: series {ids[varying[0]]!r} has several values in column "
        f"{table.roles[role]!r}: {', '.join(sorted(set(cells[a:b]))[:3])}; accepted: one"
    )


def _by_split(
    table: Table, series: Split, split: np.ndarray | None, channels: tuple[str, ...]
) -> Recordings:
    if split is None:
        return Recordings(table.path.stem, {"train": series}, channels)
    _check_split(table.path, split)
    splits = {}
    for name in ("train", "test"):
        rows = np.flatnonzero(split == name)
        if len(rows):
            splits[name] = series.take(rows)
    if "train" not in splits:
        raise ValueError(f"data: {table.path}: no rows for train; accepted: one or more")
    return Recordings(table.path.stem, splits, channels)


def _check_split(path: Path, split: np.ndarray) -> None:
    for name in sorted(set(split) - {"train", "test"}):
        raise ValueError(f"data: {path}: split {name!r}; accepted: train, test")


def _matrix(table: Table, names: Sequence[str], order: roles_of.Order) -> np.ndarray:
    """(columns, rows) float64; the columns are taken out of the table."""
    values = stored.allocated((len(names), len(table.cells)))
    for place, name in enumerate(names):
        values[place] = table.taken(name)[order]
    return values


def _labels(labels: Any) -> Any:
    """None where no series has one."""
    if labels is None or isinstance(labels, list):
        return labels
    return None if set(labels) <= MARKERS else labels
