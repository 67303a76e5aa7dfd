"""Text with separators -> a pandas table, and what pandas would do without a word, refused.

It fills short rows with missing values, takes a surplus cell for an index, renames repeated
columns; so the cells of every line are counted here first. Separator, decimal mark, encoding and
header are recognised from the file's first lines; blanks separate where nothing else does.
"""

import codecs
import csv
import io
import itertools
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# Those of pandas, what C libraries print for NaN, and the archives' ?.
MISSING = (
    *("", "NA", "N/A", "n/a", "#NA", "#N/A", "#N/A N/A", "<NA>", "?"),
    *("null", "NULL", "Null", "None", "none"),
    *("NaN", "nan", "NAN", "-NaN", "-nan", "nan(ind)", "-nan(ind)"),
    *("1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
)
SEPARATORS = ",;\t|"
NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
LOOKED_AT = 100  # lines
CHUNK = 1 << 23  # bytes
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|infinity)", re.I)
_COMMA_NUMBER = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
_SAID = re.compile(r'"?sep=(.)"?\s*')  # the first line of what is made for Excel


@dataclass(frozen=True)
class Text:
    """A file as it will be parsed: header is empty where the file has none; skip: lines before the
    first row of data; notes: what was recognised, where it is not the usual."""

    path: Path
    source: Any  # a path, or bytes that were decoded here
    encoding: str
    separator: str
    decimal: str
    header: list[str]
    skip: int
    width: int
    notes: tuple[str, ...]

    def line(self, row: int) -> int:
        """The number of the line that a row of data stands in; blank lines hold none."""
        left = row
        for numbers, cells in _widths(self.path, self.source, self.encoding, self.separator):
            found = numbers[(cells > 0) & (numbers > self.skip)]
            if left < len(found):
                return int(found[left])
            left -= len(found)
        return self.skip + 1 + row


def open_text(path: Path) -> Text:
    """Recognises the form of a file, and checks that every line has as many cells as the first.

    Raises ValueError naming file, line and what is accepted.
    """
    text, above = _recognised(path)
    rows = _check_widths(path, text.source, text.encoding, text.separator, above, text.width)
    if rows <= bool(text.header):
        raise ValueError(f"data: {path}: no rows; accepted: a header and rows")
    return text


def header_of(path: Path) -> list[str]:
    """The names of the columns, 0, 1, ... where the file has none; what stands below the first
    lines is not looked at. Raises ValueError for what is no table."""
    text = _recognised(path)[0]
    return text.header or [str(number) for number in range(text.width)]


def _recognised(path: Path) -> tuple[Text, int]:
    """The form of a file by its first lines, and how many lines stand above the table."""
    encoding, notes = _encoding(path)
    source: Any = path
    if encoding.startswith("utf-16"):
        try:
            source = path.read_bytes().decode("utf-16").encode()
        except UnicodeDecodeError as error:
            raise ValueError(
                f"data: {path}: neither UTF-8 nor UTF-16 ({error}); accepted: these"
            ) from error
        encoding = "utf-8"
    with _stream(source, encoding) as file:
        lines = list(itertools.islice(file, LOOKED_AT))
    if "\0" in "".join(lines):
        raise ValueError(f"data: {path}: holds zero bytes; accepted: text with separators")
    comments = sum(1 for _ in itertools.takewhile(lambda line: line.startswith("#"), lines))
    said = _SAID.fullmatch("".join(lines[:1]))
    if comments:
        notes.append(f"{comments} lines of comment at the head are left out")
    comments += said is not None
    if spaced := said is None and _is_spaced(lines[comments:]):
        source, encoding = _with_tabs(source, encoding), "utf-8"
        lines = list(itertools.islice(_stream(source, encoding), LOOKED_AT))
        notes.append("separator: blanks")
    blank = sum(1 for _ in itertools.takewhile(lambda s: not s.strip(), lines[comments:]))
    first = lines[comments + blank :]
    if not first:
        raise ValueError(f"data: {path}: no rows; accepted: a header and rows")
    try:
        separator = said[1] if said else _separator(first, path.suffix.lower())
        rows = [row for row in csv.reader(first, delimiter=separator) if row]
    except csv.Error as error:
        raise ValueError(
            f"data: {path}: not a table ({error}); accepted: text with separators"
        ) from error
    if separator != "," and path.suffix.lower() in (".csv", ".txt") and not spaced:
        notes.append(f"separator: {NAMES.get(separator, separator)}")
    decimal = _decimal(rows, separator)
    if decimal != ".":
        notes.append("decimal mark: comma")
    header = [cell.strip() for cell in rows[0]] if _is_header(rows[0], decimal) else []
    repeated = [name for name in dict.fromkeys(header) if name and header.count(name) > 1]
    if repeated:
        raise ValueError(f"data: {path}: several columns {repeated[0]!r}; accepted: one of a name")
    skip = comments + blank + (1 if header else 0)
    width = len(rows[0])
    text = Text(path, source, encoding, separator, decimal, header, skip, width, tuple(notes))
    return text, comments


