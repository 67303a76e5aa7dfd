"""Recordings -> windows of equal length, and a test split that no recording is on both sides of."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tsssl_fast.data.labels import empty
from tsssl_fast.data.reading import Reading
from tsssl_fast.data.recordings import Recordings, Split, clock
from tsssl_fast.data.stored import Windows


def windowed(read: Recordings, reading: Reading, rate: float | None) -> Recordings:
    """Every recording cut into windows of `reading.window` steps, `reading.stride` apart.

    A window's label is the one that most of its steps have (steps without a label count as one
    kind); it is left out where that share is below `reading.label_share`. Its group is that of its
    recording, or the recording itself. What is left over at the end of a recording, and recordings
    shorter than a window, is left out and told.

    Raises ValueError where no window remains.
    """
    size, stride = reading.steps("window", rate), reading.steps("stride", rate)
    splits: dict[str, Split] = {}
    notes = []
    for key, split in read.splits.items():
        found, note = _cut(split, size, stride, reading)
        if not len(found):
            raise ValueError(f"window: {size} steps; {key} split: {note}; accepted: a shorter one")
        splits[key] = found
        notes.append(f"{key} split: {note}")
    return read.with_splits(splits, *notes)


def _cut(split: Split, size: int, stride: int, reading: Reading) -> tuple[Split, str]:
    """The windows, which are no copies of the recordings, and what is to be told."""
    if len({len(x) for x in split.x}) > 1:
        raise ValueError("window: recordings of different numbers of channels; accepted: of one")
    labels, groups, ids = [], [], []
    places: list[tuple[int, int]] = []
    short = vague = 0
    shares = []
    for index in range(len(split)):
        steps = np.shape(split.x[index])[1]
        name = split.ids[index] if split.ids else str(index)
        group = name if split.groups is None else split.groups[index]
        given = None if split.labels is None else split.labels[index]
        majority = (
            _majorities(np.asarray(given), size, reading.no_label) if split.per_step else None
        )
        short += steps < size
        for start in range(0, steps - size + 1, stride):
            label = given
            if majority is not None:
                label, share = majority(start)
                if share < reading.label_share:
                    vague += 1
                    continue
                shares.append(share)
            places.append((index, start))
            labels.append(label)
            groups.append(str(group))
            ids.append(f"{name}@{start}")
    note = f"{len(places)} windows of {size} steps, {stride} apart, of {len(split)} recordings"
    note += f"; {short} shorter ones left out" if short else ""
    note += f"; {vague} left out below label_share {reading.label_share:g}" if vague else ""
    note += f"; the majority label has {np.mean(shares):.0%} on average" if shares else ""
    cut = Split(
        Windows(split.x, np.array(places, np.int64), size) if places else [],
        None if split.labels is None else _array(labels),
        np.array(groups, object),
        tuple(ids),
    )
    return cut, note


def _majorities(labels: np.ndarray, size: int, no_label: str) -> Callable[[int], tuple[Any, float]]:
    """start -> the most frequent label of `size` steps, of equally frequent ones the first in the
    window, None for none; and its share."""
    # Whether -1 is none, all recordings say together: `labels.resolve`.
    none = np.zeros(len(labels), bool)
    if labels.dtype.kind in "fUO":
        none = empty(labels, no_label, declared=True)
    values = [None if lost else value for value, lost in zip(labels.tolist(), none, strict=True)]
    codes = {value: code for code, value in enumerate(dict.fromkeys(values))}
    kinds, steps = list(codes), np.array([codes[value] for value in values])

    def majority(start: int) -> tuple[Any, float]:
        inside = steps[start : start + size]
        counts = np.bincount(inside)
        best = inside[(counts == counts.max())[inside].argmax()]
        return kinds[best], int(counts[best]) / size

    return majority


def _array(labels: list[Any]) -> np.ndarray:
    """Of their own kind where it is one; numbers with holes as float64 with NaN."""
    if any(isinstance(label, str) for label in labels):
        return np.array(["" if label is None else label for label in labels], object)
    if any(label is None for label in labels):
        return np.array([np.nan if label is None else label for label in labels], np.float64)
    return np.array(labels)


def split_off(read: Recordings, reading: Reading) -> Recordings:
    """A test split of `reading.test_share` of the series, drawn by `reading.split_seed`.

    By class where there are classes with two series or more; groups whole, so that the share is met
    as nearly as they allow. Raises ValueError where there is a test split, or too little for two.
    """
    if "test" in read.splits:
        raise ValueError(
            f"test_share: {reading.test_share:g}; {read.name} has a test split; accepted: 0"
        )
    train = read.splits["train"]
    n = len(train)
    classes = _classes(train, reading)
    if train.groups is None:
        test = _by_class(classes, n, reading)
        how = "stratified" if len(set(classes)) > 1 else "drawn"
    else:
        groups = np.unique(np.asarray(train.groups).astype(str), return_inverse=True)[1]
        test = _by_group(classes, groups, reading)
        how = f"{len(set(groups[test]))} of {groups.max() + 1} groups whole"
    if not 0 < len(test) < n:
        raise ValueError(
            f"test_share: {reading.test_share:g} of {n} series; accepted: a share that leaves some "
            "on both sides, of two groups or more"
        )
    rest = np.setdiff1d(np.arange(n), test)
    note = f"test split: {len(test)} of {n} series ({len(test) / n:.0%}), {how}"
    return read.with_splits({"train": train.take(rest), "test": train.take(test)}, note)


def _classes(split: Split, reading: Reading) -> np.ndarray:
    """(N,) whole numbers to stratify by; one for all where labels are targets or rare."""
    n = len(split)
    if split.labels is None or split.per_step:
        return np.zeros(n, np.int64)
    labels = np.asarray(split.labels)
    none = empty(labels, reading.no_label)
    values, found = np.unique(np.where(none, "", labels.astype(str)), return_inverse=True)
    codes: np.ndarray = found.reshape(-1) if len(values) <= n / 2 else np.zeros(n, np.int64)
    return codes


def _by_class(classes: np.ndarray, n: int, reading: Reading) -> np.ndarray:
    draw = np.random.default_rng(reading.split_seed)
    parts = []
    for value in np.unique(classes):
        rows = draw.permutation(np.flatnonzero(classes == value))
        count = round(reading.test_share * len(rows))
        parts.append(rows[: min(max(count, len(rows) > 1), max(len(rows) - 1, 0))])
    return np.sort(np.concatenate(parts))


def _by_group(classes: np.ndarray, groups: np.ndarray, reading: Reading) -> np.ndarray:
    """Groups one after another, each time the one that brings the test split's counts of the
    classes nearest to their share; ties by the draw."""
    draw = np.random.default_rng(reading.split_seed)
    k = classes.max() + 1
    counts = np.zeros((groups.max() + 1, k))
    np.add.at(counts, (groups, classes), 1)
    target = reading.test_share * counts.sum(0)
    order = draw.permutation(len(counts))
    have, taken = np.zeros(k), np.zeros(len(counts), bool)
    while not taken.all():
        free = order[~taken[order]]
        after = np.abs(have + counts[free] - target).sum(1)
        best = free[int(after.argmin())]
        if taken.any() and after.min() >= np.abs(have - target).sum():
            break
        taken[best] = True
        have += counts[best]
    return np.flatnonzero(taken[groups])


def stated_rate(read: Recordings, reading: Reading) -> tuple[float | None, list[str]]:
    """Hz of the recordings, and what is to be told of their time stamps."""
    found = [clock(split) for split in read.splits.values()]
    known = [rate for rate in found if rate is not None]
    if not known:
        return (reading.rate or None), []
    rate, even = known[0][0], all(even for _, even in known)
    if reading.rate and abs(reading.rate - rate) > 0.01 * rate:
        return reading.rate, [f"rate: {reading.rate:g} Hz as given; time stamps say {rate:g} Hz"]
    notes = [f"sampling rate: {rate:g} Hz"]
    if not even:
        notes = [
            f"sampling rate: {rate:g} Hz by the median step, but steps are unequal; resample="
            f"{rate:g} makes them equal"
        ]
    return rate, notes
