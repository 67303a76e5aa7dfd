"""Tables and pictures of what run.py kept.

    python benchmarks/report.py                  # README's tables, from every data/<processor>.json
    python benchmarks/report.py --side-by-side   # data/README.md and its picture: all processors
    python benchmarks/report.py --pictures DIR   # ratios-FAMILY, scaling-PROCESSOR, processors.png
    python benchmarks/report.py FILE --html OUT  # one run as a page

One row per case with the best of what a user could write instead; rows that are lost are there.
Ratios are within a run. What cpu_bars.py kept of a processor stands beside it in --side-by-side.
"""

import argparse
import html
import json
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from registry import FAMILIES, NO_RIVALS, NO_TORCH

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(__file__).resolve().parent / "data"
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
HEADLINE = (
    *("nt_xent 256x128", "nt_xent 1024x128", "nt_xent 4096x128", "nt_xent 4096x128 bf16"),
    *("sup_con 2048x128", "clip 2048x128", "queue 256x128x65536", "hierarchical 8x1024x320"),
    *("vicreg 256x2048", "vicreg 1024x2048", "barlow_twins 1024x2048"),
    *("views p=0.5 256x9x128", "mask_fill point 256x9x128", "masked_step 256x9x128"),
    *("fill_missing linear 256x9x512", "simclr step 256x9x128"),
    *("peer lightly nt_xent 1024x128", "peer pml nt_xent 128x128", "peer open_clip clip 1024x128"),
)
EXPLANATION = (
    "Milliseconds of a call; losses forward and backward, in float32 unless the case says bf16. "
    "Errors are against float64, relative to the largest element, the worst of value and "
    "gradients. Peak: memory beyond the inputs, in MB."
)
Record = dict[str, Any]
Row = dict[str, Any]


def records(files: Iterable[Path] = ()) -> dict[str, Record]:
    """Name of the processor kind -> what run.py kept of it."""
    found = {
        path.stem: json.loads(path.read_text()) for path in files or sorted(DATA.glob("*.json"))
    }
    return {n: r for n, r in found.items() if isinstance(r, dict) and r.get("rows")}


def by_case(record: Record) -> dict[str, dict[str, Row]]:
    """Case -> provider -> row, of cases in which this package has a time."""
    found: dict[str, dict[str, Row]] = {}
    for row in record["rows"]:
        found.setdefault(row["case"], {})[row["provider"]] = row
    return {case: rows for case, rows in found.items() if _ours(rows)}


def _ours(rows: Mapping[str, Row]) -> Row | None:
    return next((rows[n] for n in ("cpp", "compat") if "median" in rows.get(n, {})), None)


def best(rows: Mapping[str, Row], torch_only: bool = True) -> Row | None:
    """The fastest plain torch; or the fastest numpy code or other library."""
    rivals = [
        row
        for name, row in rows.items()
        if "median" in row and name not in NO_RIVALS and (name in NO_TORCH) != torch_only
    ]
    return min(rivals, key=lambda row: row["median"], default=None)


def speedups(rows: Mapping[str, Row]) -> dict[str, float]:
    """What of the others -> its time over ours."""
    mine = _ours(rows)
    assert mine is not None
    others = {"best plain torch": best(rows), "numpy or library": best(rows, torch_only=False)}
    return {name: row["median"] / mine["median"] for name, row in others.items() if row}


def table(record: Record, chosen: Iterable[str] | None = None) -> str:
    """Markdown: the chosen cases (None: all), and every one that is lost to plain torch."""
    columns = ["case", "tsssl_fast", "best plain torch", "times as fast", "numpy or library"]
    columns += ["times as fast", "error", "eager's", "peak", "eager's"]
    lines = [_line(columns), _line(["---"] * len(columns))]
    found = by_case(record)
    wanted = list(found) if chosen is None else [case for case in chosen if case in found]
    lost = [
        c
        for c, rows in found.items()
        if c not in wanted and min(speedups(rows).values(), default=1) < 1
    ]
    for case in (*wanted, *lost):
        rows = found[case]
        mine, rival, other = _ours(rows), best(rows), best(rows, torch_only=False)
        eager = rows.get("eager", rows.get("transcription", {}))
        cells = [case, _time(mine), _named(rival), _times(mine, rival)]
        cells += [_named(other), _times(mine, other), _error(mine), _error(eager)]
        lines.append(_line([*cells, _memory(mine), _memory(eager)]))
    return "\n".join(lines)


