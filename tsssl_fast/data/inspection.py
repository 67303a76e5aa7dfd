"""What a file holds, before anything is filled, cut or scaled."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tsssl_fast.data import labels as label_rules
from tsssl_fast.data.reading import Reading
from tsssl_fast.data.recordings import Recordings, Split

LONG = 1000  # steps from which few series are rather recordings to cut
FEW = 16
LEAST_RATE = 4.0  # Hz from which windows of two seconds are named


@dataclass(frozen=True)
class Inspection:
    """Figures of a file by split, as far as it can be read.

    series: their number; steps: the least, the median and the greatest length; missing: the share
    of values; channels: names, or numbers where there are none; constant: those of the train split
    that do not move; labels: name -> series, or steps where there is a label per step, "" for none;
    targets: least, mean and greatest of a regression; groups: their number; notes: what reading
    chose. command: what to run next.
    """

    name: str
    series: dict[str, int]
    steps: dict[str, tuple[int, float, int]]
    missing: dict[str, float]
    channels: tuple[str, ...]
    constant: tuple[str, ...]
    rate: float | None
    labels: dict[str, dict[str, int]]
    targets: tuple[float, float, float] | None
    groups: int | None
    notes: tuple[str, ...]
    command: str


def inspection(
    data: str | Path, read: Recordings, reading: Reading, rate: float | None
) -> Inspection:
    """Figures of recordings as `data.prepared` gives them."""
    train = read.splits["train"]
    rows = [np.asarray(row) for row in train.x]
    if not rows or any(row.dtype.kind not in "fiu" or row.ndim != 2 for row in rows):
        raise ValueError(
            f"data: {data}: no series of numbers (C, T) in the train split; accepted: one or more"
        )
    if len({len(row) for row in rows}) > 1:
        raise ValueError(f"data: {data}: series of different numbers of channels; accepted: of one")
    names = read.channels or tuple(str(number) for number in range(len(rows[0])))
    lengths = {key: [np.shape(row)[-1] for row in split.x] for key, split in read.splits.items()}
    steps = {
        key: (min(found), float(np.median(found)), max(found)) for key, found in lengths.items()
    }
    missing = {key: _missing(split) for key, split in read.splits.items()}
    labels, targets = _labels(str(data), read, reading)
    groups = None if train.groups is None else len(np.unique(np.asarray(train.groups).astype(str)))
    return Inspection(
        name=read.name,
        series={key: len(split) for key, split in read.splits.items()},
        steps=steps,
        missing=missing,
        channels=names,
        constant=tuple(names[c] for c in _constant(rows)),
        rate=rate,
        labels=labels,
        targets=targets,
        groups=groups,
        notes=tuple(read.notes),
        command=_next(data, read, reading, steps, missing, rate),
    )


def _missing(split: Split) -> float:
    holes = sum(int(np.isnan(row).sum()) for row in split.x if np.asarray(row).dtype.kind == "f")
    return holes / max(1, sum(np.size(row) for row in split.x))


def _constant(rows: list[np.ndarray]) -> list[int]:
    """Channels whose range is not above the rounding of their dtype at their own size."""
    found = []
    for channel in range(len(rows[0])):
        values = [row[channel][~np.isnan(row[channel])] for row in rows]
        ends = [(part.min(), part.max()) for part in values if len(part)]
        if not ends:
            found.append(channel)
            continue
        low, high = float(min(e[0] for e in ends)), float(max(e[1] for e in ends))
        kind = rows[0].dtype
        rounding = float(np.finfo(kind).eps) if kind.kind == "f" else 0.0
        if high - low <= rounding * max(abs(low), abs(high)):
            found.append(channel)
    return found


def _labels(
    data: str, read: Recordings, reading: Reading
) -> tuple[dict[str, dict[str, int]], tuple[float, float, float] | None]:
    given: dict[str, Any] = {}
    for key, split in read.splits.items():
        if split.labels is not None:
            given[key] = np.concatenate(split.labels) if split.per_step else split.labels
    if "train" not in given:
        return {}, None
    sizes = {key: len(values) for key, values in given.items()}
    options: dict[str, Any] = {"names": read.classes, "task": reading.task, "unseen": "ignore"}
    options |= {"declared": read.regression, "no_label": reading.no_label}
    found = label_rules.resolve(data, given, sizes, **options)
    if found.regression:
        y = found.y["train"][~found.y["train"].isnan()]
        ends = (float(y.min()), float(y.mean()), float(y.max())) if len(y) else None
        return {}, ends
    counts: dict[str, dict[str, int]] = {}
    for key, y in found.y.items():
        by_class = {name: int((y == i).sum()) for i, name in enumerate(found.classes)}
        none = int((y == label_rules.NONE).sum())
        counts[key] = by_class | ({"": none} if none else {})
    return counts, None


def _next(
    data: str | Path,
    read: Recordings,
    reading: Reading,
    steps: dict[str, tuple[int, float, int]],
    missing: dict[str, float],
    rate: float | None,
) -> str:
    train = read.splits["train"]
    words = ["tsssl-fast", "pretrain", "--data", str(data), "--out", f"runs/{read.name}"]
    given = {
        name.replace("_", "-"): str(value)
        for name, value in reading.as_dict().items()
        if name != "columns" and value != getattr(Reading(), name)
    }
    longest = steps["train"][2]
    cut = train.per_step or len(train) == 1 or (len(train) < FEW and longest >= LONG)
    if cut and not reading.window:
        in_time = rate is not None and LEAST_RATE <= rate <= longest / 4
        span = "2s" if in_time else str(max(1, min(128, longest // 2)))
        given["window"] = span
    elif len({end for low, _, high in steps.values() for end in (low, high)}) > 1:
        given.setdefault("unequal", "resample")
    if any(missing.values()):
        given.setdefault("missing", "linear")
    for name, value in given.items():
        words += [f"--{name}", value]
    for role, name in reading.columns.items():
        words += ["--column", f"{role}={name}"]
    return shlex.join(words)
