"""The formula in plain arrays by a second route: what is the same must be equal."""

from typing import Any

import pytest
import torch
from contrastive import dense
from contrastive.draws import Relation
from torch import Tensor

M, P, D = 5, 6, 3
IDS = {"q_ids": torch.tensor([0, 1, 2, 3, 4]), "k_ids": torch.tensor([0, 1, 2, 3, 4, 9])}
LABELS = {"q_ids": torch.tensor([0, 1, 2, 0, 1]), "k_ids": torch.tensor([0, 1, 2, 2, 1, 0])}
REWEIGHTED = {"hardness": 0.7, "debias": 0.2, "temperature": 0.5}


WEIGHT = torch.rand(M, P, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def numbers(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


@pytest.fixture
def q() -> Tensor:
    return numbers(M, D)


@pytest.fixture
def k() -> Tensor:
    return numbers(P, D)


def rows(q: Tensor, k: Tensor | None, **options: Any) -> Tensor:
    return dense.contrastive(q, k, reduction="none", **options).loss


def equal(a: Tensor, b: Tensor) -> None:
    assert a.abs().max() > 1e-3
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_the_plain_loss_is_a_cross_entropy(q: Tensor, k: Tensor) -> None:
    logits = torch.nn.functional.cosine_similarity(q[:, None], k, dim=2) / 0.1
    equal(
        rows(q, k, **IDS), torch.nn.functional.cross_entropy(logits, IDS["q_ids"], reduction="none")
    )


@pytest.mark.parametrize("more", [{}, REWEIGHTED, {"denominator": "negatives"}])
def test_targets_on_positives_are_their_mean(q: Tensor, k: Tensor, more: dict[str, Any]) -> None:
    positive = (LABELS["q_ids"][:, None] == LABELS["k_ids"]).double()
    targets = positive / positive.sum(dim=1, keepdim=True)
    equal(rows(q, k, targets=targets, **more), rows(q, k, **LABELS, **more))


@pytest.mark.parametrize("more", [{}, REWEIGHTED, {"positives": "log_sum"}])
def test_a_weight_of_two_is_the_same_key_twice(q: Tensor, k: Tensor, more: dict[str, Any]) -> None:
    weight = torch.ones(M, P, dtype=torch.float64)
    weight[:, :2] = 2
    twice = torch.cat([k, k[:2]])
    ids = {"q_ids": LABELS["q_ids"], "k_ids": torch.cat([LABELS["k_ids"], LABELS["k_ids"][:2]])}
    equal(rows(q, k, **LABELS, pair_weight=weight, **more), rows(q, twice, **ids, **more))


@pytest.mark.parametrize("given", [LABELS, {"targets": WEIGHT}])
def test_a_weight_of_zero_is_a_mask(q: Tensor, k: Tensor, given: dict[str, Any]) -> None:
    mask = torch.rand(M, P) > 0.3
    asked = {**given, "return_stats": True, "reduction": "none"}
    weighed = dense.contrastive(q, k, pair_weight=mask.double(), **asked)
    masked = dense.contrastive(q, k, pair_mask=mask, **asked)
    equal(weighed.loss, masked.loss)
    for name, value in masked.statistics.items():
        torch.testing.assert_close(weighed.statistics[name], value, equal_nan=True)


@pytest.mark.parametrize("more", [{}, {"pair_weight": WEIGHT}])
def test_one_positive_is_its_own_denominator(q: Tensor, k: Tensor, more: dict[str, Any]) -> None:
    equal(rows(q, k, **IDS, denominator="own_positive", **more), rows(q, k, **IDS, **more))


@pytest.mark.parametrize("more", [{}, REWEIGHTED, {"denominator": "own_positive"}])
def test_further_keys_are_keys_of_no_id(q: Tensor, k: Tensor, more: dict[str, Any]) -> None:
    negatives = numbers(4, D)
    asked = {**more, "return_stats": True, "reduction": "none"}
    ids = torch.cat([LABELS["k_ids"], torch.full((4,), -1)])
    joined = dense.contrastive(
        q, torch.cat([k, negatives]), q_ids=LABELS["q_ids"], k_ids=ids, **asked
    )
    own = negatives.expand(M, 4, D)
    for further in ({"negatives": negatives}, {"query_keys": own}):
        apart = dense.contrastive(q, k, **LABELS, **further, **asked)
        equal(apart.loss, joined.loss)
        for name, value in joined.statistics.items():
            torch.testing.assert_close(apart.statistics[name], value)


@pytest.mark.parametrize("more", [{}, REWEIGHTED, {"denominator": "own_positive"}])
def test_symmetric_is_both_directions(q: Tensor, k: Tensor, more: dict[str, Any]) -> None:
    back = {"q_ids": LABELS["k_ids"], "k_ids": LABELS["q_ids"], "pair_weight": WEIGHT.T}
    forth = {**LABELS, "pair_weight": WEIGHT}
    both = torch.cat([rows(q, k, **forth, **more), rows(k, q, **back, **more)])
    equal(rows(q, k, **forth, symmetric=True, **more), both)


def test_temperatures_that_are_all_the_same(q: Tensor, k: Tensor) -> None:
    groups = {"q_groups": torch.arange(M) % 2, "k_groups": torch.arange(P) % 2, "groups": "none"}
    plain = rows(q, k, **LABELS, temperature=0.3)
    for tau in (
        torch.tensor(0.3, dtype=torch.float64),
        torch.full((M,), 0.3, dtype=torch.float64),
        Relation(0.3, 0.3),
        Relation(0.3, 0.3, 0.3),
    ):
        equal(rows(q, k, **LABELS, **groups, temperature=tau), plain)


def test_a_temperature_by_query_is_a_longer_query(q: Tensor, k: Tensor) -> None:
    tau = torch.rand(M, dtype=torch.float64) + 0.2
    given = {**LABELS, "normalize": False, "symmetric": True}
    equal(rows(q, k, **given, temperature=tau), rows(q / tau[:, None], k, **given, temperature=1.0))


def test_one_set_is_two_without_its_diagonal(q: Tensor) -> None:
    ids = {"q_ids": LABELS["q_ids"]}
    both = {**ids, "k_ids": LABELS["q_ids"], "pair_mask": ~torch.eye(M, dtype=torch.bool)}
    equal(rows(q, None, **ids), rows(q, q, **both))


def test_flagged_rows_are_rows_left_out(q: Tensor, k: Tensor) -> None:
    q_valid, k_valid = torch.arange(M) != 1, torch.arange(P) != 2
    flags = {"q_valid": q_valid, "k_valid": k_valid}
    left = {"q_ids": LABELS["q_ids"][q_valid], "k_ids": LABELS["k_ids"][k_valid]}
    found = rows(q.index_fill(0, torch.tensor(1), torch.nan), k, **LABELS, **flags)
    equal(found[q_valid], rows(q[q_valid], k[k_valid], **left))
    assert found[1] == 0
