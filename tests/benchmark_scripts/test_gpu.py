"""The GPU benchmarks as far as they go without a GPU: bounds, and the gate in the interpreter."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def benchmark_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_bounds_name_their_limit_and_the_peers() -> None:
    import gpu_static

    printed = gpu_static.report()
    for part in (
        "limited by",
        "VICReg 256 x 8192, tf32",
        "augment 65536 x 9 x 128",
        "siglip-kernel 0.1.2: 48.8 ms",
        "memeff 0.3.1: 201.0 ms",
        "Inf-CL",
    ):
        assert part in printed


@pytest.mark.parametrize("dim", [128, 256])
def test_nt_xent_bound_is_within_the_bar(dim: int) -> None:
    import gpu_static

    bound, units, allowed = gpu_static.bar(dim)
    assert bound <= allowed
    assert 2.5 <= units < 2.6
    # The bar holds only where products and exponentials overlap, and the report says so.
    assert "within the bar; assuming that they take turns" in gpu_static.report()


def test_work_is_counted_from_the_shapes() -> None:
    from gpu_work import augment, nt_xent_backward, nt_xent_forward, unit, vicreg

    forward, backward = (f(512, 64, "sm_90") for f in (nt_xent_forward, nt_xent_backward))
    assert backward.flops == 2 * unit(1024, 1024, 64)
    assert backward.exps == 1024**2
    assert 0.5 < forward.flops / unit(1024, 1024, 64) < 0.52
    for shape in ((256, 2048), (2048, 256)):
        assert vicreg(*shape, "sm_90", "tf32").flops == 6 * 256 * 256 * 2048
    assert augment(256, 9, 128).dram == 3 * 4 * 256 * 9 * 128


def test_the_gate_runs_without_a_gpu(tmp_path: Path) -> None:
    pytest.importorskip("triton")
    out = tmp_path / "gpu.json"
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "gpu_run.py", "--out", out, "--match", "nt_xent 1023"],
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads(out.read_text())
    assert record["dry"]
    assert {row["dtype"] for row in record["gates"]} == {"torch.float32", "torch.bfloat16"}
    assert all(row.get("passed") for row in record["gates"])


def test_a_wrong_kernel_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    import gpu_cases
    import gpu_run
    import torch

    def loss(a: torch.Tensor, b: torch.Tensor, backend: str) -> torch.Tensor:
        right = gpu_cases._nt_xent(a, b, "reference")
        return right * (1.0001 if backend == "triton" else 1)

    wrong = dataclasses.replace(gpu_cases.GATES[0], loss=loss)
    row = gpu_run.gate(wrong, torch.float32, "cpu", True)
    assert row["WRONG"].startswith("value: error")


def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "gpu_run.py", "--out", tmp_path / "x.json"],
        env={**environment, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert "no CUDA device" in done.stderr
