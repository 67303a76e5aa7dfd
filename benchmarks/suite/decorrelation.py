"""VICReg and Barlow Twins on two views, forward and backward: this package, plain torch, lightly.

A unit is 6 min(n, d) n d flops at the rate of torch's matrix product: the floor without its bytes.
"""

from dataclasses import replace
from typing import cast

import torch
from registry import Case, Inputs
from torch import Tensor

from suite.common import (
    Loss,
    at,
    compiled_by_torch,
    in_double,
    library,
    of_loss,
    plain,
    run,
    two_views,
)
from tsssl_fast import functional
from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.reference import moments

GAMMA, EPS, LAMBDA = 1.0, 1e-4, 5e-3
# n x d -> bars: against the direct form, against the best of all others, peak memory in bytes of
# the inputs, microseconds.
SHAPES: dict[tuple[int, int], dict[str, float]] = {
    (16, 16): {"microseconds": 150},
    (256, 2048): {"ratio": 15, "memory": 3},
    (256, 8192): {"ratio": 40, "best": 2, "memory": 3},
    (1024, 2048): {"best": 1.7, "memory": 3},
    (2048, 2048): {"best": 1.7, "memory": 3},
}


QUICK = ((16, 16), (256, 2048))


def ours(a: Tensor, b: Tensor) -> Tensor:
    return cast(Tensor, functional.vicreg_loss(a, b))


def _shell(a: Tensor, b: Tensor, penalty: Loss) -> Tensor:
    hinge = sum((GAMMA - (z.var(dim=0) + EPS).sqrt()).relu().mean() / 2 for z in (a, b))
    return 25 * torch.nn.functional.mse_loss(a, b) + 25 * hinge + penalty(a) + penalty(b)


def direct(a: Tensor, b: Tensor) -> Tensor:
    def penalty(z: Tensor) -> Tensor:
        x = z - z.mean(dim=0)
        return moments.off_diagonal(x.T @ x / (len(z) - 1)).square().sum() / z.shape[1]

    return _shell(a, b, penalty)


def gram(a: Tensor, b: Tensor) -> Tensor:
    def penalty(z: Tensor) -> Tensor:
        x = z - z.mean(dim=0)
        k = x @ x.T / (len(z) - 1)
        return (k.square().sum() - z.var(dim=0).square().sum()) / z.shape[1]

    return _shell(a, b, penalty)


def barlow_twins(a: Tensor, b: Tensor) -> Tensor:
    return cast(Tensor, functional.barlow_twins_loss(a, b, lambd=LAMBDA))


def direct_barlow_twins(a: Tensor, b: Tensor) -> Tensor:
    """Zbontar et al., 2021: the D x D cross correlation of standardised columns."""
    x, y = (torch.nn.functional.batch_norm(z, None, None, training=True) for z in (a, b))
    c = x.T @ y / len(a)
    on = c.diagonal()
    return (1 - on).square().sum() + LAMBDA * (c.square().sum() - on.square().sum())


def views(n: int, d: int) -> Inputs:
    return two_views(n, d, 0.1)()


def make(n: int, d: int, bars: dict[str, float], quick: bool = False) -> Case:
    best = gram if n < d else direct
    return Case(
        family="decorrelation",
        operator="vicreg",
        shape=(n, d),
        inputs=two_views(n, d, 0.1),
        draw=two_views(n, d, 0.1),
        truth=in_double(direct),
        providers={
            **of_loss(ours, direct),
            "gram": plain(gram),
            "compiled": lambda z: run(compiled_by_torch(best), z),
            "lightly": library("lightly.loss", lambda loss: loss.VICRegLoss()),
        },
        baseline="eager",
        factor=spec.ERROR_FACTOR,
        flops=6.0 * min(n, d) * n * d,
        bars=bars,
        needs=8.0 * 6 * d * d,
        plain_flops=12.0 * n * d * d,
        quick=quick,
    )


def make_barlow_twins(n: int, d: int, quick: bool = False) -> Case:
    return replace(
        make(n, d, {}, quick),
        operator="barlow_twins",
        truth=in_double(direct_barlow_twins),
        providers={
            **of_loss(barlow_twins, direct_barlow_twins),
            "lightly": library("lightly.loss", lambda loss: loss.BarlowTwinsLoss()),
        },
    )


CASES = [make(*shape, bars, quick=shape in QUICK) for shape, bars in SHAPES.items()]
CASES += [make_barlow_twins(256, 2048, quick=True), make_barlow_twins(1024, 2048)]
CASES += [
    at(make(256, 2048, {}), "medium"),
    at(make(256, 2048, {}), "bf16"),
    at(make(1024, 2048, {}), "medium"),
    at(make(1024, 2048, {}), "bf16"),
]
