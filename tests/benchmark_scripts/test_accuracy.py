"""The runner of results: its store, its recipes and its tables; no training here."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "experiments"))

import accuracy_recipes
import accuracy_table
from accuracy_store import Store

from tsssl_fast.training import Config


def record(method, seed, test, dataset="uwave", **changes):
    digest = accuracy_recipes.recipe(dataset, method).digest()
    content = {"dataset": dataset, "method": method, "seed": seed, "recipe": digest}
    figures = {"linear": {"test": test, "validation": test + 0.02}}
    return content | {"accuracy": figures, "train_seconds": 2.0, "effective_rank": 9.0} | changes


def test_the_store_replaces_by_key_and_leaves_nothing_else(tmp_path):
    store = Store(tmp_path / "data" / "accuracy.json")
    assert store.read() == []
    first = record("simclr", 0, 0.9)
    for entry in (first, record("simclr", 1, 0.8), record("simclr", 0, 0.95)):
        store.add(entry)
    assert [r["accuracy"]["linear"]["test"] for r in store.read()] == [0.95, 0.8]
    assert store.has(first)
    assert not store.has(record("simclr", 0, 0.9, recipe="other"))
    assert [p.name for p in store.path.parent.iterdir()] == ["accuracy.json"]
    json.loads(store.path.read_text())


def test_tables_show_mean_and_deviation_of_current_recipes(tmp_path):
    records = [record("vicreg", s, v) for s, v in enumerate((0.90, 0.92, 0.94))]
    records += [record("random", 0, 0.6), record("vicreg", 9, 0.1, recipe="older")]
    text = accuracy_table.table(records, "test")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows[2:]] == ["| random encoder", "| VICReg"]
    assert "0.920 ± 0.020" in text
    assert "0.940 ± 0.020" in accuracy_table.table(records, "validation")
    path = tmp_path / "results.md"
    path.write_text(f"before\n{accuracy_table.MARKS[0]}\nold\n{accuracy_table.MARKS[1]}\nafter\n")
    for _ in range(2):
        accuracy_table.write(path, records)
    written = path.read_text()
    assert written.startswith("before\n")
    assert written.endswith("after\n")
    assert "old" not in written
    assert written.count("0.920 ± 0.020") == 1


@pytest.mark.parametrize("dataset", accuracy_recipes.SETS)
def test_recipes_are_valid_settings(dataset):
    digests = set()
    for method in accuracy_recipes.LABELS:
        recipe = accuracy_recipes.recipe(dataset, method)
        digests.add(recipe.digest())
        if method != "1nn":
            Config(**recipe.config)
    assert len(digests) == len(accuracy_recipes.LABELS)
    both = accuracy_recipes.recipe(dataset, "simclr+vicreg")
    assert both.members == ("simclr", "vicreg")
    with pytest.raises(ValueError, match="method: 'simcrl'"):
        accuracy_recipes.recipe(dataset, "simcrl")
