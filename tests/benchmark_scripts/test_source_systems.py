"""The runner of the figures of docs/source-systems.md: recipes, store, tables; no training here."""

import sys
from pathlib import Path

import pytest
from toy import dataset

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "experiments"))

import source_systems
import source_table
from accuracy_store import Store
from source_recipes import METHOD_ITEMS, Item

from tsssl_fast.methods import METHODS
from tsssl_fast.training import Config

ITEMS = source_systems.ITEMS


def test_recipes_are_valid_settings_and_have_names_of_their_own():
    digests = {item.digest() for item in ITEMS.values()}
    assert len(digests) == len(ITEMS) > 30
    for item in METHOD_ITEMS:
        assert Config(**item.settings).resolved(dataset()).method in METHODS
        assert item.seeds == 5
    for item in ITEMS.values():
        for name in ("training", "tuning"):
            if name in item.settings:
                Config(**item.settings[name])


def test_a_seed_is_measured_once(tmp_path, capsys):
    seen = []

    def run(data, settings, seed):
        seen.append((settings, seed))
        return {"accuracy": 0.5 + seed}

    store, item = Store(tmp_path / "s.json"), Item("a", "A", "uwave", {"width": 3}, run)
    for _ in range(2):
        for seed in (0, 1):
            source_systems.measure(item, seed, dataset(), store)
    assert seen == [({"width": 3}, 0), ({"width": 3}, 1)]
    assert [r["figures"]["accuracy"] for r in store.read()] == [0.5, 1.5]
    assert all(r["seconds"] >= 0 and r["recipe"] == item.digest() for r in store.read())
    assert capsys.readouterr().out.count("\n") == 2
    # Another recipe is another record, and the older one is not shown.
    other = Item("a", "A", "uwave", {"width": 4}, run)
    source_systems.measure(other, 0, dataset(), store)
    assert [len(source_table.of(i, store.read())) for i in (item, other)] == [2, 1]


def records(name, values):
    item = ITEMS[name]
    given = {"dataset": item.dataset, "method": name, "recipe": item.digest(), "seconds": 9.0}
    return [
        {**given, "seed": s, "processor_seconds": 7.6, "figures": {"accuracy": v}}
        for s, v in enumerate(values)
    ]


def test_the_page_gets_the_tables_and_keeps_the_rest(tmp_path):
    found = records("random_inception", (0.5, 0.6)) + records("simclr_inception", (0.9, 0.8))
    found += records("nnclr", (0.7, 0.9)) + records("stages", (0.25,))
    found += records("data2vec", (0.7,))  # without the encoder beside it: no row
    page = tmp_path / "page.md"
    page.write_text("before\n" + "\n".join(source_table.MARKS) + "\nafter\n")
    for _ in range(2):
        source_table.write(page, ITEMS.values(), found)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    row = "| `nnclr` | inception | 2 | 0.800 ± 0.141 | 0.550 ± 0.071 | +25.0 | 0.850 | 8 |"
    assert text.count(row) == 1
    assert "| MCL, two stages beside one of twice the width | 1 | accuracy 0.250 |" in text
    assert "data2vec" not in text
    page.write_text("no marks")
    with pytest.raises(ValueError, match="accepted: a page that has <!-- figures: begin -->"):
        source_table.write(page, ITEMS.values(), found)
