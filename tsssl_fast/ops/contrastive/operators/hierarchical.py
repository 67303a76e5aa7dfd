"""`hierarchical_nt_xent`: TS2Vec's loss on grouped problems, as one operator.

Pooling and both contrasts of every level run inside. The loss is one number, so the gradient is
computed in the forward, level by level, where a group's exponentials are still in working memory.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tsssl_fast.backends import dispatch, registration
from tsssl_fast.backends.precision import CHOICES, torch_setting
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.reference.grouped import grouped_nt_xent

Kernel = Callable[..., Tensor]


class Level(NamedTuple):
    """One level: views (B, T, D), valid steps per series, and the two contrasts' weights."""

    z1: Tensor
    z2: Tensor
    lengths: Tensor | None
    instance: float
    temporal: float


class Part(NamedTuple):
    """A level's grouped problems: views (G, L, D), lengths, weight over the number of valid rows,
    and whether the groups are steps (instance contrast)."""

    z1: Tensor
    z2: Tensor
    lengths: Tensor | None
    weight: float
    by_step: bool


def hierarchical_nt_xent(
    z1: Tensor,
    z2: Tensor,
    lengths: Tensor | None,
    alpha: float,
    temperature: float,
    normalize: bool,
    precision: str,
    backend: str,
) -> Tensor:
    """The loss; arguments checked by functional.hierarchical_contrastive."""
    gradient = torch.is_grad_enabled() and registration.differentiated(z1, z2)
    arguments = (z1, z2, lengths, alpha, temperature, normalize, gradient, precision, backend)
    return _operator(*arguments)[0]


def levels(
    z1: Tensor,
    z2: Tensor,
    lengths: Tensor | None,
    alpha: float,
    halve: Callable[[Tensor], Tensor] | None = None,
) -> Iterator[Level]:
    """TS2Vec's pyramid: max-pooled by two until one step is left; the last has no temporal part."""
    halve = halve or _halve
    while True:
        last = z1.shape[1] == 1
        yield Level(z1, z2, lengths, alpha, 0.0 if last else 1 - alpha)
        if last:
            return
        z1, z2 = halve(z1), halve(z2)
        lengths = None if lengths is None else lengths // 2


def _halve(z: Tensor) -> Tensor:
    """Maximum over pairs of steps; an odd last step is dropped."""
    steps = z.shape[1] // 2
    return torch.maximum(z[:, 0 : 2 * steps : 2], z[:, 1 : 2 * steps : 2])


def _earlier(z: Tensor) -> Tensor:
    """The same, whose derivative is `_halve_backward`."""
    steps = z.shape[1] // 2
    even, odd = z[:, 0 : 2 * steps : 2], z[:, 1 : 2 * steps : 2]
    return torch.where((even >= odd) | even.isnan(), even, odd)


def _halve_backward(grad: Tensor, z: Tensor, out: Tensor) -> None:
    """To the larger of each pair, the earlier where they are equal, as torch's max_pool1d does.
    Writes all of `out`: at (8, 1024, 320) zeros first would cost as much as arithmetic."""
    steps = z.shape[1] // 2
    even, odd = z[:, 0 : 2 * steps : 2], z[:, 1 : 2 * steps : 2]
    # 0 and 1 as floats: a product with bool would not be vectorised.
    to_even = torch.ge(even, odd, out=out[:, 0 : 2 * steps : 2]).mul_(grad)
    torch.sub(grad, to_even, out=out[:, 1 : 2 * steps : 2])
    out[:, 2 * steps :] = 0


def parts(level: Level) -> Iterator[Part]:
    """Series are sorted by length, longest first, so that those still running at step t are the
    first of its group."""
    z1, z2, lengths = level.z1, level.z2, level.lengths
    rows = 2 * z1.shape[0] * z1.shape[1] if lengths is None else 2 * int(lengths.sum())
    if level.instance and rows:
        running = None
        if lengths is not None:
            steps = torch.arange(z1.shape[1], device=lengths.device)
            running = (lengths[:, None] > steps).sum(dim=0)
        weight = level.instance / rows
        yield Part(z1.transpose(0, 1), z2.transpose(0, 1), running, weight, True)
    if level.temporal and rows:
        yield Part(z1, z2, lengths, level.temporal / rows, False)


def composed(kernels: Any) -> Kernel:
    """`grouped_nt_xent_fused` from a backend's own grouped kernels."""

    def kernel(z1: Tensor, z2: Tensor, *rest: Any) -> Tensor:
        *given, weight, grad1, grad2, precision = rest
        loss, saved = kernels["grouped_nt_xent"](z1, z2, *given, precision)
        backward = kernels["grouped_nt_xent_backward"]
        found = backward(torch.full_like(loss, weight), z1, z2, saved, *given, precision)
        grad1 += found[0]
        grad2 += found[1]
        return loss.sum(dim=1)

    return kernel


