"""The C++ kernels (csrc/kernels/decorrelation.cpp) on torch tensors."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tsssl_fast import _native
from tsssl_fast.dispatch import Backend
from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.scalars import Outputs

_SUFFIX = {torch.float32: "f32", torch.float64: "f64"}

# What torch charges for small calls, in microseconds: new_empty(shape) 3.1, empty_like 1.7,
# `to` the same dtype 1.4. The kernel itself takes 3 at 16 x 16.


def _rows(z: Tensor) -> Tensor:
    """In the kernel's dtype, columns contiguous; rows may be strided."""
    if z.dtype not in _SUFFIX:
        z = z.to(spec.compute_dtype(z.dtype))
    return z if z.stride(1) == 1 or z.shape[1] == 1 else z.contiguous()


def _arguments(rows: Sequence[Tensor]) -> tuple[list[int], list[int], int, int, bool]:
    n, dim = rows[0].shape
    return [r.data_ptr() for r in rows], [r.stride(0) for r in rows], n, dim, spec.gram(n, dim)


def _kernel(name: str, dtype: torch.dtype) -> Any:
    return getattr(_native.module(), f"{name}_{_SUFFIX[dtype]}")


def _forward(
    name: str,
    rows: Sequence[Tensor],
    settings: Sequence[float],
    flags: int,
    terms: int,
    moments: int,
    square: Sequence[int],
) -> Outputs:
    first = rows[0]
    outputs = (
        first.new_empty(()),
        first.new_empty(terms),
        first.new_empty(moments, dtype=torch.float64),
        first.new_empty(square),
    )
    _kernel(name, first.dtype)(
        *(*_arguments(rows), settings, flags, _native.threads()),
        *[t.data_ptr() for t in outputs],
    )
    return outputs


def _backward(
    name: str,
    terms: int,
    grads: Sequence[Tensor | None],
    rows: Sequence[Tensor],
    moments: Tensor,
    square: Tensor,
    settings: Sequence[float],
    flags: int,
) -> list[Tensor]:
    # The kernel reads addresses: an operator called by hand may be given anything.
    for grad, count in zip(grads, (1, terms), strict=True):
        if grad is not None and (grad.dtype != square.dtype or grad.numel() != count):
            raise ValueError(
                f"gradient: {grad.dtype}, {grad.numel()} numbers; accepted: {square.dtype}, {count}"
            )
    grads = [None if g is None else g.contiguous() for g in grads]
    gradients = [torch.empty_like(r, memory_format=torch.contiguous_format) for r in rows]
    _kernel(name, square.dtype)(
        *(*_arguments(rows), settings, flags, _native.threads()),
        *[0 if g is None else g.data_ptr() for g in grads],
        *(moments.data_ptr(), square.data_ptr(), [g.data_ptr() for g in gradients]),
    )
    return gradients


def _cast(gradients: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
    return [g if g.dtype == dtype else g.to(dtype) for g in gradients]


def _vicreg(z: Sequence[Tensor], settings: Sequence[float], flags: int) -> Outputs:
    views, (n, dim) = len(z), z[0].shape
    side = spec.side(n, dim)
    square = (views, side, side) if flags & spec.COVARIANCE else (0,)
    moments = spec.vicreg_moments(views, dim)
    return _forward("vicreg_forward", [_rows(v) for v in z], settings, flags, 3, moments, square)


def _vicreg_backward(
    grad_loss: Tensor | None,
    grad_terms: Tensor | None,
    z: Sequence[Tensor],
    moments: Tensor,
    square: Tensor,
    settings: Sequence[float],
    flags: int,
) -> list[Tensor]:
    rows = [_rows(v) for v in z]
    saved = (moments, square, settings, flags)
    return _cast(_backward("vicreg_backward", 3, (grad_loss, grad_terms), rows, *saved), z[0].dtype)


def _barlow_twins(z1: Tensor, z2: Tensor, settings: Sequence[float], flags: int) -> Outputs:
    n, dim = z1.shape
    side = spec.side(n, dim)
    rows = [_rows(z1), _rows(z2)]
    moments = spec.barlow_moments(dim)
    return _forward("barlow_forward", rows, settings, flags, 2, moments, (2, side, side))


def _barlow_twins_backward(
    grad_loss: Tensor | None,
    grad_terms: Tensor | None,
    z1: Tensor,
    z2: Tensor,
    moments: Tensor,
    square: Tensor,
    settings: Sequence[float],
    flags: int,
) -> tuple[Tensor, Tensor]:
    rows = [_rows(z1), _rows(z2)]
    saved = (moments, square, settings, flags)
    first, second = _cast(
        _backward("barlow_backward", 2, (grad_loss, grad_terms), rows, *saved), z1.dtype
    )
    return first, second


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    why = list(_native.why_not())
    dtypes = [t.dtype for t in tensors if t.dtype not in spec.DTYPES]
    if dtypes:
        names = ", ".join(sorted(map(str, set(dtypes))))
        why.append(f"dtype={names} (supported: {', '.join(map(str, spec.DTYPES))})")
    return why


BACKEND = Backend(
    "cpp",
    kernels={
        "vicreg": _vicreg,
        "vicreg_views": _vicreg,
        "vicreg_backward": _vicreg_backward,
        "barlow_twins": _barlow_twins,
        "barlow_twins_backward": _barlow_twins_backward,
    },
    why_not=_why_not,
    devices=frozenset({"cpu"}),
)
