"""The C++ kernels (csrc/kernels/masking.cpp) on torch tensors."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from tsssl_fast import _native
from tsssl_fast.dispatch import Backend
from tsssl_fast.ops.masking import spec
from tsssl_fast.ops.masking.spec import Reduction


def _address(x: Tensor | None) -> int:
    return 0 if x is None else x.data_ptr()


def _kernel(name: str, dtype: torch.dtype) -> Callable[..., Any]:
    suffix = "f32" if dtype == torch.float32 else "f64"
    return getattr(_native.module(), f"{name}_{suffix}")


def _ready(x: Tensor | None) -> Tensor | None:
    """Contiguous, in the arithmetic's dtype."""
    return None if x is None else x.to(spec.compute_dtype(x.dtype)).contiguous()


def _view(mask: Tensor) -> tuple[int, tuple[int, ...]]:
    return mask.data_ptr(), mask.stride()


def _mask(
    shape: Sequence[int],
    seed: Tensor,
    plan: Sequence[int],
    views: int,
    intersection: bool,
    sample_ids: Tensor | None,
) -> Tensor:
    out = torch.empty((views + intersection, *shape), dtype=torch.bool)
    _native.module().mask(
        *(seed.data_ptr(), _address(sample_ids), plan, shape, views, intersection),
        *(_native.threads(), out.data_ptr()),
    )
    return out


def _fill(
    x: Tensor,
    mask: Tensor,
    kind: int,
    token: Tensor | None,
    seed: Tensor | None,
    view: int,
    sample_ids: Tensor | None,
) -> Tensor:
    dtype = x.dtype
    x = x.to(spec.compute_dtype(dtype)).contiguous()
    token = _ready(token)
    out = torch.empty_like(x)
    _kernel("mask_fill", x.dtype)(
        *(x.data_ptr(), *_view(mask), x.shape, kind, _address(token), _address(seed)),
        *(_address(sample_ids), view, _native.threads(), out.data_ptr()),
    )
    return out.to(dtype)


def _fill_backward(grad: Tensor, mask: Tensor, token: bool) -> tuple[Tensor, Tensor]:
    dtype = grad.dtype
    grad = grad.to(spec.compute_dtype(dtype)).contiguous()
    gx, gt = torch.empty_like(grad), grad.new_empty(grad.shape[1] if token else 0)
    _kernel("mask_fill_backward", grad.dtype)(
        *(grad.data_ptr(), *_view(mask), grad.shape, _native.threads(), gx.data_ptr()),
        gt.data_ptr() if token else 0,
    )
    return gx.to(dtype), gt.to(dtype)


def _loss(
    pred: Tensor,
    target: Tensor,
    mask: Tensor,
    weight: Tensor | None,
    kind: int,
    delta: float,
    reduction: int,
) -> tuple[Tensor, Tensor]:
    dtype = spec.compute_dtype(pred.dtype)
    pred, target = pred.to(dtype).contiguous(), target.to(dtype).contiguous()
    weight = _ready(weight)
    rows = pred.shape[0] if reduction == Reduction.NONE else 1
    value = pred.new_empty((rows,) if reduction == Reduction.NONE else ())
    saved = torch.empty((2, rows), dtype=torch.float64)
    _kernel("masked_loss", dtype)(
        *(pred.data_ptr(), target.data_ptr(), *_view(mask), _address(weight), pred.shape),
        *(kind, delta, reduction, _native.threads(), value.data_ptr(), saved.data_ptr()),
    )
    return value, saved


def _loss_backward(
    grad: Tensor,
    saved: Tensor,
    pred: Tensor,
    target: Tensor,
    mask: Tensor,
    weight: Tensor | None,
    kind: int,
    delta: float,
) -> tuple[Tensor, Tensor]:
    given, dtype = pred.dtype, spec.compute_dtype(pred.dtype)
    pred, target = pred.to(dtype).contiguous(), target.to(dtype).contiguous()
    weight, grad, saved = _ready(weight), grad.to(dtype).contiguous(), saved.contiguous()
    gp, gw = torch.empty_like(pred), pred.new_empty(0 if weight is None else pred.shape)
    _kernel("masked_loss_backward", dtype)(
        *(grad.data_ptr(), saved.shape[1], saved.data_ptr(), pred.data_ptr(), target.data_ptr()),
        *(*_view(mask), _address(weight), pred.shape, kind, delta, _native.threads()),
        *(gp.data_ptr(), 0 if weight is None else gw.data_ptr()),
    )
    return gp.to(given), gw.to(given)


def _gather(x: Tensor, keep: Tensor) -> Tensor:
    x, keep = x.contiguous(), keep.contiguous()
    n, length, d = x.shape
    out = x.new_empty((*keep.shape, d))
    _native.module().gather_tokens(
        *(x.data_ptr(), keep.data_ptr(), n, length, keep.shape[1], d * x.element_size()),
        *(_native.threads(), out.data_ptr()),
    )
    return out


def _restore(visible: Tensor, keep: Tensor, length: int, token: Tensor | None) -> Tensor:
    visible, keep = visible.contiguous(), keep.contiguous()
    token = None if token is None else token.contiguous()
    n, k, d = visible.shape
    out = visible.new_empty((n, length, d))
    _native.module().restore_tokens(
        *(visible.data_ptr(), keep.data_ptr(), n, length, k, d * visible.element_size()),
        *(_address(token), _native.threads(), out.data_ptr()),
    )
    return out


def _restore_backward(grad: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
    wide, keep = grad.to(spec.compute_dtype(grad.dtype)).contiguous(), keep.contiguous()
    gt = wide.new_empty(grad.shape[2])
    _kernel("token_gradient", wide.dtype)(
        *(wide.data_ptr(), keep.data_ptr(), wide.shape, keep.shape[1], _native.threads()),
        gt.data_ptr(),
    )
    return _gather(grad, keep), gt.to(grad.dtype)


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    why = list(_native.why_not())
    dtypes = {x.dtype for x in tensors if x.is_floating_point()} - set(spec.DTYPES)
    if dtypes:
        names = ", ".join(sorted(map(str, dtypes)))
        why.append(f"dtype={names} (supported: {', '.join(map(str, spec.DTYPES))})")
    return why


BACKEND = Backend(
    "cpp",
    kernels={
        "mask": _mask,
        "mask_fill": _fill,
        "mask_fill_backward": _fill_backward,
        "masked_loss": _loss,
        "masked_loss_backward": _loss_backward,
        "gather_tokens": _gather,
        "restore_tokens": _restore,
        "restore_tokens_backward": _restore_backward,
    },
    why_not=_why_not,
    devices=frozenset({"cpu"}),
)
