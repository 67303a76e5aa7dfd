"""`masked_loss`: the definition."""

import torch
from torch import Tensor

from tsssl_fast.backends.precision import widest
from tsssl_fast.ops.masking import spec
from tsssl_fast.ops.masking.spec import Loss, Reduction


def penalty(d: Tensor, kind: int, delta: float) -> Tensor:
    """The loss of every difference."""
    if kind == Loss.MSE:
        return d * d
    if kind == Loss.L1:
        return d.abs()
    return torch.where(d.abs() <= delta, 0.5 * d * d, delta * (d.abs() - 0.5 * delta))


def slope(d: Tensor, kind: int, delta: float) -> Tensor:
    """The derivative of `penalty`."""
    if kind == Loss.MSE:
        return 2 * d
    return d.sign() if kind == Loss.L1 else d.clamp(-delta, delta)


def masked_loss(
    pred: Tensor,
    target: Tensor,
    hidden: Tensor,
    weight: Tensor | None,
    kind: int,
    delta: float,
    reduction: int,
) -> tuple[Tensor, Tensor]:
    """The loss over hidden elements of (N, C, T), and what its gradient needs: (2, N or 1) float64
    (float32 on a device without), the value that a weight is compared with and the divisor."""
    dtype = spec.compute_dtype(pred.dtype)
    e = penalty(pred.to(dtype) - target.to(dtype), kind, delta)
    w = torch.ones_like(e) if weight is None else weight.to(dtype)
    axes = (1, 2) if reduction == Reduction.NONE else (0, 1, 2)
    total = torch.where(hidden, w * e, 0.0).sum(axes)
    if reduction == Reduction.SUM:
        saved = torch.stack([torch.zeros_like(total), torch.ones_like(total)])
        return total, saved.to(widest(pred))[:, None]
    divisor = torch.where(hidden, w, 0.0).sum(axes)
    value = torch.where(divisor == 0, 0.0, total / torch.where(divisor == 0, 1.0, divisor))
    saved = torch.stack([value.detach(), divisor.detach()]).to(widest(pred))
    return value, saved.view(2, -1)


def masked_loss_backward(
    grad: Tensor,
    saved: Tensor,
    pred: Tensor,
    target: Tensor,
    hidden: Tensor,
    weight: Tensor | None,
    kind: int,
    delta: float,
) -> tuple[Tensor, Tensor]:
    """Gradients in the prediction and in the weights, (0,) without any."""
    dtype = spec.compute_dtype(pred.dtype)
    d = pred.to(dtype) - target.to(dtype)
    value, divisor = (row.to(dtype).view(-1, 1, 1) for row in saved)
    factor = torch.where(divisor == 0, 0.0, grad.to(dtype).reshape(-1, 1, 1) / divisor)
    w = 1.0 if weight is None else weight.to(dtype)
    gp = torch.where(hidden, factor * w * slope(d, kind, delta), 0.0).to(pred.dtype)
    if weight is None:
        return gp, pred.new_zeros(0)
    gw = torch.where(hidden, factor * (penalty(d, kind, delta) - value), 0.0)
    return gp, gw.to(weight.dtype)
