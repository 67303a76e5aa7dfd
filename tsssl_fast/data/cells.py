"""A table on its way from a file to series."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tsssl_fast.data import delimited
from tsssl_fast.data.reading import Reading


@dataclass
class Table:
    """A table on its way: cells, the role of every column, and what is to be told."""

    path: Path
    cells: Any
    header: list[str]
    roles: dict[str, str]
    reading: Reading
    decimal: str = "."
    line: Callable[[int], int] = lambda row: row + 1
    notes: list[str] = field(default_factory=list)

    def numbers(self, name: str) -> Any:
        return delimited.numbers(self.path, self.cells[name], name, self.line, self.decimal)

    def text(self, role: str) -> np.ndarray:
        """The cells of a role as text without spaces around, "" for what is missing.

        One object for all cells that are equal.
        """
        import pandas as pd

        codes, values = pd.factorize(self.cells[self.roles[role]])
        texts = np.array([*(_text(value) for value in values), ""], object)
        return texts[codes]

    def taken(self, name: str) -> np.ndarray:
        """A column of numbers, whose cells are not needed any more."""
        values = self.numbers(name)
        if values is None:
            raise ValueError(
                f"data: {self.path}: could not convert string to float: column {name!r}; "
                "accepted: numbers, or name the channels by columns={'values': 'A,B'}"
            )
        infinite = np.flatnonzero(np.isinf(values))
        if len(infinite):
            raise ValueError(
                f"data: {self.path}: column {name!r} is infinite in line "
                f"{self.line(int(infinite[0]))}; accepted: finite numbers"
            )
        self.cells.pop(name)
        found: np.ndarray = values
        return found


def listed(names: Sequence[str], shown: int = 12) -> str:
    """The first names, and how many there are more."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
