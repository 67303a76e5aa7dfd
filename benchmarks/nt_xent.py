"""NT-Xent, forward and backward, float32 inputs: this package, also with bfloat16 products, plain
torch, libraries people use."""

from collections.abc import Callable

import torch
from registry import Case, Run, Unavailable
from torch import Tensor

from tsssl_fast import BackendUnavailableError, functional
from tsssl_fast.backends import dispatch
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.reference import nt_xent

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
Inputs = tuple[Tensor, ...]
Loss = Callable[..., Tensor]


def eager(z1: Tensor, z2: Tensor) -> Tensor:
    """As it is usually written: normalise, all similarities, cross entropy."""
    z = torch.nn.functional.normalize(torch.cat([z1, z2]), dim=1)
    logits = (z @ z.T / TEMPERATURE).fill_diagonal_(-torch.inf)
    target = torch.arange(len(z), device=z.device).roll(len(z1))
    return torch.nn.functional.cross_entropy(logits, target)


def run(loss: Loss, inputs: Inputs) -> Run:
    def once() -> tuple[Tensor, ...]:
        leaves = [z.detach().requires_grad_() for z in inputs]
        value = loss(*leaves)
        return (value.detach(), *torch.autograd.grad(value, leaves))

    return once


def ours(backend: str) -> Callable[[Inputs], Run]:
    def build(inputs: Inputs) -> Run:
        try:
            dispatch.select("nt_xent", inputs, backend)
        except BackendUnavailableError as error:
            raise Unavailable(str(error)) from error
        return run(
            lambda a, b: functional.nt_xent_loss(a, b, temperature=TEMPERATURE, backend=backend),
            inputs,
        )

    return build


def bf16(inputs: Inputs) -> Run:
    return run(
        lambda a, b: functional.nt_xent_loss(a, b, temperature=TEMPERATURE, precision="bf16"),
        inputs,
    )


def compiled_by_torch(loss: Loss) -> Loss:
    return torch.compile(loss, dynamic=False)


def compiled(inputs: Inputs) -> Run:
    return run(compiled_by_torch(eager), inputs)


def lightly(inputs: Inputs) -> Run:
    try:
        from lightly.loss import NTXentLoss
    except ImportError as error:
        raise Unavailable(f"lightly: {error}") from error
    return run(NTXentLoss(temperature=TEMPERATURE), inputs)


def metric_learning(inputs: Inputs) -> Run:
    try:
        from pytorch_metric_learning import losses
    except ImportError as error:
        raise Unavailable(f"pytorch-metric-learning: {error}") from error
    if len(inputs[0]) > 256:
        raise Unavailable("it builds every triple of rows: 34 GB at 1024 x 128")
    return run(losses.SelfSupervisedLoss(losses.NTXentLoss(TEMPERATURE)), inputs)


def truth(inputs: Inputs) -> tuple[Tensor, ...]:
    def loss(a: Tensor, b: Tensor) -> Tensor:
        return nt_xent.nt_xent(a, b, TEMPERATURE).mean()

    return run(loss, tuple(z.double() for z in inputs))()


def make(n: int, dim: int, bars: dict[str, float]) -> Case:
    def inputs() -> Inputs:
        generator = torch.Generator().manual_seed(0)
        z1 = torch.randn(n, dim, generator=generator)
        return z1, z1 + 0.5 * torch.randn(n, dim, generator=generator)

    return Case(
        name=f"nt_xent {n}x{dim}",
        inputs=inputs,
        truth=truth,
        providers={
            "cpp": ours("cpp"),
            "bf16": bf16,
            "reference": ours("reference"),
            "eager": lambda z: run(eager, z),
            "compiled": compiled,
            "lightly": lightly,
            "metric-learning": metric_learning,
        },
        ours="cpp",
        baseline="eager",
        factor=spec.ERROR_FACTOR,
        flops=2.0 * (2 * n) ** 2 * dim,
        bytes=4.0 * 4 * n * dim,
        bars=bars,
    )


CASES = [make(*shape, bars) for shape, bars in SHAPES.items()]