def read(text: Text, names: Sequence[str], as_text: Sequence[str]) -> Any:
    """The rows as a DataFrame with columns `names`; those in `as_text` as they are written.

    Those are categories, which take little memory. Others become float64 where all their cells are
    numbers or missing, and text otherwise.
    """
    import pandas as pd

    source = io.BytesIO(text.source) if isinstance(text.source, bytes) else text.source
    missing = {name: [*MISSING] for name in names if name not in as_text}
    options: dict[str, Any] = {
        "sep": text.separator,
        "decimal": text.decimal,
        "encoding": text.encoding,
        "header": None,
        "names": list(names),
        "skiprows": text.skip,
        "index_col": False,
        "dtype": {name: "category" for name in as_text},
        "na_values": missing,
        "keep_default_na": False,
        "skipinitialspace": True,
        "float_precision": "round_trip",
        "low_memory": True,  # parses some rows at a time
    }
    try:
        with warnings.catch_warnings():
            # Text among numbers, by parts of the file: `numbers` judges the column as a whole.
            warnings.simplefilter("ignore", pd.errors.DtypeWarning)
            if isinstance(source, Path):
                with source.open("rb") as file:  # never a path: pandas would fetch one by a scheme
                    table = pd.read_csv(file, **options)
            else:
                table = pd.read_csv(source, **options)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError, OverflowError) as error:
        raise ValueError(
            f"data: {text.path}: not a table ({error}); accepted: text with separators"
        ) from error
    return table


def numbers(
    path: Path, column: Any, name: str, line: Callable[[int], int], decimal: str = "."
) -> Any:
    """A column as float64, or None where its cells are text; line: of a row.

    What pandas left as text for a space behind a number or a marker is read here.
    """
    import pandas as pd

    if pd.api.types.is_bool_dtype(column.dtype):
        return None
    if pd.api.types.is_numeric_dtype(column.dtype):
        if column.dtype == np.float64:
            return column.to_numpy()
        values = column.to_numpy(np.float64, na_value=np.nan)
        whole = column.dtype.kind in "iu"
        if whole and len(values) and int(column.abs().max()) > 2**53:
            raise ValueError(
                f"data: {path}: column {name!r} has whole numbers above 2^53; accepted: float64"
            )
        return values
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return None
    values, failed = _parsed(column, decimal)
    if not failed.any():
        return values
    if failed.mean() < 0.5:  # a number column with some cells that are none
        cell, row = text(column, decimal)
        raise ValueError(
            f"data: {path}: could not convert string to float: {cell!r} in column "
            f"{name!r}, line {line(row)}; accepted: numbers, or name the channels by "
            "columns={'values': 'A,B'}"
        )
    return None


def text(column: Any, decimal: str = ".") -> tuple[str, int]:
    """The first cell of a column that is no number, and its row."""
    row = int(_parsed(column, decimal)[1].argmax())
    return str(column.iloc[row]).strip(), row


def _parsed(column: Any, decimal: str) -> tuple[np.ndarray, np.ndarray]:
    """float64 of cells of text, NaN for none; and which are neither a number nor missing."""
    import pandas as pd

    cells = column.astype(str).str.strip()
    cells = cells.where(~(cells.isin(MISSING) | column.isna()), other="nan")
    if decimal == ",":
        cells = cells.str.replace(",", ".", regex=False)
    values = pd.to_numeric(cells, errors="coerce")
    failed = values.isna() & (cells != "nan")
    return values.to_numpy(np.float64), failed.to_numpy(bool)


def _encoding(path: Path) -> tuple[str, list[str]]:
    with path.open("rb") as file:
        head = file.read(4)
        if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return "utf-16", []
        file.seek(0)
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while chunk := file.read(CHUNK):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252", ["encoding: not UTF-8, read as Windows-1252"]
    return ("utf-8-sig" if head[:3] == codecs.BOM_UTF8 else "utf-8"), []


def _stream(source: Any, encoding: str) -> Any:
    if isinstance(source, bytes):
        return io.TextIOWrapper(io.BytesIO(source), encoding=encoding, newline="")
    return source.open(encoding=encoding, errors="replace", newline="")


