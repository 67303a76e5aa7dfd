"""Every option of VICReg, Barlow Twins, SigLIP, triplet and hierarchical loss, and of NT-Xent,
SupCon and InfoNCE with several views or positives, with every other: values and gradients of random
small problems against the losses written out.

`contrastive_loss` and what is built on it have theirs in tests/contrastive. More draws of each:

    TSSSL_DRAWS=40000 pytest -n0 tests/functional/test_crossed_options.py
"""

import os
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import pytest
import torch
from checks import accept
from functional import written_out
from functional.written_out import Definition, Options
from torch import Tensor

from tsssl_fast import functional

DRAWS = int(os.environ.get("TSSSL_DRAWS", 120))
BACKENDS = ("reference", "cpp", "numba")
ERROR_FACTOR = 2.0  # of the families' spec.py
# Of one float32 draw, of its largest element: what is wrong is larger. The rule judges them all.
GROSS = 2e-3
EXACT = 2e-10  # of float64, where 1e-10 of a weight of 200 may cancel


class Draw(NamedTuple):
    index: int
    inputs: tuple[Tensor, ...]
    options: Options


class Random:
    """Choices of one draw."""

    def __init__(self, index: int) -> None:
        self.generator = torch.Generator().manual_seed(index)

    def number(self, least: int, most: int) -> int:
        return int(torch.randint(least, most + 1, (1,), generator=self.generator))

    def of(self, *choices: Any) -> Any:
        return choices[self.number(0, len(choices) - 1)]

    def rows(self, *shape: int, scale: float = 1.0) -> Tensor:
        return scale * torch.randn(shape, generator=self.generator, dtype=torch.float64)

    def some(self, **choices: Callable[[], Any]) -> Options:
        """Each option in two of five draws."""
        return {name: make() for name, make in choices.items() if self.number(0, 4) < 2}

    def mask(self, count: int) -> Tensor:
        return torch.rand(count, generator=self.generator) < 0.7


def vicreg(r: Random) -> tuple[tuple[Tensor, ...], Options]:
    shape = (r.number(2, 9), *r.of((), (), (r.number(1, 3),)), r.number(1, 12))
    first = r.rows(*shape, scale=r.of(0.2, 1.0, 3.0))
    views = [first, *(first + r.rows(*shape, scale=0.3) for _ in range(r.of(1, 1, 2)))]

    def weight() -> float:
        return float(r.of(0.0, 0.5, 10.0))

    return tuple(views), r.some(
        invariance_weight=weight,
        variance_weight=weight,
        covariance_weight=weight,
        gamma=lambda: r.of(0.1, 2.5),
        eps=lambda: r.of(1e-6, 0.1),
        norm_eps=lambda: r.of(1e-6, 1.0),
        convention=lambda: r.of(*written_out.VICREG),
        correlation=lambda: r.of(True, False),
        precision=lambda: "ieee",
    )


def barlow_twins(r: Random) -> tuple[tuple[Tensor, ...], Options]:
    shape = (r.number(2, 9), *r.of((), (), (r.number(1, 3),)), r.number(1, 12))
    first = r.rows(*shape, scale=r.of(0.2, 1.0, 3.0))
    return (first, first + r.rows(*shape, scale=0.5)), r.some(
        lambd=lambda: r.of(0.0, 0.3),
        scale_loss=lambda: r.of(0.1, 2.0),
        convention=lambda: r.of(*written_out.BARLOW_TWINS),
        center=lambda: r.of(True, False),
        unbiased=lambda: r.of(True, False),
        eps=lambda: r.of(1e-6, 0.1),
        precision=lambda: "ieee",
    )


def siglip(r: Random) -> tuple[tuple[Tensor, ...], Options]:
    m, dim = r.number(1, 9), r.number(1, 9)
    options = r.some(
        q_ids=lambda: None,
        q_valid=lambda: r.mask(m),
        k_valid=lambda: None,
        normalize=lambda: r.of(True, False),
        reduction=lambda: r.of("mean", "sum", "none"),
        precision=lambda: "ieee",
    )
    p = r.number(1, 9) if "q_ids" in options else m
    if "q_ids" in options:
        options |= {"q_ids": torch.arange(m) % 3, "k_ids": torch.arange(p) % r.of(2, 3, 4)}
    if "k_valid" in options:
        options["k_valid"] = r.mask(p)
    inputs = (r.rows(m, dim), r.rows(p, dim))
    if r.of(True, False):
        return (*inputs, r.rows().abs() * 5, r.rows()), options
    return inputs, options | r.some(
        logit_scale=lambda: r.of(0.5, 100.0), logit_bias=lambda: r.of(-3.0, 4.0)
    )


