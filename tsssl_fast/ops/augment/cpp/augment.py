"""`augment` on torch tensors, by the C++ kernels."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.common import random
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.spec import Source


def forward(x: Tensor, source: Source, views: int) -> Tensor:
    dtype, shape = x.dtype, x.shape[-3:]
    number = spec.compute_dtype(dtype)
    x = x if number == dtype else x.to(number)
    stride = x.stride() if x.dim() == 4 else (0, *x.stride())
    out = x.new_empty((views, *shape))
    module = native.module()
    kernel = module.augment_forward_f32 if x.dtype == torch.float32 else module.augment_forward_f64
    program, seed, sample_ids, lengths, parameters = source
    kernel(
        *(x.data_ptr(), shape, stride, program, random.numbers(seed)),
        *(sample_ids, lengths, parameters, views, native.threads(), out),
    )
    return out if number == dtype else out.to(dtype)


def backward(grad: Tensor, source: Source, sum_views: bool) -> Tensor:
    dtype, views, shape = grad.dtype, grad.shape[0], grad.shape[1:]
    grad = grad.to(spec.compute_dtype(dtype))
    out = grad.new_empty(shape if sum_views else grad.shape)
    module = native.module()
    single = grad.dtype == torch.float32
    kernel = module.augment_backward_f32 if single else module.augment_backward_f64
    program, seed, *given = source
    kernel(
        *(grad.data_ptr(), shape, grad.stride(), program, random.numbers(seed)),
        *(*given, views, native.threads(), sum_views, out),
    )
    return out.to(dtype)


def sample(source: Source, views: int, shape: Sequence[int]) -> Tensor:
    program, seed, sample_ids, lengths, _ = source
    slots = spec.bounds(program.tolist(), shape[1])[-1]
    out = torch.empty((views, shape[0], slots), dtype=torch.float64)
    native.module().augment_sample(
        *(shape, program, random.numbers(seed), sample_ids, lengths, views),
        *(native.threads(), out),
    )
    return out
