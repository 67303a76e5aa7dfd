"""Few queries against many keys that have a gradient: the C++ kernels take the keys in blocks.

The rule of csrc/include/tsssl/contrastive.h, ManyKeys: 8,192 keys and more, eight times the
queries, unit rows, one shift for all exponents."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from checks import accept
from contrastive.dense import contrastive
from torch import Tensor
from variants import THREADS

from tsssl_fast import functional
from tsssl_fast.backends import cpp as native
from tsssl_fast.ops.contrastive import spec

ROWS, KEYS, DIM = 20, 8200, 17


def drawn(rows: int = ROWS, keys: int = KEYS, dim: int = DIM) -> tuple[Tensor, Tensor]:
    q = torch.randn(rows, dim, dtype=torch.float64)
    k = torch.randn(keys, dim, dtype=torch.float64)
    k[:rows] += q
    return q, k


def flags(count: int) -> Tensor:
    found = torch.rand(count) > 0.2
    found[:2] = True
    return found


OPTIONS: dict[str, Callable[[], dict[str, Any]]] = {
    "ids": lambda: {"q_ids": torch.arange(ROWS) % 7, "k_ids": torch.arange(KEYS) % 100},
    "groups": lambda: {"q_groups": torch.arange(ROWS) % 3, "k_groups": torch.arange(KEYS) % 3},
    "flags": lambda: {"q_valid": flags(ROWS), "k_valid": flags(KEYS)},
    "mask": lambda: {"pair_mask": torch.rand(ROWS, KEYS) > 0.3},
    "weight": lambda: {"pair_weight": torch.rand(ROWS, KEYS)},
    "statistics": lambda: {"return_stats": True},
}
CROSSED = [x for n in (0, 1, 2, 3) for x in itertools.combinations(sorted(OPTIONS), n)]


def outcome(function: Any, q: Tensor, k: Tensor, options: dict[str, Any]) -> dict[str, Tensor]:
    """Loss and gradients, and the statistics by name where asked."""
    leaves = [q.clone().requires_grad_(), k.clone().requires_grad_()]
    found = function(*leaves, **options)
    if function is contrastive:
        loss, stats = found.loss, found.statistics
    elif options.get("return_stats"):
        loss, stats = found[0], found[1]._asdict()
    else:
        loss, stats = found, {}
    named = dict(zip(("q", "k"), torch.autograd.grad(loss, leaves), strict=True))
    return {"loss": loss.detach(), **named, **stats}


@pytest.mark.parametrize("names", CROSSED, ids="+".join)
def test_options_crossed(compiled: str, names: tuple[str, ...]) -> None:
    torch.manual_seed(len(names))
    options: dict[str, Any] = {"q_ids": torch.arange(ROWS), "k_ids": torch.arange(KEYS)}
    for name in names:
        options |= OPTIONS[name]()
    q, k = drawn()
    if "k_valid" in options:
        k[~options["k_valid"]] = torch.nan
    truth = outcome(contrastive, q, k, options)
    options["backend"] = compiled
    for dtype, rtol, atol in ((torch.float64, 1e-9, 1e-12), (torch.float32, 1e-4, 1e-5)):
        found = outcome(functional.contrastive_loss, q.to(dtype), k.to(dtype), options)
        assert found.keys() == truth.keys()
        for name, value in found.items():
            right = truth[name].double()
            torch.testing.assert_close(value.double(), right, rtol=rtol, atol=atol, equal_nan=True)


def info_nce(q: Tensor, k: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """He et al. 2020, equation 1, in the inputs' dtype."""
    q, k, negatives = (torch.nn.functional.normalize(x, dim=1) for x in (q, k, negatives))
    logits = torch.cat([(q * k).sum(1, keepdim=True), q @ negatives.T], dim=1) / temperature
    return torch.nn.functional.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long))


def of_three(
    loss: Callable[..., Tensor], inputs: tuple[Tensor, ...], *options: Any
) -> list[Tensor]:
    leaves = [x.clone().requires_grad_() for x in inputs]
    value = loss(*leaves, *options)
    return [value.detach(), *torch.autograd.grad(value, leaves)]


def ours(backend: str) -> Callable[..., Tensor]:
    def loss(q: Tensor, k: Tensor, negatives: Tensor, temperature: float) -> Tensor:
        return functional.info_nce_loss(
            q, k, negatives=negatives, temperature=temperature, backend=backend
        )

    return loss


# 0.03: rows have shifts of their own there, so that the keys are not taken in blocks.
@pytest.mark.parametrize("temperature", [0.5, 0.04, 0.03])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_keys_with_gradient(compiled: str, dtype: torch.dtype, temperature: float) -> None:
    hold(ours(compiled), (ROWS, KEYS, DIM), dtype, temperature)


# Sizes from which the instructions of the unit are used, and ends that are no whole tile.
UNIT = {
    torch.float32: (70, 8300, 390),
    torch.bfloat16: (300, 8300, 70),
    torch.float16: (70, 8300, 70),
}


@pytest.mark.parametrize("temperature", [0.5, 0.04])
@pytest.mark.parametrize("dtype", UNIT)
def test_on_the_unit(unit: str, dtype: torch.dtype, temperature: float) -> None:
    hold(ours("cpp"), UNIT[dtype] if unit != "amx-emulated" else (20, 8200, 17), dtype, temperature)


