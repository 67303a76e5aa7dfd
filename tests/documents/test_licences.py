"""docs/licences.md names every package that pyproject.toml asks for, and no other."""

import re

import pytest
from import_graph import ROOT

tomllib = pytest.importorskip("tomllib", reason="pyproject.toml is read by Python 3.11's tomllib")
ROW = re.compile(r"^\|(?P<extra>[^|]*)\|(?P<packages>[^|]+)\|(?P<licence>[^|]+)\|$", re.MULTILINE)


def test_every_dependency_has_its_licence() -> None:
    page = (ROOT / "docs/licences.md").read_text()
    table = page.split("## Dependencies")[1].split("\n## ")[0]
    rows = [row for row in ROW.finditer(table) if "---" not in row["licence"]][1:]
    named = [name.strip() for row in rows for name in row["packages"].split(",")]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    asked = [
        *project["project"]["dependencies"],
        *project["build-system"]["requires"],
        *(entry for extra in extras.values() for entry in extra),
    ]
    packages = {re.split(r"[\[<>=;~ ]", entry)[0] for entry in asked} - {"tsssl_fast"}
    assert set(named) == packages
    assert len(named) == len(set(named))
    extras_named = set(re.findall(r"`(\w[\w-]*)`", " ".join(row["extra"] for row in rows)))
    assert extras_named <= set(extras)
