"""Which reader a path or name is for; pairs of files and folders of recordings."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tsssl_fast.data import archive, arrays, parquet, table
from tsssl_fast.data.reading import Reading
from tsssl_fast.data.recordings import Recordings, Split
from tsssl_fast.data.stored import Parts

TABLES: Mapping[str, Callable[[Path, Reading], Recordings]] = {
    ".csv": table.read_text,
    ".tsv": table.read_text,
    ".txt": table.read_text,
    ".parquet": parquet.read_parquet,
}
OTHERS: Mapping[str, Callable[[Path, Reading], Recordings]] = {
    ".npz": arrays.read_npz,
    ".npy": arrays.read_npy,
    ".pt": arrays.read_pt,
    ".ts": lambda path, _: archive.read_ts(path),
    ".arff": lambda path, _: archive.read_arff(path),
    ".tsf": lambda path, _: archive.read_tsf(path),
}
READERS = {**TABLES, **OTHERS}
SPLITS = ("train", "test")
ARRAYS = ("X_train.npy", "X.npy")  # what makes a folder one of arrays
Part = tuple[Path, Split, str]  # a file, what it holds, the folders that it stands in
ACCEPTED = (
    f"a {', '.join(list(READERS)[:-1])} or {list(READERS)[-1]} file, a folder of them or the name "
    "of a data set that aeon knows"
)


def read(data: str | Path, reading: Reading) -> Recordings:
    """DATA as it stands. Raises as `tsssl_fast.data.load`."""
    path = Path(data)
    suffix = path.suffix.lower()
    if reading.columns and not is_table(path) and not path.is_dir():
        raise ValueError(f"columns: {data} has none; accepted: with a table ({', '.join(TABLES)})")
    if path.is_dir():
        return _folder(path, reading)
    if suffix in READERS or is_table(path):
        return _file(path, reading)
    if suffix or path.exists() or len(path.parts) != 1:
        if not path.exists():
            raise FileNotFoundError(f"data: {path}: no such file; accepted: {ACCEPTED}")
        raise ValueError(f"data: {path}: not a format that is read; accepted: {ACCEPTED}")
    return _by_name(str(data), reading)


def files_of(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files of a folder that are read, in order of their names, and `.txt` files beside others,
    which say something of these."""
    files = sorted(
        p
        for p in folder.rglob("*")
        if p.suffix.lower() in READERS and p.is_file() and not _hidden(p.relative_to(folder))
    )
    others = [p for p in files if p.suffix.lower() != ".txt"]
    return (others or files), ([p for p in files if p not in others] if others else [])


def is_table(data: str | Path) -> bool:
    """Whether DATA is one, or a folder of them: then `columns` say what is in it.

    A file without an ending is text, as those of the UCR archive of 2015.
    """
    path = Path(data)
    if path.is_dir():
        return any(is_table(file) for file in files_of(path)[0][:1])
    return path.suffix.lower() in TABLES or (not path.suffix and path.is_file())


def existing(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"data: {path}: no such file")
    return path


def _file(path: Path, reading: Reading) -> Recordings:
    """One file, or NAME_TRAIN and NAME_TEST of the same ending; the latter may be missing."""
    reader = READERS.get(path.suffix.lower(), table.read_text)
    other = pair(path)
    if not other:
        return reader(existing(path), reading)
    name = path.stem.rpartition("_")[0]
    first = reader(existing(other["train"]), reading)
    if "test" in first.splits:
        return first
    if not other["test"].is_file():
        note = f"{other['test'].name} is not there: no test split"
        return replace(first, name=name, notes=[*first.notes, note])
    second = reader(other["test"], reading)
    if second.channels != first.channels:
        how = _by_flag(path, first.channels, second.channels)
        raise ValueError(
            f"data: {other['test']}: channels {_list(second.channels)}; accepted: "
            f"{_list(first.channels)}, as {other['train'].name}{how}"
        )
    notes = [*first.notes, *(note for note in second.notes if note not in first.notes)]
    splits = {"train": first.splits["train"], "test": second.splits["train"]}
    refused = first.refused or second.refused
    return replace(first, name=name, splits=splits, notes=notes, refused=refused)


def pair(path: Path) -> dict[str, Path]:
    """Split -> the files NAME_TRAIN and NAME_TEST of which `path` is one; empty for other names."""
    name, _, ending = path.stem.rpartition("_")
    if not name or ending.lower() not in SPLITS:
        return {}
    return {s: path.with_name(f"{name}_{_like(ending, s)}{path.suffix}") for s in SPLITS}


def _like(word: str, split: str) -> str:
    """`split` in the case of `word`."""
    return split.upper() if word.isupper() else split


