"""Around the losses of tsssl_fast.compat: copies, pickles, torch.compile, hooks of autocast."""

import copy
import pickle
from typing import Any

import pytest
import torch
from compat.formulas import drawn
from torch import Tensor

from tsssl_fast.compat import (
    barlow_twins,
    info_nce,
    lightly,
    open_clip,
    supcontrast,
    ts_tcc,
    vicreg,
)
from tsssl_fast.compat import pytorch_metric_learning as pml

PAIRS: list[Any] = [
    lightly.NTXentLoss(),
    lightly.NTXentLoss(memory_bank_size=(20, 10)),
    lightly.DCLLoss(),
    lightly.DCLWLoss(),
    lightly.SupConLoss(),
    lightly.VICRegLoss(),
    lightly.BarlowTwinsLoss(),
    lightly.NegativeCosineSimilarity(),
    lightly.TiCoLoss(),
    pml.SelfSupervisedLoss(pml.NTXentLoss()),
    pml.SelfSupervisedLoss(pml.SupConLoss(), symmetric=False),
    info_nce.InfoNCE(),
    ts_tcc.NTXentLoss("cpu", 12, 0.2, True),
    vicreg.VICRegLoss(),
    barlow_twins.BarlowTwinsLoss(),
]
# Without a memory; info_nce takes one dtype, as its library.
PROMOTING = [
    loss
    for loss in PAIRS
    if not isinstance(loss, (lightly.TiCoLoss, info_nce.InfoNCE)) and loss is not PAIRS[1]
]


def named(loss: Any) -> str:
    return type(loss).__name__


@pytest.mark.parametrize("loss", PAIRS, ids=named)
def test_copies_and_pickles_give_the_same(loss: Any) -> None:
    a, b = drawn((12, 10), (12, 10))[0]
    again = [copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))]
    value = loss(a, b)
    for other in again:
        torch.testing.assert_close(other(a, b), value)


@pytest.mark.parametrize(
    "loss",
    [lightly.NTXentLoss(), lightly.VICRegLoss(), lightly.DCLWLoss(), info_nce.InfoNCE()],
    ids=named,
)
def test_compiled_without_a_break(loss: Any) -> None:
    a, b = drawn((12, 10), (12, 10))[0]
    a.requires_grad_()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    (expected,) = torch.autograd.grad(loss(a, b), a)
    value = compiled(a, b)
    torch.testing.assert_close(value, loss(a, b))
    torch.testing.assert_close(torch.autograd.grad(value, a)[0], expected)


@pytest.mark.parametrize("loss", PROMOTING, ids=named)
def test_mixed_dtypes_promote(loss: Any) -> None:
    a, b = drawn((12, 10), (12, 10))[0]
    value = loss(a.bfloat16(), b)
    assert value.dtype in (torch.float32, torch.bfloat16)
    torch.testing.assert_close(value.float(), loss(a.bfloat16().float(), b), rtol=1e-2, atol=1e-2)


def test_modules_say_their_options() -> None:
    shown = [
        (lightly.NTXentLoss(0.2), "temperature=0.2"),
        (lightly.DCLLoss(0.2), "temperature=0.2"),
        (lightly.VICRegLoss(1.0), "lambda_param=1.0"),
        (lightly.BarlowTwinsLoss(0.1), "lambda_param=0.1"),
        (lightly.NegativeCosineSimilarity(0), "dim=0"),
        (supcontrast.SupConLoss(0.2), "temperature=0.2"),
        (pml.NTXentLoss(0.2), "temperature=0.2"),
    ]
    for loss, said in shown:
        assert said in repr(loss)


def test_open_clip_under_autocast() -> None:
    a, b = drawn((12, 10), (12, 10))[0]

    def loss(x: Tensor, y: Tensor) -> Any:
        return open_clip.ClipLoss()(x, y, torch.tensor(3.0))

    with torch.autocast("cpu", torch.bfloat16):
        assert loss(a.bfloat16(), b.bfloat16()).dtype == torch.float32
