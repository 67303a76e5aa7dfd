"""Whether a register tile holds positives or equal groups is found out tile by tile: identifiers in
every arrangement that could deceive such a test, on several tiles and with ragged ends."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tsssl_fast.ops.contrastive.operators import pairs
from tsssl_fast.ops.contrastive.reference import pairs as reference
from tsssl_fast.ops.contrastive.rules import GROUP_RULES, Rules

# Rows and columns of several tiles; tiles are 8 x 32 (AVX-512) or
# 4 x 24 (AVX2). One more and one less than whole.
SIZES = [(50, 97), (95, 49), (31, 25), (8, 32), (131, 1)]


def _last_only(m: int, p: int) -> tuple[Tensor, Tensor]:
    q, k = torch.arange(m), 10_000 + torch.arange(p)
    q[-1] = k[-1] = 7_000
    return q, k


def _touching(m: int, p: int) -> tuple[Tensor, Tensor]:
    """The ranges share one number, at the end of one and the start of the other."""
    return torch.arange(m), torch.arange(p) + m - 1


# Identifiers of rows and columns. One set takes the first of a common numbering.
ARRANGEMENTS: dict[str, Callable[[int, int], tuple[Tensor, Tensor]]] = {
    "apart": lambda m, p: (torch.arange(m), torch.arange(p) + m),
    "touching": _touching,
    "overlapping, none equal": lambda m, p: (2 * torch.arange(m), 2 * torch.arange(p) + 1),
    "equal at the last": _last_only,
    "sorted pairs": lambda m, p: (torch.arange(m) // 2, torch.arange(p) // 2),
    "by tile": lambda m, p: (torch.arange(m) // 8, torch.arange(p) // 32),
    "negative": lambda m, p: (-torch.arange(m), -torch.arange(p) // 3),
    "falling": lambda m, p: (torch.arange(m).flip(0), torch.arange(p)),
    "unsorted": lambda m, p: (torch.randperm(m), torch.randperm(p)),
    "few": lambda m, p: (torch.randint(-2, 2, (m,)), torch.randint(-2, 2, (p,))),
    "one": lambda m, p: (torch.zeros(m).long(), torch.zeros(p).long()),
    "zero, as padding": lambda m, p: (torch.arange(m) - m + 1, torch.arange(p)),
    "ends of int32": lambda m, p: (
        torch.arange(m) % 2 * (2**32 - 1) - 2**31,
        torch.arange(p) % 3 * (2**31 - 1) - 2**31,
    ),
    "beyond int32": lambda m, p: (2**32 * torch.arange(m), 2**32 * (torch.arange(p) + m - 1)),
}


def compare(q: Tensor, k: Tensor | None, beta: float, rules: Rules, backend: str) -> None:
    """Statistics and gradients, both in the definition's float64."""
    tolerance = {"rtol": 1e-10, "atol": 1e-10}
    if q.dtype == torch.float32:
        tolerance = {"rtol": 2e-4, "atol": 2e-4}  # a misjudged pair is off by a hundredth and more
    scale = torch.tensor(beta, dtype=torch.float64)
    leaves = [x.requires_grad_() for x in ((q,) if k is None else (q, k))]
    found = pairs.pair_logsumexp(
        *leaves, *(() if k is not None else (None,)), scale, rules, backend=backend
    )
    doubles = [x.detach().double().requires_grad_() for x in leaves]
    expected = reference.pair_logsumexp(*doubles, *(() if k is not None else (None,)), scale, rules)
    torch.testing.assert_close(found.double(), expected, **tolerance)
    upstream = torch.where(expected.isfinite(), torch.randn_like(expected), 0.0)
    for x, y in ((found, leaves), (expected, doubles)):
        torch.where(expected.isfinite(), x.double(), 0.0).backward(upstream, inputs=y)
    for one, other in zip(leaves, doubles, strict=True):
        assert one.grad is not None
        torch.testing.assert_close(one.grad.double(), other.grad, **tolerance)


def rules_of(
    q: Tensor, k: Tensor | None, ids: tuple[Tensor, Tensor], kind: str, flagged: bool
) -> Rules:
    rows, columns = (ids[0], ids[0]) if k is None else ids
    q_valid = torch.arange(len(rows)) % 5 != 3 if flagged else None
    k_valid = q_valid if k is None else torch.arange(len(columns)) % 7 != 6 if flagged else None
    rules = reference.PLAIN._replace(q_valid=q_valid, k_valid=k_valid, symmetric=k is not None)
    if kind == "ids":
        return rules._replace(q_id=rows, k_id=columns)
    # Positives by place, groups in the arrangement that is tried.
    places = torch.arange(len(rows)) // 2, torch.arange(len(columns)) // 2
    return rules._replace(
        q_id=places[0],
        k_id=places[1],
        q_group=rows,
        k_group=columns,
        group_rule=GROUP_RULES.index(kind),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["ids", "exclude_same", "only_same"])
@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_arrangements(compiled: str, arrangement: str, kind: str, dtype: torch.dtype) -> None:
    for m, p in SIZES:
        ids = ARRANGEMENTS[arrangement](m, p)
        q, k = torch.randn(m, 5).to(dtype), torch.randn(p, 5).to(dtype)
        compare(q, k, 5.0, rules_of(q, k, ids, kind, False), compiled)
        joint = torch.cat(ids)[:m]
        compare(q.clone(), None, 5.0, rules_of(q, None, (joint, joint), kind, False), compiled)


@pytest.mark.parametrize("beta", [5.0, 400.0])
@pytest.mark.parametrize("kind", ["ids", "exclude_same", "only_same"])
@pytest.mark.parametrize("arrangement", ["apart", "sorted pairs", "unsorted", "few"])
def test_flagged_rows_and_own_maxima(
    compiled: str, arrangement: str, kind: str, beta: float
) -> None:
    for m, p in SIZES[:2]:
        ids = ARRANGEMENTS[arrangement](m, p)
        q, k = torch.randn(m, 5).double(), torch.randn(p, 5).double()
        compare(q, k, beta, rules_of(q, k, ids, kind, True), compiled)
        joint = torch.cat(ids)[:m]
        compare(q.clone(), None, beta, rules_of(q, None, (joint, joint), kind, True), compiled)


@pytest.mark.parametrize("length", [0.5, 3.0, 30.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_of_any_length_without_normalisation(
    compiled: str, dtype: torch.dtype, length: float
) -> None:
    """Short rows have one exponent shift, long ones a maximum each; one row may be the longest."""
    for m, p in SIZES[:2]:
        q, k = (length * torch.randn(n, 5).to(dtype) / 5**0.5 for n in (m, p))
        k[p // 2] *= 3
        ids = torch.arange(m) // 2, torch.arange(p) // 2
        rules = rules_of(q, k, ids, "ids", False)._replace(normalize=False)
        compare(q, k, 0.7, rules, compiled)
        compare(q.clone(), None, 0.7, rules._replace(k_id=ids[0], symmetric=False), compiled)
