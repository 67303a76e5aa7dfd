"""Small changes of the input that change the output most: for training, and to measure."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import kl_div

from tsssl_fast.common import checks

Model = Callable[[Tensor], Tensor]


def virtual_adversarial_direction(
    model: Model,
    x: Tensor,
    radius: float | Tensor,
    *,
    step: float = 1e-3,
    iterations: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The perturbation of a given norm that changes softmax(model(x)) most, by power iteration
    (Virtual Adversarial Training: A Regularization Method for Supervised and Semi-Supervised
    Learning, 2017). From a random d of norm 1, `iterations` times:

        d <- g / |g|,  g = gradient at r = step radius d of KL(softmax(f(x)) || softmax(f(x + r)))

    and r = radius d. Norms are of a sample, over all its values.

    Args:
        model: (N, ...) -> (N, K) logits, without a state that a call changes (`eval`, or batch
            statistics that are not tracked).
        x: (N, ...), floating.
        radius: norm of r in x's unit: a number > 0, or a tensor of x's shape or broadcastable to
            it, a scale per value: then r = radius d sqrt(values of a sample), so that a radius
            equal everywhere means that root mean square.
        step: > 0, the share of the radius at which the iteration takes its gradient.
        iterations: 1 or more.
        generator: of the start; torch's global one if None.

    Returns:
        r, like x, without gradient; 0 where the gradient is.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    checks.floating("x", x)
    checks.at_least("iterations", iterations, 1)
    step = checks.positive("step", step)
    with torch.no_grad():
        clean = model(x).log_softmax(1)
    d = _unit(torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device))
    scale = _scale(x, radius)
    for _ in range(int(iterations)):
        r = (step * d).requires_grad_()
        with torch.enable_grad():
            moved = model(x.detach() + r * scale).log_softmax(1)
            divergence = kl_div(moved, clean, reduction="sum", log_target=True)
            (gradient,) = torch.autograd.grad(divergence, r)
        d = _unit(gradient)
    return d * scale


def _scale(x: Tensor, radius: float | Tensor) -> float | Tensor:
    """What a direction of norm 1 is multiplied with."""
    if not isinstance(radius, Tensor):
        return checks.positive("radius", radius)
    checks.floating("radius", radius)
    try:
        torch.broadcast_to(radius, x.shape)
    except RuntimeError:
        raise ValueError(
            f"radius: shape {tuple(radius.shape)}; accepted: broadcastable to {tuple(x.shape)}"
        ) from None
    return radius * (x[0].numel() ** 0.5)


def _unit(d: Tensor) -> Tensor:
    """Of every sample, over all its values; 0 stays."""
    flat = d.flatten(1)
    norm = torch.linalg.vector_norm(flat, dim=1, keepdim=True)
    return (flat / torch.where(norm > 0, norm, 1.0)).view_as(d)


def virtual_adversarial_loss(
    model: Model,
    x: Tensor,
    radius: float | Tensor,
    *,
    step: float = 1e-3,
    iterations: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """KL(softmax(f(x)) || softmax(f(x + r))), the mean over the samples, with r of
    :func:`virtual_adversarial_direction`, whose arguments it takes. f(x) is a constant, as
    published. x: (N, ...) floating; f(x): (N, K) logits. Returns a scalar with gradient for the
    model. Raises as that function.
    """
    r = virtual_adversarial_direction(
        model, x, radius, step=step, iterations=iterations, generator=generator
    )
    with torch.no_grad():
        clean = model(x).log_softmax(1)
    return kl_div(model(x + r).log_softmax(1), clean, reduction="batchmean", log_target=True)


def projected_gradient(
    loss: Callable[[Tensor], Tensor],
    x: Tensor,
    radius: float | Tensor,
    *,
    steps: int = 10,
    step: float = 0.25,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Series near x that a loss is high on: projected gradient ascent inside |x' - x| <= radius per
    value (Towards Deep Learning Models Resistant to Adversarial Attacks, 2017):

        x' <- clip(x' + step radius sign(gradient of the loss), x - radius, x + radius)

    from a start drawn uniformly in the box. With a contrastive loss of (f(x'), z) it makes the
    adversarial pair of x (Robust Table Integration in Data Lakes, 2024, trains on such).

    Args:
        loss: series (N, ...) -> a scalar, or (N,), whose sum is taken.
        x: (N, ...), floating.
        radius: >= 0 per value, in x's unit: a number > 0, or a tensor broadcastable to x, such as
            half of each channel's deviation, (C, 1).
        steps: iterations, 1 or more. step: > 0, share of the radius.
        generator: of the start; torch's global one if None.

    Returns:
        Like x, without gradient.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    checks.floating("x", x)
    checks.at_least("steps", steps, 1)
    step = checks.positive("step", step)
    _scale(x, radius)
    x = x.detach()
    start = 2 * torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device) - 1
    change = start * radius
    for _ in range(int(steps)):
        moved = (x + change).requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(loss(moved).sum(), moved)
        change = change + step * radius * gradient.sign()
        bound = torch.as_tensor(radius, dtype=x.dtype, device=x.device)
        change = torch.minimum(torch.maximum(change, -bound), bound)
    return x + change