def _separator(lines: list[str], suffix: str) -> str:
    """The separator that every one of the first lines has equally often, the most frequent one."""
    lines = [line for line in lines if line.strip()]
    usual = "\t" if suffix == ".tsv" else ","
    best, most = usual, 0
    for separator in (usual, *SEPARATORS):
        counts = [len(row) for row in csv.reader(lines[:20], delimiter=separator) if row]
        if counts and len(set(counts)) == 1 and counts[0] > most and counts[0] > 1:
            best, most = separator, counts[0]
    return best if most else usual


def _is_spaced(lines: list[str]) -> bool:
    """Whether blanks stand between the cells of every one of the first lines, and nothing else."""
    lines = [line for line in lines if line.strip()][:20]
    if any(mark in line for line in lines for mark in f'{SEPARATORS}"'):
        return False
    return len({len(line.split()) for line in lines}) == 1 and len(lines[0].split()) > 1


def _with_tabs(source: Any, encoding: str) -> bytes:
    """The whole file in UTF-8 with a tab between cells, line by line."""
    found = io.BytesIO()
    with _stream(source, encoding) as file:
        for line in file:
            found.write(("\t".join(line.split()) + "\n").encode())
    return found.getvalue()


def _decimal(rows: list[list[str]], separator: str) -> str:
    if separator == ",":
        return "."
    cells = [cell.strip() for row in rows[1:] for cell in row]
    comma = sum(bool(_COMMA_NUMBER.fullmatch(cell)) for cell in cells)
    point = sum("." in cell and bool(_NUMBER.fullmatch(cell)) for cell in cells)
    return "," if comma and not point else "."


def _is_header(cells: list[str], decimal: str) -> bool:
    """A line with a name in it; or 0, 1, 2 ... as pandas writes for columns without names."""
    texts = [cell.strip() for cell in cells]
    plain = [text.replace(",", ".") if decimal == "," else text for text in texts]
    if any(text not in MISSING and not _NUMBER.fullmatch(text) for text in plain):
        return True
    rest = plain[1:] if plain and not plain[0] else plain
    counted = [str(number) for number in range(len(rest))]
    return len(rest) > 1 and rest == counted


def _check_widths(
    path: Path, source: Any, encoding: str, separator: str, comments: int, width: int
) -> int:
    """Raises ValueError at the first line with another number of cells; returns lines with any."""
    lines = 0
    for numbers, cells in _widths(path, source, encoding, separator):
        told = (cells > 0) & (numbers > comments)
        wrong = np.flatnonzero(told & (cells != width))
        if len(wrong):
            raise ValueError(
                f"data: {path}: line {numbers[wrong[0]]} has {cells[wrong[0]]} cells; accepted: "
                f"{width}, as the first line"
            )
        lines += int(told.sum())
    return lines


def _widths(
    path: Path, source: Any, encoding: str, separator: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Numbers of lines and their cells, block by block; 0 cells: a blank line."""
    if isinstance(source, bytes):
        plain = np.frombuffer(source, np.uint8)
    elif source.stat().st_size:
        plain = np.memmap(source, np.uint8, "r")
    else:
        return
    quoted = any((plain[at : at + CHUNK] == ord('"')).any() for at in range(0, len(plain), CHUNK))
    if quoted:
        with _stream(source, encoding) as file:
            reader = csv.reader(file, delimiter=separator)
            try:
                counts = [(reader.line_num, len(row)) for row in reader]
            except csv.Error as error:
                raise ValueError(
                    f"data: {path}: line {reader.line_num}: {error}; accepted: text with separators"
                ) from error
        pairs = np.array(counts, np.int64).reshape(-1, 2)
        yield pairs[:, 0], pairs[:, 1]
        return
    number, start = 0, 0
    while start < len(plain):
        stop = _line_end(plain, start)
        chunk = plain[start:stop]
        ends = np.flatnonzero(chunk == 10)
        if not len(ends) or ends[-1] != len(chunk) - 1:
            ends = np.append(ends, len(chunk))
        before = np.searchsorted(np.flatnonzero(chunk == ord(separator)), ends)
        cells = np.diff(before, prepend=0) + 1
        lengths = np.diff(ends, prepend=-1) - 1
        lengths -= (lengths > 0) & (chunk[np.maximum(ends - 1, 0)] == 13)  # a carriage return
        cells[lengths == 0] = 0
        yield number + 1 + np.arange(len(cells)), cells
        number += len(cells)
        start = stop


def _line_end(plain: np.ndarray, start: int) -> int:
    """Where a chunk of whole lines ends."""
    stop = min(start + CHUNK, len(plain))
    while stop < len(plain):
        ends = np.flatnonzero(plain[start:stop] == 10)
        if len(ends):
            return start + int(ends[-1]) + 1
        stop = min(stop + CHUNK, len(plain))
    return stop
