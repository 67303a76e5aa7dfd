"""Augmentations, fills and preprocessing on devices without float64, as Metal and most GPUs of
Intel are: their definitions make no such tensor there.

Two devices stand in for them. Meta tensors show where tensors are made: none of float64 on that
device, while draws and positions, which are float64 by contract, are the CPU's. The CPU shows the
numbers.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from cases.augment import MIXTURES, OPERATIONS, ROTATION, series
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tsssl_fast import augment, functional, masking, preprocess
from tsssl_fast.augment.program import Builder
from tsssl_fast.backends import precision
from tsssl_fast.common import random
from tsssl_fast.functional import collapse
from tsssl_fast.ops.augment import torch_only
from tsssl_fast.ops.augment.reference import augment as reference
from tsssl_fast.ops.augment.reference import draws
from tsssl_fast.ops.augment.spec import Source
from tsssl_fast.ops.masking.reference import fill
from tsssl_fast.ops.masking.spec import Fill
from tsssl_fast.ops.preprocess.reference.preprocess import preprocess as reference_task
from tsssl_fast.ops.preprocess.spec import Task

SHAPE = (3, 6, 37)
LENGTHS = torch.tensor([37, 20, 2])
SPECTRAL = {"phase_surrogate": augment.PhaseSurrogate(), "frequency_mask": augment.FrequencyMask()}
PLAIN = {**MIXTURES, **SPECTRAL}
KERNELS = {**OPERATIONS, "rotation": ROTATION}
# What depends on the mean or deviation of a row, which is summed in float32 there.
OF_ROWS = {"blockout_channels", "drift", "random_noise_uniform", "random_noise_normal", "some_of"}


class OnDevice(TorchDispatchMode):
    """Raises where an operation gives a float64 tensor on the device that has none."""

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = op(*args, **(kwargs or {}))
        for x in tree_leaves(result):
            if isinstance(x, Tensor) and x.is_meta:
                assert x.dtype != torch.float64, f"{op} makes float64"
        return result


@pytest.fixture
def no_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "WITHOUT_FLOAT64", frozenset({"meta"}))


def source_of(transform: Any, drawn: bool) -> Source:
    """Its program with a seed, lengths and, for `torch_only`, the drawn table."""
    builder = Builder()
    transform.add_to(builder)
    key = random.seed_tensor(7)
    table = None
    if drawn:
        table = draws.draw(builder.rows, draws.Subject.of(key, None, LENGTHS, 2, SHAPE))
    return Source(builder.program(), key, None, LENGTHS, table)


@pytest.mark.parametrize("name", KERNELS)
def test_an_operation_makes_no_float64(name: str, no_float64: None) -> None:
    source, x = source_of(KERNELS[name], False), torch.empty(SHAPE, device="meta")
    with OnDevice():
        y = reference.forward(x, source, 2)
        g = reference.backward(y, source, True)
    assert (y.shape, y.dtype, y.is_meta) == ((2, *SHAPE), torch.float32, True)
    assert (g.shape, g.is_meta) == (SHAPE, True)


@pytest.mark.parametrize("name", PLAIN)
def test_an_operation_of_torch_makes_no_float64(name: str, no_float64: None) -> None:
    source, x = source_of(PLAIN[name], True), torch.empty(2, *SHAPE, device="meta")
    with OnDevice():
        y = torch_only.run(x, source, "")
    assert (y.shape, y.dtype, y.is_meta) == (x.shape, torch.float32, True)


@pytest.mark.parametrize("kind", Fill)
def test_a_fill_makes_no_float64(kind: Fill, no_float64: None) -> None:
    x = torch.empty(SHAPE, device="meta")
    with OnDevice():
        y = fill.mask_fill(x, x > 0, kind, x[0, :, 0], random.seed_tensor(7), 0, None)
    assert (y.shape, y.dtype, y.is_meta) == (x.shape, torch.float32, True)


@pytest.mark.parametrize("task", Task)
def test_a_task_makes_no_float64(task: Task, no_float64: None) -> None:
    x = torch.empty(SHAPE, device="meta")
    with OnDevice():
        y = reference_task(x, task, 3.0, 1.0, LENGTHS)
    assert (y.shape, y.dtype, y.is_meta) == (x.shape, torch.float32, True)


def test_the_mode_sees_float64() -> None:
    x = torch.empty(SHAPE, device="meta")
    with OnDevice(), pytest.raises(AssertionError, match="makes float64"):
        reference_task(x, Task.STANDARDIZE, 0.0, 0.0, None)
    with OnDevice(), pytest.raises(AssertionError, match="makes float64"):
        reference.forward(x, source_of(augment.CropResize(), False), 2)


def without(monkeypatch: pytest.MonkeyPatch, call: Callable[[], Any]) -> tuple[Any, Any]:
    """Its results with float64 and without."""
    expected = call()
    monkeypatch.setattr(precision, "WITHOUT_FLOAT64", frozenset({"cpu"}))
    return call(), expected


@pytest.mark.parametrize("name", {**KERNELS, **PLAIN})
def test_numbers_of_augmentations(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bits, but for what depends on the mean or deviation of a row."""
    transform = {**KERNELS, **PLAIN}[name]
    x = series(*SHAPE)
    pipeline = transform if name in PLAIN else augment.Compose([transform])
    options: dict[str, Any] = {} if name in PLAIN else {"backend": "reference", "lengths": LENGTHS}

    def call() -> Any:
        y = pipeline(x, 2, seed=7, **options)
        return y.x if isinstance(y, tuple) else y

    found, expected = without(monkeypatch, call)
    exact = {} if name in OF_ROWS else {"rtol": 0.0, "atol": 0.0}
    torch.testing.assert_close(found, expected, **exact)


def _noisy() -> Tensor:
    return masking.fill(series(*SHAPE), series(*SHAPE) > 1, "noise", seed=7, backend="reference")


CALLS: dict[str, Callable[[], Any]] = {
    "noise": _noisy,
    "standardize": lambda: preprocess.standardize(series(*SHAPE), backend="reference"),
    "outliers": lambda: preprocess.clip_outliers(
        series(*SHAPE), method="iqr", factor=0.5, backend="reference"
    ),
    "decomposition": lambda: tuple(preprocess.seasonal_decompose(series(*SHAPE), 5)),
    "moving average": lambda: preprocess.moving_average(
        series(*SHAPE), 3, align="trailing", backend="reference"
    ),
    "scores": lambda: functional.score_distribution(
        series(6, 3), q_ids=torch.arange(6) % 2
    ).edges.float(),
    "collapse": lambda: collapse.collapse_report(series(20, 6)).effective_rank,
}


@pytest.mark.parametrize("name", CALLS)
def test_numbers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found, expected = without(monkeypatch, CALLS[name])
    torch.testing.assert_close(found, expected)