def tables(found: Mapping[str, Record]) -> str:
    """Of the newest release measured, where its headline cases are."""
    newest = max(record["machine"].get("tsssl_fast", "") for record in found.values())
    parts = []
    for record in found.values():
        facts = record["machine"]
        if facts.get("tsssl_fast", "") != newest or not by_case(record).keys() & set(HEADLINE):
            continue
        title = f"**{facts['processor']}, {facts['instruction set']}, {facts['threads']} threads**"
        parts += [title, table(record, HEADLINE), _facts(facts)]
    return "\n\n".join([*parts, EXPLANATION])


def _facts(facts: Mapping[str, str]) -> str:
    return "Machine: " + ", ".join(f"{name} {value}" for name, value in facts.items()) + "."


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _time(row: Row | None) -> str:
    return f"{row['median'] * 1e3:.3g}" if row else "-"


def _named(row: Row | None) -> str:
    return f"{_time(row)} ({row['provider']})" if row else "-"


def _times(mine: Row | None, other: Row | None) -> str:
    if not (mine and other):
        return "-"
    ratio = other["median"] / mine["median"]
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}"


def _error(row: Row | None) -> str:
    return f"{row['error']:.0e}" if row and "error" in row else "-"


def _memory(row: Row | None) -> str:
    return f"{row['memory'] / 1e6:.1f}" if row and "memory" in row else "-"


def write_readme(path: Path, found: Mapping[str, Record]) -> None:
    text = path.read_text()
    if BEGIN not in text or END not in text:
        raise SystemExit(f"{path}: without the lines {BEGIN} and {END}")
    before, rest = text.split(BEGIN)
    path.write_text(f"{before}{BEGIN}\n{tables(found)}\n{END}{rest.split(END)[1]}")


def bars() -> dict[str, dict[str, float]]:
    """Processor kind -> case -> ratio to the best plain torch, from what cpu_bars.py kept."""
    found = {}
    for path in sorted(DATA.glob("bars-*.json")):
        record = json.loads(path.read_text())
        cases = {}
        for bar in record["bars"]:
            form = r"(nt_xent|vicreg) (?:float32 )?(bf16 inputs|medium|highest) (\d+x\d+)"
            if match := re.fullmatch(form, bar["name"]):
                precision = {"bf16 inputs": " bf16", "medium": " medium", "highest": ""}[match[2]]
                cases[f"{match[1]} {match[3]}{precision}"] = bar["ratio"]
        found[path.stem.removeprefix("bars-")] = cases
    return found


def side_by_side(found: Mapping[str, Record]) -> dict[str, dict[str, float]]:
    """Case -> processor kind -> how many times as fast as the best plain torch."""
    kinds = {
        kind: {case: speedups(rows).get("best plain torch") for case, rows in by_case(r).items()}
        for kind, r in found.items()
    }
    for kind, ratios in bars().items():
        kinds[kind] = {**ratios, **kinds.get(kind, {})}
    cases = dict.fromkeys(case for ratios in kinds.values() for case in ratios)
    return {
        case: {kind: value for kind, ratios in kinds.items() if (value := ratios.get(case))}
        for case in cases
    }


def write_side_by_side(found: Mapping[str, Record], folder: Path) -> None:
    import pictures

    ratios = {case: points for case, points in side_by_side(found).items() if points}
    kinds = list(dict.fromkeys(kind for points in ratios.values() for kind in points))
    lines = [_line(["case", *kinds]), _line(["---"] * (1 + len(kinds)))]
    for case, points in ratios.items():
        lines.append(_line([case, *(_ratio(points.get(kind)) for kind in kinds)]))
    several = {case: points for case, points in ratios.items() if len(points) > 1} or ratios
    pictures.ratios(several, "beside the best plain torch").savefig(folder / "processors.png")
    grown = write_scaling(found, folder)
    text = (
        "# Processors side by side\n\n"
        "Written by `python benchmarks/report.py --side-by-side`: the time of the best plain torch "
        "over that of this package, by kind of processor. Rows that are lost are bold; a dash was "
        "not measured there. The picture has the cases that several kinds have.\n\n"
        "![ratios of every kind of processor](processors.png)\n\n"
    )
    text += "\n".join(lines) + "\n"
    if grown:
        text += "\n## How time grows\n"
        for path in grown:
            kind = path.stem.removeprefix("scaling-")
            text += f"\n![time along N, D, T and threads, {kind}]({path.name})\n"
    (folder / "README.md").write_text(text)


