"""Combinations of options that were wrong once, each on the smallest problem that shows it."""

from typing import Any

import pytest
import torch
from contrastive import crossed, dense, draws
from contrastive.draws import Draw, Relation
from torch import Tensor

from tsssl_fast import functional
from tsssl_fast.ops.contrastive import spec

ROWS = 3
backends = pytest.mark.parametrize("backend", ["reference", "cpp", "numba"])


def operands() -> tuple[Tensor, Tensor]:
    """Those of the figures below."""
    torch.manual_seed(0)
    q, k = (torch.randn(ROWS, 4, dtype=torch.float64) for _ in range(2))
    return q, k


def check(backend: str, *leaves: str, **options: Any) -> None:
    """Rows, statistics and gradients as the formula has them; a row's own key is its positive."""
    q, k = operands()
    ids = {} if "targets" in options else {"q_ids": torch.arange(ROWS), "k_ids": torch.arange(ROWS)}
    arguments = {"q": q, "k": k, "temperature": 0.1, "reduction": "none", **ids, **options}
    draw = Draw(0, tuple(options), torch.float64, arguments, ("q", "k", *leaves), 0)
    crossed.check([crossed.expected(draw)], backend)


def numbers(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def weight() -> Tensor:
    return numbers(ROWS, ROWS).abs() + 0.1


def sparse_weight() -> Tensor:
    x = weight()
    x[0, 1] = x[2, 0] = 0
    return x.to_sparse_csr()


def targets() -> Tensor:
    return numbers(ROWS, ROWS).softmax(dim=1)


def tau_by_query() -> Tensor:
    return torch.tensor([0.1, 0.3, 0.7], dtype=torch.float64)


@backends
def test_sparse_weight_with_further_keys(backend: str) -> None:
    check(backend, "negatives", pair_weight=sparse_weight(), negatives=numbers(4, 4))
    check(backend, "query_keys", pair_weight=sparse_weight(), query_keys=numbers(ROWS, 2, 4))


@backends
def test_sparse_weight_with_temperature_by_relation(backend: str) -> None:
    check(backend, pair_weight=sparse_weight(), temperature=Relation(0.5, 0.1))


@backends
def test_hardness_with_further_keys(backend: str) -> None:
    check(backend, "negatives", hardness=0.7, negatives=numbers(4, 4))
    check(backend, "query_keys", hardness=0.7, query_keys=numbers(ROWS, 2, 4))


@backends
def test_debias_with_further_keys(backend: str) -> None:
    check(backend, "negatives", debias=0.2, negatives=numbers(4, 4), temperature=0.5)
    check(backend, "query_keys", debias=0.2, query_keys=numbers(ROWS, 2, 4), temperature=0.5)


@backends
def test_own_positive_with_temperature_by_relation(backend: str) -> None:
    q, k = operands()
    ids = torch.arange(ROWS)
    found = functional.contrastive_loss(
        *(q, k),
        q_ids=ids,
        k_ids=ids,
        denominator="own_positive",
        temperature=functional.PairTemperature(0.5, 0.1),
        reduction="none",
        backend=backend,
    )
    right = torch.tensor([0.662, 0.196, 5.986], dtype=torch.float64)
    torch.testing.assert_close(found, right, rtol=0, atol=5e-4)
    check(backend, denominator="own_positive", temperature=Relation(0.5, 0.1))


@backends
def test_own_positive_with_weight(backend: str) -> None:
    check(backend, denominator="own_positive", pair_weight=weight())
    check(backend, denominator="own_positive", pair_weight=sparse_weight())


@backends
def test_own_positive_with_temperature_by_query(backend: str) -> None:
    others = {"q_ids": torch.tensor([1, 2, 0])}  # a key's index is not its query's
    tau = tau_by_query()
    check(backend, "temperature", denominator="own_positive", temperature=tau, **others)


@backends
def test_sparse_weight_or_hardness_with_temperature_by_query(backend: str) -> None:
    check(backend, "temperature", pair_weight=sparse_weight(), temperature=tau_by_query())
    check(backend, "temperature", hardness=0.7, temperature=tau_by_query())


@backends
def test_targets_with_an_invalid_key(backend: str) -> None:
    q, k = operands()
    k[1] = torch.nan
    check(backend, k=k, q=q, k_valid=torch.tensor([True, False, True]), targets=targets())


@backends
def test_targets_with_temperature_by_relation(backend: str) -> None:
    some = targets() * (torch.eye(ROWS, dtype=torch.float64) + numbers(ROWS, ROWS).gt(0.5))
    check(backend, targets=some, temperature=Relation(0.5, 0.1))


@backends
def test_targets_with_weight(backend: str) -> None:
    check(backend, "targets", targets=targets(), pair_weight=weight())
    check(backend, "targets", targets=targets(), pair_weight=sparse_weight())
    check(backend, targets=targets().to_sparse_csr(), pair_weight=sparse_weight())


def test_neither_ids_nor_targets() -> None:
    with pytest.raises(ValueError, match=r"q_ids.*targets|targets.*q_ids"):
        functional.contrastive_loss(*operands())
    with pytest.raises(ValueError, match=r"q_ids.*targets|targets.*q_ids"):
        functional.contrastive_loss(operands()[0])


@backends
def test_symmetric_with_own_positive(backend: str) -> None:
    check(backend, symmetric=True, denominator="own_positive")


@backends
def test_hardness_and_debias_with_temperature_by_query(backend: str) -> None:
    one_row_less = {"k": numbers(2, 4), "k_ids": torch.tensor([0, 2])}
    tau = tau_by_query()
    check(backend, "temperature", **one_row_less, hardness=0.7, temperature=tau)
    check(backend, "temperature", **one_row_less, debias=0.2, temperature=tau + 0.2)


@backends
def test_sparse_weight_with_temperature_by_query(backend: str) -> None:
    one_row_less = {"k": numbers(2, 4), "k_ids": torch.tensor([0, 2])}
    some = weight()[:, :2].to_sparse_csr()
    check(backend, "temperature", **one_row_less, pair_weight=some, temperature=tau_by_query())


@backends
def test_symmetric_with_targets(backend: str) -> None:
    check(backend, "targets", symmetric=True, targets=targets())
    check(backend, symmetric=True, targets=targets().to_sparse_csr())


@backends
def test_symmetric_with_statistics_and_temperature_by_query(backend: str) -> None:
    check(backend, "temperature", symmetric=True, return_stats=True, temperature=tau_by_query())


@backends
def test_sparse_weight_with_statistics(backend: str) -> None:
    check(backend, pair_weight=sparse_weight(), return_stats=True)


REFUSED: dict[tuple[str, str], dict[str, Any]] = {
    ("denominator='own_positive'", "positives='log_sum'"): {
        "denominator": "own_positive",
        "positives": "log_sum",
    },
    ("targets", "positives='log_sum'"): {"targets": targets(), "positives": "log_sum"},
    ("targets", "q_ids"): {
        "targets": targets(),
        "q_ids": torch.arange(ROWS),
        "k_ids": torch.arange(ROWS),
    },
    ("symmetric", "k=None"): {"symmetric": True, "k": None},
}


@pytest.mark.parametrize("pair", dense.UNDEFINED)
def test_what_has_no_meaning_is_refused(pair: tuple[str, str]) -> None:
    q, k = operands()
    given = {"q": q, "k": k, **REFUSED[pair]}
    if "targets" not in pair:
        given["q_ids"] = torch.arange(ROWS)
        given |= {} if given["k"] is None else {"k_ids": torch.arange(ROWS)}
    names = "|".join(name.partition("=")[0] for name in pair)
    with pytest.raises(ValueError, match=names):
        functional.contrastive_loss(**draws.keywords(given, functional.PairTemperature))
    assert dense.UNDEFINED[pair]


def test_few_combinations_have_no_meaning() -> None:
    assert len(dense.UNDEFINED) <= 10
    assert spec.UNDEFINED.keys() == dense.UNDEFINED.keys()
