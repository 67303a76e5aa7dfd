"""The calls of the C++ kernels: tensors to addresses."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.backends import dispatch
from tsssl_fast.backends.precision import IEEE, NAMES
from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.spec import Outputs

_SUFFIX = {torch.bfloat16: "bf16", torch.float32: "f32", torch.float64: "f64"}

# What torch charges for small calls, in microseconds: new_empty(shape) 3.1, empty_like 1.7,
# `to` the same dtype 1.4. The kernel itself takes 3 at 16 x 16.


def kernels(
    name: str, terms: int, options: Callable[..., Any], sizes: spec.Sizes
) -> tuple[Callable[..., Outputs], Callable[..., list[Tensor]]]:
    """Forward and backward of a loss, as operators: options(settings, flags) are the kernel's."""
    name_of = {"barlow": "barlow_twins"}.get(name, name)

    @lru_cache(256)
    def plan(
        settings: tuple[float, ...],
        flags: int,
        precision: int,
        dtype: torch.dtype,
        views: int,
        n: int,
        dim: int,
    ) -> Any:
        """Sizes and options; making them takes longer than the kernel at 16 x 16."""
        bits = native.BITS[dtype]
        if bits < native.BITS[torch.float32]:  # values by float32's rule at every precision
            precision = IEEE
        of = n, dim, spec.gram(n, dim), bits, precision, options(settings, flags)
        return of, sizes(views, n, dim, flags)

    def forward(
        z: Sequence[Tensor], settings: Sequence[float], flags: int, precision: int
    ) -> Outputs:
        if dispatch.watched() is not None:
            for op in (name_of, f"{name_of}_views"):
                dispatch.tell_products(op, f"{NAMES[precision]} or more exact")
        rows = _in_rows(z)
        like = rows[0]
        compute = like.dtype if like.dtype != torch.bfloat16 else torch.float32
        given = (tuple(settings), flags, precision, z[0].dtype, len(rows), *like.shape)
        of, (moments, matrices) = plan(*given)
        outputs = Outputs(
            like.new_empty((), dtype=compute),
            like.new_empty(terms, dtype=compute),
            like.new_empty(moments, dtype=torch.float64),
            like.new_empty(matrices, dtype=compute),
        )
        addresses, strides = [r.data_ptr() for r in rows], [r.stride(0) for r in rows]
        kernel = getattr(native.C, f"{name}_forward_{_SUFFIX[like.dtype]}")
        kernel(addresses, strides, *of, torch.get_num_threads(), *outputs)
        return outputs

    def backward(
        grad_loss: Tensor | None,
        grad_terms: Tensor | None,
        z: Sequence[Tensor],
        moments: Tensor,
        second_moments: Tensor,
        settings: Sequence[float],
        flags: int,
        precision: int,
    ) -> list[Tensor]:
        rows, dtype = _in_rows(z), z[0].dtype
        of, _ = plan(tuple(settings), flags, precision, dtype, len(rows), *rows[0].shape)
        grads = [None if g is None else g.contiguous() for g in (grad_loss, grad_terms)]
        out = [torch.empty_like(r, memory_format=torch.contiguous_format) for r in rows]
        addresses, strides = [r.data_ptr() for r in rows], [r.stride(0) for r in rows]
        kernel = getattr(native.C, f"{name}_backward_{_SUFFIX[rows[0].dtype]}")
        kernel(
            *(addresses, strides, *of, torch.get_num_threads()),
            *(*grads, moments, second_moments, out),
        )
        return out if out[0].dtype == dtype else [g.to(dtype) for g in out]

    return forward, backward


def _in_rows(z: Sequence[Tensor]) -> Sequence[Tensor]:
    """In a dtype that the kernels read, columns contiguous; rows may be strided."""
    for v in z:
        if v.dtype not in _SUFFIX or v.stride(1) != 1:
            z = [v.to(spec.compute_dtype(v.dtype)) for v in z]
            return [v if v.stride(1) == 1 or v.shape[1] == 1 else v.contiguous() for v in z]
    return z