def _forward(
    z1: Tensor,
    z2: Tensor,
    lengths: Tensor | None,
    alpha: float,
    temperature: float,
    normalize: bool,
    gradient: bool,
    precision: str,
    backend: str,
) -> tuple[Tensor, Tensor]:
    op = "grouped_nt_xent_fused" if gradient else "grouped_nt_xent"
    kernel = dispatch.select(op, (z1, z2), backend)
    choice = CHOICES[precision] if precision else torch_setting(z1)
    dtype = spec.compute_dtype(z1.dtype)
    # One layout for views and gradients.
    z1, z2 = (z.to(dtype).contiguous() for z in (z1, z2))
    pyramid = list(levels(z1, z2, lengths, float(alpha)))
    total, gradients = z1.new_zeros(()), None
    for level in reversed(pyramid):
        if gradient:
            gradients = _below(gradients, level)
        for part in parts(level):
            arguments = (part.z1, part.z2, part.lengths, float(temperature), normalize)
            weight = part.weight / len(pyramid)
            if gradients is None:
                loss = kernel(*arguments, choice)[0]
            else:
                grads = gradients.transpose(1, 2) if part.by_step else gradients
                loss = kernel(*arguments, weight, *grads, choice)
            total += weight * loss.sum()
    return total, z1.new_empty(0) if gradients is None else gradients


def _below(gradients: Tensor | None, level: Level) -> Tensor:
    """What the gradients of both views (2, B, T, D) of the level above are on this one."""
    shape = (2, *level.z1.shape)
    if gradients is None:
        return level.z1.new_zeros(shape)
    out = level.z1.new_empty(shape)
    for grad, z, to in zip(gradients, (level.z1, level.z2), out, strict=True):
        _halve_backward(grad, z, to)
    return out


def _forward_fake(z1: Tensor, z2: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    *_, gradient, _, _ = rest
    like = z1.new_empty((), dtype=spec.compute_dtype(z1.dtype))
    return like, like.new_empty((2, *z1.shape) if gradient else (0,))


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    z1, z2, lengths, *ctx.options, _, _, backend = inputs
    ctx.backend = dispatch.resolve(backend)
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(output[1], z1, z2, lengths)


def _differentiate(ctx: Any, grad: Tensor | None, *_: Any) -> tuple[Any, ...]:
    if grad is None:
        return (None,) * 9
    found = _first_order(grad, *ctx.saved_tensors, *ctx.options, ctx.backend)
    g1, g2 = found.unbind()
    return g1, g2, *[None] * 7


def _backward(grad: Tensor, gradients: Tensor, z1: Tensor, *_: Any) -> Tensor:
    return (gradients * grad).to(z1.dtype)


def _loss(
    z1: Tensor,
    z2: Tensor,
    lengths: Tensor | None,
    alpha: float,
    temperature: float,
    normalize: bool,
) -> Tensor:
    dtype = spec.compute_dtype(z1.dtype)
    z1, z2 = z1.to(dtype), z2.to(dtype)
    pyramid = list(levels(z1, z2, lengths, alpha, _earlier))
    losses = [
        part.weight * grouped_nt_xent(part.z1, part.z2, part.lengths, temperature, normalize).sum()
        for level in pyramid
        for part in parts(level)
    ]
    none = z1[:0].sum() + z2[:0].sum()  # one step without an instance contrast has no part
    return torch.stack([none, *losses]).sum() / len(pyramid)


def _define(*args: Any) -> tuple[Any, ...]:
    return _loss(*args[:-1]), None


def _define_backward(grad: Tensor, gradients: Tensor, z1: Tensor, z2: Tensor, *rest: Any) -> Tensor:
    return torch.stack(torch.func.vjp(lambda *views: _loss(*views, *rest), z1, z2)[1](grad))


_VIEWS = "Tensor z1, Tensor z2, Tensor? lengths, Scalar alpha, Scalar temperature, bool normalize"

_operator = registration.define(
    f"hierarchical_nt_xent({_VIEWS}, bool gradient, str precision, str backend) "
    "-> (Tensor, Tensor)",
    _forward,
    _forward_fake,
    setup_context=_setup_context,
    backward=_differentiate,
    definition=_define,
)
_first_order = registration.define(
    f"hierarchical_nt_xent_backward(Tensor grad, Tensor gradients, {_VIEWS}, str backend) "
    "-> Tensor",
    _backward,
    lambda grad, gradients, z1, *_: z1.new_empty(gradients.shape),
    definition=_define_backward,
)
