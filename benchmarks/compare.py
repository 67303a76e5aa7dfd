"""Compares two revisions on this machine: is anything slower?

    python benchmarks/compare.py [BASE] [NEW] [--build-dir DIR] [--cases "nt_xent*,call *"]
    python benchmarks/compare.py --aa --json noise.json    # two builds of BASE: the noise alone

BASE is 78e2e36 unless given; NEW is this working tree, its extension built in place. Each revision
runs its own cases (`compare_cases/`), in processes that start in turns: base, a second build of
base, new, and again. A case is slower where the median over its processes is beyond the larger of
5 % and the noise: what the two builds of base differ by in this case, or in nine of ten cases. Exit
status 1 where a case is slower, computes something else, fails, or is missing in new.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from compare_builds import FIRST, ROOT, build, cases_of, commit
from compare_statistics import MOST_NOISE, Row, Side, common, judge, noise
from timing import processor

PROCESSES = 5
WORKER = ROOT / "benchmarks" / "compare_worker.py"


def turn(tree: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """One process: the chosen cases of one tree."""
    folder, module = cases_of(tree)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch, "turn.json")
        done = subprocess.run(
            [
                *(sys.executable, WORKER, "--tree", tree, "--cases-in", folder),
                *("--module", module, "--cases", arguments.cases, "--out", out),
                *("--samples", str(arguments.samples), "--calls", str(arguments.calls)),
                *("--threads", str(arguments.threads)),
            ],
            env={
                **os.environ,
                "PYTHONPATH": str(tree),
                "OMP_NUM_THREADS": str(arguments.threads),
            },
            capture_output=True,
            text=True,
        )
        if done.returncode:
            sys.exit(f"the benchmarks of {tree} failed:\n{done.stdout}{done.stderr}")
        record: dict[str, Any] = json.loads(out.read_text())
    return record


def take_turns(
    trees: dict[str, Path], arguments: argparse.Namespace
) -> tuple[dict[str, Side], dict[str, str]]:
    """What the processes of every tree measured, and each tree's instruction set."""
    sides = {name: Side() for name in trees}
    sets: dict[str, str] = {}
    for i in range(arguments.processes):
        for name, tree in trees.items():
            print(f"process {i + 1} of {arguments.processes}: {name}", file=sys.stderr, flush=True)
            record = turn(tree, arguments)
            sides[name].add(record["cases"])
            sets[name] = record["instruction set"]
        if not any(side.keys() for side in sides.values()):
            sys.exit(f"--cases: {arguments.cases!r} matches none")
    return sides, sets


def find_trees(arguments: argparse.Namespace, builds: Path) -> dict[str, Path]:
    """base, again (the second build of base) and new, as far as this run needs them."""

    def tree(given: Path | None, revision: str, number: int) -> Path:
        if given is not None:
            return given.resolve()
        return build(revision, builds.resolve() / f"{commit(revision)[:12]}-{number}")

    trees = {"base": tree(arguments.base_dir, arguments.base, 1)}
    if arguments.noise is None:
        trees["again"] = tree(arguments.again_dir, arguments.base, 2)
    if not arguments.aa:
        if arguments.new is None:
            trees["new"] = (arguments.new_dir or ROOT).resolve()
        else:
            trees["new"] = tree(arguments.new_dir, arguments.new, 1)
    return trees


def _times(seconds: Sequence[float]) -> str:
    if not seconds:
        return f"{'-':>9} {'':>19}"
    low, high = f"{1e3 * min(seconds):.4g}", f"{1e3 * max(seconds):.4g}"
    return f"{1e3 * statistics.median(seconds):>9.4g} {f'{low}..{high}':>19}"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def show(row: Row) -> str:
    line = (
        f"{row.case:<36} {_times(row.base)} {_times(row.new)} {_number(row.ratio, '.3f'):>6} "
        f"{_number(row.noise, '.1%'):>6} {_number(row.bar, '.3f'):>6}  {row.verdict}"
    )
    return f"{line}: {row.note}" if row.note else line


