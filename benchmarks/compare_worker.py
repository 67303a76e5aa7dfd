"""One turn of `compare.py`: times the chosen cases of the package in one tree, in this process.

    PYTHONPATH=TREE python benchmarks/compare_worker.py --tree TREE --module current --out FILE ...

The file gets {"instruction set", "torch", "cases": {key: {"seconds", "values"} or {"error"}}}:
seconds of a call, the median of the samples; values are mean magnitudes of the first call's
results, by which two revisions are seen to compute the same.
"""

import argparse
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from timing import interleaved, overhead


def summary(results: tuple[torch.Tensor, ...]) -> list[float]:
    return [x.detach().double().abs().mean().item() for x in results]


def measure(cases: list[Any], api: Any, samples: int, calls: int) -> dict[str, dict[str, Any]]:
    """What the file says of every case; one that raises is reported and not timed."""
    rows: dict[str, dict[str, Any]] = {}
    runs: dict[str, Callable[[], object]] = {}
    for case in cases:
        try:
            run = case.build(api)
            rows[case.key] = {"values": summary(run())}
            runs[case.key] = run
        except Exception as error:
            rows[case.key] = {"error": f"{type(error).__name__}: {error}"}
    small = {case.key for case in cases if case.call} & runs.keys()
    for key in sorted(small):
        rows[key]["seconds"] = overhead(runs.pop(key), calls)
    for key, times in interleaved(runs, samples).items():
        rows[key]["seconds"] = times.median
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tree", type=Path, required=True, help="where the package must come from")
    parser.add_argument("--cases-in", type=Path, required=True, help="folder of compare_cases")
    parser.add_argument("--module", required=True)
    parser.add_argument("--cases", default="*")
    parser.add_argument("--samples", type=int, required=True)
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    sys.path.insert(0, str(arguments.cases_in))
    api = importlib.import_module(f"compare_cases.{arguments.module}")
    catalogue = importlib.import_module("compare_cases.catalogue")
    package = Path(str(sys.modules["tsssl_fast"].__file__)).resolve()
    if not package.is_relative_to(arguments.tree.resolve()):
        sys.exit(f"tsssl_fast was imported from {package}, not from {arguments.tree}")
    if not api.instruction_set():
        sys.exit(f"the extension in {arguments.tree} did not load: build it in place first")
    cases = catalogue.chosen(api, arguments.cases)
    record = {
        "instruction set": api.instruction_set(),
        "torch": torch.__version__,
        "cases": measure(cases, api, arguments.samples, arguments.calls),
    }
    arguments.out.write_text(json.dumps(record))


if __name__ == "__main__":
    main()
