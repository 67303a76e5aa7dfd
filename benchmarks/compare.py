"""Compares two commits on this machine, in one job.

    python benchmarks/compare.py BASE [HEAD] [--cases 256x128] [--rounds 5]

Each commit gets its own worktree and build; then base and head take turns, each turn a process that
runs the head's benchmarks (so that both are asked the same). Prints the median and the best of the
rounds; exits with 1 where both say that head is slower by more than the threshold.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
THRESHOLD = 1.10  # two builds of one commit differ by up to this


def build(commit: str, folder: Path) -> None:
    """A worktree of `commit` with the extension built in place."""
    subprocess.run(
        ["git", "worktree", "add", "--detach", "--quiet", str(folder), commit], cwd=ROOT, check=True
    )
    subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"],
        cwd=folder,
        env={**os.environ, "TSSSL_BUILD_DIR": str(folder / "build")},
        stdout=subprocess.DEVNULL,
        check=True,
    )


def turn(package: Path, benchmarks: Path, cases: str) -> dict[str, float]:
    """Seconds per case of our own kernels, of the package in one worktree."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        done = subprocess.run(
            [
                *(sys.executable, str(benchmarks / "run.py"), "--providers", "cpp", "--no-memory"),
                *("--cases", cases, "--json", out.name),
            ],
            env={**os.environ, "PYTHONPATH": str(package)},
            capture_output=True,
            text=True,
        )
        text = Path(out.name).read_text()
        if not text:
            sys.exit(f"the benchmarks failed on {package.name}:\n{done.stdout}{done.stderr}")
    rows = json.loads(text)["rows"]
    wrong = [row["case"] for row in rows if "median" not in row]
    if wrong:
        sys.exit(f"{package.name} gives wrong results, so nothing is compared: {', '.join(wrong)}")
    return {row["case"]: row["median"] for row in rows}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base")
    parser.add_argument("head", nargs="?", default="HEAD")
    parser.add_argument("--cases", default="")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trees = {side: Path(folder, side) for side in ("base", "head")}
        try:
            for side, tree in trees.items():
                build(getattr(arguments, side), tree)
            rounds = []
            for _ in range(arguments.rounds):
                turns = [
                    (side, turn(trees[side], trees["head"] / "benchmarks", arguments.cases))
                    for side in trees
                ]
                rounds.append(dict(turns))
        finally:
            for tree in trees.values():
                subprocess.run(
                    ["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=False
                )
    slower = False
    print(f"{'case':<18} {'base ms':>9} {'head ms':>9} {'median':>7} {'best':>7}")
    for case in rounds[0]["head"]:
        base = [r["base"][case] for r in rounds]
        head = [r["head"][case] for r in rounds]
        middle = statistics.median(head) / statistics.median(base)
        best = min(head) / min(base)
        bad = min(middle, best) > THRESHOLD
        slower |= bad
        times = f"{statistics.median(base) * 1e3:>9.3f} {statistics.median(head) * 1e3:>9.3f}"
        print(f"{case:<18} {times} {middle:>6.2f}x {best:>6.2f}x{'  SLOWER' if bad else ''}")
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
