"""The table of the encoder that ships: means, holes, draws; and that it is the stored one."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks" / "experiments"))

import shipped_encoder as script  # noqa: E402


def record(value, minirocket=True):
    kinds = script.KINDS if minirocket else script.KINDS[:2]
    few = script.ALONE if minirocket else script.ALONE[:2]
    return {"accuracy": dict.fromkeys(kinds, value), "few": dict.fromkeys(few, value / 2)}


def test_means_are_of_the_sets_that_have_a_column():
    lines = script.tables({"B": record(0.5, False), "A": record(1.0)}).splitlines()
    assert lines[2] == "| A | 1.000 | 1.000 | 1.000 | 1.000 | 1.000 |"
    assert lines[3] == "| B | 0.500 | 0.500 | - | - | - |"
    assert lines[4] == "| mean of 2 | 0.750 | 0.750 | - | - | - |"
    assert lines[5] == "| mean of the 1 with MiniRocket | 1.000 | 1.000 | 1.000 | 1.000 | 1.000 |"
    assert "| mean of 2 | 0.375 | 0.375 | - |" in lines


def test_five_rows_of_each_class():
    y = np.array([0] * 9 + [1] * 3)
    rows = script.few_rows(y, 0)
    assert np.bincount(y[rows]).tolist() == [5, 3]
    assert len(set(rows)) == 8
    assert not np.array_equal(rows, script.few_rows(y, 1))


def test_the_document_has_the_table_that_is_stored():
    text = (ROOT / "docs" / "results.md").read_text()
    table = text.split(script.BEGIN)[1].split(script.END)[0].strip()
    assert table == script.tables(script.read(script.STORE))


def test_minirocket_sees_no_padding():
    x = torch.tensor([[[1.0, 2.0, 99.0]]])
    assert script.held(x, torch.tensor([2]))[0, 0].tolist() == [1, 2] + [2] * 7


def test_unknown_sets(tmp_path):
    (tmp_path / "A.npz").touch()
    with pytest.raises(SystemExit, match="sets: C; accepted: A"):
        script.sets(tmp_path, ["C"])
