"""Arrays (.npz, .npy, .pt) -> series. Nothing is unpickled; sizes are checked before memory is
taken.

Names: X_train, y_train, X_test, y_test, or X and y alone (also x, data, samples; labels); where
present `classes`, `channels`, `subject_train`. y is (N,), or (N, T) for a label per step. Arrays of
other names are left out.
"""

import os
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tsssl_fast.data import stored
from tsssl_fast.data.labels import decoded
from tsssl_fast.data.reading import Reading
from tsssl_fast.data.recordings import Recordings, Split

ALONE = {
    "X": ("X", "x", "data", "samples", "series"),
    "y": ("y", "Y", "labels", "label", "targets"),
}
LENGTHS_AT = 26  # of name and extra field in the local header of a zip member (APPNOTE.TXT, 4.3.7)
MAPPED = 1 << 24  # bytes: from here on a member that is not compressed stays in its file
KNOWN = {*(f"{n}_{s}" for n in ("X", "y", "subject") for s in ("train", "test"))}
KNOWN |= {"subject", "classes", "channels"}
LABELS = {"y_train", "y_test", "classes", *ALONE["y"]}
AXES = {"NCT": (0, 1, 2), "NTC": (0, 2, 1)}


def read_npz(path: Path, reading: Reading) -> Recordings:
    return series_of(path, _members(path), reading)


def read_npy(path: Path, reading: Reading) -> Recordings:
    """One array of series; a pair X_train.npy, X_test.npy comes as a folder."""
    return series_of(path, {"X": load_array(path)}, reading)