def triplet(r: Random) -> tuple[tuple[Tensor, ...], Options]:
    m = r.number(1, 10)
    labels = torch.randint(0, r.number(1, 4), (m,), generator=r.generator)
    return (r.rows(m, r.number(2, 9)),), {"labels": labels} | r.some(
        margin=lambda: r.of(0.0, 0.5, 2.0),
        valid=lambda: r.mask(m),
        normalize=lambda: r.of(True, False),
        reduction=lambda: r.of("mean", "sum", "none"),
        precision=lambda: "ieee",
    )


def hierarchical(r: Random) -> tuple[tuple[Tensor, ...], Options]:
    shape = (r.number(1, 4), r.number(1, 7), r.number(1, 5))
    first = r.rows(*shape, scale=0.7)
    options = r.some(
        alpha=lambda: r.of(0.0, 0.3, 1.0),
        normalize=lambda: r.of(True, False),
        lengths=lambda: torch.randint(1, shape[1] + 1, shape[:1], generator=r.generator),
        precision=lambda: "ieee",
    )
    inputs = (first, first + r.rows(*shape, scale=0.3))
    if r.number(0, 2) == 0:
        return (*inputs, r.rows().abs() + 0.2), options
    return inputs, options | r.some(temperature=lambda: r.of(0.1, 2.0))


def temperature(
    r: Random, shape: tuple[int, ...], options: Options
) -> tuple[tuple[Tensor, ...], Options]:
    """One that is learned, beside the inputs, of one number or of each row; or one among the
    options."""
    kind = r.number(0, 5)
    if kind < 2:
        return (r.rows(*(shape if kind else ())).abs() + 0.2,), options
    if kind == 2:
        pair = functional.PairTemperature(positive=r.of(0.2, 1.0), negative=r.of(0.5, 2.0))
        return (), options | {"temperature": pair}
    if kind == 3:
        return (), options | {"temperature": r.of(0.03, 0.07, 0.5)}
    return (), options


def common(r: Random, **others: Callable[[], Any]) -> Options:
    return r.some(
        normalize=lambda: r.of(True, False),
        reduction=lambda: r.of("mean", "sum", "none"),
        precision=lambda: "ieee",
        **others,
    )


def several_views(r: Random) -> tuple[tuple[Tensor, ...], Options]:
    v, n, dim = r.number(2, 4), r.number(1, 6), r.number(2, 9)
    z = r.rows(n, dim) + r.rows(v, n, dim, scale=0.5)
    learned, options = temperature(r, (v * n,), common(r))
    return (z, *learned), options


def labelled_views(r: Random) -> tuple[tuple[Tensor, ...], Options]:
    n, v, dim = r.number(1, 6), r.number(1, 4), r.number(2, 9)
    labels = torch.randint(0, r.number(1, 4), (n,), generator=r.generator)
    options = common(r, mean_over=lambda: r.of("all", "with_positive"))
    learned, options = temperature(r, (n, v), options)
    return (r.rows(n, v, dim), *learned), {"labels": labels} | options


def several_positives(r: Random) -> tuple[tuple[Tensor, ...], Options]:
    n, p, count, dim = r.number(1, 6), r.number(1, 4), r.number(1, 7), r.number(2, 9)
    q = r.rows(n, dim)
    k = q[:, None] + r.rows(n, p, dim, scale=0.5)
    options = common(r, negatives_valid=lambda: r.mask(count))
    learned, options = temperature(r, (n,), options)
    return (q, k, r.rows(count, dim), *learned), options


