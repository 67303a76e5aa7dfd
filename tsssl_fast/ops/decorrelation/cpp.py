"""The C++ kernels (csrc/kernels/decorrelation.cpp) on torch tensors."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tsssl_fast import _native
from tsssl_fast.dispatch import Backend
from tsssl_fast.ops.decorrelation import spec

_SUFFIX = {torch.float32: "f32", torch.float64: "f64"}


def _rows(z: Tensor) -> Tensor:
    """In the kernel's dtype, columns contiguous; rows may be strided."""
    if z.dtype not in _SUFFIX:
        z = z.to(spec.compute_dtype(z.dtype))
    return z if z.stride(1) == 1 or z.shape[1] == 1 else z.contiguous()


def _arguments(rows: Sequence[Tensor]) -> tuple[list[int], list[int], int, int, bool]:
    n, dim = rows[0].shape
    return [r.data_ptr() for r in rows], [r.stride(0) for r in rows], n, dim, spec.gram(n, dim)


def _vicreg(z: Sequence[Tensor], gamma: float, eps: float, flags: int) -> tuple[Tensor, Tensor]:
    rows = [_rows(v) for v in z]
    count, (n, dim) = len(rows), rows[0].shape
    side = spec.side(n, dim)
    moments = rows[0].new_empty(spec.vicreg_moments(count, dim), dtype=torch.float64)
    square = rows[0].new_empty((count, side, side) if flags & spec.COVARIANCE else 0)
    kernel = getattr(_native.module(), f"vicreg_forward_{_SUFFIX[square.dtype]}")
    kernel(
        *(*_arguments(rows), gamma, eps, bool(flags & spec.CORRELATION), flags),
        *(_native.threads(), moments.data_ptr(), square.data_ptr()),
    )
    return moments, square


def _vicreg_backward(
    upstream: Sequence[float],
    z: Sequence[Tensor],
    moments: Tensor,
    square: Tensor,
    gamma: float,
    eps: float,
    flags: int,
) -> list[Tensor]:
    rows = [_rows(v) for v in z]
    gradients = [r.new_empty(r.shape) for r in rows]
    kernel = getattr(_native.module(), f"vicreg_backward_{_SUFFIX[square.dtype]}")
    kernel(
        *(*_arguments(rows), gamma, eps, bool(flags & spec.CORRELATION), flags, *upstream),
        *(_native.threads(), moments.data_ptr(), square.data_ptr()),
        [g.data_ptr() for g in gradients],
    )
    return [g.to(v.dtype) for g, v in zip(gradients, z, strict=True)]


def _barlow_twins(z1: Tensor, z2: Tensor, eps: float, flags: int) -> tuple[Tensor, Tensor]:
    rows = [_rows(z1), _rows(z2)]
    n, dim = z1.shape
    side = spec.side(n, dim)
    moments = rows[0].new_empty(spec.barlow_moments(dim), dtype=torch.float64)
    square = rows[0].new_empty((2, side, side))
    kernel = getattr(_native.module(), f"barlow_forward_{_SUFFIX[square.dtype]}")
    kernel(
        *(*_arguments(rows), eps, bool(flags & spec.CENTER), bool(flags & spec.UNBIASED)),
        *(_native.threads(), moments.data_ptr(), square.data_ptr()),
    )
    return moments, square


def _barlow_twins_backward(
    upstream: Sequence[float],
    z1: Tensor,
    z2: Tensor,
    moments: Tensor,
    square: Tensor,
    eps: float,
    flags: int,
) -> tuple[Tensor, Tensor]:
    rows = [_rows(z1), _rows(z2)]
    gradients = [r.new_empty(r.shape) for r in rows]
    kernel = getattr(_native.module(), f"barlow_backward_{_SUFFIX[square.dtype]}")
    kernel(
        *(
            *_arguments(rows),
            eps,
            bool(flags & spec.CENTER),
            bool(flags & spec.UNBIASED),
            *upstream,
        ),
        *(_native.threads(), moments.data_ptr(), square.data_ptr()),
        [g.data_ptr() for g in gradients],
    )
    return gradients[0].to(z1.dtype), gradients[1].to(z2.dtype)


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    why = list(_native.why_not())
    dtypes = {t.dtype for t in tensors} - set(spec.DTYPES)
    if dtypes:
        names = ", ".join(sorted(map(str, dtypes)))
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
