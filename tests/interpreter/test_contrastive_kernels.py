"""The contrastive Triton kernels in the interpreter: values and gradients against float64."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from checks import Draw, accept, accept_all, together, value_and_gradients
from torch import Tensor

from tsssl_fast import functional
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.operators import pairs
from tsssl_fast.ops.contrastive.reference import grouped, nt_xent
from tsssl_fast.ops.contrastive.reference import pairs as reference_pairs
from tsssl_fast.ops.contrastive.rules import Rules

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
WIDE = {torch.float32: 130, torch.bfloat16: 260, torch.float16: 260}  # columns of the chunked path


def views(n: int, dim: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    z1 = torch.randn(n, dim)
    return z1.to(dtype), (z1 + 0.5 * torch.randn(n, dim)).to(dtype)


def draws(make: Callable[[], Any], rows: int, count: int) -> Iterator[Draw]:
    for _ in range(count):
        yield make(), torch.randn(rows, dtype=torch.float64)


def check_nt_xent(n: int, dim: int, temperature: float, dtype: torch.dtype, count: int) -> None:
    accept_all(
        lambda a, b: functional.nt_xent_loss(
            a, b, temperature=temperature, reduction="none", backend="triton"
        ),
        lambda a, b: nt_xent.nt_xent(a, b, temperature),
        draws(lambda: views(n, dim, dtype), 2 * n, count),
        spec.ERROR_FACTOR,
    )


# One shift for all rows, and a maximum of each row; one tile, and several.
@pytest.mark.parametrize("temperature", [0.1, 0.02])
@pytest.mark.parametrize(("n", "dim"), [(5, 8), (21, 19)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_nt_xent(n: int, dim: int, temperature: float, dtype: torch.dtype) -> None:
    check_nt_xent(n, dim, temperature, dtype, 6 if n == 5 else 2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nt_xent_of_wide_rows(dtype: torch.dtype) -> None:
    check_nt_xent(9, WIDE[dtype], 0.1, dtype, 2)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("temperature", [0.1, 0.02])
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_wide_rows_are_computed_in_the_forward(
    dtype: torch.dtype, temperature: float, reduction: str
) -> None:
    """Several row chunks and an upstream gradient that is not 1; the backward launches nothing."""

    def given() -> Iterator[Draw]:
        for _ in range(16):  # one loss a draw: its error scatters, at low temperature most
            yield views(5, WIDE[dtype], dtype), torch.tensor(-3.0, dtype=torch.float64)

    def definition(a: Tensor, b: Tensor) -> Tensor:
        loss = nt_xent.nt_xent(a, b, temperature)
        return loss.mean() if reduction == "mean" else loss.sum()

    accept_all(
        lambda a, b: functional.nt_xent_loss(
            a, b, temperature=temperature, reduction=reduction, backend="triton"
        ),
        definition, given(), spec.ERROR_FACTOR,
    )  # fmt: skip
    z1, z2 = views(5, WIDE[dtype], dtype)
    operator = torch.ops.tsssl_fast.nt_xent
    *_, exponentials, gradients, _ = operator(z1, z2, temperature, reduction, True, "", "triton")
    assert (gradients.shape, gradients.dtype) == ((2, *z1.shape), torch.float32)
    assert exponentials.numel() == 0
    for no_use in ((reduction, False), ("none", True)):
        assert operator(z1, z2, temperature, *no_use, "", "triton")[3].numel() == 0
    assert (
        operator(z1[:, :8], z2[:, :8], temperature, reduction, True, "", "triton")[3].numel() == 0
    )


def test_what_wide_rows_keep_serves_every_backward() -> None:
    z1, z2 = views(7, WIDE[torch.float32], torch.float32)
    grad, found = torch.tensor(2.0), []
    for forward in ("triton", "reference", "cpp"):
        _, *kept = torch.ops.tsssl_fast.nt_xent(z1, z2, 0.1, "mean", True, "", forward)
        for backward in ("triton", "reference", "cpp"):
            found.append(
                torch.ops.tsssl_fast.nt_xent_backward(grad, z1, z2, *kept, 0.1, "mean", backward)
            )
    for other in found[1:]:
        for a, b in zip(other, found[0], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * b.abs().max().item())


def test_nt_xent_at_the_smallest_sizes() -> None:
    check_nt_xent(1, 8, 0.1, torch.float32, 4)
    check_nt_xent(2, 1, 0.5, torch.float32, 8)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nt_xent_of_many_slots(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slots of several tiles, an even number of them and an odd one."""
    from tsssl_fast.ops.contrastive.triton import tuning

    for slots in (2, 3):
        monkeypatch.setattr(tuning, "SLOTS", slots)
        check_nt_xent(43, 8, 0.1, dtype, 1)


