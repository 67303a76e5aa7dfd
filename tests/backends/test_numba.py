"""What the Numba backends promise beside numbers: compiled once and told, safe after a fork, on any
number of threads, and a reason where numba is missing."""

import functools
import os
import pathlib
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from beside import Beside
from checks import run_python, value_and_gradients

import tsssl_fast
from tsssl_fast import functional
from tsssl_fast.backends.numba import blas, launching
from tsssl_fast.ops.decorrelation import spec

pytestmark = pytest.mark.after_numba

SMALL = """
import torch
from tsssl_fast import functional
print(float(functional.invariance_penalty(torch.ones(3, 2), torch.zeros(3, 2), backend="numba")))
"""


def test_compiled_once_and_told(tmp_path: pathlib.Path) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    first, second = (run_python(SMALL, environment) for _ in range(2))
    assert first.stdout == second.stdout == "1.0\n", first.stderr
    (line,) = first.stderr.splitlines()
    assert "decorrelation.numba.kernels.moments.distance: compiled by numba in " in line
    assert str(tmp_path) in line
    assert second.stderr == ""


def test_kernels_run_where_nothing_can_be_kept() -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": "/dev/null", "HOME": "/dev/null"}
    assert run_python(SMALL, environment).stdout == "1.0\n"


AFTER_WARM = """
import torch, tsssl_fast
from tsssl_fast import augment, functional, preprocess
from tsssl_fast.backends.numba import compiling

def use(dtype):
    z = [torch.randn(40, 60).to(dtype).requires_grad_() for _ in range(2)]
    loss = functional.nt_xent_loss(*z) + functional.clip_loss(*z)
    loss = loss + functional.barlow_twins_loss(*z) + functional.vicreg_loss(*z)
    loss = loss + functional.vicreg_loss(*z, z[0] + z[1])
    (loss + functional.nt_xent_loss(*z, temperature=0.001)).backward()
    x = preprocess.standardize(torch.randn(4, 3, 50).to(dtype)).requires_grad_()
    augment.presets.simclr_ts()(x, 2, seed=0).sum().backward()

with tsssl_fast.use_backend("numba"):
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        use(dtype)
print(compiling.told)
"""


def test_warm_leaves_nothing_to_compile(beside: Beside) -> None:
    warmed = beside.result("numba")
    assert warmed.status == 0, warmed.error
    lines = warmed.error.splitlines()  # notes: the report has the output for itself
    for family in ("contrastive", "decorrelation", "augment", "masking", "preprocess"):
        assert any(line.startswith(f"{family}: numba ready after ") for line in lines), lines
    assert run_python(AFTER_WARM, os.environ).stdout == "[]\n"


FORK = """
import os
import numpy as np, torch
from tsssl_fast.backends.numba import launching
from tsssl_fast.ops.decorrelation.numba import vicreg
from tsssl_fast.ops.decorrelation.numba.kernels import moments as kernels

x = np.random.default_rng(0).normal(size=(512, 64))
views = [torch.from_numpy(x), torch.from_numpy(x[::-1].copy())]

def run(count):
    out, square = np.zeros(16), np.zeros((512, 512))
    launching.run(kernels.distance, count, x, -x, out)
    tile, sums = np.zeros((count, 128 * 128)), np.zeros(10)
    arguments = (x, x, True, 128, True, tile, square, square, sums)
    launching.run(kernels.second_moments, count, *arguments, blas=True)
    # In phases: tasks that wait for those before.
    torch.set_num_threads(count)
    found, square = vicreg.vicreg(views, 1.0, 1e-4, 0.0, 7)
    upstream = (1.0, 1.0, 1.0)
    gradients = vicreg.vicreg_backward(upstream, views, found, square, 1.0, 1e-4, 0.0, 7)
    return out.sum(), sums.sum(), found.tolist(), [g.tolist() for g in gradients]

torch.set_num_threads(2)
torch.randn(1 << 20).exp_()  # torch's own threads
expected = run({parent})
for count in (1, 2):
    child = os.fork()
    if child == 0:
        os._exit(0 if run(count) == expected == run(1) else 1)
    assert os.waitpid(child, 0)[1] == 0, count
print("survived")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="fork after threads is Linux's way")
@pytest.mark.parametrize("parent", [1, 2])
def test_forked_children_run_on_any_number_of_threads(parent: int) -> None:
    """Numba's own layers deadlock here, or the child is killed; so this has a time limit."""
    result = run_python(FORK.replace("{parent}", str(parent)), os.environ)
    assert result.stdout == "survived\n", result.stderr


# Numba infers the types.
@launching.kernel
def _failing(counter, thread, out):  # type: ignore[no-untyped-def]
    """Numbers of the threads that ran; the last task can not be done."""
    while True:
        task = launching.take(counter)
        if task >= len(out):
            break
        if out[task] < 0:
            raise ValueError("negative")
        out[task] = 1 + thread


@pytest.mark.parametrize("forked", [False, True])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_an_error_in_a_kernel_reaches_the_caller(
    count: int, forked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching, "_forked", forked)  # Python's threads
    out = np.zeros(1000)
    launching.run(_failing, count, out)
    assert out.min() >= 1
    assert out.max() <= count
    out[-1] = -1.0
    with pytest.raises(RuntimeError, match=r"^_failing: numba's status [1-9]"):
        launching.run(_failing, count, out)


