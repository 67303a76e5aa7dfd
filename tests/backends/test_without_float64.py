"""Losses on devices without float64, as Metal and most GPUs of Intel are: their definitions make no
such tensor there. The CPU stands in for them."""

from collections.abc import Callable
from typing import Any

import pytest
import samples
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import tsssl_fast
from tsssl_fast.backends import dispatch, precision

# Draws of augmentations, and the sums of fills and of preprocessing, are float64 by contract.
OTHERS = {"augment", "augment_sample", "mask_fill", "preprocess", "tokens"}
LOSSES = sorted(samples.USES.keys() - OTHERS)


class NoFloat64(TorchDispatchMode):
    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = op(*args, **(kwargs or {}))
        for x in tree_leaves(result):
            assert not isinstance(x, Tensor) or x.dtype != torch.float64, f"{op} makes float64"
        return result


def watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mode sees an operator, not what it consists of: kernels run in one of their own."""
    select = dispatch.select

    def within(*args: Any, **kwargs: Any) -> Callable[..., Any]:
        kernel = select(*args, **kwargs)

        def run(*given: Any) -> Any:
            with NoFloat64():
                return kernel(*given)

        return run

    monkeypatch.setattr(dispatch, "select", within)


def numbers(use: str, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The loss and the gradients of its leaves, from the definition."""
    leaves: list[Tensor] = []

    def leaf(*shape: int) -> Tensor:
        leaves.append(torch.randn(shape, requires_grad=True))
        return leaves[-1]

    monkeypatch.setattr(samples, "leaf", leaf)
    torch.manual_seed(0)
    with tsssl_fast.use_backend("reference"):
        loss = samples.USES[use]()
        assert loss is not None
        loss.sum().backward()
    return [loss.detach(), *(x.grad for x in leaves if x.grad is not None)]


@pytest.mark.parametrize("use", LOSSES)
def test_definitions_make_no_float64(use: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = numbers(use, monkeypatch)
    watch(monkeypatch)
    monkeypatch.setattr(precision, "WITHOUT_FLOAT64", frozenset({"cpu"}))
    with NoFloat64():
        found = numbers(use, monkeypatch)
    assert len(found) > 1
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("use", ["nt_xent", "vicreg", "barlow_twins"])
def test_the_mode_looks_into_operators(use: str, monkeypatch: pytest.MonkeyPatch) -> None:
    watch(monkeypatch)
    with pytest.raises(AssertionError, match="makes float64"):
        numbers(use, monkeypatch)


@pytest.mark.parametrize("family", sorted(dispatch.families()))
def test_definitions_let_such_devices_in(family: str) -> None:
    (reference,) = [b for b in dispatch.families()[family] if b.name == "reference"]
    assert reference.devices >= precision.WITHOUT_FLOAT64
