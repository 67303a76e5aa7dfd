"""From seconds per process to verdicts, for `compare.py`."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# Two revisions differ by less than this for reasons that are not theirs, as code placement.
LEAST_BAR = 0.05
# Relative; far above rounding, far below another formula, strength or seed.
SAME_VALUE = 1e-3
# A run with more noise says little of what is slower; the report tells so.
MOST_NOISE = 0.15
BAD = ("SLOWER", "DIFFERENT", "FAILED", "MISSING")
Cases = Mapping[str, Mapping[str, Any]]


@dataclass
class Side:
    """What the processes of one tree said: seconds, one per process; values; errors; by key."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    values: dict[str, list[float]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def add(self, cases: Cases) -> None:
        for key, row in cases.items():
            if "error" in row:
                self.errors[key] = row["error"]
                continue
            self.seconds.setdefault(key, []).append(row["seconds"])
            self.values[key] = row["values"]

    def keys(self) -> list[str]:
        return list(dict.fromkeys([*self.seconds, *self.errors]))


@dataclass
class Row:
    """One case. noise: of two builds of one revision; bar: the ratio above which new is slower."""

    case: str
    verdict: str
    base: list[float] = field(default_factory=list)
    new: list[float] = field(default_factory=list)
    ratio: float | None = None
    noise: float | None = None
    bar: float | None = None
    note: str = ""

    @property
    def bad(self) -> bool:
        return self.verdict in BAD


def distance(a: Sequence[float], b: Sequence[float]) -> float:
    """How much slower the slower one is: 0.05 for 5 %, by medians."""
    ratio = statistics.median(a) / statistics.median(b)
    return max(ratio, 1 / ratio) - 1


def noise(first: Side, second: Side) -> dict[str, float]:
    """The distance of every case between two builds of one revision."""
    return {
        key: distance(seconds, second.seconds[key])
        for key, seconds in first.seconds.items()
        if key in second.seconds
    }


def common(noises: Mapping[str, float]) -> float:
    """What nine of ten cases stay under: a case's own noise is one draw, small by luck at times."""
    if len(noises) < 2:
        return max(noises.values(), default=0.0)
    return statistics.quantiles(noises.values(), n=10, method="inclusive")[-1]


def same(a: Sequence[float], b: Sequence[float]) -> bool:
    return len(a) == len(b) and all(
        math.isclose(x, y, rel_tol=SAME_VALUE) for x, y in zip(a, b, strict=True)
    )


def judge(base: Side, new: Side, noises: Mapping[str, float] | None) -> list[Row]:
    """A row per case of either side, in the order of new's.

    noises: of two builds of base; None: these are the two builds, and no time is judged.
    """
    run = None if noises is None else common(noises)
    keys = dict.fromkeys([*new.keys(), *base.keys()])
    return [_row(key, base, new, (noises or {}).get(key), run) for key in keys]


def _row(key: str, base: Side, new: Side, own: float | None, run: float | None) -> Row:
    errors = [f"{name}: {side.errors[key]}" for name, side in (("base", base), ("new", new))
              if key in side.errors]  # fmt: skip
    if errors:
        return Row(key, "FAILED", note="; ".join(errors))
    if key not in new.seconds:
        return Row(key, "MISSING", base=base.seconds[key], note="base alone has it")
    if key not in base.seconds:
        return Row(key, "added", new=new.seconds[key], note="new alone has it")
    row = Row(key, "same", base.seconds[key], new.seconds[key], noise=own)
    row.ratio = statistics.median(row.new) / statistics.median(row.base)
    if not same(base.values[key], new.values[key]):
        row.verdict = "DIFFERENT"
        row.note = f"mean magnitudes {base.values[key]}, new {new.values[key]}"
        return row
    if run is None:
        row.noise = distance(row.base, row.new)
        return row
    row.bar = 1 + max(LEAST_BAR, run, own or 0.0)
    if row.ratio > row.bar:
        row.verdict = "SLOWER"
    elif row.ratio < 1 / row.bar:
        row.verdict = "faster"
    return row
