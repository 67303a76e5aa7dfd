"""Settings of reading that were made for one file, carried over to another one.

A setting fits a file by the file's form: its kind, the names of its columns, the dimensions of its
arrays. What does not fit comes back with the reason; what can not be known before the file is read,
such as the unit of its time, fits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsssl_fast.data import arrays, columns, delimited, parquet, readers, times
from tsssl_fast.data.reading import Reading


@dataclass(frozen=True)
class Form:
    """kind: "table", "arrays" or "other". header: of a table. dimensions: of the series' array, 0:
    unknown. test: whether there is a test split."""

    kind: str = "other"
    header: tuple[str, ...] = ()
    dimensions: int = 0
    test: bool = False


def carried_over(
    data: str | Path,
    kept: Mapping[str, Any],
    channels: Sequence[str] = (),
    *,
    same: bool = False,
    whole: bool = False,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Which of the settings that were kept are those of DATA, and why the others are not.

    Args:
        data: as of `load`.
        kept: fields of `Reading`.
        channels: of training; those of a table with all of these columns.
        same: whether they were kept of these data: all fit. whole: no test split is wanted.

    Returns:
        Fields of `Reading` and, for those that are left out, field -> reason. A role of `columns`
        is left out as `columns ROLE`.
    """
    try:
        form = _form(Path(data))
    except (ValueError, OSError, ImportError):
        form = Form()  # whoever reads it says why
    found = dict(kept)
    reasons: dict[str, str] = {}
    if not same:
        found["columns"] = _columns(form, found.get("columns", {}), reasons)
        for name in _others(form, found, whole, reasons):
            del found[name]
    if channels and form.kind == "table" and {*channels} <= {*form.header}:
        found["channels"] = tuple(channels)
    return found, reasons


def _columns(form: Form, given: Mapping[str, str], reasons: dict[str, str]) -> dict[str, str]:
    """The roles whose columns are there."""
    found = {}
    for role, name in given.items():
        names = name.split(",") if role == "values" else [name]
        lacking = [one for one in names if one not in form.header]
        if not lacking:
            found[role] = name
        elif form.kind == "table":
            reasons[f"columns {role}"] = f"no column {', '.join(lacking[:3])}"
        else:
            reasons[f"columns {role}"] = "no table"
    return found


def _others(form: Form, kept: Mapping[str, Any], whole: bool, reasons: dict[str, str]) -> list[str]:
    """The settings that are left out."""
    plain = Reading()
    roles = columns.named(Path(), form.header, kept.get("columns", {}))
    clock = roles.get("time", "")
    unit = times.named_unit(clock)
    no_table = "" if form.kind == "table" else "no table"
    why = {
        "table": no_table,
        "layout": _of_layout(form, kept.get("layout", "")),
        "time_unit": f"{clock} says its unit" if unit else no_table,
        "rate": f"it has the time {clock}" if clock else "",
        "test_share": "it has a test split" if form.test else "all are taken" if whole else "",
    }
    wrong = [n for n, text in why.items() if text and kept.get(n, None) != getattr(plain, n)]
    wrong = [name for name in wrong if name in kept]
    reasons.update({name: why[name] for name in wrong})
    return wrong


def _of_layout(form: Form, layout: str) -> str:
    if form.kind != "arrays":
        return "no array"
    fits = form.dimensions in (0, len(layout))
    return "" if fits else f"an array of {form.dimensions} dimensions"


def _form(path: Path) -> Form:
    if path.is_dir():
        return _of_folder(path)
    suffix, table = path.suffix.lower(), readers.is_table(path)
    if not table and suffix not in readers.READERS:
        return Form(test=not suffix)  # a name that aeon knows
    other = readers.pair(path)
    test = bool(other) and other["test"].is_file()
    if table:
        found = parquet.header_of(path) if suffix == ".parquet" else delimited.header_of(path)
        return Form("table", tuple(found), test=test or "split" in columns.named(path, found, {}))
    if suffix in (".npz", ".npy", ".pt"):
        shapes = arrays.shapes(path)
        name = next((n for n in ("X_train", *arrays.ALONE["X"]) if n in shapes), "")
        return Form("arrays", (), len(shapes.get(name, ())), test or "X_test" in shapes)
    return Form(test=test)


def _of_folder(folder: Path) -> Form:
    files, _ = readers.files_of(folder)
    if not files:
        return Form()
    first = next((file for file in files if file.name in readers.ARRAYS), files[0])
    found = _form(first)
    inside = {part.lower() for file in files for part in file.relative_to(folder).parts[:-1]}
    test = found.test or "test" in inside or any(file.name == "X_test.npy" for file in files)
    return Form(found.kind, found.header, found.dimensions, test)
