"""tsssl_fast.compat.pytorch_metric_learning against the published formulas, pair by pair."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from compat import formulas
from compat.formulas import agree, drawn, not_self
from torch import Tensor, nn
from torch.nn.functional import normalize

from tsssl_fast.compat.pytorch_metric_learning import distances, losses, reducers
from tsssl_fast.compat.pytorch_metric_learning.losses import (
    CrossBatchMemory,
    NTXentLoss,
    SelfSupervisedLoss,
    SupConLoss,
    VICRegLoss,
)

LABELS = torch.tensor([0, 1, 2, 0, 1, 0, 3, 0, 1, 2, 0, 1])  # label 3: no positive
REF_LABELS = torch.tensor([1, 0, 2, 3, 1, 0, 2, 4, 1])


def nt_xent(q: Tensor, k: Tensor, positive: Tensor, negative: Tensor, tau: float) -> Tensor:
    """One term per positive pair, against the negatives of its row; pairs have multiplicities."""
    a = q @ k.T / tau
    others = (a.exp() * negative).sum(1, keepdim=True)
    return ((a.exp() + others).log() - a)[positive.bool()].repeat_interleave(
        positive[positive.bool()]
    )


def sup_con(q: Tensor, k: Tensor, positive: Tensor, negative: Tensor, tau: float) -> Tensor:
    """One term per row with a positive."""
    mean, every, _ = formulas.rows(q, k, positive.bool(), (positive + negative).bool(), tau)
    return (every - mean)[positive.any(1)]


def masks(labels: Tensor, ref: Tensor | None = None) -> tuple[Tensor, Tensor]:
    same = labels[:, None] == (labels if ref is None else ref)
    positive = same & not_self(len(labels)) if ref is None else same
    return positive.long(), (~same).long()


Case = tuple[Callable[..., Any], Callable[..., Tensor], float]
BOTH: list[Case] = [(NTXentLoss, nt_xent, 0.07), (SupConLoss, sup_con, 0.1)]


def of_units(formula: Callable[..., Tensor], tau: float, *more: Any) -> Callable[..., Tensor]:
    def function(q: Tensor, k: Tensor | None = None) -> Tensor:
        u = normalize(q)
        return formula(u, u if k is None else normalize(k), *more, tau).mean()

    return function


@pytest.mark.parametrize(("loss", "formula", "tau"), BOTH)
def test_labels(loss: Any, formula: Any, tau: float) -> None:
    agree(lambda z: loss()(z, LABELS), of_units(formula, tau, *masks(LABELS)), drawn((12, 10)))
    agree(
        lambda z: loss(temperature=0.5)(z, LABELS),
        of_units(formula, 0.5, *masks(LABELS)),
        drawn((12, 10)),
    )


@pytest.mark.parametrize(("loss", "formula", "tau"), BOTH)
def test_reference_rows(loss: Any, formula: Any, tau: float) -> None:
    inputs = drawn((12, 10), (9, 10))
    agree(
        lambda z, r: loss()(z, LABELS, ref_emb=r, ref_labels=REF_LABELS),
        of_units(formula, tau, *masks(LABELS, REF_LABELS)),
        inputs,
    )
    inputs = drawn((12, 10), (12, 10))
    agree(  # the very same labels: row i and reference i are the same sample
        lambda z, r: loss()(z, LABELS, ref_emb=r, ref_labels=LABELS),
        of_units(formula, tau, *masks(LABELS)),
        inputs,
    )
    agree(
        lambda z, r: loss()(z, LABELS, ref_emb=r, ref_labels=LABELS.clone()),
        of_units(formula, tau, *masks(LABELS, LABELS)),
        inputs,
    )


@pytest.mark.parametrize(("loss", "formula", "tau"), BOTH)
def test_listed_pairs_and_triplets(loss: Any, formula: Any, tau: float) -> None:
    """A pair that stands in the list twice counts twice for NT-Xent, once for SupCon."""
    a, p, n = (torch.tensor(x) for x in ([0, 0, 3, 1], [3, 5, 5, 4], [1, 1, 2, 6]))
    more = torch.tensor([0, 7]), torch.tensor([1, 8])
    positive, negative = torch.zeros(2, 12, 12, dtype=torch.int64)
    positive.index_put_((a, p), torch.tensor(1), accumulate=True)
    negative.index_put_((a, n), torch.tensor(1), accumulate=True)
    inputs = drawn((12, 10))
    if loss is SupConLoss:
        positive, negative = positive.clamp_max(1), negative.clamp_max(1)
    agree(
        lambda z: loss()(z, LABELS, (a, p, n)), of_units(formula, tau, positive, negative), inputs
    )
    negative.index_put_(more, torch.tensor(1), accumulate=True)
    pairs = (a, p, torch.cat([a, more[0]]), torch.cat([n, more[1]]))
    agree(
        lambda z: loss()(z, indices_tuple=pairs),
        of_units(formula, tau, positive, negative),
        inputs,
    )


@pytest.mark.parametrize(("loss", "formula", "tau"), BOTH)
def test_distances(loss: Any, formula: Any, tau: float) -> None:
    positive, negative = masks(LABELS)
    dot = distances.DotProductSimilarity(normalize_embeddings=False)
    agree(
        lambda z: loss(temperature=2.0, distance=dot)(z, LABELS),
        lambda z: formula(z, z, positive, negative, 2.0).mean(),
        drawn((12, 10)),
    )

    def far(z: Tensor) -> Tensor:
        u = normalize(z)
        apart = not_self(12)
        difference = u[:, None] - u + 0 * u[:, None]
        squared = difference.square().sum(2)
        distance = torch.where(apart, torch.where(apart, squared, 1.0).sqrt(), 0.0)
        return formula(-distance, torch.eye(12).to(z), positive, negative, 0.5).mean()

    agree(
        lambda z: loss(temperature=0.5, distance=distances.LpDistance())(z, LABELS),
        far,
        drawn((12, 10)),
    )


def test_dot_products_are_exact_at_any_logit() -> None:
    """Where the library clamps exponentials: one pair of logit -800 against one of 6.87."""
    z = torch.tensor([[20.0, 0.0], [-40.0, 0.0], [0.34351, 0.0], [0.0, 1.0]])
    loss = NTXentLoss(temperature=1.0, distance=distances.DotProductSimilarity(False))
    pairs = tuple(torch.tensor(x) for x in ([0, 0], [1, 1], [0, 0], [2, 3]))
    exact = 800 + torch.tensor([-800.0, 20 * 0.34351, 0.0], dtype=torch.float64).logsumexp(0)
    torch.testing.assert_close(loss(z, indices_tuple=pairs).double(), exact, rtol=1e-6, atol=0)


@pytest.mark.parametrize(("loss", "formula", "tau"), BOTH)
def test_reducers(loss: Any, formula: Any, tau: float) -> None:
    z = drawn((12, 10))[0][0].double()
    u = normalize(z)
    each = formula(u, u, *masks(LABELS), 0.5)
    above = each[(each > 1) & (each < 3)]
    assert 0 < len(above) < len(each)
    rows = 12 if loss is SupConLoss else len(each)  # rows without a positive have loss 0
    for reducer, exact in (
        (reducers.MeanReducer(), each.sum() / rows),
        (reducers.SumReducer(), each.sum()),
        (reducers.AvgNonZeroReducer(), each.mean()),
        (reducers.ThresholdReducer(1, 3), above.mean()),
    ):
        found = loss(temperature=0.5, reducer=reducer)(z, LABELS)
        torch.testing.assert_close(found, exact)
    info = loss(reducer=reducers.DoNothingReducer())(z, LABELS)["loss"]
    kind = "element" if loss is SupConLoss else "pos_pair"
    assert info["reduction_type"] == kind
    assert len(info["losses"]) == rows


def test_a_reducer_and_a_regularizer_of_ones_own() -> None:
    class Largest(nn.Module):
        def forward(self, losses: dict[str, Any], embeddings: Tensor, labels: Tensor) -> Tensor:
            assert embeddings.shape == (12, 10)
            assert torch.equal(labels, LABELS)
            return losses["loss"]["losses"].max()

    class Norms(nn.Module):
        def forward(self, embeddings: Tensor) -> Tensor:
            return embeddings.norm(dim=1).mean()

    z = drawn((12, 10))[0][0].double()
    u = normalize(z)
    exact = nt_xent(u, u, *masks(LABELS), 0.07).max() + 0.5 * z.norm(dim=1).mean()
    loss = NTXentLoss(reducer=Largest(), embedding_regularizer=Norms(), embedding_reg_weight=0.5)
    torch.testing.assert_close(loss(z, LABELS), exact)


@pytest.mark.parametrize("inner", [NTXentLoss, SupConLoss])
def test_self_supervised(inner: Any) -> None:
    inputs = drawn((12, 10), (12, 10))
    agree(
        SelfSupervisedLoss(inner(temperature=0.2)),
        lambda a, b: formulas.nt_xent(a, b, 0.2),
        inputs,
    )

    def one_way(a: Tensor, b: Tensor) -> Tensor:
        logits = normalize(a) @ normalize(b).T / 0.2
        return (logits.logsumexp(1) - logits.diagonal()).mean()

    agree(SelfSupervisedLoss(inner(temperature=0.2), symmetric=False), one_way, inputs)
    by_list = inner(temperature=0.2, reducer=reducers.ThresholdReducer(low=0))
    for symmetric in (True, False):
        loss = SelfSupervisedLoss(by_list, symmetric=symmetric)
        same = SelfSupervisedLoss(inner(temperature=0.2), symmetric=symmetric)
        torch.testing.assert_close(loss(*inputs[0]), same(*inputs[0]))
    with pytest.raises(TypeError, match="loss: VICRegLoss in SelfSupervisedLoss"):
        SelfSupervisedLoss(VICRegLoss())


@pytest.mark.parametrize(("loss", "formula", "tau"), BOTH)
@pytest.mark.parametrize("size", [12, 17, 40])
def test_cross_batch_memory(loss: Any, formula: Any, tau: float, size: int) -> None:
    memory = CrossBatchMemory(loss(), embedding_size=10, memory_size=size)
    assert memory.state_dict().keys() >= {"embedding_memory", "label_memory"}
    rows: list[Tensor] = []
    seen = torch.zeros(0, dtype=torch.int64)
    for step, (z,) in enumerate(drawn((12, 10), draws=4)):
        z = z.double()
        labels = LABELS.roll(step)
        z.requires_grad_()
        found = memory(z, labels)
        others, other_labels = torch.cat([*rows, z.new_zeros(0, 10)]), seen
        room = size - 12
        others, other_labels = others[len(others) - min(room, len(others)) :], other_labels
        other_labels = other_labels[len(other_labels) - len(others) :]
        keys = normalize(torch.cat([z.detach(), others]))
        positive, negative = masks(labels, torch.cat([labels, other_labels]))
        positive[:, :12].fill_diagonal_(0)
        exact = formula(normalize(z), keys, positive, negative, tau).mean()
        torch.testing.assert_close(found, exact)
        (ours,) = torch.autograd.grad(found, z)
        torch.testing.assert_close(ours, torch.autograd.grad(exact, z)[0])
        rows.append(z.detach())
        seen = torch.cat([seen, labels])
    memory.reset_queue()
    assert not memory.has_been_filled
    assert memory.embedding_memory.eq(0).all()


def test_cross_batch_memory_with_rows_that_enter_and_rows_that_compare() -> None:
    z = drawn((12, 10))[0][0].double()
    enters = torch.arange(12) % 3 == 0
    memory = CrossBatchMemory(SupConLoss(), 10, 20)
    found = memory(z, LABELS, enqueue_mask=enters)
    u = normalize(z)
    pairs = masks(LABELS[~enters], LABELS[enters])
    torch.testing.assert_close(found, sup_con(u[~enters], u[enters], *pairs, 0.1).mean())
    assert memory.queue_idx == 4
    assert float(memory(z, LABELS, enqueue_mask=torch.ones(12, dtype=torch.bool))) == 0
    with pytest.raises(ValueError, match="indices_tuple: given with enqueue_mask"):
        memory(z, LABELS, (), enters)
    with pytest.raises(AssertionError, match="memory_size = 20"):
        memory(torch.randn(21, 10), torch.arange(21))


def test_cross_batch_memory_with_a_miner() -> None:
    """Triplets of the hardest: what the miner gives, but for rows with themselves."""

    def miner(z: Tensor, labels: Tensor, memory: Tensor, memory_labels: Tensor) -> Any:
        same = labels[:, None] == memory_labels
        return torch.where(same[:, :, None] & ~same[:, None, :])

    z = drawn((12, 10))[0][0].double()
    by_miner = CrossBatchMemory(SupConLoss(), 10, 20, miner)(z, LABELS)
    torch.testing.assert_close(by_miner, SupConLoss()(z, LABELS))


def test_vicreg() -> None:
    inputs = drawn((12, 10), (12, 10), scale=0.3)
    agree(lambda a, b: VICRegLoss()(a, ref_emb=b), formulas.vicreg, inputs)
    agree(
        lambda a, b: VICRegLoss(1, 2, 3, eps=1e-2)(a, ref_emb=b),
        lambda a, b: formulas.vicreg(a, b, (1, 2, 3), 1e-2),
        inputs,
    )
    with pytest.raises(ValueError, match="labels: given"):
        VICRegLoss()(inputs[0][0], LABELS)
    with pytest.raises(ValueError, match="distance: given"):
        VICRegLoss(distance=distances.CosineSimilarity())
    with pytest.raises(NotImplementedError, match="reducer: SumReducer"):
        VICRegLoss(reducer=reducers.SumReducer())


@pytest.mark.parametrize("reducer", [None, reducers.AvgNonZeroReducer()])
def test_sup_con_counts_rows_of_zero_loss(reducer: Any) -> None:
    """Two classes of opposite rows at temperature 0.005 lose exactly nothing in float32; the mean
    over the third class alone, log 5, is the library's."""
    z = torch.tensor([[1.0, 0, 0], [1, 0, 0], [-1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, 0, 1]])
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    u = z.double()
    each = sup_con(u, u, *masks(labels), 0.005)
    assert each[:4].float().eq(0).all()
    torch.testing.assert_close(each[4:], torch.full_like(each[4:], math.log(5)))
    pairs = (*masks(labels)[0].nonzero().T, *masks(labels)[1].nonzero().T)
    loss = SupConLoss(0.005, reducer=reducer)
    for found in (loss(z, labels), loss(z, indices_tuple=pairs)):
        torch.testing.assert_close(found.double(), each.mean(), rtol=1e-6, atol=0)
        torch.testing.assert_close(found.item(), math.log(5) / 3, rtol=1e-6, atol=0)


