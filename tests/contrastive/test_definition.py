"""The definition in blocks of rows: every combination of options, whether a kernel takes it or
not, in several blocks, compiled, and under torch.func."""

import logging
from typing import Any

import pytest
import torch
from contrastive import crossed, draws
from torch import Tensor

from tsssl_fast import functional
from tsssl_fast.backends import dispatch
from tsssl_fast.functional.contrastive import kernels
from tsssl_fast.ops.contrastive import spec


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No kernel takes anything, and a block holds a row or two."""
    monkeypatch.setattr(kernels, "why_not", lambda problem: ["a test"])
    monkeypatch.setattr(spec, "BLOCK_ELEMENTS", 12)


@pytest.mark.usefixtures("alone")
def test_every_combination_in_several_blocks() -> None:
    crossed.check(map(crossed.expected_at, range(0, draws.DRAWS, 20)), "reference")


OPTIONS: dict[str, dict[str, Any]] = {
    "own_positive": {"denominator": "own_positive"},
    "hardness by query": {"hardness": 0.5, "temperature": torch.linspace(0.3, 0.6, 7).double()},
    "targets by relation": {
        "q_ids": None,
        "targets": torch.eye(7, dtype=torch.float64).roll(1, 0) + 0.1,
        "temperature": functional.PairTemperature(0.3, 0.5),
    },
}


def loss(z: Tensor, **options: Any) -> Tensor:
    return functional.contrastive_loss(z * 2, **{"q_ids": torch.arange(7) // 3} | options)


@pytest.mark.parametrize("name", OPTIONS)
def test_torch_func(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    z = torch.randn(7, 4, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(loss(z, **OPTIONS[name]), z)
    for elements in (1 << 20, 12):
        monkeypatch.setattr(spec, "BLOCK_ELEMENTS", elements)
        found = torch.func.grad(lambda x: loss(x, **OPTIONS[name]))(z.detach())
        torch.testing.assert_close(found, expected)


@pytest.mark.clean_memory
@pytest.mark.parametrize("name", OPTIONS)
def test_compiled_graph_is_whole(name: str) -> None:
    z = torch.randn(7, 4, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(loss(z, **OPTIONS[name]), z)
    compiled = torch.compile(
        lambda x: loss(x, **OPTIONS[name]), fullgraph=True, backend="aot_eager"
    )
    torch.testing.assert_close(torch.autograd.grad(compiled(z), z)[0], expected)


def test_a_backend_by_name_that_can_not_run_the_inputs_says_so() -> None:
    z = torch.randn(7, 4, dtype=torch.float64, device="meta")
    options = {"q_ids": torch.arange(7, device="meta"), "denominator": "own_positive"}
    with pytest.raises(RuntimeError, match="backend 'cpp' was asked for and can not run"):
        functional.contrastive_loss(z, **options, backend="cpp")


def test_row_blocks_of_torch_are_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dispatch, "_told", set())
    z = torch.randn(7, 4)
    with caplog.at_level(logging.WARNING, logger="tsssl_fast"):
        for backend in (None, "cpp", "cpp"):
            loss(z, denominator="own_positive", backend=backend)
    assert caplog.messages == [
        "contrastive_loss: row blocks of torch (backend cpp): no kernel takes "
        "denominator='own_positive'"
    ]
