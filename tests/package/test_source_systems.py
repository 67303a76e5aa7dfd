"""docs/source-systems.md: every call on the page runs."""

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "source-systems.md"
TEXT = PAGE.read_text()
SETUP = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)
TABLES = re.findall(r"^\| paper \|.*\n\| ---.*\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in "".join(TABLES).splitlines()
]


def test_every_row_is_whole() -> None:
    assert len(TABLES) == 3
    assert len(ROWS) > 80
    for row in ROWS:
        assert len(row) == 5, row
        assert all(row), row
        assert row[0] == "the same" or re.search(r", (19|20)\d\d$", row[0]), row[0]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1].replace(" ", "-"))
def test_the_call_runs(row: list[str]) -> None:
    assert SETUP is not None
    names: dict[str, Any] = {}
    exec(SETUP[1], names)
    call = row[2].strip("`").replace("\\|", "|")
    assert eval(call, names) is not None
