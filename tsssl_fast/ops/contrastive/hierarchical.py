"""`hierarchical_nt_xent`: TS2Vec's loss on grouped problems, as one operator.

It is one operator forward and one backward: pooling and both contrasts of every
level run inside. It saves the row statistics of every level; pooled inputs are recomputed.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tsssl_fast import _library, dispatch
from tsssl_fast.ops.contrastive import spec


class Level(NamedTuple):
    """One level: views (B, T, D), valid steps per series, and the two contrasts' weights."""

    z1: Tensor
    z2: Tensor
    lengths: Tensor | None
    instance: float
    temporal: float


def levels(z1: Tensor, z2: Tensor, lengths: Tensor | None, alpha: float) -> Iterator[Level]:
    """TS2Vec's pyramid: max-pooled by two until one step is left; the last has no temporal part."""
    while True:
        last = z1.shape[1] == 1
        yield Level(z1, z2, lengths, alpha, 0.0 if last else 1 - alpha)
        if last:
            return
        z1, z2 = _halve(z1), _halve(z2)
        lengths = None if lengths is None else lengths // 2


def _halve(z: Tensor) -> Tensor:
    """Maximum over pairs of steps; an odd last step is dropped."""
    steps = z.shape[1] // 2
    return torch.maximum(z[:, 0 : 2 * steps : 2], z[:, 1 : 2 * steps : 2])


def _halve_backward(grad: Tensor, z: Tensor) -> Tensor:
    """To the larger of each pair, the earlier where they are equal, as torch's max_pool1d does."""
    steps = z.shape[1] // 2
    even, odd = z[:, 0 : 2 * steps : 2], z[:, 1 : 2 * steps : 2]
    share = (even >= odd).to(grad.dtype)
    out = torch.zeros_like(z)
    out[:, 0 : 2 * steps : 2] = grad * share
    out[:, 1 : 2 * steps : 2] = grad * (1 - share)
    return out


def parts(level: Level) -> Iterator[tuple[Tensor, Tensor, Tensor | None, float, bool]]:
    """The level's grouped problems: views (G, L, D), lengths, weight over the number of valid rows,
    and whether the groups are steps (instance contrast). Series are sorted by length, longest
    first, so that the series still running at step t come first."""
    z1, z2, lengths = level.z1, level.z2, level.lengths
    rows = 2 * z1.shape[0] * z1.shape[1] if lengths is None else 2 * int(lengths.sum())
    if level.instance and rows:
        running = None
        if lengths is not None:
            steps = torch.arange(z1.shape[1], device=lengths.device)
            running = (lengths[:, None] > steps).sum(dim=0)
        yield z1.transpose(0, 1), z2.transpose(0, 1), running, level.instance / rows, True
    if level.temporal and rows:
        yield z1, z2, lengths, level.temporal / rows, False


def _kernels(op: str, z1: Tensor, z2: Tensor, backend: str) -> Any:
    return dispatch.select(op, (z1, z2), backend)


def _forward(
    z1: Tensor,
    z2: Tensor,
    lengths: Tensor | None,
    alpha: float,
    temperature: float,
    normalize: bool,
    backend: str,
) -> tuple[Tensor, Tensor]:
    kernel = _kernels("grouped_nt_xent", z1, z2, backend)
    total = z1.new_zeros((), dtype=spec.compute_dtype(z1.dtype))
    saves, depth = [], 0
    for level in levels(z1, z2, lengths, alpha):
        depth += 1
        for a, b, rows, weight, _ in parts(level):
            loss, saved = kernel(a, b, rows, temperature, normalize)
            total += weight * loss.sum()
            saves.append(saved.flatten())
    empty = total.new_empty(0)
    return total / depth, torch.cat(saves) if saves else empty


def _backward(
    grad: Tensor,
    z1: Tensor,
    z2: Tensor,
    saved: Tensor,
    lengths: Tensor | None,
    alpha: float,
    temperature: float,
    normalize: bool,
    backend: str,
) -> tuple[Tensor, Tensor]:
    kernel = _kernels("grouped_nt_xent_backward", z1, z2, backend)
    pyramid = list(levels(z1, z2, lengths, alpha))
    grad = grad.to(saved.dtype) / len(pyramid)
    end = len(saved)
    g1 = g2 = None
    for depth in range(len(pyramid) - 1, -1, -1):
        level = pyramid[depth]
        if g1 is not None and g2 is not None:
            g1, g2 = _halve_backward(g1, level.z1), _halve_backward(g2, level.z2)
        else:
            g1, g2 = torch.zeros_like(level.z1), torch.zeros_like(level.z2)
        for a, b, rows, weight, by_step in reversed(list(parts(level))):
            size = (len(spec.NT_XENT_ROWS), a.shape[0], 2 * a.shape[1])
            start = end - size[0] * size[1] * size[2]
            pull = (weight * grad).expand(size[1:])
            found = kernel(pull, a, b, saved[start:end].view(size), rows, temperature, normalize)
            d1, d2 = (d.transpose(0, 1) if by_step else d for d in found)
            g1 += d1
            g2 += d2
            end = start
    assert g1 is not None
    assert g2 is not None
    return g1, g2


def _saved_size(z1: Tensor, alpha: float) -> int:
    batch, steps = z1.shape[0], z1.shape[1]
    size = 0
    while True:
        kinds = (alpha > 0) + (steps > 1 and alpha < 1)
        size += kinds * len(spec.NT_XENT_ROWS) * 2 * batch * steps
        if steps == 1:
            return size
        steps //= 2


def _forward_fake(
    z1: Tensor,
    z2: Tensor,
    lengths: Tensor | None,
    alpha: float,
    temperature: float,
    normalize: bool,
    backend: str,
) -> tuple[Tensor, Tensor]:
    dtype = spec.compute_dtype(z1.dtype)
    return z1.new_empty((), dtype=dtype), z1.new_empty(_saved_size(z1, alpha), dtype=dtype)


def _backward_fake(grad: Tensor, z1: Tensor, z2: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(z1), torch.empty_like(z2)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    z1, z2, lengths, ctx.alpha, ctx.temperature, ctx.normalize, backend = inputs
    ctx.backend = dispatch.resolve(backend)
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(z1, z2, output[1], lengths)


def _differentiate(ctx: Any, grad: Tensor, _: Any) -> tuple[Any, ...]:
    z1, z2, saved, lengths = ctx.saved_tensors
    g1, g2 = torch.ops.tsssl_fast.hierarchical_nt_xent_backward(
        *(grad, z1, z2, saved, lengths),
        *(ctx.alpha, ctx.temperature, ctx.normalize, ctx.backend),
    )
    return g1, g2, *[None] * 5


_TAIL = "Tensor? lengths, float alpha, float temperature, bool normalize, str backend"

_library.define(
    f"hierarchical_nt_xent(Tensor z1, Tensor z2, {_TAIL}) -> (Tensor, Tensor)",
    _forward,
    _forward_fake,
    setup_context=_setup_context,
    backward=_differentiate,
)
_library.define(
    f"hierarchical_nt_xent_backward(Tensor grad, Tensor z1, Tensor z2, Tensor saved, {_TAIL}) "
    "-> (Tensor, Tensor)",
    _backward,
    _backward_fake,
    backward=_library.no_second_derivative("hierarchical_nt_xent"),
)
