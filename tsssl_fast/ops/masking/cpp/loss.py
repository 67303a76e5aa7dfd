"""`masked_loss` on torch tensors, by the C++ kernels."""

from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.ops.masking import spec
from tsssl_fast.ops.masking.cpp.calls import native_kernel, ready, view_of
from tsssl_fast.ops.masking.spec import Reduction


def masked_loss(pred: Tensor, target: Tensor, hidden: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    weight, kind, delta, reduction = rest
    dtype = spec.compute_dtype(pred.dtype)
    pred, target = pred.to(dtype).contiguous(), target.to(dtype).contiguous()
    weight = ready(weight)
    rows = pred.shape[0] if reduction == Reduction.NONE else 1
    value = pred.new_empty((rows,) if reduction == Reduction.NONE else ())
    saved = torch.empty((2, rows), dtype=torch.float64)
    native_kernel("masked_loss", dtype)(
        *(pred, target, *view_of(hidden), weight, pred.shape),
        *(kind, delta, reduction, native.threads(), value, saved),
    )
    return value, saved


def masked_loss_backward(
    grad: Tensor, saved: Tensor, pred: Tensor, *rest: Any
) -> tuple[Tensor, Tensor]:
    target, hidden, weight, kind, delta = rest
    given, dtype = pred.dtype, spec.compute_dtype(pred.dtype)
    pred, target = pred.to(dtype).contiguous(), target.to(dtype).contiguous()
    weight, grad, saved = ready(weight), grad.to(dtype).contiguous(), saved.contiguous()
    gp, gw = torch.empty_like(pred), pred.new_empty(0 if weight is None else pred.shape)
    native_kernel("masked_loss_backward", dtype)(
        *(grad, saved.shape[1], saved, pred, target),
        *(*view_of(hidden), weight, pred.shape, kind, delta, native.threads()),
        *(gp, None if weight is None else gw),
    )
    return gp.to(given), gw.to(given)