def report(rows: Sequence[Row], noises: dict[str, float], second: str) -> None:
    print(
        f"{'case':<36} {'base ms':>9} {'min..max':>19} {second + ' ms':>9} {'min..max':>19} "
        f"{'ratio':>6} {'noise':>6} {'bar':>6}  verdict"
    )
    for row in rows:
        print(show(row))
    if noises:
        most = max(noises, key=noises.__getitem__)
        print(
            f"noise of two builds of base: median {statistics.median(noises.values()):.1%}, nine "
            f"of ten cases at most {common(noises):.1%}, most {noises[most]:.1%} ({most})"
        )
    if common(noises) > MOST_NOISE:
        print(f"noise above {MOST_NOISE:.0%}: something else ran here, and `same` means little")
    bad = [f"{row.case} ({row.verdict})" for row in rows if row.bad]
    print(f"{len(rows)} cases; not passed: {', '.join(bad) or 'none'}")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", nargs="?", default=FIRST)
    parser.add_argument("new", nargs="?", help="default: this working tree, as it is built")
    parser.add_argument("--aa", action="store_true", help="two builds of base: the noise alone")
    parser.add_argument(
        "--noise", type=Path, help="the --json of an --aa run, instead of a new one"
    )
    for name in ("base", "again", "new"):
        parser.add_argument(f"--{name}-dir", type=Path, help=f"a finished tree of {name}")
    parser.add_argument(
        "--build-dir", type=Path, help="keeps trees and builds here, and reuses them"
    )
    parser.add_argument("--cases", default="*", help='globs, comma-separated: "nt_xent*,call *"')
    parser.add_argument("--processes", type=int, default=PROCESSES, help="of each tree, at least 5")
    parser.add_argument("--samples", type=int, default=9, help="of a case in a process")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--quick", action="store_true", help="two short processes: does it run?")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    arguments.calls = 2000
    if arguments.quick:
        arguments.processes, arguments.samples, arguments.calls = 2, 2, 100
    elif arguments.processes < PROCESSES:
        parser.error(f"--processes: {arguments.processes}; accepted: at least {PROCESSES}")
    if arguments.aa and (arguments.new or arguments.new_dir or arguments.noise):
        parser.error("--aa: compares two builds of base; accepted: without NEW, --new-dir, --noise")
    return arguments


def read_noise(path: Path, facts: dict[str, Any]) -> dict[str, float]:
    """Of an earlier run, by this processor with as many threads."""
    record = json.loads(path.read_text())
    for name in ("processor", "threads", "torch"):
        if record["machine"][name] != facts[name]:
            sys.exit(f"{path}: {name} {record['machine'][name]!r}, here {facts[name]!r}")
    noises: dict[str, float] = record["noise"]
    return noises


def main() -> int:
    arguments = options()
    facts: dict[str, Any] = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": arguments.threads,
        "torch": torch.__version__,
    }
    given = {} if arguments.noise is None else read_noise(arguments.noise, facts)
    with contextlib.ExitStack() as stack:
        builds = arguments.build_dir or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        trees = find_trees(arguments, builds)
        sides, sets = take_turns(trees, arguments)
    noises = given if arguments.noise else noise(sides["base"], sides["again"])
    second = "again" if arguments.aa else "new"
    rows = judge(sides["base"], sides[second], None if arguments.aa else noises)
    print(", ".join(f"{name} {value}" for name, value in facts.items()), end="; ")
    print(f"{arguments.processes} processes of each tree, in turns")
    names = {
        "base": arguments.base,
        "again": arguments.base,
        "new": arguments.new or "as it is built",
    }
    for name, tree in trees.items():
        print(f"{name}: {names[name]} in {tree}, {sets[name]}")
    report(rows, noises, second)
    if arguments.json:
        record = {"machine": facts, "noise": noises, "rows": [asdict(row) for row in rows]}
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")
    return 1 if any(row.bad for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
