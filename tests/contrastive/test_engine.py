"""Every setting of the contrastive engine: values against the written-out loss, gradients by finite
differences in float64, and the operator's float32 against the definition."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from cases import naive_contrastive as naive
from checks import accept_all
from torch import Tensor
from variants import THREADS

from tsssl_fast import functional
from tsssl_fast.functional import PairTemperature, contrastive_loss
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.operators import pairs
from tsssl_fast.ops.contrastive.reference import pairs as reference

M, P, D = 7, 9, 4


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def flags(*shape: int) -> Tensor:
    return torch.rand(*shape) > 0.25


def labels(n: int) -> Tensor:
    return torch.arange(n) % 3


# Settings of one set (keys = M) or two: what they add to the arguments.
SETTINGS: dict[str, Callable[[int], dict[str, Any]]] = {
    "plain": lambda keys: {},
    "tau": lambda keys: {"temperature": 0.5},
    "learnable tau": lambda keys: {"temperature": torch.tensor(0.4, dtype=torch.float64)},
    "tau per query": lambda keys: {"temperature": torch.rand(M, dtype=torch.float64) + 0.2},
    "tau by relation": lambda keys: {"temperature": PairTemperature(0.3, 0.5)},
    "log_sum": lambda keys: {"positives": "log_sum"},
    "decoupled": lambda keys: {"denominator": "negatives"},
    "decoupled log_sum": lambda keys: {"denominator": "negatives", "positives": "log_sum"},
    "own_positive": lambda keys: {"denominator": "own_positive"},
    "pair_mask": lambda keys: {"pair_mask": flags(M, keys)},
    "pair_weight": lambda keys: {"pair_weight": torch.rand(M, keys, dtype=torch.float64)},
    "sparse pair_weight": lambda keys: {
        "pair_weight": (torch.rand(M, keys, dtype=torch.float64) * flags(M, keys)).to_sparse_csr()
    },
    "negatives": lambda keys: {"negatives": numbers(5, D), "negatives_valid": flags(5)},
    "query_keys": lambda keys: {
        "query_keys": numbers(M, 3, D),
        "query_keys_valid": flags(M, 3),
    },
    "query_weight": lambda keys: {"query_weight": torch.rand(M, dtype=torch.float64)},
    "hardness": lambda keys: {"hardness": 0.7, "temperature": 0.5},
    "debias": lambda keys: {"hardness": 0.5, "debias": 0.1, "temperature": 0.5},
    "dot product": lambda keys: {"normalize": False, "temperature": 1.3},
}
BACKENDS = ["reference", "cpp", "numba"]


def groups(keys: int | None) -> dict[str, Tensor]:
    out = {"q_groups": torch.arange(M) % 2}
    return out if keys is None else out | {"k_groups": torch.arange(keys) % 2}


def check(q: Tensor, k: Tensor | None, backend: str, **options: Any) -> None:
    """Rows equal the written-out loss to 1e-11; gradients in every differentiable input."""
    expected = naive.loss(q, k, **options)
    found = contrastive_loss(q, k, **options, reduction="none", backend=backend)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)

    names = ("temperature", "negatives", "query_keys")
    learnable = [n for n in names if isinstance(options.get(n), Tensor)]
    leaves = [x.detach().clone() for x in ([q] if k is None else [q, k])]
    leaves += [options[n].detach().clone() for n in learnable]
    if any(x.isnan().any() for x in leaves):
        return
    count = len(leaves) - len(learnable)

    def run(*x: Tensor) -> Tensor:
        given = options | dict(zip(learnable, x[count:], strict=True))
        keys = x[1] if count == 2 else None
        return contrastive_loss(x[0], keys, **given, reduction="none", backend=backend)

    assert torch.autograd.gradcheck(run, [x.requires_grad_() for x in leaves], atol=1e-6)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_one_set(setting: str, backend: str) -> None:
    check(numbers(M, D), None, backend, q_ids=labels(M), **SETTINGS[setting](M))


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_two_sets(setting: str, backend: str) -> None:
    ids = {"q_ids": labels(M), "k_ids": labels(P)}
    check(numbers(M, D), numbers(P, D), backend, **ids, **SETTINGS[setting](P))


@pytest.mark.parametrize("rule", ["exclude_same", "only_same"])
@pytest.mark.parametrize("two", [False, True])
@pytest.mark.parametrize("backend", BACKENDS)
def test_groups(rule: str, two: bool, backend: str) -> None:
    k = numbers(P, D) if two else None
    ids = {"q_ids": labels(M)} | ({"k_ids": labels(P)} if two else {})
    check(numbers(M, D), k, backend, **ids, **groups(P if two else None), groups=rule)


@pytest.mark.parametrize("backend", BACKENDS)
def test_temperature_of_the_same_group(backend: str) -> None:
    tau = PairTemperature(0.3, 0.5, 0.8)
    q = numbers(M, D)
    options = {"q_ids": labels(M), "q_groups": torch.arange(M) % 2}
    found = contrastive_loss(q, **options, temperature=tau, reduction="none", backend=backend)
    apart = contrastive_loss(q, **options, temperature=0.5, reduction="none", backend=backend)
    assert not torch.equal(found, apart)


@pytest.mark.parametrize("extra", ["plain", "pair_mask", "pair_weight", "decoupled"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_symmetric(extra: str, backend: str) -> None:
    ids = {"q_ids": labels(M), "k_ids": labels(P)}
    options = ids | {"q_valid": flags(M), "k_valid": flags(P)} | SETTINGS[extra](P)
    check(numbers(M, D), numbers(P, D), backend, **options, symmetric=True)


@pytest.mark.parametrize("two", [False, True])
@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_soft_targets(two: bool, layout: str, backend: str) -> None:
    t = torch.rand(M, P if two else M, dtype=torch.float64)
    if not two:
        t.fill_diagonal_(0)
    t = t / t.sum(dim=1, keepdim=True)
    k = numbers(P, D) if two else None
    check(numbers(M, D), k, backend, targets=t if layout == "dense" else t.to_sparse_csr())


@pytest.mark.parametrize("two", [False, True])
@pytest.mark.parametrize("backend", BACKENDS)
def test_flagged_rows_take_no_part_and_may_hold_nan(two: bool, backend: str) -> None:
    q, k = numbers(M, D), numbers(P, D) if two else None
    q_valid, k_valid = torch.arange(M) != 2, torch.arange(P) != 4
    q[2] = torch.nan
    options = {"q_ids": labels(M), "q_valid": q_valid}
    if k is not None:
        k[4] = torch.nan
        options |= {"k_ids": labels(P), "k_valid": k_valid}
    leaves = [x.clone().requires_grad_() for x in (q, k) if x is not None]
    loss = contrastive_loss(*leaves, **options, backend=backend)
    gradients = torch.autograd.grad(loss, leaves)
    assert loss.isfinite()
    assert all(g.isfinite().all() for g in gradients)
    assert not gradients[0][2].any()
    kept = [q[q_valid]] + ([] if k is None else [k[k_valid]])
    ids = {"q_ids": labels(M)[q_valid]} | ({} if k is None else {"k_ids": labels(P)[k_valid]})
    torch.testing.assert_close(loss, contrastive_loss(*kept, **ids, backend=backend))


@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_without_positive_or_negative_contribute_nothing(backend: str) -> None:
    q = numbers(5, D).requires_grad_()
    alone = contrastive_loss(q, q_ids=torch.arange(5), reduction="none", backend=backend)
    assert not alone.any()
    one_class = contrastive_loss(q, q_ids=torch.zeros(5, dtype=torch.int64), backend=backend)
    masked = contrastive_loss(
        q, q_ids=torch.arange(5) % 2, pair_mask=torch.zeros(5, 5, dtype=torch.bool), backend=backend
    )
    (gradient,) = torch.autograd.grad(alone.sum() + one_class + masked, q)
    assert one_class == 0
    assert masked == 0
    assert not gradient.any()
    ids = torch.tensor([0, 0, 1, 2, 3])
    over_all = contrastive_loss(q, q_ids=ids, backend=backend)
    over_two = contrastive_loss(q, q_ids=ids, mean_over="with_positive", backend=backend)
    torch.testing.assert_close(over_two, over_all * 5 / 2)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("beta", [5.0, 100.0])
def test_statistics(backend: str, beta: float) -> None:
    q, k = numbers(M, D), numbers(P, D)
    ids = {"q_ids": labels(M), "k_ids": labels(P)}
    loss, stats = contrastive_loss(
        q, k, **ids, temperature=1 / beta, return_stats=True, backend=backend
    )
    assert isinstance(loss, Tensor)
    u, v = torch.nn.functional.normalize(q), torch.nn.functional.normalize(k)
    s = u @ v.T
    positive = ids["q_ids"][:, None] == ids["k_ids"]
    mean = (s * positive).sum(1) / positive.sum(1)
    expected = {
        "log_sum_exp": (s * beta).logsumexp(1),
        "positive_similarity": mean.mean(),
        "negative_similarity": s[~positive].mean(),
        "top1_accuracy": positive.gather(1, s.argmax(1)[:, None]).double().mean(),
        "alignment": 2 - 2 * mean.mean(),
        "uniformity": (-2 * (2 - 2 * s)).exp().mean().log(),
        "rows_without_positive": torch.tensor(0),
        "rows_without_negative": torch.tensor(0),
    }
    for name, value in expected.items():
        torch.testing.assert_close(getattr(stats, name), value, msg=lambda m, n=name: f"{n}: {m}")
    assert not stats.log_sum_exp.requires_grad


RULES = {
    "queue": {},
    "ids": {"q_id": 5, "k_id": 5},
    "groups": {"q_id": 5, "k_id": 5, "q_group": 3, "k_group": 3, "group_rule": 1},
    "cluster": {"q_id": 5, "k_id": 5, "q_group": 2, "k_group": 2, "group_rule": 2},
    "both sides": {"q_id": 5, "k_id": 5, "symmetric": True},
}


def rules(name: str, m: int, p: int | None) -> reference.Rules:
    made: dict[str, Any] = {}
    for field, value in RULES[name].items():
        if field in ("symmetric", "group_rule"):
            made[field] = value
        elif field.startswith("q"):
            made[field] = torch.randint(value, (m,))
        else:
            side = made["q" + field[1:]]
            made[field] = side if p is None else torch.randint(value, (p,))
    return reference.PLAIN._replace(**made)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("shape", [(5, 3, 7), (61, 130, 20), (130, 61, 33), (300, None, 19)])
@pytest.mark.parametrize("beta", [1.0, 10.0, 200.0])
def test_operator_in_float32(
    kernel: str, name: str, shape: tuple[int, int | None, int], beta: float
) -> None:
    m, p, dim = shape
    if p is None and name == "both sides":
        pytest.skip("one set has no second side")
    given = rules(name, m, p)

    def run(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def rows(q: Tensor, k: Tensor | None = None) -> Tensor:
            out = function(q, k, torch.tensor(beta, dtype=torch.float64), given)
            return torch.where(out.isneginf(), 0.0, out)

        return rows

    def draws() -> Any:
        for _ in range(4 + 64 // m):
            q, k = torch.randn(m, dim), None if p is None else torch.randn(p, dim)
            rows = m + (p or 0) if given.symmetric else m
            yield ([q] if k is None else [q, k]), torch.randn(3, rows, dtype=torch.float64)

    compiled = run(lambda *a: pairs.pair_logsumexp(*a, backend=kernel))
    accept_all(compiled, run(reference.pair_logsumexp), draws(), spec.ERROR_FACTOR)


@pytest.mark.parametrize("beta", [10.0, 200.0])
@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_operator_does_not_depend_on_threads(backend: str, beta: float) -> None:
    q, k = torch.randn(500, 17, requires_grad=True), torch.randn(300, 17, requires_grad=True)
    given = rules("both sides", 500, 300)
    before, results = torch.get_num_threads(), []
    try:
        for threads in THREADS:
            torch.set_num_threads(threads)
            out = pairs.pair_logsumexp(q, k, torch.tensor(beta), given, backend=backend)
            results.append((out, *torch.autograd.grad(out[:, :300].sum(), (q, k))))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_forward_on_one_backend_backward_on_another() -> None:
    q, k = numbers(M, D), numbers(P, D)
    given = rules("both sides", M, P)
    beta = torch.tensor(3.0, dtype=torch.float64)
    grad = numbers(3, M + P)
    results = []
    for forward in BACKENDS:
        out = torch.ops.tsssl_fast.pair_logsumexp(q, k, beta, *given, False, "ieee", forward)
        for backward in BACKENDS:
            results.append(
                torch.ops.tsssl_fast.pair_logsumexp_backward(
                    grad, q, k, beta, out[1], out[2], out[4], True, *given, backward
                )
            )
    for other in results[1:]:
        torch.testing.assert_close(other, results[0])


@pytest.mark.clean_memory
@pytest.mark.parametrize(
    "setting", ["plain", "learnable tau", "pair_mask", "decoupled", "negatives"]
)
def test_compiled_graph_is_whole(setting: str) -> None:
    options = SETTINGS[setting](M) | {"q_ids": labels(M)}

    def run(q: Tensor) -> Tensor:
        out = contrastive_loss(q * 2, **options, backend="cpp")
        assert isinstance(out, Tensor)
        return out

    q = numbers(M, D).requires_grad_()
    expected = torch.autograd.grad(run(q), q)[0]
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(torch.autograd.grad(compiled(q), q)[0], expected)


@pytest.mark.parametrize(
    ("given", "error", "word"),
    [
        ({"q": torch.randn(3)}, ValueError, "q: shape"),
        ({"q": torch.zeros(3, 2, dtype=torch.int64)}, TypeError, "q: dtype"),
        ({"k": torch.randn(3, 5)}, ValueError, "k: 5 columns"),
        ({"k": torch.zeros(3, 4, dtype=torch.int64)}, TypeError, "k: dtype"),
        ({"temperature": 0.0}, ValueError, "temperature"),
        ({"temperature": float("nan")}, ValueError, "temperature"),
        ({"temperature": torch.ones(4)}, ValueError, "temperature"),
        ({"temperature": PairTemperature(0.1, -1.0)}, ValueError, "temperature.negative"),
        ({"q_ids": torch.arange(2)}, ValueError, "q_ids"),
        ({"q_ids": torch.rand(3)}, TypeError, "q_ids"),
        ({"k_ids": torch.arange(3)}, ValueError, "k_ids"),
        ({"q_valid": torch.ones(3)}, TypeError, "q_valid"),
        ({"pair_mask": torch.ones(2, 3, dtype=torch.bool)}, ValueError, "pair_mask"),
        ({"pair_mask": torch.ones(3, 3)}, TypeError, "pair_mask"),
        ({"pair_weight": torch.ones(3, 3, requires_grad=True)}, ValueError, "pair_weight"),
        ({"negatives": torch.randn(2, 5)}, ValueError, "negatives"),
        ({"negatives_valid": flags(2)}, ValueError, "negatives_valid"),
        ({"query_keys": torch.randn(2, 2, 4)}, ValueError, "query_keys"),
        ({"query_weight": torch.ones(4)}, ValueError, "query_weight"),
        ({"hardness": -1.0}, ValueError, "hardness"),
        ({"debias": 1.0}, ValueError, "debias"),
        ({"symmetric": True}, ValueError, "symmetric"),
        ({"positives": "sum"}, ValueError, "positives"),
        ({"denominator": "own_positive", "positives": "log_sum"}, ValueError, "denominator"),
        ({"groups": "same"}, ValueError, "groups"),
        ({"reduction": "max"}, ValueError, "reduction"),
        ({"mean_over": "some"}, ValueError, "mean_over"),
        ({"backend": "cuda"}, ValueError, "backend"),
        ({"q_ids": None}, ValueError, "q_ids, targets: both None"),
        ({"targets": torch.ones(3, 3)}, ValueError, "targets with q_ids"),
        (
            {"targets": torch.ones(3, 3), "q_ids": None, "positives": "log_sum"},
            ValueError,
            "targets",
        ),
    ],
)
def test_bad_input(given: dict[str, Any], error: type[Exception], word: str) -> None:
    given = {"q": torch.randn(3, 4), "q_ids": torch.arange(3)} | given
    with pytest.raises(error, match=word):
        functional.contrastive_loss(given.pop("q"), given.pop("k", None), **given)
