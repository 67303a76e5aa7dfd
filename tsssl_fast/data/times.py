"""Time stamps: their unit, and series on equal steps."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tsssl_fast.data import stored
from tsssl_fast.data.reading import UNITS
from tsssl_fast.data.recordings import Recordings, Split, clock

# Seconds since 1970, and in smaller units: 2001 to 2286.
EPOCHS = {"s": (1e9, 1e10), "ms": (1e12, 1e13), "us": (1e15, 1e16), "ns": (1e18, 1e19)}
GAP = 3.0  # median steps between two stamps; what lies in a longer pause is missing
DAY = 86400.0
_OF_DAY = r"\d{1,2}:\d\d(:\d\d([.,]\d+)?)?(\s*[AaPp]\.?[Mm]\.?)?"
NAMED = {"seconds": "s", "milliseconds": "ms"}


def unit_of(name: str, values: np.ndarray, given: str) -> tuple[str, str]:
    """The unit of a time that is a number, and where it was taken from."""
    if given != "auto":
        return given, "as given"
    if unit := named_unit(name):
        return unit, "by its name"
    size = float(np.nanmax(np.abs(values))) if len(values) else 0.0
    for unit, (low_end, high_end) in EPOCHS.items():
        if low_end <= size < high_end:
            return unit, "since 1970, by its size"
    return "s", "assumed; time_unit= says otherwise"


def named_unit(name: str) -> str:
    """The unit that the name of a time says; "" for none."""
    low = name.casefold()
    if low in NAMED:
        return NAMED[low]
    for separator in ("_", " ", "[", "("):
        ending = low.rpartition(separator)[2].rstrip("])")
        if separator in low and ending in UNITS:
            return ending
    return ""


def whole(column: Any) -> np.ndarray | None:
    """A column of whole numbers as it stands, above 2^53 too, as nanoseconds are; else None."""
    import pandas as pd

    if not pd.api.types.is_integer_dtype(column.dtype) or column.hasnans:
        return None
    values: np.ndarray = column.to_numpy()
    return values


def since_first(values: np.ndarray) -> np.ndarray:
    """float64, from the least: whole numbers are subtracted before they are rounded."""
    apart = values - values.min()
    if values.dtype.kind == "i":
        apart = apart.view(f"u{values.dtype.itemsize}")  # where int64 wraps around
    found: np.ndarray = apart.astype(np.float64)
    return found


def look_like_dates(column: Any) -> bool:
    """Whether the first cells that are not empty hold dates or times of day, and no numbers."""
    import pandas as pd

    cells = column.dropna().astype(str).str.strip()
    cells = cells[cells != ""].head(5)
    if pd.to_numeric(cells, errors="coerce").notna().any():
        return False
    with warnings.catch_warnings():  # pandas warns where it guesses a format
        warnings.simplefilter("ignore")
        stamps = pd.to_datetime(cells, errors="coerce", format="mixed", utc=True)
    return bool(len(cells) and stamps.notna().all())


def is_of_day(column: Any) -> bool:
    """Whether all cells are a time without a day."""
    return bool(column.astype(str).str.strip().str.fullmatch(_OF_DAY).all())


def dates(path: Path, column: Any, name: str, line: Callable[[int], int]) -> tuple[np.ndarray, str]:
    """Seconds of a column of dates, from the earliest, and how they were read; line: of a row.

    ISO 8601, or another form of which the column as a whole reads one way only. Times of day count
    on past midnight. Raises ValueError otherwise.
    """
    import pandas as pd

    how = "ISO dates"
    if not pd.api.types.is_datetime64_any_dtype(column.dtype):
        cells = column.astype(str).str.strip()
        stamps = pd.to_datetime(cells, errors="coerce", format="ISO8601", utc=True)
        if stamps.isna().any():
            both = [
                pd.to_datetime(cells, errors="coerce", format="mixed", dayfirst=first, utc=True)
                for first in _orders(cells)
            ]
            kept = [stamps for stamps in both if not stamps.isna().any()]
            if not kept:
                row = int(np.flatnonzero(both[0].isna() & both[-1].isna())[:1].sum())
                raise ValueError(
                    f"data: {path}: column {name!r} holds {cells.iloc[row]!r} in line {line(row)}; "
                    "accepted: a number or a date such as 2024-01-31 12:00:00.5 for the time"
                )
            if len(kept) == 2 and not (kept[0] == kept[1]).all():
                raise ValueError(
                    f"data: {path}: column {name!r} holds {cells.iloc[0]!r} in line {line(0)}, "
                    "which is two dates; accepted: ISO 8601, such as 2024-01-31 12:00:00"
                )
            stamps, how = kept[0], "dates that are not ISO"
            if is_of_day(cells):
                how = "times of day"
        column = stamps
    stamps = column.dt.tz_localize(None) if column.dt.tz is not None else column
    try:
        ticks = stamps.astype("datetime64[ns]").to_numpy().astype(np.int64)
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"data: {path}: column {name!r}: {error}; accepted: dates from 1678 to 2261"
        ) from error
    found: np.ndarray = (ticks - ticks.min()) / 1e9
    if how == "times of day":
        found = np.unwrap(found, period=DAY)
    return found, how


def _orders(cells: Any) -> tuple[bool, ...]:
    """Whether the day stands first: both, or what numbers above 12 in one of the places leave."""
    fields = cells.str.extract(r"^(\d{1,2})[./-](\d{1,2})[./-]").astype(float)
    if fields.isna().any(axis=None):
        return False, True
    months = fields.max() <= 12
    return tuple(first for first in (False, True) if months[int(first)]) or (False, True)


def resampled(read: Recordings, hertz: float) -> Recordings:
    """Every series on steps of 1 / hertz seconds from its first stamp, linearly between stamps.

    Labels per step are those of the nearest stamp. Steps inside a pause of more than three median
    steps are NaN. Raises ValueError without time stamps, and for more steps than memory holds.
    """
    splits: dict[str, Split] = {}
    pauses = 0
    for key, split in read.splits.items():
        if split.seconds is None:
            raise ValueError(
                f"resample: {hertz:g} Hz, and {read.name} has no time stamps; accepted: with a "
                "time column"
            )
        _check_steps(read, split, hertz)
        rows, labels, seconds = [], [], []
        median = _median(split.seconds)
        for index, stamps in enumerate(split.seconds):
            grid = stamps[0] + np.arange(int((stamps[-1] - stamps[0]) * hertz + 1e-6) + 1) / hertz
            after = np.searchsorted(stamps, grid, side="left").clip(1, len(stamps) - 1)
            if len(stamps) == 1:
                after = np.zeros(len(grid), int)
            before = np.maximum(after - 1, 0)
            hole = (stamps[after] - stamps[before] > GAP * median) & ~np.isin(grid, stamps)
            pauses += int((np.diff(stamps) > GAP * median).sum())
            x = np.asarray(split.x[index], np.float64)
            y = np.stack([_linear(grid, stamps, channel) for channel in x])
            y[:, hole] = np.nan
            rows.append(y)
            seconds.append(grid)
            if split.per_step:
                nearest = np.where(grid - stamps[before] <= stamps[after] - grid, before, after)
                labels.append(np.asarray(split.labels[index])[nearest])
        per_step = labels if split.per_step else split.labels
        splits[key] = Split(rows, per_step, split.groups, split.ids, seconds)
    note = f"resampled to {hertz:g} Hz; {pauses} pauses are missing values"
    return read.with_splits(splits, note)


def _check_steps(read: Recordings, split: Split, hertz: float) -> None:
    """A stamp far from the others, such as 0 among those since 1970, makes any number of steps."""
    spans = [float(stamps[-1] - stamps[0]) for stamps in split.seconds or ()]
    held = 8.0 * hertz * sum(spans) * (len(split.x[0]) + 2)
    if held > stored.memory() / 2:
        raise ValueError(
            f"resample: {hertz:g} Hz, and a series of {read.name} lasts {max(spans):.3g} s, which "
            f"is {held / 1e9:.3g} GB; accepted: fewer Hz, or time stamps without a stray one"
        )


def _linear(grid: np.ndarray, stamps: np.ndarray, channel: np.ndarray) -> np.ndarray:
    """Between two stamps of which one is missing, missing: np.interp hands NaN on."""
    values: np.ndarray = np.interp(grid, stamps, channel)
    return values


def _median(seconds: Sequence[np.ndarray]) -> float:
    found = clock(Split([], seconds=seconds))
    return 1 / found[0] if found else np.inf