def generator_rules(name: str, m: int, p: int | None) -> Rules:
    """Rules by name for m queries and p keys (None: one set)."""
    keys = m if p is None else p

    def codes(n: int, count: int) -> Tensor:
        return torch.randint(count, (n,))

    def both(field: str, count: int) -> dict[str, Tensor]:
        q = codes(m, count)
        return {f"q_{field}": q, f"k_{field}": q if p is None else codes(keys, count)}

    def flags(*shape: int) -> Tensor:
        return torch.rand(*shape) > 0.25

    valid = flags(m)
    options: dict[str, dict[str, Any]] = {
        "queue": {},
        "ids": both("id", 5),
        "large ids": {f: x + 2**40 for f, x in both("id", 3).items()},
        "groups": both("id", 5) | both("group", 3) | {"group_rule": 1},
        "cluster": both("id", 5) | both("group", 2) | {"group_rule": 2},
        "valid": both("id", 4) | {"q_valid": valid, "k_valid": valid if p is None else flags(keys)},
        "mask": both("id", 4) | {"mask": flags(m, keys)},
        "weight": both("id", 4) | {"weight": torch.rand(m, keys)},
        "dot": both("id", 4) | {"normalize": False},
        "both sides": both("id", 4) | {"symmetric": True},
        "everything": both("id", 4)
        | both("group", 2)
        | {
            "group_rule": 1,
            "symmetric": True,
            "mask": flags(m, keys),
            "weight": torch.rand(m, keys),
        }
        | {"q_valid": valid, "k_valid": flags(keys)},
        "no diagonal": both("id", 4) | {"skip_diagonal": True},
    }
    return reference_pairs.PLAIN._replace(**options[name])


ONE_SET = ["queue", "ids", "groups", "cluster", "valid", "mask", "weight", "dot"]
TWO_SETS = [*ONE_SET, "large ids", "both sides", "everything", "no diagonal"]


def check_pairs(
    name: str, m: int, p: int | None, dim: int, beta: float, dtype: torch.dtype, count: int = 2
) -> None:
    given = generator_rules(name, m, p)

    def run(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def rows(*x: Tensor) -> Tensor:
            q, k = x if p is not None else (x[0], None)
            out = function(q, k, torch.tensor(beta), given)
            return torch.where(out.isneginf(), 0.0, out)

        return rows

    def make() -> list[Tensor]:
        return [torch.randn(n, dim).to(dtype) for n in (m, p) if n is not None]

    rows = m + (p or 0) if given.symmetric else m
    drawn = ((x, torch.randn(3, rows, dtype=torch.float64)) for x in (make() for _ in range(count)))
    triton = run(lambda *a: pairs.pair_logsumexp(*a, backend="triton"))
    accept_all(triton, run(reference_pairs.pair_logsumexp), drawn, spec.ERROR_FACTOR)


@pytest.mark.parametrize("name", ONE_SET)
def test_one_set(name: str) -> None:
    check_pairs(name, 21, None, 11, 10.0, torch.float32)


@pytest.mark.parametrize("name", TWO_SETS)
def test_two_sets(name: str) -> None:
    m, p = (19, 19) if name == "no diagonal" else (19, 35)
    check_pairs(name, m, p, 11, 10.0, torch.float32)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["groups", "everything", "dot"])
