"""Runs the benchmarks and prints one row per case and provider.

    python benchmarks/run.py [--cases 256x128,1024x128] [--providers cpp,eager] [--json FILE]

Correctness comes first: a kernel whose error is over its bound is shown as WRONG, without a time,
and the exit status is 1; so it is where a bar is missed.
"""

import argparse
import json
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from memory import peak_extra_bytes
from registry import Case, Run, Unavailable, cases
from timing import COPY_BYTES, GEMM_FLOPS, Times, ceilings, interleaved, overhead, processor

import tsssl_fast
from tsssl_fast.backends import cpp as native

HEADER = (
    f"{'case':<24} {'provider':<16} {'time ms':>10} {'spread':>8} {'x eager':>8} {'units':>6} "
    f"{'per work':>8} {'error':>9} {'peak MB':>9}"
)
# Ours is judged by the baseline's error: a baseline that computes something else is no judge.
BASELINE_ERROR = 1e-3


def error(result: tuple[torch.Tensor, ...], truth: tuple[torch.Tensor, ...]) -> float:
    """The largest over value and gradients of: largest error / largest element of the truth."""
    pairs = zip(result, truth, strict=True)
    return max(((r.double() - t).abs().max() / t.abs().max()).item() for r, t in pairs)


def measure(case: Case, providers: list[str], rounds: int, memory: bool) -> list[dict[str, Any]]:
    inputs = case.inputs()
    runs: dict[str, Run] = {}
    rows: list[dict[str, Any]] = []
    for name in providers:
        try:
            runs[name] = case.providers[name](inputs)
        except Unavailable as reason:
            rows.append({"case": case.name, "provider": name, "skipped": str(reason)})
    truth = case.truth(inputs)
    errors = {name: error(run(), truth) for name, run in runs.items()}
    plain = errors.get(case.baseline) or error(case.providers[case.baseline](inputs)(), truth)
    del truth
    if not plain <= BASELINE_ERROR:
        raise RuntimeError(f"{case.name}: {case.baseline} is off by {plain:.1e}")
    allowed = case.factor * plain + torch.finfo(inputs[0].dtype).eps
    wrong = case.ours in errors and not errors[case.ours] <= allowed
    timed = {name: run for name, run in runs.items() if not (wrong and name == case.ours)}
    beside = {} if case.plain is None else {"plain": case.plain(inputs)}
    times = interleaved({**timed, **beside, **ceilings()}, rounds)
    unit = case.flops / GEMM_FLOPS * times["gemm"].median
    size = sum(z.nbytes for z in inputs)
    for name, run_time in ((n, times.get(n)) for n in runs):
        row: dict[str, Any] = {"case": case.name, "provider": name, "error": errors[name]}
        row["allowed"] = allowed
        if run_time is None:
            row["failed"] = ["WRONG"]
        else:
            row |= _row(case, name, run_time, times, unit)
            if "microseconds" in case.bars:
                row["overhead"] = overhead(runs[name])
            if memory:
                row["memory"] = peak_extra_bytes(case.name, name)
                row["inputs"] = size
            row["failed"] = []
        rows.append(row)
    found = {row["provider"]: row for row in rows}
    if "median" in (mine := found.get(case.ours, {})):
        mine["failed"] = _missed(case, mine, found.get(case.baseline, {}))
    return rows


def _row(
    case: Case, name: str, mine: Times, times: dict[str, Times], unit: float
) -> dict[str, Any]:
    row = {"median": mine.median, "spread": mine.spread, "units": mine.median / unit}
    row["gemm_gflops"] = GEMM_FLOPS / times["gemm"].median / 1e9
    row["copy_gbytes"] = COPY_BYTES / times["copy"].median / 1e9
    if case.baseline in times:
        row["ratio"] = times[case.baseline].median / mine.median
    others = [times[n].median for n in case.providers if n in times and n != case.ours]
    if name == case.ours and others:
        row["best"] = min(others) / mine.median
    if "plain" in times:
        row["per_work"] = mine.median / times["plain"].median / case.work
    return row


def _missed(case: Case, row: dict[str, Any], baseline: dict[str, Any]) -> list[str]:
    missed = []
    for bar, than in (("ratio", case.baseline), ("best", "the best other")):
        if bar in row and row[bar] < case.bars.get(bar, 0.0):
            missed.append(f"{row[bar]:.1f}x {than} is under the bar of {case.bars[bar]}x")
    if row.get("overhead", 0.0) * 1e6 > case.bars.get("microseconds", float("inf")):
        missed.append(f"over the bar of {case.bars['microseconds']:.0f} microseconds")
    if row.get("per_work", 0.0) > (most := case.bars.get("per_work", float("inf"))):
        missed.append(f"{row['per_work']:.2f} of plain NT-Xent's time is over the bar of {most}")
    if "less_memory" in case.bars and "memory" in row and "memory" in baseline:
        times = baseline["memory"] / row["memory"]
        if times < case.bars["less_memory"]:
            missed.append(f"1/{times:.1f} of the memory misses 1/{case.bars['less_memory']:g}")
    if "memory" in row and row["memory"] > case.bars.get("memory", float("inf")) * row["inputs"]:
        times = row["memory"] / row["inputs"]
        missed.append(f"peak {times:.1f}x the inputs is over the bar of {case.bars['memory']}x")
    return missed


def show(row: dict[str, Any]) -> str:
    start = f"{row['case']:<24} {row['provider']:<16}"
    if "skipped" in row:
        return f"{start} skipped: {row['skipped']}"
    if "median" not in row:
        return f"{start} WRONG: error {row['error']:.1e}, allowed {row['allowed']:.1e}"
    ratio = f"{row['ratio']:.1f}x" if "ratio" in row else ""
    work = f"{row['per_work']:.2f}" if "per_work" in row else ""
    memory = f"{row['memory'] / 1e6:.1f}" if "memory" in row else ""
    end = f"  {row['overhead'] * 1e6:.0f} us in a loop" if "overhead" in row else ""
    end += "".join(f"  MISSED: {text}" for text in row["failed"])
    return (
        f"{start} {row['median'] * 1e3:>10.3f} {row['spread'] * 1e3:>8.3f} {ratio:>8} "
        f"{row['units']:>6.2f} {work:>8} {row['error']:>9.1e} {memory:>9}{end}"
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
    for name in ("lightly", "pytorch-metric-learning"):
        try:
            facts[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            facts[name] = "not installed"
    return facts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default="", help="parts of names, comma-separated")
    parser.add_argument("--providers", default="", help="names, comma-separated; default: all")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    chosen = cases(arguments.cases)
    known = sorted({name for case in chosen for name in case.providers})
    wanted = arguments.providers.split(",") if arguments.providers else known
    if not chosen or not set(wanted) <= set(known):
        parser.error(f"no such case or provider; providers: {', '.join(known)}")
    facts = machine()
    print(", ".join(f"{k} {v}" for k, v in facts.items()))
    print(HEADER)
    rows = []
    for case in chosen:
        names = [name for name in case.providers if name in wanted]
        for row in measure(case, names, arguments.rounds, not arguments.no_memory):
            rows.append(row)
            print(show(row), flush=True)
    timed = [row for row in rows if "gemm_gflops" in row]
    if timed:
        print(
            f"ceilings of the last case: matrix product {timed[-1]['gemm_gflops']:.0f} GFLOP/s, "
            f"copy {timed[-1]['copy_gbytes']:.1f} GB/s"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": facts, "rows": rows}, indent=1) + "\n")
    return 1 if any(row.get("failed") for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
