"""Measures the cases of the registry and prints a table; `tsssl-fast bench` is the same.

    python benchmarks/run.py --cases 256x128 --rounds 15
    python benchmarks/run.py contrastive --quick
    python benchmarks/run.py --save     # every case, into benchmarks/data/<processor>.json
    python benchmarks/run.py --scaling --save   # time along N, D, T and threads, beside them

A missed bar, or a kernel whose error is over its bound (it gets no time), is printed with its row,
and the exit status is 1; the few rounds of --quick judge errors alone.
"""

import argparse
import json
import os
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from measure import measure
from registry import BACKENDS, Case, cases
from scaling import scale
from timing import BFLOAT16, limits, processor

import tsssl_fast
from tsssl_fast.backends import cpp as native

DATA = Path(__file__).resolve().parent / "data"
HEADER = (
    f"{'case':<34} {'provider':<16} {'time ms':>10} {'spread':>8} {'x base':>8} {'units':>6} "
    f"{'per work':>8} {'error':>9} {'peak MB':>9}"
)
PEERS = ("lightly", "pytorch-metric-learning", "info-nce-pytorch")
LONGEST = 10.0  # seconds that a call of plain torch in bfloat16 may take
# --quick leaves out what is slow to start (Numba's and torch's compilers), but for these.
COMPILED_IN_QUICK = ("nt_xent 256x128", "vicreg 256x2048", "clip 512x128")


def show(row: dict[str, Any]) -> str:
    start = f"{row['case']:<34} {row['provider']:<16}"
    if "skipped" in row:
        return f"{start} skipped: {row['skipped']}"
    if "raised" in row:
        return f"{start} FAILED: {row['raised']}"
    if "median" not in row:
        return f"{start} WRONG: error {row['error']:.1e}, allowed {row['allowed']:.1e}"
    ratio = f"{row['ratio']:.1f}x" if "ratio" in row else ""
    units = f"{row['units']:.2f}" if "units" in row else ""
    work = f"{row['per_work']:.2f}" if "per_work" in row else ""
    error = f"{row['error']:.1e}" if "error" in row else "-"
    memory = f"{row['memory'] / 1e6:.1f}" if "memory" in row else ""
    end = f"  {row['overhead'] * 1e6:.0f} us in a loop" if "overhead" in row else ""
    end += "".join(f"  MISSED: {text}" for text in row["failed"])
    return (
        f"{start} {row['median'] * 1e3:>10.3f} {row['spread'] * 1e3:>8.3f} {ratio:>8} "
        f"{units:>6} {work:>8} {error:>9} {memory:>9}{end}"
    )