def write_scaling(found: Mapping[str, Record], folder: Path) -> list[Path]:
    """A picture for each processor kind whose lines were kept: run.py --scaling --save."""
    import pictures

    written = []
    for kind, record in found.items():
        if record.get("scaling"):
            written.append(folder / f"scaling-{kind}.png")
            pictures.scaling(record["scaling"]).savefig(written[-1])
    return written


def _ratio(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if value >= 1 else f"**{value:.2f}**"


def of_family(record: Record, family: str) -> dict[str, dict[str, float]]:
    found = {
        case: speedups(rows)
        for case, rows in by_case(record).items()
        if next(iter(rows.values())).get("family") == family
    }
    return {case: points for case, points in found.items() if points}


def write_pictures(found: Mapping[str, Record], folder: Path) -> None:
    """Of the record with the most cases: a picture a family. Of all: scaling, side by side."""
    import pictures

    record = max(found.values(), key=lambda r: len(r["rows"]))
    for family in FAMILIES:
        if points := of_family(record, family):
            pictures.ratios(points, family).savefig(folder / f"ratios-{family}.png")
    write_scaling(found, folder)
    ratios = {case: points for case, points in side_by_side(found).items() if points}
    several = {case: points for case, points in ratios.items() if len(points) > 1} or ratios
    pictures.ratios(several, "beside the best plain torch").savefig(folder / "processors.png")


def page(record: Record) -> str:
    """One run as HTML with its pictures inside."""
    import pictures

    from tsssl_fast.report import page as pages

    title = f"tsssl_fast on {record['machine']['processor']}"
    parts = [f"<h1>{html.escape(title)}</h1>", f"<p>{html.escape(EXPLANATION)}</p>"]
    ceilings = {name: f"{value:.4g}" for name, value in record.get("ceilings", {}).items()}
    parts.append(pages.table(["machine", ""], [*record["machine"].items(), *ceilings.items()]))
    for family in FAMILIES:
        rows = [row for row in record["rows"] if row.get("family") == family]
        if not rows:
            continue
        parts.append(f"<h2>{family}</h2>")
        if points := of_family(record, family):
            parts.append(pages.image(f"times as fast, {family}", pictures.ratios(points, family)))
        head = ["case", "provider", "ms", "spread", "times ours", "error", "allowed", "peak MB", ""]
        parts.append(pages.table(head, [_cells(row, record) for row in rows]))
    if record.get("scaling"):
        parts.append("<h2>scaling</h2>")
        parts.append(
            pages.image("time along N, D, T, threads", pictures.scaling(record["scaling"]))
        )
    several = {case: points for case, points in side_by_side(records()).items() if len(points) > 1}
    if several:
        parts.append("<h2>kinds of processors kept with this project</h2>")
        picture = pictures.ratios(several, "beside the best plain torch")
        parts.append(pages.image("processors side by side", picture))
    return pages.whole(title, parts)


def _cells(row: Row, record: Record) -> list[str]:
    mine = _ours(by_case(record).get(row["case"], {}))
    note = row.get("skipped") or "; ".join(row.get("failed", ()))
    spread = f"{row['spread'] * 1e3:.2g}" if "spread" in row else "-"
    timed = "median" in row
    return [
        *(row["case"], row["provider"], _time(row) if timed else "-", spread),
        f"{row['median'] / mine['median']:.2f}" if timed and mine else "-",
        *(_error(row), f"{row['allowed']:.0e}" if "allowed" in row else "-", _memory(row), note),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="*", help="default: those in data/")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    parser.add_argument("--html", type=Path, help="the first file as a page")
    parser.add_argument("--pictures", type=Path, help="a folder for pictures")
    parser.add_argument(
        "--side-by-side", action="store_true", help="data/README.md and its pictures"
    )
    given = parser.parse_args()
    found = records(given.files)
    if not found:
        parser.error("no record of run.py; accepted: files that --json or --save wrote")
    if given.html:
        given.html.write_text(page(next(iter(found.values()))), encoding="utf-8")
    if given.pictures:
        given.pictures.mkdir(parents=True, exist_ok=True)
        write_pictures(found, given.pictures)
    if given.side_by_side:
        write_side_by_side(found, DATA)
        for picture in DATA.glob("*.png"):  # of docs/benchmarks.md
            shutil.copy(picture, ROOT / "docs")
    if not (given.html or given.pictures or given.side_by_side):
        write_readme(given.readme, found)
        print(tables(found))


if __name__ == "__main__":
    main()
