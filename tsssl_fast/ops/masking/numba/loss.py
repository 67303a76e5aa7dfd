"""`masked_loss` by the Numba kernels."""

from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends.numba import arrays, launching
from tsssl_fast.ops.masking import spec
from tsssl_fast.ops.masking.numba.kernels import loss as kernels
from tsssl_fast.ops.masking.numba.kernels.mask import PARTIALS, TASK_ELEMENTS
from tsssl_fast.ops.masking.spec import Reduction


def added(sums: Tensor) -> Tensor:
    """Sum over the samples, in one order whatever the number of threads."""
    return torch.from_numpy(sums.numpy().sum(0))


def _flat(x: Tensor | None, like: Tensor) -> Any:
    if x is None:
        return arrays.array(like.new_empty((0, 0)))
    return arrays.array(x.to(spec.compute_dtype(x.dtype)).contiguous().view(len(x), -1))


def masked_loss(pred: Tensor, target: Tensor, hidden: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    weight, kind, delta, reduction = rest
    pred = pred.to(spec.compute_dtype(pred.dtype))
    sums = torch.empty((len(pred), 2), dtype=torch.float64)
    flags = arrays.flags(hidden).reshape(len(pred), -1)
    threads = launching.threads(pred.numel() // TASK_ELEMENTS)
    partial = torch.empty((threads, 2, PARTIALS), dtype=torch.float64)
    launching.run(
        *(kernels.loss, threads),
        *(_flat(pred, pred), _flat(target, pred), flags, _flat(weight, pred), kind, float(delta)),
        *(arrays.array(partial), arrays.array(sums)),
    )
    if reduction != Reduction.NONE:
        sums = added(sums)[None]
    total, divisor = sums.unbind(1)
    if reduction == Reduction.SUM:
        value, saved = total, torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    else:
        value = torch.where(divisor == 0, 0.0, total / divisor)
        saved = torch.stack([value, divisor])
    value = value.to(pred.dtype)
    return (value if reduction == Reduction.NONE else value[0].clone()), saved


def masked_loss_backward(
    grad: Tensor, saved: Tensor, pred: Tensor, *rest: Any
) -> tuple[Tensor, Tensor]:
    target, hidden, weight, kind, delta = rest
    given, shape, n = pred.dtype, pred.shape, len(pred)
    pred = pred.to(spec.compute_dtype(given))
    mean, divisor = saved
    factor = torch.where(divisor == 0, 0.0, grad.reshape(-1).double() / divisor)
    factors, means = (v.expand(n).to(pred.dtype) for v in (factor, mean))
    gp = pred.new_empty((n, pred[0].numel()))
    gw = pred.new_empty((0, 0)) if weight is None else torch.empty_like(gp)
    flags = arrays.flags(hidden).reshape(n, -1)
    launching.run(
        *(kernels.loss_backward, launching.threads(pred.numel() // TASK_ELEMENTS)),
        *(arrays.array(factors), arrays.array(means), _flat(pred, pred), _flat(target, pred)),
        *(flags, _flat(weight, pred), kind, float(delta), arrays.array(gp), arrays.array(gw)),
    )
    gw = gw.new_empty(0) if weight is None else gw.view(shape)
    return gp.view(shape).to(given), gw.to(given)