@pytest.mark.parametrize("loss", [NTXentLoss(), SupConLoss()])
def test_nothing_to_compare_is_zero_with_a_gradient(loss: Any) -> None:
    for labels in (torch.zeros(5).long(), torch.arange(5)):
        z = torch.randn(5, 3, requires_grad=True)
        found = loss(z, labels)
        found.backward()
        assert float(found.detach()) == 0
        assert z.grad is not None
        assert z.grad.eq(0).all()
    one = torch.eye(2)[:1]  # one positive pair and one negative
    assert (
        float(loss(one, torch.tensor([0]), ref_emb=torch.eye(2), ref_labels=torch.arange(2))) == 0
    )


def test_dtypes_and_errors() -> None:
    z = drawn((12, 10))[0][0]
    for loss in (NTXentLoss(), SupConLoss(), NTXentLoss(distance=distances.LpDistance())):
        for dtype in (torch.float16, torch.bfloat16, torch.float64):
            assert loss(z.to(dtype), LABELS).dtype == dtype
    with pytest.raises(ValueError, match="labels, indices_tuple"):
        NTXentLoss()(z)
    with pytest.raises(ValueError, match=r"labels: shape \(3,\)"):
        NTXentLoss()(z, LABELS[:3])
    with pytest.raises(ValueError, match="ref_labels"):
        NTXentLoss()(z, LABELS, ref_emb=z)
    with pytest.raises(ValueError, match="indices_tuple: 2 tensors"):
        NTXentLoss()(z, LABELS, (LABELS, LABELS))
    with pytest.raises(NotImplementedError, match="collect_stats"):
        NTXentLoss(collect_stats=True)
    with pytest.raises(AssertionError, match="positive and negative"):
        SupConLoss()(z, indices_tuple=(LABELS, LABELS, LABELS, LABELS))
    assert losses.NTXentLoss is NTXentLoss
