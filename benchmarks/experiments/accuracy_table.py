"""Markdown tables of the records of `accuracy.py`."""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accuracy_recipes import LABELS, SETS, label, recipe

MARKS = ("<!-- accuracy: begin -->", "<!-- accuracy: end -->")
COLUMNS = (
    *("linear, last layer", "linear", "ridge", "SVM", "kNN"),
    *("linear 1%", "linear 5%", "linear 10%", "linear 50%"),
)

Records = Sequence[Mapping[str, Any]]


SHORT = ("linear, last layer", "linear", "SVM", "kNN", "linear 1%")


def table(records: Records, split: str, columns: Sequence[str] = COLUMNS) -> str:
    """Mean ± standard deviation over the seeds, a table per data set; split: test or validation."""
    return "\n\n".join(
        f"### {name}\n\n{_table([r for r in records if r['dataset'] == short], split, columns)}"
        for short, name in SETS.items()
        if any(r["dataset"] == short for r in records)
    )


def write(path: Path, records: Records, short: bool = False) -> None:
    """Replaces what stands between the marks of a document by the test tables."""
    before, _, rest = path.read_text().partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    text = table(records, "test", SHORT if short else COLUMNS)
    path.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}")


def _table(records: Records, split: str, wanted: Sequence[str]) -> str:
    dataset = records[0]["dataset"]
    columns = [c for c in wanted if any(c in r["accuracy"] for r in records)]
    head = ["method", "seeds", *columns, "train s", "effective rank"]
    lines = ["| " + " | ".join(head) + " |", "| --- | --- |" + " --- |" * (len(head) - 2)]
    by_method: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        if record["recipe"] == recipe(dataset, record["method"]).digest():
            by_method.setdefault(record["method"], []).append(record)
    order = [*LABELS]
    for method in sorted(by_method, key=lambda m: (m.count("+"), order.index(m.split("+")[0]))):
        rows = by_method[method]
        cells = [label(method), str(len(rows))]
        for column in columns:
            # Of a trained classifier its own predictions stand in the linear column.
            own = column == "linear" and "supervised" in rows[0]["accuracy"]
            name = "supervised" if own else column
            values = [r["accuracy"][name].get(split) for r in rows if name in r["accuracy"]]
            cells.append(spread([v for v in values if v is not None and not math.isnan(v)]))
        cells.append(f"{statistics.mean(r['train_seconds'] for r in rows):.0f}")
        ranks = [r["effective_rank"] for r in rows if "effective_rank" in r]
        cells.append(f"{statistics.mean(ranks):.1f}" if ranks else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{deviation}"