def _folder(folder: Path, reading: Reading) -> Recordings:
    """A file per recording, in order of their names; or arrays X_train.npy, y_train.npy, ...

    Files in folders `train` and `test` are of that split. What other folders they stand in names
    their label, or their group where files themselves have labels: those without any have none.
    NAME_TRAIN and NAME_TEST alone are read as outside of a folder.
    """
    files, aside = files_of(folder)
    if not files:
        raise ValueError(f"data: {folder}: no files that are read; accepted: {ACCEPTED}")
    if any(p.name in ARRAYS for p in files):
        named = {p.stem: arrays.load_array(p) for p in files if p.suffix.lower() == ".npy"}
        return arrays.series_of(folder, named, reading)
    if {*files} == {*pair(files[0]).values()}:
        return replace(_file(files[0], reading), name=folder.name)
    suffixes = sorted({p.suffix.lower() for p in files})
    if len(suffixes) > 1:
        raise ValueError(f"data: {folder}: files of {', '.join(suffixes)}; accepted: one ending")
    parts: dict[str, list[Part]] = {}
    first: Recordings | None = None
    notes = [f"left out: {_list(tuple(p.name for p in aside))}, beside {suffixes[0]}"] * bool(aside)
    refused = ""
    for file in files:
        found = READERS[file.suffix.lower()](file, reading)
        first = first or found
        refused = refused or found.refused
        if found.channels != first.channels:
            how = _by_flag(file, first.channels, found.channels)
            raise ValueError(
                f"data: {file}: channels {_list(found.channels)}; accepted: "
                f"{_list(first.channels)}, as {files[0].name}{how}"
            )
        notes += [note for note in found.notes if note not in notes]
        above = file.relative_to(folder).parts[:-1]
        split = next((part.lower() for part in above if part.lower() in SPLITS), "train")
        inside = "/".join(part for part in above if part.lower() not in SPLITS)
        for key, series in found.splits.items():
            parts.setdefault(split if key == "train" else key, []).append((file, series, inside))
    assert first is not None
    if "train" not in parts:
        raise ValueError(f"data: {folder}: no recordings for train; accepted: one or more")
    every = [part for found_parts in parts.values() for part in found_parts]
    folders_are = ""
    if any(inside for _, _, inside in every):
        labelled = any(series.labels is not None for _, series, _ in every)
        folders_are = "group" if labelled else "label"
        notes.append(f"{folders_are}: the folder of each file")
    notes.append(f"{len(files)} files with {len(every)} recordings")
    channels = first.channels
    if suffixes[0] in TABLES and not reading.columns.get("values"):
        grouped = folders_are == "group" or any(s.groups is not None for _, s, _ in every)
        channels = _without_identifiers(parts, channels, grouped, notes, reading.channels)
    per_step = any(series.per_step for _, series, _ in every)
    splits = {
        key: _joined(found_parts, folders_are, per_step) for key, found_parts in parts.items()
    }
    return replace(
        first, name=folder.name, channels=channels, splits=splits, notes=notes, refused=refused
    )


def _without_identifiers(
    parts: dict[str, list[Part]],
    channels: tuple[str, ...],
    grouped: bool,
    notes: list[str],
    known: tuple[str, ...],
) -> tuple[str, ...]:
    """Takes out what `columns.py` calls an identifier where a file holds one series: a whole number
    that is constant within every recording, and not in all of them. Returns the channels left.

    grouped: whether recordings have a group; where they have none, the first one is it, but for a
    number that says no more than the folder, which is the label. known: channels of training, which
    stay.
    """
    every = [x for found in parts.values() for _, series, _ in found for x in series.x]
    folders = [name for found in parts.values() for _, series, name in found for _ in series.x]
    free = [c for c, name in enumerate(channels) if name not in known]
    out = [c for c in free if _is_identifier([x[c] for x in every])]
    if not out or len(out) == len(channels):
        return channels
    grouped = grouped or _says_the_same([x[out[0], 0] for x in every], folders)
    if not grouped:
        notes.append(f"group: {channels[out[0]]}, a whole number constant within every file")
    left = ", ".join(channels[c] for c in (out if grouped else out[1:]))
    if left:
        notes.append(f"left out: {left} (constant within every file)")
    for key, found in parts.items():
        for place, (file, series, inside) in enumerate(found):
            groups = series.groups if grouped else [int(x[out[0], 0]) for x in series.x]
            rows = [np.delete(x, out, axis=0) for x in series.x]
            parts[key][place] = file, replace(series, x=rows, groups=groups), inside
    kept = tuple(name for c, name in enumerate(channels) if c not in out)
    notes.append(f"channels of all files: {_list(kept)}")
    return kept


