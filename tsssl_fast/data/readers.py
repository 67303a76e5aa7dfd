"""Files and names -> X_train, y_train, X_test, y_test; X an array or a list of series (C, T)."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

ACCEPTED = "a .npz, .csv, .arff or .ts file or the name of a data set that aeon knows"


def existing(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"data: {path}: no such file")
    return path


def read_npz(path: Path) -> dict[str, Any]:
    try:
        with np.load(existing(path), allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        raise ValueError(f"data: {path}: not a complete .npz file ({error})") from error


def read_text(path: Path) -> dict[str, Any]:
    """A pair NAME_TRAIN, NAME_TEST of `.ts` or `.arff` files, by aeon."""
    arrays: dict[str, Any] = {}
    for split, file in both(path).items():
        from_aeon = _aeon()
        read_file = from_aeon.load_from_ts_file
        if path.suffix == ".arff":
            read_file = from_aeon.load_from_arff_file
        try:
            # Without labels aeon returns the array alone.
            read = read_file(str(file))
        except Exception as error:  # aeon raises whatever the first bad line leads to
            raise ValueError(
                f"data: {file}: not a complete {path.suffix} file ({type(error).__name__}: {error})"
            ) from error
        x, y = read if isinstance(read, tuple) else (read, None)
        arrays[f"X_{split}"] = x
        if y is not None and len(y) == len(x):
            arrays[f"y_{split}"] = y
    return arrays


def both(path: Path) -> dict[str, Path]:
    """The files of the two splits: NAME_TRAIN and NAME_TEST with the suffix of `path`."""
    stem = path.stem.removesuffix("_TRAIN").removesuffix("_TEST")
    if stem == path.stem:
        raise ValueError(
            f"data: {path}: accepted: NAME_TRAIN{path.suffix} with NAME_TEST{path.suffix} beside it"
        )
    return {
        split: existing(path.with_name(f"{stem}_{split.upper()}{path.suffix}"))
        for split in ("train", "test")
    }


def read_aeon(name: str) -> dict[str, Any]:
    from_aeon = _aeon()
    if name == "BasicMotions":
        read = from_aeon.load_basic_motions
    else:
        from aeon.datasets import tsc_datasets

        if name not in {*tsc_datasets.univariate, *tsc_datasets.multivariate}:
            raise ValueError(f"data: {name!r}: no file and no data set; accepted: {ACCEPTED}")

        def read(split: str) -> Any:
            return from_aeon.load_classification(name, split=split)

    arrays: dict[str, Any] = {}
    for split in ("train", "test"):
        try:
            arrays[f"X_{split}"], arrays[f"y_{split}"] = read(split=split)
        except Exception as error:  # a download, an archive and a parser can each fail in their way
            raise ValueError(
                f"data: {name!r}: aeon could not load it ({type(error).__name__}: {error})"
            ) from error
    return arrays


def _aeon() -> Any:
    try:
        import aeon.datasets
    except ImportError as error:
        raise ImportError(
            "data: this form is read by aeon; install it by: pip install 'tsssl_fast[train]'"
        ) from error
    return aeon.datasets
