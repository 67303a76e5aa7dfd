"""The archives' text formats: `.ts` and `.arff` of UEA and UCR, `.tsf` of Monash.

Read here and not by aeon, which drops signs and exponents where `.ts` has time stamps, writes class
names in lower case, repeats a lone number along a row of `.arff`, and asks for one encoding each.

Sources: the `.ts` format as aeon documents it (aeon-toolkit.org, "Loading data from file"); the
ARFF format of Weka; Godahewa et al., Monash Time Series Forecasting Archive, NeurIPS 2021.
"""

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np

from tsssl_fast.data.recordings import Recordings, Split

Line = tuple[int, str]
_PAIR = re.compile(r"\(([^(),]+),([^(),]+)\)")


def read_ts(path: Path) -> Recordings:
    """Equal or unequal lengths, with or without time stamps, classes, targets or neither."""
    lines, header = _parts(path, "#%")
    stamped = _flag(header, "timestamps")
    classes = header.get("classlabel", "false").split()
    targets = _flag(header, "targetlabel")
    labelled = targets or (classes[:1] or ["false"])[0].lower() == "true"
    rows: list[np.ndarray] = []
    labels: list[Any] = []
    seconds: list[np.ndarray] = []
    for number, line in lines:
        where = f"data: {path}: line {number}"
        if stamped:
            row, stamps, label = _stamped(where, line, labelled)
            seconds.append(stamps)
        else:
            cells = line.split(":")
            label = cells.pop().strip() if labelled else ""
            row = [_numbers(where, cell.split(",")) for cell in cells]
        if not row or len({len(channel) for channel in row}) > 1:
            raise ValueError(
                f"{where}: channels of different lengths; accepted: one length a series"
            )
        if rows and len(row) != len(rows[0]):
            raise ValueError(f"{where} has {len(row)} channels; accepted: {len(rows[0])}")
        if labelled and not targets and label not in (*classes[1:], "?", ""):
            raise ValueError(f"{where}: label {label!r}; accepted: {', '.join(classes[1:])}")
        if targets:
            label = _numbers(where, [label])[0]
        rows.append(np.stack(row))
        labels.append(label)
    split = Split(
        _stacked(rows),
        np.array(labels) if labelled else None,
        ids=_numbered(len(rows)),
        seconds=seconds if stamped else None,
    )
    return Recordings(path.stem, {"train": split}, regression=targets if labelled else None)


def _stamped(where: str, line: str, labelled: bool) -> tuple[list[Any], np.ndarray, str]:
    """Channels `(time,value),(time,value)` with colons between, and the label behind the last."""
    body, label = line, ""
    if labelled:
        body, _, label = line.rpartition(":")
        if not body.rstrip().endswith(")"):
            raise ValueError(
                f"{where}: no label behind the last ); accepted: (time,value),...:label"
            )
    row, clocks = [], []
    for channel in re.split(r"\)\s*:\s*(?=\()", body.strip()):
        text = channel if channel.endswith(")") else f"{channel})"
        pairs = _PAIR.findall(text)
        if re.sub(r"[\s,]", "", _PAIR.sub("", text)):
            raise ValueError(f"{where}: {text[:40]!r}; accepted: (time,value),(time,value)")
        clocks.append([time.strip() for time, _ in pairs])
        row.append(_numbers(where, [value for _, value in pairs]))
    if any(clock != clocks[0] for clock in clocks):
        raise ValueError(f"{where}: channels with different time stamps; accepted: the same ones")
    stamps = _stamps(where, clocks[0])
    if (np.diff(stamps) <= 0).any():
        raise ValueError(f"{where}: time stamps that do not rise; accepted: rising ones")
    return row, stamps, label.strip()


def _stamps(where: str, texts: list[str]) -> np.ndarray:
    """Numbers are seconds; or dates."""
    try:
        return np.array([float(text) for text in texts])
    except ValueError:
        try:
            dates = np.array(texts, "datetime64[ns]")
        except ValueError as error:
            raise ValueError(
                f"{where}: time stamp ({error}); accepted: numbers or dates"
            ) from error
        return (dates - dates[:1]).astype(np.int64) / 1e9


