"""Writes the table of README.md from a run.

    python benchmarks/run.py --json benchmarks/data/MACHINE.json
    python benchmarks/report.py benchmarks/data/MACHINE.json

One row per case with what the other providers take; the rows that are lost are there.
"""

import argparse
import json
from pathlib import Path
from typing import Any

README = Path(__file__).resolve().parent.parent / "README.md"
EXPLANATION = """\
Forward and backward in float32, milliseconds. Errors are against float64, relative to the largest
element, the worst of value and gradients. Peak: memory beyond the inputs. A unit is one product of
all pairs at the speed of torch's own."""
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"


def table(record: dict[str, Any]) -> str:
    rows = {(row["case"], row["provider"]): row for row in record["rows"]}
    others = [p for p in dict.fromkeys(p for _, p in rows) if p != "cpp"]
    timed = [p for p in others if any("median" in r for (_, q), r in rows.items() if q == p)]
    columns = [
        "case",
        "tsssl_fast",
        *timed,
        "x eager",
        "units",
        "error",
        "eager's",
        "peak",
        "eager's",
    ]
    lines = [_line(columns), _line(["---"] * len(columns))]
    for case in dict.fromkeys(case for case, _ in rows):
        mine, eager = rows[case, "cpp"], rows.get((case, "eager"), {})
        cells = [case, _time(mine), *(_time(rows.get((case, p), {})) for p in timed)]
        cells += [f"{mine['ratio']:.1f}" if "ratio" in mine else "-"]
        cells += [f"{mine['units']:.1f}" if "units" in mine else "-"]
        cells += [_error(mine), _error(eager), _memory(mine), _memory(eager)]
        lines.append(_line(cells))
    machine = ", ".join(f"{k} {v}" for k, v in record["machine"].items())
    return "\n".join([*lines, "", f"{EXPLANATION} Machine: {machine}."])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _time(row: dict[str, Any]) -> str:
    return f"{row['median'] * 1e3:.2f}" if "median" in row else "-"


def _error(row: dict[str, Any]) -> str:
    return f"{row['error']:.0e}" if "error" in row else "-"


def _memory(row: dict[str, Any]) -> str:
    return f"{row['memory'] / 1e6:.1f} MB" if "memory" in row else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("record", type=Path)
    text = README.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    written = table(json.loads(parser.parse_args().record.read_text()))
    README.write_text(f"{before}{BEGIN}\n{written}\n{END}{after}")
    print(written)


if __name__ == "__main__":
    main()
