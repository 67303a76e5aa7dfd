"""Tables of the figures of `source_systems.py`."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from accuracy_table import spread
from source_recipes import METHOD_ITEMS, Item

MARKS = ("<!-- figures: begin -->", "<!-- figures: end -->")


def of(item: Item, records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The records of an item's recipe as it is."""
    key = (item.dataset, item.name, item.digest())
    return [r for r in records if (r["dataset"], r["method"], r["recipe"]) == key]


def figures(rows: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [r["figures"][name] for r in rows]


def probes(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """A row a method: its accuracy beside those of the untrained encoder and of SimCLR."""
    lines = [
        "| method | encoder | seeds | last layer | untrained | points above | SimCLR | train s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    items = {item.name: item for item in METHOD_ITEMS}
    for item in METHOD_ITEMS:
        encoder = item.settings["encoder"]
        rows = of(item, records)
        beside = [of(items[f"{kind}_{encoder}"], records) for kind in ("random", "simclr")]
        if item.name.startswith("random_") or not rows or not beside[0]:
            continue
        accuracy, before, simclr = (figures(r, "accuracy") for r in (rows, *beside))
        above = 100 * (statistics.mean(accuracy) - statistics.mean(before))
        cells = [f"`{item.settings['method']}`", encoder.replace("_", " "), str(len(rows))]
        cells += [spread(accuracy), spread(before), f"{above:+.1f}"]
        cells.append(f"{statistics.mean(simclr):.3f}" if simclr else "")
        cells.append(f"{statistics.median(r['processor_seconds'] for r in rows):.0f}")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def others(items: Iterable[Item], records: Sequence[Mapping[str, Any]]) -> list[str]:
    """A row an item that has figures of its own."""
    lines = ["| item | seeds | figures |", "| --- | --- | --- |"]
    probed = {item.name for item in METHOD_ITEMS}
    for item in items:
        rows = of(item, records)
        if item.name in probed or not rows:
            continue
        shown = [
            f"{name.replace('_', ' ')} {spread(figures(rows, name))}" for name in rows[0]["figures"]
        ]
        lines.append(f"| {item.title} | {len(rows)} | {'; '.join(shown)} |")
    return lines


def write(page: Path, items: Iterable[Item], records: Sequence[Mapping[str, Any]]) -> None:
    """Replaces what stands between the marks of a page."""
    text = page.read_text()
    if not all(text.count(mark) == 1 for mark in MARKS):
        raise ValueError(f"{page}: accepted: a page that has {MARKS[0]} and {MARKS[1]} once each")
    before, _, rest = text.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    tables = "\n".join([*probes(records), "", *others(items, records)])
    page.write_text(f"{before}{MARKS[0]}\n\n{tables}\n\n{MARKS[1]}{after}")
