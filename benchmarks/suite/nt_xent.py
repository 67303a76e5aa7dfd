"""NT-Xent, forward and backward: this package, plain torch, libraries people use."""

from typing import Any

import torch
from registry import Case, Inputs, Run, Unavailable
from torch import Tensor

from suite.common import at, in_double, library, of_loss, pairs_bytes, plain, two_views
from tsssl_fast import functional
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.reference import nt_xent as reference

TEMPERATURE = 0.1
# Batch x dimension -> bars: speed against eager torch, peak memory in bytes of the inputs.
SHAPES: dict[tuple[int, int], dict[str, float]] = {
    (8, 16): {"microseconds": 150},
    (32, 128): {},
    (128, 128): {},
    (256, 128): {"ratio": 2.0},
    (1024, 128): {"ratio": 2.5},
    (1024, 512): {},
    (4096, 128): {"ratio": 5.0, "memory": 6.0},
}
QUICK = ((8, 16), (256, 128), (1024, 128))


def ours(z1: Tensor, z2: Tensor) -> Tensor:
    return functional.nt_xent_loss(z1, z2, temperature=TEMPERATURE)


def in_bf16(z1: Tensor, z2: Tensor) -> Tensor:
    return functional.nt_xent_loss(z1, z2, temperature=TEMPERATURE, precision="bf16")


def eager(z1: Tensor, z2: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """As it is usually written: normalise, all similarities, cross entropy."""
    z = torch.nn.functional.normalize(torch.cat([z1, z2]), dim=1)
    logits = (z @ z.T / temperature).fill_diagonal_(-torch.inf)
    target = torch.arange(len(z), device=z.device).roll(len(z1))
    return torch.nn.functional.cross_entropy(logits, target)


def metric_learning(inputs: Inputs) -> Run:
    if len(inputs[0]) > 256:
        raise Unavailable(
            "pytorch_metric_learning: it builds every triple of rows, 34 GB at 1024 x 128"
        )

    def build(losses: Any) -> Any:
        return losses.SelfSupervisedLoss(losses.NTXentLoss(TEMPERATURE))

    return library("pytorch_metric_learning.losses", build)(inputs)


def definition(a: Tensor, b: Tensor) -> Tensor:
    return reference.nt_xent(a, b, TEMPERATURE).mean()


truth = in_double(definition)


def make(n: int, dim: int, bars: dict[str, float] | None = None) -> Case:
    return Case(
        family="contrastive",
        operator="nt_xent",
        shape=(n, dim),
        inputs=two_views(n, dim),
        draw=two_views(n, dim),
        truth=truth,
        providers={
            **of_loss(ours, eager),
            "precision=bf16": plain(in_bf16),
            "lightly": library("lightly.loss", lambda loss: loss.NTXentLoss(TEMPERATURE)),
            "metric-learning": metric_learning,
        },
        baseline="eager",
        factor=spec.ERROR_FACTOR,
        flops=2.0 * (2 * n) ** 2 * dim,
        bars=bars or {},
        needs=pairs_bytes((2 * n) ** 2),
        plain_flops=6.0 * (2 * n) ** 2 * dim,
        quick=(n, dim) in QUICK,
    )


LARGE = [make(1024, 128), make(1024, 512), make(4096, 128)]
CASES = [make(*shape, bars) for shape, bars in SHAPES.items()]
CASES += [at(make(256, 128), "bf16", quick=True)]
CASES += [at(case, precision) for case in LARGE for precision in ("medium", "bf16")]