def test_callers_on_several_threads_at_once() -> None:
    torch.set_num_threads(2)
    z = torch.randn(600, 128)
    expected = functional.nt_xent_loss(z, -z, reduction="none", backend="numba")
    found: list[torch.Tensor] = []

    def call() -> None:
        torch.set_num_threads(2)
        for _ in range(5):
            found.append(functional.nt_xent_loss(z, -z, reduction="none", backend="numba"))

    callers = [threading.Thread(target=call) for _ in range(3)]
    before = [library.get_num_threads() for library in blas._blas()]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(found) == 15
    assert all(torch.equal(f, expected) for f in found)
    assert [library.get_num_threads() for library in blas._blas()] == before


def test_without_numba_there_is_a_reason() -> None:
    code = """
import sys
sys.modules["numba"] = None
import torch, tsssl_fast
print(tsssl_fast.explain("nt_xent", torch.zeros(3, 2)).reasons["numba"][0])
try:
    tsssl_fast.functional.nt_xent_loss(torch.ones(3, 2), torch.ones(3, 2), backend="numba")
except tsssl_fast.BackendUnavailableError as error:
    print(error)
"""
    reason, error = run_python(code, os.environ).stdout.splitlines()
    assert reason.startswith("numba did not load (ModuleNotFoundError: ")
    assert reason.endswith("pip install 'tsssl_fast[numba]'")
    assert error == f"nt_xent: backend 'numba' was asked for and can not run: {reason}"


def test_a_dtype_that_no_kernel_takes_is_a_reason() -> None:
    x = torch.zeros(3, 2).to(torch.float8_e5m2)
    for op in ("nt_xent", "vicreg", "augment", "preprocess"):
        (reason,) = tsssl_fast.explain(op, x).reasons["numba"]
        assert reason.startswith("dtype=torch.float8_e5m2 (supported: torch.float32")


@pytest.mark.parametrize("correlation", [False, True])
@pytest.mark.parametrize(("n", "dim"), [(20, 7), (9, 40)])
def test_vicreg_terms_alone(n: int, dim: int, correlation: bool) -> None:
    """A term of weight 0 has no part in the gradient, nor has what belongs to it."""
    flags = spec.ALL_TERMS | (spec.CORRELATION if correlation else 0)
    for weights in ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0]):

        def loss(
            *z: torch.Tensor, kernel: str = "numba", weights: list[float] = weights
        ) -> torch.Tensor:
            settings = spec.VICRegSettings(1.0, 1.0, 1.0, *weights, gamma=1.0, eps=1e-4)
            return torch.ops.tsssl_fast.vicreg(*z, settings, flags, "", kernel)[0]

        z = [torch.randn(n, dim) * 0.5 for _ in range(2)]
        found, expected = (
            value_and_gradients(functools.partial(loss, kernel=kernel), z)
            for kernel in ("numba", "reference")
        )
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * b.abs().max().item())


# Both sides; matrices in one part of the depth, in several, and too large for that; an odd view.
@pytest.mark.parametrize(
    ("n", "dim", "count"), [(40, 700, 2), (90, 50, 2), (700, 40, 3), (300, 257, 2)]
)
def test_decorrelation_gives_the_same_bits_on_any_number_of_threads(
    n: int, dim: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tsssl_fast.ops.decorrelation.numba import views

    monkeypatch.setattr(views, "_PRODUCTS", 1)
    monkeypatch.setattr(views, "_ELEMENTS", 1)
    z = [torch.randn(n, dim) for _ in range(count)]
    losses: list[Callable[..., Any]] = [functional.vicreg_loss]
    losses.append(functools.partial(functional.vicreg_loss, convention="vibcreg"))
    for loss in losses + [functional.barlow_twins_loss] * (count == 2):
        runs = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            runs.append(value_and_gradients(functools.partial(loss, backend="numba"), z))
        for run in runs[1:]:
            assert all(torch.equal(a, b) for a, b in zip(run, runs[0], strict=True))


@pytest.mark.parametrize("temperature", [0.1, 0.01])
def test_nt_xent_forms_its_gradient_in_the_forward(
    temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bits as with a backward of its own, on any number of threads."""
    from tsssl_fast.ops.contrastive import spec as contrastive
    from tsssl_fast.ops.contrastive.numba.kernels import problem

    monkeypatch.setattr(problem, "_TASK", 1)
    z = [torch.randn(150, 19) for _ in range(2)]
    loss = functools.partial(functional.nt_xent_loss, temperature=temperature, backend="numba")
    *_, gradients, _ = torch.ops.tsssl_fast.nt_xent(*z, temperature, "mean", True, "", "numba")
    assert gradients.shape == (2, 150, 19)
    runs = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        runs.append(value_and_gradients(loss, z))
    monkeypatch.setattr(contrastive, "kept_rows", lambda rows, dim: 0)
    runs.append(value_and_gradients(loss, z))
    for run in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(run, runs[0], strict=True))
