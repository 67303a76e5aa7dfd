"""The C++ sources of a family have the names of its operators."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = ("contrastive", "decorrelation", "augment", "masking", "preprocess")


@pytest.mark.parametrize("family", FAMILIES)
def test_entry_files_are_named_after_operators(family: str) -> None:
    folder = ROOT / "tsssl_fast/ops" / family / "operators"
    operators = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    entries = {path.stem for path in (ROOT / "csrc" / family).rglob("*.cpp")}
    assert entries
    assert entries <= operators
