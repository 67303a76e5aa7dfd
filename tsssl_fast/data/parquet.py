"""Parquet files: tables of which one column is in memory at a time, read by pyarrow.

The channels themselves come into one array, in a temporary file where memory is short; see
`stored.allocated`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tsssl_fast.data import columns as roles_of
from tsssl_fast.data import stored
from tsssl_fast.data.cells import Table
from tsssl_fast.data.reading import Reading
from tsssl_fast.data.recordings import Recordings
from tsssl_fast.data.table import UNNAMED, recordings

INDEX = ("__index_level_0__", UNNAMED)  # as pandas calls an index without a name


def read_parquet(path: Path, reading: Reading) -> Recordings:
    """As a text table with the same columns."""
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ImportError(
            "data: Parquet is read by pyarrow; install it by: pip install pyarrow"
        ) from error
    with path.open("rb") as file:
        with _complete(path):
            cells = Columns(path, pq.ParquetFile(file))
            header = list(cells.header)
        if len(set(header)) < len(header) or not len(cells):
            raise ValueError(f"data: {path}: accepted: rows, and one column of a name")
        # A column of one value takes a few bytes, however many rows it has.
        if 8 * len(cells) > stored.memory():
            raise ValueError(
                f"data: {path}: unpacked a column holds {8 * len(cells) / 1e9:.3g} GB; accepted: "
                f"this machine's {stored.memory() / 1e9:.3g} GB"
            )
        notes = []
        if any(name in INDEX for name in header):
            header = _named(header)
            notes.append("the column without a name is an index and no channel")
        roles = roles_of.named(path, header, reading.columns)
        return recordings(Table(path, cells, header, roles, reading, notes=notes), True)


def header_of(path: Path) -> list[str]:
    """The names of the columns, without those of an index that has none.

    Raises ImportError without pyarrow, ValueError for what is no Parquet file.
    """
    import pyarrow.parquet as pq

    with path.open("rb") as file, _complete(path):
        return _named(pq.ParquetFile(file).schema_arrow.names)


def _named(header: list[str]) -> list[str]:
    return [name for name in header if name not in INDEX]


class Columns:
    """Columns of a file; an index with a name is one, too."""

    def __init__(self, path: Path, file: Any) -> None:
        self.path, self.file = path, file
        self.header = file.schema_arrow.names

    def __len__(self) -> int:
        rows: int = self.file.metadata.num_rows
        return rows

    def __getitem__(self, name: str) -> Any:
        """As pandas has it."""
        with _complete(self.path):
            column = self.file.read(columns=[name], use_threads=False).column(0)
            if len(column) != len(self):  # a damaged page says how many it holds
                raise ValueError(f"column {name!r} has {len(column)} of {len(self)} rows")
            return column.to_pandas()

    def pop(self, name: str) -> None:
        """Nothing is held of a column."""


@contextmanager
def _complete(path: Path) -> Iterator[None]:
    """pyarrow raises what the first bad byte leads to."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise ValueError(
            f"data: {path}: not a complete Parquet file ({type(error).__name__}: {reason}); "
            "accepted: one that pyarrow reads"
        ) from error
