"""How a file is read: settings that a checkpoint keeps and later commands apply."""

import math
import re
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from tsssl_fast.common.settings import Declared, setting

MISSING = ("raise", "linear", "forward_backward", "zero")
UNEQUAL = ("raise", "resample", "pad", "truncate")
LAYOUTS = ("auto", "NCT", "NTC", "NT", "CT", "TC")
TABLES = ("auto", "long", "wide")
TASKS = ("auto", "classification", "regression")
UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_SPAN = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(s|ms|min)?")


@dataclass(frozen=True, kw_only=True)
class Reading(Declared):
    """Settings of `load`.

    missing: what to do with NaN, within one series and channel, by `preprocess.fill_missing`:
        "raise"; "linear" interpolates along time, the ends repeat the nearest value;
        "forward_backward" repeats the last value, at the head the first; "zero". A channel without
        any value becomes 0.
    unequal: with series of unequal length: "raise"; "resample" stretches all to the longest train
        series, linearly; "pad" repeats the last value up to it; "truncate" cuts to the shortest of
        both splits.
    columns: of a table, role -> name; see `columns.py`. table: "long", a row per step, or "wide", a
        row per series. time_unit: of a time that is a number.
    layout: what the dimensions of an array are: "NCT" (the default of three), "NTC", "NT"
        (univariate series), "CT" or "TC" (one recording).
    window, stride: "128" steps or "2.56s", cuts recordings. Without a stride, windows do not
        overlap. label_share: of labels per step, the least share of a window's majority label;
        a window below it is left out.
    resample: Hz; the time stamps' own steps are replaced by equal ones, linearly, gaps stay
        missing. rate: Hz, of what has no time stamps.
    test_share: share of the series that becomes the test split, stratified by class, groups (and
        recordings) whole; split_seed draws it.
    task: whether labels are classes or targets; "auto": targets where the file says so, or where
        they are numbers with fractions of which most occur once.
    no_label: what means "no label", names with commas between; "auto": see `labels.py`.
    download: whether aeon may fetch a data set by its name.
    channels: those of training, in their order. A table with a row per step and all of these
        columns has these channels, whatever the rules of `columns.py` make of them in this file.

    Raises ValueError for a value that is not accepted, naming it.
    """

    missing: str = setting("raise", "What to do with NaN.", choices=lambda: MISSING)
    unequal: str = setting("raise", "With series of unequal length.", choices=lambda: UNEQUAL)
    table: str = setting("auto", "A row per step or per series.", choices=lambda: TABLES)
    layout: str = setting("auto", "An array's dimensions.", choices=lambda: LAYOUTS, shown="NCT")
    window: str = setting("", "Cut recordings: 128 or 2.5s.", shown="none")
    stride: str = setting("", "From window to window: 64 or 1s.", shown="the window")
    label_share: float = setting(0.5, "Least share of a window's majority label.", least=0, most=1)
    resample: float = setting(0.0, "To so many Hz, by time stamps.", least=0, shown="no")
    rate: float = setting(0.0, "Hz, where no time stamps are.", least=0, shown="none")
    time_unit: str = setting("auto", "Of times that are numbers.", choices=lambda: ("auto", *UNITS))
    test_share: float = setting(0.0, "Split off for testing.", least=0, most=0.95, shown="none")
    split_seed: int = setting(0, "Of that split.", least=0, most=2**31 - 1)
    task: str = setting("auto", "What labels are.", choices=lambda: TASKS)
    no_label: str = setting("auto", "Labels that mean none: NAME,NAME.")
    download: bool = setting(False, "aeon may fetch a data set.")
    columns: dict[str, str] = field(
        default_factory=dict, metadata=setting({}, "Of a table: ROLE=NAME.").metadata
    )
    channels: tuple[str, ...] = field(default=(), metadata=setting(()).metadata)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("window", "stride"):
            if getattr(self, name):
                _span(name, getattr(self, name))
        if self.stride and not self.window:
            raise ValueError(f"stride: {self.stride}; accepted: with a window")

    def steps(self, name: str, rate: float | None) -> int:
        """`window` or `stride` in steps of series at `rate` Hz.

        Raises ValueError for a time without a rate, or less than one step.
        """
        text = getattr(self, name) or self.window
        number, unit = _span(name, text)
        if not unit:
            return int(number)
        if rate is None:
            raise ValueError(f"{name}: {text}, and no time stamps; accepted: steps, or rate=HZ")
        steps = round(number * {"s": 1, "ms": 1e-3, "min": 60}[unit] * rate)
        if steps < 1:
            raise ValueError(f"{name}: {text}; accepted: a step of 1/{rate:g} s or more")
        return steps

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint; whether to download is none of its business, and channels
        it keeps with the data."""
        return {name: value for name, value in asdict(self).items() if name not in UNKEPT}


UNKEPT = ("download", "channels")
NAMES = tuple(f.name for f in fields(Reading) if f.name != "channels")


def _span(name: str, text: str) -> tuple[float, str]:
    found = _SPAN.fullmatch(text.strip())
    number = float(found[1]) if found else 0.0
    unit = (found[2] or "") if found else ""
    if not number > 0 or not math.isfinite(number) or (not unit and number != int(number)):
        raise ValueError(f"{name}: {text!r}; accepted: steps such as 128, or a time such as 2.5s")
    return number, unit
