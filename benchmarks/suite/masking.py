"""Masks, fills and the masked loss: this package, eager torch, and the usual Python loop.

`mask_fill`: a mask and the filled series; numpy is what such code does per sample: a clone of the
series and of the target, `np.random.choice(T, k, replace=False)` and zeros at these steps; where
every channel has a mask of its own the same loop runs over samples and channels, and where whole
channels are hidden it draws those. `masked_step`: mask, fill and masked mse, forward and backward,
the prediction given. All draw by generators of their own: of masks the share that is hidden is
compared, which is exact.
"""

from collections.abc import Callable

import numpy as np
import torch
from registry import BACKENDS, Case, Inputs
from torch import Tensor

from suite.common import backends, in_double, plain, series
from tsssl_fast import masking, use_backend
from tsssl_fast.ops.masking import spec

SHAPE = (256, 9, 128)
LARGE = (1024, 9, 1024)  # 38 MB, so that pages and pools do not blur its memory
RATIO = 0.5


def loop(data: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    n, _, t = data.shape
    mask = torch.zeros(n, t, dtype=torch.bool)
    masked, target = data.clone(), data.clone()
    for i in range(n):
        index = np.random.choice(t, int(RATIO * t), replace=False)  # noqa: NPY002, as loops have it
        mask[i, index] = True
        masked[i, :, index] = 0
    return mask, masked, target


def loop_channels(data: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    n, c, _ = data.shape
    mask = torch.zeros(n, c, dtype=torch.bool)
    masked, target = data.clone(), data.clone()
    for i in range(n):
        index = np.random.choice(c, int(RATIO * c + 0.5), replace=False)  # noqa: NPY002, as in loop
        mask[i, index] = True
        masked[i, index] = 0
    return mask, masked, target


def eager_mask(shape: torch.Size, per_channel: bool = False) -> Tensor:
    n, c, t = shape
    rows = (n, c) if per_channel else (n, 1)
    order = torch.rand(*rows, t).argsort(-1)
    mask = torch.zeros(*rows, t, dtype=torch.bool).scatter(-1, order[..., : int(RATIO * t)], True)
    return mask.expand(shape)


def mask_fill(mode: str, per_channel: bool, quick: bool = False) -> Case:
    def ours(x: Tensor) -> tuple[Tensor, ...]:
        hidden = masking.random_mask(x.shape, RATIO, mode=mode, per_channel=per_channel, seed=0)
        return hidden, masking.fill(x, hidden)

    def eager(x: Tensor) -> tuple[Tensor, ...]:
        mask = eager_mask(x.shape, per_channel)
        return mask, x.masked_fill(mask, 0.0)

    def document(x: Tensor) -> tuple[Tensor, ...]:
        if mode == "channel":
            return loop_channels(x)
        return loop(x.reshape(-1, 1, SHAPE[2]) if per_channel else x)

    share = int(RATIO * SHAPE[1] + 0.5) / SHAPE[1] if mode == "channel" else RATIO
    others = {"numpy": document} | ({"eager": eager} if mode == "point" else {})
    return Case(
        family="masking",
        operator=f"mask_fill {mode}" + (" per channel" if per_channel else ""),
        shape=SHAPE,
        inputs=series(SHAPE),
        truth=lambda inputs: (torch.full((SHAPE[0],), share, dtype=torch.float64),),
        providers={
            **backends(lambda inputs: lambda: ours(*inputs)),
            **{name: lambda inputs, f=f: lambda: f(*inputs) for name, f in others.items()},
        },
        compared=lambda results: (results[0].reshape(SHAPE[0], -1).double().mean(1),),
        baseline="numpy",
        factor=1.0,
        bars={"ratio": 50.0},
        quick=quick,
    )


def our_step(x: Tensor, pred: Tensor) -> tuple[Tensor, ...]:
    mask = masking.random_mask(x.shape, RATIO, seed=0)
    filled = masking.fill(x, mask)
    return _stepped(pred, lambda p: masking.masked_loss(p, x, mask), filled)


def eager_step(x: Tensor, pred: Tensor) -> tuple[Tensor, ...]:
    mask = eager_mask(x.shape)
    filled = x.masked_fill(mask, 0.0)
    return _stepped(pred, lambda p: ((p - x).square() * mask).sum() / mask.sum(), filled)


def _stepped(pred: Tensor, loss: Callable[[Tensor], Tensor], filled: Tensor) -> tuple[Tensor, ...]:
    leaf = pred.detach().requires_grad_()
    value = loss(leaf)
    return (value.detach(), *torch.autograd.grad(value, leaf), filled)


def step(shape: tuple[int, int, int], bars: dict[str, float], quick: bool = False) -> Case:
    def truth(inputs: Inputs) -> Inputs:
        with use_backend("reference"):
            return our_step(*(z.double() for z in inputs))

    def inputs() -> Inputs:
        (both,) = series((2 * shape[0], *shape[1:]))()
        return both.chunk(2)

    return Case(
        family="masking",
        operator="masked_step",
        shape=shape,
        inputs=inputs,
        truth=truth,
        providers={
            **backends(lambda inputs: lambda: our_step(*inputs)),
            "eager": lambda inputs: lambda: eager_step(*inputs),
        },
        judged=frozenset(BACKENDS),
        rounding="reference",
        baseline="eager",
        factor=spec.ERROR_FACTOR,
        bars=bars,
        quick=quick,
    )


def loss_alone() -> Case:
    """The masked loss by itself, the mask given: where eager torch computes the same."""
    hidden = masking.random_mask(SHAPE, RATIO, seed=0)

    def eager(pred: Tensor, target: Tensor) -> Tensor:
        return ((pred - target).square() * hidden).sum() / hidden.sum()

    def ours(pred: Tensor, target: Tensor) -> Tensor:
        return masking.masked_loss(pred, target, hidden)

    case = step(SHAPE, {})
    return Case(
        family="masking",
        operator="masked_loss",
        shape=SHAPE,
        inputs=case.inputs,
        truth=in_double(eager),
        providers={**backends(plain(ours)), "eager": plain(eager)},
        baseline="eager",
        factor=spec.ERROR_FACTOR,
    )


CASES = [
    mask_fill(mode, per_channel, quick=mode == "point" and not per_channel)
    for mode in masking.MODES
    for per_channel in (False, True)[: 1 + (mode != "channel")]
]
CASES += [step(SHAPE, {"ratio": 3.0}, quick=True), step(LARGE, {"memory": 2.0}), loss_alone()]