def read_arff(path: Path) -> Recordings:
    r"""A row per series; multivariate ones as one relational attribute with `\n` between channels.

    The last attribute is the label, which is a target where it is numeric.
    """
    lines, header = _parts(path, "%")
    relational = "relational" in header or lines[0][1][0] in "'\""
    rows: list[np.ndarray] = []
    labels: list[str] = []
    for number, line in lines:
        where = f"data: {path}: line {number}"
        if relational:
            quote = line[:1]
            body, found, label = line[1:].partition(f"{quote},")
            if quote not in ("'", '"') or not found:
                raise ValueError(f"{where}: accepted: '1,2\\n3,4',label")
            row = [_numbers(where, channel.split(",")) for channel in body.split("\\n")]
        else:
            cells = next(csv.reader([line], quotechar="'", skipinitialspace=True))
            label = cells.pop()
            row = [_numbers(where, cells)]
        if len({len(channel) for channel in row}) > 1:
            raise ValueError(
                f"{where}: channels of different lengths; accepted: one length a series"
            )
        if rows and np.shape(row) != rows[0].shape:
            raise ValueError(f"{where}: (C, T) = {np.shape(row)}; accepted: {rows[0].shape}")
        rows.append(np.stack(row))
        labels.append(label.strip().strip("'\""))
    split = Split(_stacked(rows), np.array(labels, object), ids=_numbered(len(rows)))
    last = header.get("attribute", "")
    targets = bool(re.search(r"\s(numeric|real|integer)\s*$", last, re.I))
    return Recordings(path.stem, {"train": split}, regression=targets)


def read_tsf(path: Path) -> Recordings:
    """Univariate series of unequal lengths, without labels."""
    lines, header = _parts(path, "#")
    rows, ids = [], []
    count = header.get("attributes", "").count("\n")
    for number, line in lines:
        where = f"data: {path}: line {number}"
        cells = line.split(":", count)
        if len(cells) != count + 1:
            raise ValueError(f"{where} has {len(cells) - 1} attributes; accepted: {count}")
        rows.append(_numbers(where, cells[-1].split(","))[None])
        ids.append(cells[0] if count else str(number))
    notes = [f"frequency: {header['frequency']}"] if "frequency" in header else []
    return Recordings(path.stem, {"train": Split(_stacked(rows), ids=tuple(ids))}, notes=notes)


def _parts(path: Path, comments: str) -> tuple[list[Line], dict[str, str]]:
    """Lines of data with their numbers; header: tag in lower case -> text behind it, of attributes
    the last one, and all of them under `attributes`."""
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    header: dict[str, str] = {}
    lines: list[Line] = []
    started = False
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line[0] in comments:
            continue
        if started:
            lines.append((number, line))
            continue
        if line[0] != "@":
            raise ValueError(f"data: {path}: line {number}: {line[:40]!r}; accepted: @tag or @data")
        tag, _, value = line[1:].partition(" ")
        tag, value = tag.split("\t")[0].lower(), value.strip()
        started = tag == "data"
        if tag == "attribute":
            header["attributes"] = header.get("attributes", "") + value + "\n"
            if re.search(r"\srelational\s*$", value, re.I):
                header["relational"] = value
        header[tag] = value
    if not lines:
        raise ValueError(
            f"data: {path}: not a complete file; accepted: series behind a line of @data"
        )
    return lines, header


def _flag(header: dict[str, str], name: str) -> bool:
    return header.get(name, "false").strip().lower() == "true"


def _numbers(where: str, cells: list[str]) -> np.ndarray:
    """float64, NaN for ? and NaN."""
    try:
        return np.array([np.nan if cell.strip() == "?" else float(cell) for cell in cells])
    except ValueError as error:
        raise ValueError(f"{where}: {error}; accepted: numbers, ? and NaN") from error


def _stacked(rows: list[np.ndarray]) -> Any:
    """(N, C, T) where all lengths are one."""
    return np.stack(rows) if len({row.shape for row in rows}) == 1 else rows


def _numbered(n: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(n))
