"""Measures the Triton kernels on a GPU: correctness first, then times. One file comes out.

    pip install ".[triton]" lightly            (torch with CUDA; peers are optional)
    python benchmarks/gpu_run.py --out gpu.json
    TRITON_INTERPRET=1 python benchmarks/gpu_run.py --out dry.json    (no GPU: the gate alone, tiny)

A kernel over its error bound (tests/checks.py, factors from each family's spec.py) is marked WRONG
and gets no time; the exit status is then 1. What is not installed or declines an input is a row
with the reason. Please attach the file to an issue.
"""

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from gpu_cases import CASES, DTYPES, GATES, Case, Gate, Unavailable

import tsssl_fast
from tsssl_fast import BackendUnavailableError

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from checks import accept, value_and_gradients

ROUNDS = 20
PROVIDERS = ("triton", "eager", "compile", "lightly", "inf_cl")


def gate(check: Gate, dtype: torch.dtype, device: str, tiny: bool) -> dict[str, Any]:
    """One row: passed, WRONG with the sentence, or skipped with the reason."""
    row: dict[str, Any] = {"gate": check.name, "dtype": str(dtype)}
    torch.manual_seed(0)
    try:
        results = []
        for _ in range(4 if tiny else 16):
            inputs = [x.to(dtype) for x in check.inputs(device, tiny)]
            triton = value_and_gradients(lambda *a: check.loss(*a, backend="triton"), inputs)
            double = [x.double() for x in inputs]
            truth = value_and_gradients(lambda *a: check.loss(*a, backend="reference"), double)
            plain = value_and_gradients(lambda *a: check.loss(*a, backend="reference"), inputs)
            results.append(list(zip(triton, truth, plain, strict=True)))
        for i, output in enumerate(zip(*results, strict=True)):
            accept("value" if i == 0 else f"gradient {i - 1}", output, check.factor)
    except BackendUnavailableError as error:
        return row | {"skipped": str(error)}
    except AssertionError as error:
        return row | {"WRONG": str(error)}
    return row | {"passed": True}


def milliseconds(call: Callable[[], object]) -> dict[str, float]:
    """Median and quartile distance of ROUNDS single calls, by CUDA events, after a warm-up."""
    for _ in range(3):
        call()
    torch.cuda.synchronize()
    samples = []
    for _ in range(ROUNDS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        torch.cuda.synchronize()
        samples.append(start.elapsed_time(end))
    low, median, high = statistics.quantiles(samples, n=4, method="inclusive")
    return {"ms": median, "spread": high - low}


def measure(case: Case, dtype: torch.dtype, provider: str) -> dict[str, Any]:
    """One row: time and peak memory of forward and backward, or why not."""
    row: dict[str, Any] = {"case": case.name, "dtype": str(dtype), "provider": provider}
    torch.manual_seed(0)
    torch.cuda.empty_cache()
    try:
        inputs = [x.to(dtype).requires_grad_() for x in case.inputs("cuda")]
        loss = case.providers(provider)

        def once() -> None:
            torch.autograd.grad(loss(*inputs), inputs)

        once()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        once()
        torch.cuda.synchronize()
        row["peak_mb"] = (torch.cuda.max_memory_allocated() - before) / 1e6
        return row | milliseconds(once)
    except (Unavailable, BackendUnavailableError, torch.cuda.OutOfMemoryError) as error:
        return row | {"skipped": f"{type(error).__name__}: {str(error).splitlines()[0]}"}


def machine() -> dict[str, Any]:
    found: dict[str, Any] = {
        "tsssl_fast": tsssl_fast.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
    }
    if torch.cuda.is_available():
        p = torch.cuda.get_device_properties(0)
        found |= {"gpu": p.name, "memory_gb": p.total_memory / 1e9, "sms": p.multi_processor_count}
        found["capability"] = list(torch.cuda.get_device_capability(0))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--match", default="", help="only gates and cases whose name contains this")
    given = parser.parse_args(arguments)
    dry = os.environ.get("TRITON_INTERPRET") == "1"
    if not dry and not torch.cuda.is_available():
        parser.error("no CUDA device; TRITON_INTERPRET=1 runs the correctness gate alone")
    record: dict[str, Any] = {"machine": machine(), "dry": dry, "gates": [], "rows": []}
    device = "cpu" if dry else "cuda"
    for check in GATES:
        for dtype in DTYPES if not dry else check.dry_dtypes:
            if given.match in check.name:
                record["gates"].append(gate(check, dtype, device, dry))
                print(record["gates"][-1], flush=True)
    wrong = {(r["gate"].split()[0], r["dtype"]) for r in record["gates"] if "WRONG" in r}
    for case in () if dry else CASES:
        for dtype in case.dtypes:
            for provider in PROVIDERS:
                if given.match not in case.name:
                    continue
                if provider == "triton" and (case.name.split()[0], str(dtype)) in wrong:
                    row = {"case": case.name, "dtype": str(dtype), "provider": provider}
                    record["rows"].append(row | {"skipped": "WRONG at the gate"})
                else:
                    record["rows"].append(measure(case, dtype, provider))
                print(record["rows"][-1], flush=True)
                given.out.write_text(json.dumps(record, indent=1))
    given.out.write_text(json.dumps(record, indent=1))
    print(f"{len(wrong)} wrong; written to {given.out}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
