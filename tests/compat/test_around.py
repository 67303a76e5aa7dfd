"""Around the losses of tsssl_fast.compat: copies, pickles, torch.compile, hooks of autocast."""

import copy
import pickle
from collections.abc import Callable
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
    solo_learn,
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
    return getattr(loss, "__name__", type(loss).__name__)


@pytest.mark.parametrize("loss", PAIRS, ids=named)
def test_copies_and_pickles_give_the_same(loss: Any) -> None:
    a, b = drawn((12, 10), (12, 10))[0]
    again = [copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))]
    value = loss(a, b)
    for other in again:
        torch.testing.assert_close(other(a, b), value)


@pytest.mark.parametrize(
    "loss",
    [
        *(lightly.NTXentLoss(), lightly.VICRegLoss(), lightly.DCLWLoss(), lightly.SupConLoss()),
        *(info_nce.InfoNCE(), barlow_twins.BarlowTwinsLoss()),
    ],
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


def vicreg_of_pml(a: Tensor, b: Tensor) -> Tensor:
    return pml.VICRegLoss()(a, ref_emb=b)


def against_references(a: Tensor, b: Tensor) -> Tensor:
    return pml.SupConLoss()(a, torch.arange(12) % 3, ref_emb=b, ref_labels=torch.arange(12) % 4)


def clip(a: Tensor, b: Tensor) -> Any:
    return open_clip.ClipLoss()(a, b, 3.0)


MIXED = [
    *PROMOTING,
    pml.SelfSupervisedLoss(pml.NTXentLoss(reducer=pml.reducers.SumReducer())),
    pml.SelfSupervisedLoss(pml.SupConLoss(distance=pml.distances.LpDistance()), symmetric=False),
    *(vicreg_of_pml, against_references, clip, solo_learn.vicreg_loss_func),
    *(solo_learn.barlow_loss_func, solo_learn.byol_loss_func, solo_learn.mocov3_loss_func),
    lambda a, b: lightly.MMCRLoss()(a.reshape(4, 3, 10), b.reshape(4, 3, 10)),
]


@pytest.mark.parametrize("loss", MIXED, ids=named)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_mixed_dtypes_promote(loss: Any, dtype: torch.dtype) -> None:
    a, b = drawn((12, 10), (12, 10))[0]
    for first, second in ((a.to(dtype), b), (b, a.to(dtype))):
        value = loss(first, second)
        assert value.dtype == torch.float32
        expected = loss(first.float(), second.float())
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=0)


CLASSES = torch.arange(12) % 3
REMEMBERED: list[tuple[Any, Callable[[Any, Tensor, Tensor], Any]]] = [
    (open_clip.ClipLoss(cache_labels=True), lambda loss, a, b: loss(a, b, 3.0)),
    (open_clip.SigLipLoss(dist_impl="gather"), lambda loss, a, b: loss(a, b, 3.0, -1.0)),
    (
        supcontrast.SupConLoss(0.2, "one", 0.1),
        lambda loss, a, b: loss(torch.stack([a, b], dim=1), CLASSES),
    ),
    (pml.NTXentLoss(0.2), lambda loss, a, b: loss(a, CLASSES)),
    (
        pml.SupConLoss(0.2, distance=pml.distances.LpDistance(), reducer=pml.reducers.SumReducer()),
        lambda loss, a, b: loss(a, CLASSES, ref_emb=b, ref_labels=CLASSES.flip(0)),
    ),
    (
        pml.CrossBatchMemory(pml.SupConLoss(0.2), embedding_size=10, memory_size=30),
        lambda loss, a, b: loss(a, CLASSES),
    ),
    (lightly.TiCoLoss(), lambda loss, a, b: loss(a, b)),
    (lightly.DINOLoss(10), lambda loss, a, b: loss([a, b], [b, a])),
]


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"]
)
@pytest.mark.parametrize(("loss", "call"), REMEMBERED, ids=[named(x) for x, _ in REMEMBERED])
def test_copies_keep_what_a_call_left(loss: Any, call: Any, copied: Callable[[Any], Any]) -> None:
    """Both go on from there alike, each by itself."""
    loss = copy.deepcopy(loss)
    (a, b), (c, d), (e, f) = drawn((12, 10), (12, 10))
    call(loss, a, b)
    other = copied(loss)
    torch.testing.assert_close(other.state_dict(), loss.state_dict(), rtol=0, atol=0)
    assert repr(other) == repr(loss)
    torch.testing.assert_close(call(other, c, d), call(loss, c, d), rtol=0, atol=0)
    call(other, f, e)
    twin = copied(loss)
    torch.testing.assert_close(call(twin, e, f), call(loss, e, f), rtol=0, atol=0)


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"]
)
def test_copies_of_a_memory(copied: Callable[[Any], Any]) -> None:
    memory = pml.CrossBatchMemory(pml.NTXentLoss(), embedding_size=10, memory_size=20)
    rows = torch.cat(drawn((12, 10), (12, 10))[0])
    for z in rows.split(12):
        memory(z, CLASSES)
    other = copied(memory)
    assert other.has_been_filled
    assert other.queue_idx == memory.queue_idx == 4
    torch.testing.assert_close(other.embedding_memory, torch.cat([rows[20:], rows[4:20]]))
    assert torch.equal(
        other.label_memory, torch.cat([CLASSES.repeat(2)[20:], CLASSES.repeat(2)[4:20]])
    )
    before = memory.embedding_memory.clone()
    other(rows[:12], CLASSES)
    assert torch.equal(memory.embedding_memory, before)


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
