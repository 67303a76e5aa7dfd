"""Whole training steps: views or mask, encoder, head, loss and backward.

Encoder and optimizer are torch's for everybody; the optimizer is left out, so that a step can be
repeated. Views are drawn by generators of their own: this package's are held to the same step in
float64, plain torch is not. numpy makes the views series by series, as in a Dataset's __getitem__.
"""

from collections.abc import Callable
from functools import cache

import torch
from registry import BACKENDS, Case, Inputs, Provider
from torch import Tensor, nn

from suite import decorrelation, masking, nt_xent
from suite.augment import numpy_views, torch_views
from suite.common import Loss, backends, series
from tsssl_fast import augment, use_backend
from tsssl_fast import masking as masks
from tsssl_fast.encoders import ResNet
from tsssl_fast.ops.contrastive import spec

SHAPE = (256, 9, 128)
P = 0.5
Views = Callable[[Tensor], Tensor]
PIPELINE = augment.presets.simclr_ts(p=P)


@cache
def model(channels: int, dtype: torch.dtype) -> nn.Sequential:
    """The same weights in every dtype."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = ResNet(channels, widths=(16, 32))
        return nn.Sequential(encoder, nn.Linear(encoder.out_features, 128)).to(dtype)


@cache
def decoder(channels: int, dtype: torch.dtype) -> nn.Sequential:
    """Of the filled series, the series."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = (nn.Conv1d(a, b, 7, padding=3) for a, b in ((channels, 32), (32, channels)))
        return nn.Sequential(first, nn.GELU(), second).to(dtype)


def gradients(net: nn.Module, loss: Tensor) -> tuple[Tensor, ...]:
    return (loss.detach(), *torch.autograd.grad(loss, list(net.parameters())))


def siamese(views: Views, loss: Loss) -> Provider:
    def step(x: Tensor) -> tuple[Tensor, ...]:
        net = model(x.shape[1], x.dtype)
        return gradients(net, loss(*net(views(x).flatten(0, 1)).chunk(2)))

    return lambda inputs: lambda: step(*inputs)


def reconstruction(filled: Callable[[Tensor], tuple[Tensor, Tensor]], loss: Loss) -> Provider:
    def step(x: Tensor) -> tuple[Tensor, ...]:
        net = decoder(x.shape[1], x.dtype)
        series, mask = filled(x)
        return gradients(net, loss(net(series), x, mask))

    return lambda inputs: lambda: step(*inputs)


def our_views(x: Tensor) -> Tensor:
    out: Tensor = PIPELINE(x, views=2, seed=0)
    return out


def snippet_views(x: Tensor) -> Tensor:
    return torch.from_numpy(numpy_views(x.numpy(), P)).float()


def our_filled(x: Tensor) -> tuple[Tensor, Tensor]:
    mask = masks.random_mask(x.shape, masking.RATIO, seed=0)
    return masks.fill(x, mask), mask


def eager_filled(x: Tensor) -> tuple[Tensor, Tensor]:
    mask = masking.eager_mask(x.shape)
    return x.masked_fill(mask, 0.0), mask


def eager_masked_loss(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    return ((pred - target).square() * mask).sum() / mask.sum()


def make(operator: str, ours: Provider, others: dict[str, Provider], quick: bool = False) -> Case:
    def truth(inputs: Inputs) -> Inputs:
        with use_backend("reference"):
            return ours(tuple(x.double() for x in inputs))()

    return Case(
        family="training",
        operator=operator,
        shape=SHAPE,
        inputs=series(SHAPE),
        truth=truth,
        providers={**backends(ours), **others},
        # The loss and the gradient of the last layer: of those below normalisation some are 0.
        compared=lambda results: (results[0], results[-2]),
        judged=frozenset(BACKENDS),
        rounding="reference",
        baseline="eager",
        factor=spec.ERROR_FACTOR,
        quick=quick,
    )


def of_views(name: str, ours: Loss, eager: Loss, quick: bool) -> Case:
    others = {
        "eager": siamese(lambda x: torch_views(x, P), eager),
        "numpy": siamese(snippet_views, eager),
    }
    return make(f"{name} step", siamese(our_views, ours), others, quick)


CASES = [
    of_views("simclr", nt_xent.ours, nt_xent.eager, quick=True),
    of_views("vicreg", decorrelation.ours, decorrelation.direct, quick=False),
    make(
        "masked_reconstruction step",
        reconstruction(our_filled, masks.masked_loss),
        {"eager": reconstruction(eager_filled, eager_masked_loss)},
    ),
]