def test_sixteen_bits(name: str, dtype: torch.dtype) -> None:
    check_pairs(name, 19, None if name == "groups" else 21, 24, 5.0, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["weight", "everything"])
def test_wide_rows(name: str, dtype: torch.dtype) -> None:
    check_pairs(name, 13, None if name == "weight" else 18, WIDE[dtype], 10.0, dtype)


@pytest.mark.parametrize("name", ["ids", "weight", "everything"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradient_of_beta(name: str, dtype: torch.dtype) -> None:
    """One number a draw, some by row chunks."""
    results = []
    for draw in range(12):
        p = 6 if name == "everything" or draw % 2 else None
        given = generator_rules(name, 7, p)
        dim = 8 if draw % 8 else WIDE[dtype]
        sides = [torch.randn(n, dim).to(dtype) for n in (7, p) if n is not None]
        upstream = torch.randn(3, 7 + (p or 0) if given.symmetric else 7)

        # B023: called in the round of the loop that defines it.
        def gradient(function: Callable[..., Tensor], kind: torch.dtype) -> Tensor:
            beta = torch.tensor(6.0, dtype=torch.float64, requires_grad=True)
            q, k = (*(x.to(kind) for x in sides), None)[:2]  # noqa: B023
            out = function(q, k, beta, given)  # noqa: B023
            rows = torch.where(out.isneginf(), 0.0, out)
            return torch.autograd.grad(rows, beta, upstream.to(out.dtype))[0]  # noqa: B023

        found = gradient(lambda *a: pairs.pair_logsumexp(*a, backend="triton"), dtype)
        truth = gradient(reference_pairs.pair_logsumexp, torch.float64)
        plain = gradient(reference_pairs.pair_logsumexp, dtype)
        results.append((found.float(), truth, plain.float()))
    accept("gradient of beta", together(results), spec.ERROR_FACTOR)


def test_large_beta() -> None:
    check_pairs("ids", 21, None, 11, 300.0, torch.float32, 4)
    check_pairs("both sides", 17, 18, 11, 300.0, torch.float32, 4)


def test_statistics_are_the_definitions() -> None:
    for name, m, p, dim in (("ids", 19, None, 11), ("both sides", 18, 21, 11), ("ids", 9, 10, 140)):
        given = generator_rules(name, m, p)
        q, k = torch.randn(m, dim), None if p is None else torch.randn(p, dim)
        beta = torch.tensor(5.0)
        found = pairs.pair_statistics(q, k, beta, given, backend="triton")
        expected = pairs.pair_statistics(q, k, beta, given, backend="reference")
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("lengths", [None, [3, 0, 9]])
def test_grouped(normalize: bool, lengths: list[int] | None) -> None:
    counts = None if lengths is None else torch.tensor(lengths)

    def drawn() -> Iterator[Draw]:
        for _ in range(2):
            z = torch.randn(2, 3, 9, 10)
            yield (z[0], z[1]), torch.randn(3, 18, dtype=torch.float64)

    operator = torch.ops.tsssl_fast.grouped_nt_xent
    accept_all(
        lambda a, b: operator(a, b, counts, 0.2, normalize, "", "triton")[0],
        lambda a, b: grouped.grouped_nt_xent(a, b, counts, 0.2, normalize),
        drawn(),
        spec.ERROR_FACTOR,
    )


@pytest.mark.parametrize("temperature", [0.1, 0.01])
def test_zero_rows_and_nan_rows(temperature: float) -> None:
    z1, z2 = views(6, 8, torch.float32)
    z1[2] = 0
    loss, g1, g2 = value_and_gradients(
        lambda a, b: functional.nt_xent_loss(
            a, b, temperature=temperature, reduction="none", backend="triton"
        ),
        (z1, z2),
    )
    plain = value_and_gradients(lambda a, b: nt_xent.nt_xent(a, b, temperature), (z1, z2))
    for a, b in zip((loss, g1, g2), plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert not g1[2].any()
    z1[2] = torch.nan
    assert functional.nt_xent_loss(z1, z2, temperature=temperature, backend="triton").isnan()


def test_flagged_rows_may_hold_nan() -> None:
    q = torch.randn(9, 8)
    q[4] = torch.nan
    given = reference_pairs.PLAIN._replace(
        q_id=torch.arange(9) % 3, k_id=torch.arange(9) % 3, q_valid=torch.arange(9) != 4
    )
    given = given._replace(k_valid=given.q_valid)
    q.requires_grad_()
    out = pairs.pair_logsumexp(q, None, torch.tensor(5.0), given, backend="triton")
    (gradient,) = torch.autograd.grad(out[:, given.q_valid].sum(), q)
    assert not out.isnan().any()
    assert not gradient.isnan().any()
    assert not gradient[4].any()


def test_layouts_give_the_same_bits() -> None:
    z1, z2 = views(9, 12, torch.float32)
    plain = functional.nt_xent_loss(z1, z2, reduction="none", backend="triton")
    for arrange in (
        lambda x: x.T.contiguous().T,
        lambda x: x.repeat_interleave(2, 0)[::2],
        lambda x: x.repeat_interleave(2, 1)[:, ::2],
        lambda x: torch.cat([x, x], 1)[:, :12],
    ):
        found = functional.nt_xent_loss(
            arrange(z1), arrange(z2), reduction="none", backend="triton"
        )
        assert torch.equal(found, plain)


def test_two_runs_give_the_same_bits() -> None:
    z = views(20, 9, torch.float32)
    runs = [
        value_and_gradients(lambda a, b: functional.nt_xent_loss(a, b, backend="triton"), z)
        for _ in range(2)
    ]
    for a, b in zip(*runs, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("temperature", [0.1, 0.01])
def test_forward_and_backward_on_different_backends(temperature: float) -> None:
    z1, z2 = views(11, 9, torch.float32)
    grad = torch.randn(22)
    found = []
    for forward in ("triton", "reference"):
        _, *kept = torch.ops.tsssl_fast.nt_xent(z1, z2, temperature, "none", False, "", forward)
        found += [
            torch.ops.tsssl_fast.nt_xent_backward(
                grad, z1, z2, *kept, temperature, "none", backward
            )
            for backward in ("triton", "reference", "cpp")
        ]
    for other in found[1:]:
        for a, b in zip(other, found[0], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * b.abs().max().item())


def test_what_is_declined_is_said() -> None:
    from tsssl_fast.backends import dispatch

    x = torch.zeros(3, 2, dtype=torch.float64)
    why = dispatch.explain("nt_xent", x, x).reasons["triton"]
    assert why == ["dtype=torch.float64 (supported: torch.float32, torch.float16, torch.bfloat16)"]
    x = torch.zeros(1, 2).expand(2**22 + 1, 2)
    assert dispatch.explain("nt_xent", x, x).reasons["triton"] == [
        "4194305 rows (supported: 4194304)"
    ]
    x = torch.zeros(2, 3, 129)
    assert dispatch.explain("grouped_nt_xent", x, x).reasons["triton"] == [
        "groups of 129 columns (supported: 128 of float32, 256 of 16 bits)"
    ]


def test_cpu_tensors_are_never_chosen_for_the_interpreter_automatically() -> None:
    from tsssl_fast.backends import dispatch

    x = torch.zeros(3, 2)
    explanation = dispatch.explain("nt_xent", x, x)
    assert explanation.reasons["triton"] == []
    assert explanation.chosen == "cpp"