def machine() -> dict[str, str]:
    facts = {
        "processor": processor(),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "instruction set": native.C.isa() if native.C is not None else "none",
        "tsssl_fast": tsssl_fast.__version__,
        "torch": torch.__version__,
    }
    for name in PEERS:
        try:
            facts[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            facts[name] = "not installed"
    return facts


def file_of(facts: dict[str, str]) -> str:
    """amd-epyc-avx2-2-cores.json"""
    words = f"{facts['processor']} {facts['instruction set']} {facts['cores']} cores"
    words = re.sub(r"\((?:R|TM)\)|\bProcessor\b|@.*?GHz", " ", words)
    return "-".join(re.findall(r"[a-z0-9.]+", words.lower())) + ".json"


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("family", nargs="?", default="all")
    parser.add_argument("--cases", default="", help="parts of names, comma-separated")
    parser.add_argument("--providers", default="", help="names, comma-separated; default: all")
    parser.add_argument("--quick", action="store_true", help="few cases and rounds: minutes")
    parser.add_argument("--rounds", type=int, help="default: 9, of --quick 3")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--no-memory", action="store_true")
    lines = parser.add_mutually_exclusive_group()
    lines.add_argument("--no-scaling", action="store_true", help="without the lines of the plots")
    lines.add_argument("--scaling", action="store_true", help="the lines of the plots alone")
    parser.add_argument("--json", type=Path, help="the rows as a file")
    parser.add_argument("--html", type=Path, help="a report with pictures, one file")
    saved = "the rows into data/<processor>.json, whose other rows stay"
    parser.add_argument("--save", action="store_true", help=saved)
    given = parser.parse_args()
    if given.rounds is not None and given.rounds < 1:
        parser.error(f"--rounds: {given.rounds}; accepted: 1 and above")
    given.rounds = given.rounds or (3 if given.quick else 9)
    try:
        given.chosen = cases(given.cases, given.family, given.quick)
    except ValueError as error:
        parser.error(str(error))
    known = sorted({name for case in given.chosen for name in case.providers})
    given.wanted = given.providers.split(",") if given.providers else known
    if not given.chosen or not set(given.wanted) <= set(known):
        parser.error(f"no such case or provider; providers: {', '.join(known)}")
    for path in (given.json, given.html):
        if path is not None and not path.resolve().parent.is_dir():
            parser.error(f"{path}: no such folder")
    if given.save and not DATA.is_dir():
        parser.error(f"--save: no folder {DATA}; accepted: in a checkout of the project")
    if given.scaling and (given.cases or given.providers):
        parser.error("--scaling: with --cases or --providers; accepted: without, of a family")
    given.chosen = [] if given.scaling else given.chosen
    return given


def check_place(given: argparse.Namespace, facts: dict[str, str]) -> None:
    """Lines alone stand beside the rows of the same machine and versions, or nowhere."""
    path = DATA / file_of(facts)
    if given.save and given.scaling and path.is_file():
        kept = json.loads(path.read_text())["machine"]
        other = ", ".join(f"{k} {v}" for k, v in kept.items() if facts.get(k) != v)
        if other:
            sys.exit(f"--scaling --save: {path} is of {other}; accepted: after --save of all cases")


def too_slow(case: Case, ceilings: dict[str, float]) -> str:
    """Why plain torch is not run on the bfloat16 inputs of a case; "" where it is."""
    seconds = case.plain_flops / 1e9 / ceilings[BFLOAT16]
    if case.precision != "bf16" or seconds <= LONGEST:
        return ""
    return f"a call would take about {seconds:.0f} s: no unit for bfloat16 products here"


def measured(given: argparse.Namespace, ceilings: dict[str, float]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    slow = {"compiled", "chunked", *BACKENDS} - {"cpp"} if given.quick else set()
    for case in given.chosen:
        left_out = slow - ({"compiled"} if case.name in COMPILED_IN_QUICK else set())
        asked = given.wanted if given.providers else [n for n in given.wanted if n not in left_out]
        names = [name for name in case.providers if name in asked]
        why = too_slow(case, ceilings)
        try:
            new = measure(case, names, given.rounds, not given.no_memory, not given.quick, why)
        except (RuntimeError, MemoryError) as error:  # the others are measured all the same
            failed = {"case": case.name, "family": case.family, "provider": case.ours}
            new = [failed | {"raised": str(error).splitlines()[0], "failed": ["FAILED"]}]
        for row in new:
            rows.append(row)
            print(show(row), flush=True)
        torch.compiler.reset()
    return rows


def beside_kept(record: dict[str, Any], path: Path) -> dict[str, Any]:
    """The record, and the other rows that `path` keeps of the same machine and versions."""
    kept = json.loads(path.read_text()) if path.is_file() else {"machine": None}
    if kept["machine"] != record["machine"]:
        return record
    new = {(row["case"], row["provider"]) for row in record["rows"]}
    rest = [row for row in kept["rows"] if (row["case"], row["provider"]) not in new]
    return {**kept, **record, "rows": [*record["rows"], *rest]}


def main() -> int:
    given = parsed()
    torch.set_num_threads(given.threads)
    os.environ["OMP_NUM_THREADS"] = str(given.threads)
    # One graph is compiled at a time: a pool of processes would only import torch once more each.
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    facts = machine()
    check_place(given, facts)
    ceilings = limits()
    print(", ".join(f"{k} {v}" for k, v in facts.items()))
    print("ceilings: " + ", ".join(f"{k} {v:.4g}" for k, v in ceilings.items()))
    print(HEADER)
    record: dict[str, Any] = {
        "machine": facts,
        "ceilings": ceilings,
        "rows": measured(given, ceilings),
    }
    if not (given.no_scaling or given.cases or given.providers):
        record["scaling"] = []
        for row in scale(given.family, given.quick, given.rounds):
            record["scaling"].append(row)
            print(f"along {row['axis']:<8} {show(row)}", flush=True)
    if given.json:
        given.json.write_text(json.dumps(record, indent=1) + "\n")
    if given.save:
        path = DATA / file_of(facts)
        path.write_text(json.dumps(beside_kept(record, path), indent=1) + "\n")
    if given.html:
        from report import page

        given.html.write_text(page(record), encoding="utf-8")
        print(f"report: {given.html}")
    return 1 if any(row.get("failed") for row in record["rows"]) else 0


if __name__ == "__main__":
    sys.exit(main())
