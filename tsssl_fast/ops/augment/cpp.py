"""The C++ kernels (csrc/kernels/augment.cpp) on torch tensors."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tsssl_fast import _native
from tsssl_fast.dispatch import Backend
from tsssl_fast.ops.augment import spec


def _address(x: Tensor | None) -> int:
    return 0 if x is None else x.data_ptr()


def _forward(
    x: Tensor,
    program: Tensor,
    seed: Tensor,
    views: int,
    sample_ids: Tensor | None,
    parameters: Tensor | None,
) -> Tensor:
    dtype = x.dtype
    x = x.to(spec.compute_dtype(dtype))
    out = x.new_empty((views, *x.shape))
    module = _native.module()
    kernel = module.augment_forward_f32 if x.dtype == torch.float32 else module.augment_forward_f64
    kernel(
        *(x.data_ptr(), x.shape, x.stride(), program.data_ptr(), len(program), seed.data_ptr()),
        *(_address(sample_ids), _address(parameters), views, _native.threads(), out.data_ptr()),
    )
    return out.to(dtype)


def _backward(
    grad: Tensor,
    program: Tensor,
    seed: Tensor,
    sample_ids: Tensor | None,
    parameters: Tensor | None,
) -> Tensor:
    dtype, views = grad.dtype, grad.shape[0]
    grad = grad.to(spec.compute_dtype(dtype)).contiguous()
    out = grad.new_empty(grad.shape[1:])
    kernel = getattr(
        _native.module(), f"augment_backward_{'f32' if grad.dtype == torch.float32 else 'f64'}"
    )
    kernel(
        *(grad.data_ptr(), out.shape, out.stride(), program.data_ptr(), len(program)),
        *(seed.data_ptr(), _address(sample_ids), _address(parameters), views),
        *(_native.threads(), out.data_ptr()),
    )
    return out.to(dtype)


def _sample(
    program: Tensor, seed: Tensor, views: int, shape: Sequence[int], sample_ids: Tensor | None
) -> Tensor:
    slots = spec.bounds(program.tolist(), shape[1])[-1]
    out = torch.empty((views, shape[0], slots), dtype=torch.float64)
    _native.module().augment_sample(
        *(program.data_ptr(), len(program), seed.data_ptr(), _address(sample_ids), views),
        *(tuple(shape), _native.threads(), out.data_ptr()),
    )
    return out


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    why = list(_native.why_not())
    if op != "augment_sample" and tensors and tensors[0].dtype not in spec.DTYPES:
        why.append(f"dtype={tensors[0].dtype} (supported: {', '.join(map(str, spec.DTYPES))})")
    return why


BACKEND = Backend(
    "cpp",
    kernels={"augment": _forward, "augment_backward": _backward, "augment_sample": _sample},
    why_not=_why_not,
    devices=frozenset({"cpu"}),
)
