"""Libraries of the extra `test` beside ours: values, gradients, dtypes, state. One that is not
installed is an error, no skipped test."""

import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from tsssl_fast import compat
from tsssl_fast.compat import info_nce
from tsssl_fast.compat import pytorch_metric_learning as ours

SIZES = ((5, 3), (20, 16), (33, 40))
TOLERANCE = {torch.float64: 1e-9, torch.float32: 5e-5}


def drawn(rows: int, columns: int, dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(rows)
    a, b, c = torch.randn(3, rows, columns, generator=generator).to(dtype)
    return [a, a + 1.2 * b, c]


def same(theirs: Callable[..., Any], mine: Callable[..., Any], inputs: Sequence[Tensor]) -> None:
    results = []
    for loss in (theirs, mine):
        leaves = [x.clone().requires_grad_() for x in inputs]
        value = loss(*leaves)
        value.sum().backward()
        grads = [torch.zeros_like(x) if x.grad is None else x.grad for x in leaves]
        results.append([value.detach(), *grads])
    for expected, found in zip(*results, strict=True):
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        unit = expected.abs().max().clamp_min(1e-3)
        assert (found - expected).abs().max() <= TOLERANCE[found.dtype] * unit


INPUTS = [drawn(*size, dtype) for size in SIZES for dtype in TOLERANCE]
# The library has a matrix of positive by negative pairs.
FEW = [inputs for inputs in INPUTS if len(inputs[0]) <= 20]
shaped = {"ids": lambda inputs: f"{tuple(inputs[0].shape)}, {inputs[0].dtype}"}


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize("inputs", INPUTS, **shaped)
def test_info_nce_pytorch(inputs: list[Tensor], reduction: str, temperature: float) -> None:
    theirs = importlib.import_module("info_nce")
    options = {"temperature": temperature, "reduction": reduction}
    a, b, c = inputs
    same(theirs.InfoNCE(**options), info_nce.InfoNCE(**options), [a, b])
    same(theirs.InfoNCE(**options), info_nce.InfoNCE(**options), [a, b, c])
    own = torch.stack([c, c.flip(0), c.roll(1)], dim=1)
    paired = {"negative_mode": "paired", **options}
    same(theirs.InfoNCE(**paired), info_nce.InfoNCE(**paired), [a, b, own])


@pytest.fixture
def library() -> Any:
    return importlib.import_module("pytorch_metric_learning")


def with_options(library: Any, of: Any, name: str) -> Iterator[Any]:
    from pytorch_metric_learning import reducers, regularizers

    distances = library.distances if of is library else ours.distances
    loss = getattr(of.losses, name)
    for temperature in (0.1, 0.5):
        yield loss(temperature=temperature)
    yield loss(temperature=2.0, distance=distances.DotProductSimilarity(normalize_embeddings=False))
    yield loss(temperature=0.5, distance=distances.LpDistance())
    for reducer in (reducers.MeanReducer(), reducers.SumReducer(), reducers.PerAnchorReducer()):
        yield loss(temperature=0.5, reducer=reducer)
    regularizer = regularizers.LpRegularizer()
    yield loss(embedding_regularizer=regularizer, embedding_reg_weight=0.3)


def called(loss: Any, rows: int, triplets: Any) -> list[Callable[..., Any]]:
    """With labels, with references of other labels and of the same, with a miner's triplets."""
    labels, others = torch.arange(rows) % 3, torch.arange(rows) % 4
    return [
        lambda x: loss(x, labels),
        lambda x, y: loss(x, labels, ref_emb=y, ref_labels=others),
        lambda x, y: loss(x, labels, ref_emb=y, ref_labels=labels),
        lambda x: loss(x, labels, triplets),
    ]


@pytest.mark.parametrize("name", ["NTXentLoss", "SupConLoss"])
@pytest.mark.parametrize("inputs", FEW, **shaped)
def test_pytorch_metric_learning(library: Any, inputs: list[Tensor], name: str) -> None:
    from pytorch_metric_learning import distances, losses, miners

    library.losses, library.distances = losses, distances
    a, b, c = inputs
    triplets = miners.TripletMarginMiner(margin=0.2)(a, torch.arange(len(a)) % 3)
    for theirs, mine in zip(
        with_options(library, library, name), with_options(library, ours, name), strict=True
    ):
        calls = zip(called(theirs, len(a), triplets), called(mine, len(a), triplets), strict=True)
        for i, (one, other) in enumerate(calls):
            same(one, other, [a, c] if i in (1, 2) else [a])
        for symmetric in (True, False):
            same(
                losses.SelfSupervisedLoss(theirs, symmetric=symmetric),
                ours.losses.SelfSupervisedLoss(mine, symmetric=symmetric),
                [a, b],
            )


@pytest.mark.parametrize("name", ["NTXentLoss", "SupConLoss"])
@pytest.mark.parametrize("inputs", FEW, **shaped)
def test_cross_batch_memory_and_its_state(library: Any, inputs: list[Tensor], name: str) -> None:
    from pytorch_metric_learning import losses

    a = inputs[0]
    labels = torch.arange(len(a)) % 3
    theirs = losses.CrossBatchMemory(getattr(losses, name)(), a.shape[1], len(a) + 4)
    mine = ours.losses.CrossBatchMemory(getattr(ours.losses, name)(), a.shape[1], len(a) + 4)
    for shift in range(3):
        same(
            lambda x, s=shift: theirs(x, (labels + s) % 3),
            lambda x, s=shift: mine(x, (labels + s) % 3),
            [a + 0.5 * a.roll(shift + 1, 0)],
        )
    mine.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(mine.state_dict())
    assert torch.equal(mine.embedding_memory, theirs.embedding_memory)
    assert mine.queue_idx == theirs.queue_idx


@pytest.mark.parametrize("options", [{}, {"invariance_lambda": 1, "variance_mu": 2, "eps": 1e-2}])
@pytest.mark.parametrize("inputs", INPUTS, **shaped)
def test_vicreg(library: Any, inputs: list[Tensor], options: dict[str, Any]) -> None:
    from pytorch_metric_learning import losses

    theirs, mine = losses.VICRegLoss(**options), ours.losses.VICRegLoss(**options)
    same(lambda x, y: theirs(x, ref_emb=y), lambda x, y: mine(x, ref_emb=y), inputs[:2])


def test_patching_the_library(library: Any) -> None:
    from pytorch_metric_learning import losses

    before = losses.NTXentLoss
    with compat.patched("pytorch_metric_learning") as names:
        assert "pytorch_metric_learning.losses.NTXentLoss" in names
        assert losses.NTXentLoss is ours.losses.NTXentLoss
    assert losses.NTXentLoss is before


def test_patching_info_nce() -> None:
    theirs = importlib.import_module("info_nce")
    before = theirs.InfoNCE, theirs.info_nce
    with compat.patched("info_nce") as names:
        assert {"info_nce.InfoNCE", "info_nce.info_nce"} <= {*names}
        assert (theirs.InfoNCE, theirs.info_nce) == (info_nce.InfoNCE, info_nce.info_nce)
    assert (theirs.InfoNCE, theirs.info_nce) == before
