"""The benchmarks run, judge correctness before speed, and tell what they skip."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_a_run_writes_rows_and_the_table(tmp_path: Path, benchmark_modules: None) -> None:
    import report

    out = tmp_path / "run.json"
    done = subprocess.run(
        [
            *(sys.executable, BENCHMARKS / "run.py", "--cases", "32x128", "--rounds", "2"),
            *("--providers", "cpp,eager,lightly", "--threads", "1", "--json", out),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads(out.read_text())
    rows = {row["provider"]: row for row in record["rows"]}
    assert rows["cpp"]["error"] <= rows["cpp"]["allowed"]
    assert rows["eager"]["ratio"] == 1
    assert rows["cpp"]["memory"] >= 0
    assert "skipped" in rows["lightly"] or rows["lightly"]["median"] > 0
    assert "| nt_xent 32x128 |" in report.table(record)


def test_a_wrong_kernel_gets_no_time(benchmark_modules: None) -> None:
    import dataclasses

    import registry
    import run

    case = registry.case("nt_xent 32x128")

    def wrong(inputs: object) -> object:
        right = case.providers["cpp"](inputs)
        return lambda: tuple(x * 1.0001 for x in right())

    broken = dataclasses.replace(case, providers={**case.providers, "cpp": wrong})
    (row,) = run.measure(broken, ["cpp"], rounds=2, memory=False)
    assert row["failed"] == ["WRONG"]
    assert "median" not in row
    assert "WRONG" in run.show(row)


def test_an_unknown_provider_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "run.py", "--providers", "tpu"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert "providers: bf16, chunked, compat, compiled, cpp, eager" in done.stderr


def test_the_sweep_judges_before_it_times(
    benchmark_modules: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sweep

    assert sweep.points("32x8,2x8") == [(2, 8), (32, 8)]
    monkeypatch.setattr(sweep, "POINT_SECONDS", 0.0)  # one pass
    monkeypatch.setattr(sweep, "FULL_TRUTH_ROWS", 16)
    for n in (8, 40):  # judged by float64, and by rows of it and eager gradients
        point = sweep.measure(n, 8, None)
        assert point["ratio"] > 0
        assert "WRONG" not in sweep.line(f"{n}x8", point)
        with monkeypatch.context() as patch:
            right = sweep.ours
            patch.setattr(sweep, "ours", lambda a, b, f=right: f(a, b) * 1.001)
            point = sweep.measure(n, 8, None)
        assert "ratio" not in point
        assert "WRONG" in sweep.line(f"{n}x8", point)

    def wrong(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        coarse = a.dtype == torch.bfloat16 or torch.get_float32_matmul_precision() == "medium"
        return right(a, b) * (1.1 if coarse else 1)

    for setting in ("medium", "bf16"):  # judged by float32
        assert sweep.measure(40, 8, None, setting)["ratio"] > 0
        with monkeypatch.context() as patch:
            patch.setattr(sweep, "ours", wrong)
            assert "WRONG" in sweep.line(f"40x8 {setting}", sweep.measure(40, 8, None, setting))