def _says_the_same(values: list[Any], folders: list[str]) -> bool:
    """Whether every value stands in one folder, and every folder has one value."""
    pairs = {(float(v), folder) for v, folder in zip(values, folders, strict=True)}
    return any(folders) and len(pairs) == len({v for v, _ in pairs}) == len({f for _, f in pairs})


def _is_identifier(rows: list[np.ndarray]) -> bool:
    first = [float(row[0]) for row in rows]
    return (
        len({*first}) > 1
        and all(value.is_integer() for value in first)
        and all(len(row) > 1 and (row == row[0]).all() for row in rows)
    )


def _hidden(path: Path) -> bool:
    """Whether a name or a folder begins with a dot: what systems leave beside the files."""
    return any(part.startswith(".") for part in path.parts)


def _joined(parts: list[Part], folders_are: str, per_step: bool) -> Split:
    rows: Any = []
    labels: list[Any] = []
    groups: list[Any] = []
    seconds: list[np.ndarray] = []
    ids: list[str] = []
    labelled = any(series.labels is not None for _, series, _ in parts)
    every = [series.x for _, series, _ in parts]
    whole = all(isinstance(x, np.ndarray) and x.ndim == 3 for x in every)
    if whole and len({(x.shape[1:], x.dtype) for x in every}) == 1:
        rows = Parts(every)
    else:
        rows = [row for x in every for row in x]
    for file, series, inside in parts:
        stem = "/".join((*filter(None, [inside]), file.stem))
        ids += [stem] if len(series) == 1 else [f"{stem}/{name}" for name in series.ids]
        if folders_are == "label":
            labels += [inside] * len(series)
        elif labelled:
            labels += _labels(series, per_step)
        own = series.groups if series.groups is not None else None
        fallback = inside if folders_are == "group" else stem
        groups += list(own) if own is not None else [fallback] * len(series)
        if series.seconds is not None:
            seconds += list(series.seconds)
    return Split(
        rows,
        (labels if per_step else np.array(labels, object)) if labels else None,
        np.array([str(group) for group in groups], object),
        tuple(ids),
        seconds if len(seconds) == len(rows) else None,
    )


def _labels(series: Split, per_step: bool) -> list[Any]:
    """A label of each series, or of each of its steps; "" where the file has none."""
    own = [""] * len(series) if series.labels is None else list(series.labels)
    if not per_step or series.per_step:
        return own
    return [np.full(np.shape(x)[1], label, object) for x, label in zip(series.x, own, strict=True)]


def _by_name(name: str, reading: Reading) -> Recordings:
    try:
        import aeon.datasets as from_aeon
        from aeon.datasets import tsc_datasets, tser_datasets
    except ImportError as error:
        raise ImportError(
            "data: this form is read by aeon; install it by: pip install 'tsssl_fast[train]'"
        ) from error
    targets = name in {*tser_datasets.tser_soton, *tser_datasets.tser_monash}
    known = {*tsc_datasets.univariate, *tsc_datasets.multivariate}
    if name == "BasicMotions":
        load: Any = from_aeon.load_basic_motions
    elif name not in known and not targets:
        raise ValueError(f"data: {name!r}: no file and no data set; accepted: {ACCEPTED}")
    else:
        if not reading.download and not _is_there(from_aeon, name):
            raise ValueError(
                f"data: {name!r}: aeon would download it; accepted: download=True, or a local file"
            )
        method = from_aeon.load_regression if targets else from_aeon.load_classification

        def load(split: str) -> Any:
            return method(name, split=split)

    splits = {}
    for split in SPLITS:
        try:
            x, y = load(split=split)
        except Exception as error:  # a download, an archive and a parser can each fail in their way
            raise ValueError(
                f"data: {name!r}: aeon could not load it ({type(error).__name__}: {error})"
            ) from error
        splits[split] = Split(x, np.asarray(y), ids=tuple(str(i) for i in range(len(x))))
    return Recordings(name, splits, regression=targets)


def _is_there(from_aeon: Any, name: str) -> bool:
    """Whether aeon has the files of a data set, shipped or fetched before."""
    shipped = Path(from_aeon.__file__).parent
    fetched = Path(os.environ.get("AEON_DATA", "~/aeon_data")).expanduser()
    places = (shipped / "data", shipped / "local_data", fetched)
    return any((place / name / f"{name}_TRAIN.ts").is_file() for place in places)


def _by_flag(file: Path, channels: tuple[str, ...], others: tuple[str, ...]) -> str:
    """What makes the channels of a table, `others`, those of another one."""
    if not is_table(file):
        return ""
    if not channels or not others:
        return ", or all of one form by table='wide' (a row per series) or 'long' (a row per step)"
    return f", or those that both have by columns={{'values': '{','.join(channels)}'}}"


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "without names"