LEARNED = {"siglip": ("logit_scale", "logit_bias"), "hierarchical": ("temperature",)}
LEARNED |= dict.fromkeys(("views", "labelled views", "positives"), ("temperature",))
VIEWS = {"siglip": 2, "hierarchical": 2, "views": 1, "labelled views": 1, "positives": 3}
FAMILIES: dict[str, tuple[Callable[..., Any], Definition, Callable[..., Tensor]]] = {
    "vicreg": (vicreg, written_out.vicreg, functional.vicreg_loss),
    "barlow_twins": (barlow_twins, written_out.barlow_twins, functional.barlow_twins_loss),
    "siglip": (siglip, written_out.siglip, functional.siglip_loss),
    "triplet": (triplet, written_out.triplet, functional.triplet_loss),
    "hierarchical": (
        hierarchical,
        written_out.hierarchical,
        functional.hierarchical_contrastive_loss,
    ),
    "views": (
        several_views,
        written_out.views,
        lambda z, **o: functional.nt_xent_loss(*z.unbind(0), **o),
    ),
    "labelled views": (labelled_views, written_out.labelled_views, functional.sup_con_loss),
    "positives": (
        several_positives,
        written_out.positives,
        lambda q, k, n, **o: functional.info_nce_loss(q, k, negatives=n, **o),
    ),
}


def results(function: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The value, and gradients of a weighted sum of it."""
    leaves = tuple(x.clone().requires_grad_() for x in inputs)
    value = function(leaves)
    upstream = torch.linspace(0.5, 1.5, max(1, value.numel()), dtype=torch.float64)
    weights = upstream[: value.numel()].reshape(value.shape).to(value.dtype)
    found = (
        torch.autograd.grad(value, leaves, weights, allow_unused=True)
        if value.requires_grad
        else [None] * len(leaves)
    )
    gradients = (
        torch.zeros_like(x) if g is None else g for x, g in zip(leaves, found, strict=True)
    )
    return value.detach(), *gradients


@cache
def expected(family: str, index: int) -> tuple[Draw, tuple[Tensor, ...], tuple[Tensor, ...]]:
    """The draw, the truth, and plain torch in the draw's own dtype."""
    make, definition, _ = FAMILIES[family]
    inputs, options = make(Random(index))
    dtype = torch.float32 if index % 2 else torch.float64
    draw = Draw(index, tuple(x.to(dtype) for x in inputs), options)
    wide = tuple(x.double() for x in draw.inputs)
    truth = results(lambda leaves: definition(leaves, options), wide)
    plain = truth
    if dtype == torch.float32:
        plain = results(lambda leaves: definition(leaves, options), draw.inputs)
    return draw, truth, plain


def called(family: str, draw: Draw, backend: str) -> tuple[Tensor, ...]:
    function = FAMILIES[family][2]
    count = VIEWS.get(family, len(draw.inputs))
    options = {k: v for k, v in draw.options.items() if k != "labels"}
    labels = [draw.options["labels"]] if "labels" in draw.options else []

    def run(leaves: tuple[Tensor, ...]) -> Tensor:
        learned = dict(zip(LEARNED.get(family, ()), leaves[count:], strict=False))
        return function(*leaves[:count], *labels, **options, **learned, backend=backend)

    return results(run, draw.inputs)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_draws(family: str, backend: str) -> None:
    wrong: list[str] = []
    rounded: dict[int, list[tuple[Tensor, Tensor, Tensor]]] = {}
    for index in range(DRAWS):
        draw, truth, plain = expected(family, index)
        try:
            found = called(family, draw, backend)
        except Exception as error:  # every kind: the draw belongs to the message
            wrong.append(f"{index} {draw.options}: {type(error).__name__}: {error}")
            continue
        for place, values in enumerate(zip(found, truth, plain, strict=True)):
            actual, right, _ = values
            assert actual.shape == right.shape
            # One at least: terms of order 1 may cancel to nothing.
            actual, right, near = (torch.cat([x.reshape(-1), x.new_ones(1)]) for x in values)
            error = ((actual - right).abs().max() / right.abs().max()).item()
            exact = actual.dtype == torch.float64
            if not error <= (EXACT if exact else GROSS):
                shape = tuple(draw.inputs[0].shape)
                wrong.append(f"{index} {shape} {draw.options}: output {place} off by {error:.1e}")
            elif not exact:
                rounded.setdefault(place, []).append((actual, right, near))
    assert not wrong, f"{len(wrong)} of {DRAWS}\n" + "\n".join(wrong[:20])
    for place, group in rounded.items():
        accept(f"{family}, {backend}, output {place}", group, ERROR_FACTOR)