def hold(
    loss: Callable[..., Tensor], sizes: tuple[int, int, int], dtype: torch.dtype, temperature: float
) -> None:
    """float32's rule; of 16-bit gradients the error before the last rounding is bounded."""
    rows, keys, dim = sizes
    results = []
    for seed in range(3):
        torch.manual_seed(seed)
        q = torch.randn(rows, dim)
        inputs = tuple(x.to(dtype) for x in (q, q + torch.randn_like(q), torch.randn(keys, dim)))
        results.append(
            [
                of_three(of, tuple(x.to(to) for x in inputs), temperature)
                for of, to in (
                    (loss, dtype),
                    (info_nce, torch.float64),
                    (info_nce, torch.float32),
                )
            ]
        )
    accept("loss", [(f[0].float(), t[0], p[0]) for f, t, p in results], 2)
    for g in (1, 2, 3):
        if dtype == torch.float32:
            accept("gradient", [(f[g], t[g], p[g]) for f, t, p in results], 2)
            continue
        for found, truth, _ in results:
            assert found[g].dtype == dtype
            largest = truth[g].abs().amax(dim=1, keepdim=True)
            # Numbers of float16 are 2^-24 apart where they are smallest.
            ulp = (torch.finfo(dtype).eps * largest).clamp_min(
                torch.finfo(dtype).smallest_normal / 8
            )
            off = ((found[g].double() - truth[g]).abs() / ulp).mean()
            assert off <= spec.GRADIENT_ULPS + 0.25


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_same_bits_on_any_number_of_threads(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    inputs = tuple(torch.randn(rows, 80).to(dtype) for rows in (100, 100, 9001))
    before = torch.get_num_threads()
    try:
        found = []
        for threads in THREADS:
            torch.set_num_threads(threads)
            found.append(of_three(ours("cpp"), inputs, 0.1))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("precision", ["bf16x3", "bf16"])
@pytest.mark.parametrize("temperature", [1.0, 0.1, 0.04])
def test_lower_precisions(unit: str, temperature: float, precision: str) -> None:
    """The bounds of spec.py; a query's logits have gradients of at most 2 / N in all."""
    if unit == "avx512bf16" and precision != "bf16":
        pytest.skip(f"{unit} has no {precision}")
    torch.manual_seed(0)
    rows, keys, dim = (70, 8300, 210) if unit != "amx-emulated" else (20, 8200, 17)
    inputs = (torch.randn(rows, dim), torch.randn(rows, dim), torch.randn(keys, dim))

    def loss(q: Tensor, k: Tensor, negatives: Tensor, how: str) -> Tensor:
        return functional.info_nce_loss(
            q, k, negatives=negatives, temperature=temperature, precision=how, backend="cpp"
        )

    found, exact = (of_three(loss, inputs, how) for how in (precision, "ieee"))
    truth = of_three(info_nce, tuple(x.double() for x in inputs), temperature)
    assert not torch.equal(found[3], exact[3]), "no lower precision"
    assert abs(found[0] - truth[0]) <= spec.loss_error(precision, temperature)
    scale = 2 / (rows * temperature * inputs[0].norm(dim=1))
    bound = spec.gradient_error(precision, temperature) * scale
    assert ((found[1] - truth[1]).norm(dim=1) <= bound).all()
    of_keys = (found[3] - truth[3]).norm(dim=1) * inputs[2].norm(dim=1)
    assert (of_keys <= 2 / temperature * spec.gradient_error(precision, temperature)).all()


def test_other_losses_of_as_many_keys(compiled: str) -> None:
    """The sigmoid loss has no kernel that takes bfloat16 keys as they are."""
    torch.manual_seed(0)
    q, k = (torch.randn(rows, 16).bfloat16() for rows in (20, 8200))
    ids = {"q_ids": torch.arange(20), "k_ids": torch.arange(8200) % 50}

    def loss(q: Tensor, k: Tensor, backend: str) -> Tensor:
        return functional.siglip_loss(q, k, **ids, backend=backend)

    found, right = (of_three(loss, (q, k), name) for name in (compiled, "reference"))
    for a, b in zip(found, right, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-6)


def test_strided_bfloat16_keys() -> None:
    torch.manual_seed(0)
    wide = torch.randn(8200, 40).bfloat16()
    q, k = torch.randn(2, 30, 20).bfloat16()
    of_view = of_three(ours("cpp"), (q, k, wide[:, :20]), 0.1)
    of_copy = of_three(ours("cpp"), (q, k, wide[:, :20].contiguous()), 0.1)
    of_columns = of_three(ours("cpp"), (q, k, wide[:, ::2]), 0.1)
    same_columns = of_three(ours("cpp"), (q, k, wide[:, ::2].contiguous()), 0.1)
    for a, b in zip(of_view + of_columns, of_copy + same_columns, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_key_that_is_not_finite(compiled: str, value: float) -> None:
    """The unit can not multiply it; its queries' losses are NaN, as plain torch has them."""
    torch.manual_seed(0)
    q, k, negatives = (torch.randn(rows, 80).bfloat16() for rows in (90, 90, 8200))
    negatives[8000, 3] = value
    found = of_three(ours(compiled), (q, k, negatives), 0.1)
    assert all(x.isnan().any() for x in found)


def test_the_rule_says_which_problems() -> None:
    if native.C is None:
        pytest.skip("no extension")
    rule = native.module().many_keys_f32
    assert rule(20, 8200, True, True, 10.0)
    assert rule(1024, 8192, True, True, -29.9)
    for problem in (
        (20, 8191, True, True, 10.0),
        (1025, 9000, True, True, 10.0),
        (1025, 80000, True, True, 10.0),
        (20, 8200, False, True, 10.0),
        (20, 8200, True, False, 10.0),
        (20, 8200, True, True, 30.0),
    ):
        assert not rule(*problem)