def load_array(path: Path) -> np.ndarray:
    """The array where it lies; of Python objects, which are not unpickled, none."""
    try:
        with path.open("rb") as file:
            if _header(file)[2].hasobject:
                return np.empty(0, object)
        mapped: np.ndarray = np.load(path, mmap_mode="c", allow_pickle=False)
    except Exception as error:  # a damaged header is parsed as Python
        raise ValueError(
            f"data: {path}: not a complete .npy file ({error}); accepted: what np.save writes"
        ) from error
    return mapped


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays of a `.npz` or `.npy` file, by their headers; of others none.

    Raises ValueError or OSError for a damaged file.
    """
    if path.suffix.lower() == ".npy":
        with path.open("rb") as file:
            return {"X_train" if path.stem == "X_train" else "X": _header(file)[0]}
    found = {}
    if path.suffix.lower() == ".npz":
        try:
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    if name.endswith(".npy"):
                        with archive.open(name) as member:
                            found[name.removesuffix(".npy")] = _header(member)[0]
        except Exception as error:  # zlib has its own errors
            raise ValueError(
                f"data: {path}: not a complete .npz file; accepted: what np.savez writes"
            ) from error
    return found


def read_pt(path: Path, reading: Reading) -> Recordings:
    """A tensor, or a dict of tensors under the names of this module."""
    import torch

    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                _check_unpacked(archive.infolist())
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises what its first bad byte leads to
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"data: {path}: not a file of tensors alone ({reason}); accepted: a tensor or a dict "
            "of tensors"
        ) from error
    content = {"X": content} if isinstance(content, torch.Tensor) else content
    arrays = {}
    if isinstance(content, Mapping):
        for name, value in content.items():
            value = value.float() if getattr(value, "dtype", None) == torch.bfloat16 else value
            arrays[str(name)] = (
                value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
            )
    return series_of(path, arrays, reading)


def series_of(path: Path, arrays: dict[str, Any], reading: Reading) -> Recordings:
    """Series, labels and groups by the names of arrays."""
    arrays, left = dict(arrays), {*arrays} - KNOWN
    for key, candidates in ALONE.items():
        known = next((name for name in candidates if name in arrays), None)
        if known is not None and f"{key}_train" not in arrays:
            arrays[f"{key}_train"] = arrays[known]
            left.discard(known)
    taken = {name: array for name, array in arrays.items() if name not in left}
    _check_kinds(path, {name: array for name, array in taken.items() if name not in LABELS})
    refused: list[str] = []
    try:
        _check_kinds(path, {name: array for name, array in taken.items() if name in LABELS})
    except ValueError as error:
        refused.append(str(error))
        arrays = {name: array for name, array in arrays.items() if name not in LABELS}
    if "X_train" not in arrays:
        have = ", ".join(sorted(arrays)[:8]) or "none"
        raise ValueError(
            f"data: {path}: no array X_train or X; it holds: {have}; accepted: one of the two"
        )
    for split in ("train", "test"):
        if f"y_{split}" in arrays and f"X_{split}" not in arrays:
            refused.append(f"data: {path}: y_{split}, and no array X_{split}; accepted: both")
    notes = [f"arrays left out: {', '.join(sorted(left)[:12])}"] if left else []
    splits = {
        split: _split(path, split, arrays, reading, notes, refused)
        for split in ("train", "test")
        if f"X_{split}" in arrays
    }
    classes, channels = (
        tuple(str(name) for name in decoded(arrays.get(key, [])).reshape(-1))
        for key in ("classes", "channels")
    )
    first = refused[0] if refused else ""
    return Recordings(path.stem, splits, channels, classes or None, notes=notes, refused=first)


def _check_kinds(path: Path, arrays: Mapping[str, Any]) -> None:
    for name, array in arrays.items():
        if getattr(array, "dtype", np.dtype(float)).kind == "O":
            raise ValueError(
                f"data: {path}: array {name} holds Python objects, which are not unpickled; "
                f"accepted: numbers or text, as {name}.astype(str) is"
            )


def _split(
    path: Path,
    split: str,
    arrays: dict[str, Any],
    reading: Reading,
    notes: list[str],
    refused: list[str],
) -> Split:
    x = _oriented(path, f"X_{split}", np.asarray(arrays[f"X_{split}"]), reading, notes)
    labels = None
    if f"y_{split}" in arrays:
        try:
            labels = _labels(path, split, arrays[f"y_{split}"], x)
        except ValueError as error:
            refused.append(str(error))
    groups = arrays.get(f"subject_{split}", arrays.get("subject" if split == "train" else ""))
    if groups is not None:
        groups = decoded(groups)
        if groups.shape != (len(x),):
            raise ValueError(
                f"data: {path}: subject_{split} has {len(groups)} rows; accepted: {len(x)}, as "
                f"X_{split}"
            )
    return Split(x, labels, groups, tuple(str(number) for number in range(len(x))))


def _labels(path: Path, split: str, given: Any, x: np.ndarray) -> Any:
    y = decoded(given)
    if y.ndim == 2 and y.shape == (len(x), 1):
        y = y[:, 0]
    if y.ndim == 1 and len(x) == 1 and y.shape == (x.shape[2],) and x.shape[2] > 1:
        y = y[None]  # a label per step of the only recording
    if y.shape not in ((len(x),), (len(x), x.shape[2])):
        raise ValueError(
            f"data: {path}: y_{split} has shape {y.shape}; accepted: ({len(x)},), or "
            f"{(len(x), x.shape[2])} for a label per step"
        )
    return list(y) if y.shape == (len(x), x.shape[2]) else y


def _oriented(
    path: Path, key: str, x: np.ndarray, reading: Reading, notes: list[str]
) -> np.ndarray:
    """(N, C, T)."""
    layout = "NCT" if reading.layout == "auto" else reading.layout
    if x.dtype.kind not in "fiu" or x.ndim != len(layout) or 0 in x.shape:
        raise ValueError(
            f"data: {path}: {key} is {x.dtype} {x.shape}; accepted: numbers (N, C, T) with N, C, "
            "T >= 1, or layout='NTC', 'NT' (univariate), 'CT' or 'TC' (one recording)"
        )
    if layout in AXES:
        x = x.transpose(AXES[layout])
    elif layout == "NT":
        x = x[:, None]
    else:
        x = (x if layout == "CT" else x.T)[None]
    if reading.layout == "auto" and x.shape[1] > x.shape[2]:
        notes.append(
            f"warning: {key} has {x.shape[1]} channels of {x.shape[2]} steps; where it is (N, T, "
            "C), say layout='NTC'"
        )
    return x


def _members(path: Path) -> dict[str, np.ndarray]:
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            _check_unpacked(infos)
            for info in infos:
                name = info.filename.removesuffix(".npy")
                with archive.open(info) as member:
                    if _check_size(member, info.file_size).hasobject:
                        arrays[name] = np.empty(0, object)
                        continue
                stays = info.compress_type == zipfile.ZIP_STORED and info.file_size > MAPPED
                with archive.open(info) as member:
                    arrays[name] = (
                        _mapped(path, info)
                        if stays
                        else np.lib.format.read_array(member, allow_pickle=False)
                    )
    except Exception as error:  # a damaged header is parsed as Python; zlib has its own errors
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise ValueError(
            f"data: {path}: not a complete .npz file ({reason}); accepted: what np.savez writes"
        ) from error
    return arrays


def _check_unpacked(infos: Sequence[zipfile.ZipInfo]) -> None:
    packed = [info for info in infos if info.compress_type != zipfile.ZIP_STORED]
    unpacked, memory = sum(info.file_size for info in packed), stored.memory()
    if unpacked > memory:
        raise ValueError(
            f"unpacked it holds {unpacked / 1e9:.3g} GB; accepted: this machine's "
            f"{memory / 1e9:.3g} GB"
        )


def _check_size(member: Any, size: int) -> Any:
    """The dtype. A header may promise more than the file has: nothing is allocated then."""
    shape, _, dtype = _header(member)
    count = 1
    for length in shape:
        count *= int(length)
    if not dtype.hasobject and count * dtype.itemsize > size:
        raise ValueError(f"an array {shape} of {dtype} in {size} bytes")
    return dtype


def _header(member: Any) -> tuple[tuple[int, ...], bool, Any]:
    """Shape, whether in Fortran's order, and dtype; the array begins behind it."""
    version = np.lib.format.read_magic(member)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise ValueError(f"array format {version}; accepted: 1.0 and 2.0")
    found: tuple[tuple[int, ...], bool, Any] = read(member)
    return found


def _mapped(path: Path, info: zipfile.ZipInfo) -> np.ndarray:
    """A member that is not compressed, where it lies in the archive."""
    with path.open("rb") as file:
        file.seek(info.header_offset + LENGTHS_AT)
        name, extra = struct.unpack("<HH", file.read(4))
        file.seek(name + extra, os.SEEK_CUR)
        shape, fortran, dtype = _header(file)
        if dtype.hasobject:
            raise ValueError("an array of objects; accepted: numbers")
        order: Any = "F" if fortran else "C"
        return np.memmap(path, dtype, "c", file.tell(), shape, order)
