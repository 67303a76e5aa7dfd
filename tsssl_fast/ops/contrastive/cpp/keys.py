"""`key_logsumexp` on torch tensors, by the C++ kernels."""

import torch
from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.backends import dispatch
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.cpp.calls import BITS, native_kernel, rows_of
from tsssl_fast.ops.contrastive.cpp.pairs import pairs_backward, pairs_forward
from tsssl_fast.ops.contrastive.operators import keys


def key_logsumexp(
    q: Tensor,
    k: Tensor,
    q_valid: Tensor | None,
    k_valid: Tensor | None,
    beta: float,
    normalize: bool,
    gradient: bool,
    precision: int,
) -> tuple[Tensor, Tensor]:
    if not normalize or 2 * abs(beta) >= spec.FIXED_SHIFT_LIMIT[spec.compute_dtype(q.dtype)]:
        # Rows have maxima of their own, which a walk of its own has to find.
        return _composed_keys(q, k, q_valid, k_valid, beta, normalize, gradient, precision)
    bits = max(BITS[q.dtype], BITS[k.dtype])
    shape, how = (len(q), len(k), q.shape[1]), (beta, bits, precision)
    narrow = k.dtype == torch.bfloat16 and k.stride(-1) == 1
    q, k = rows_of(q), k if narrow else rows_of(k)
    if dispatch.watched() is not None:
        told = native_kernel("key_products", q.dtype)(*shape, *how)
        dispatch.tell_products("key_logsumexp", told)
    q_valid, k_valid = (None if v is None else v.contiguous() for v in (q_valid, k_valid))
    lse = q.new_empty(len(q))
    jacobian = q.new_empty(q.shape if gradient else (0, q.shape[1]))
    native_kernel("key_logsumexp", q.dtype)(
        *(q.data_ptr(), q.stride(0), len(q), k.data_ptr(), k.stride(0), len(k), q.shape[1]),
        *(narrow, *how, q_valid, k_valid, native.threads(), lse, jacobian),
    )
    return lse, jacobian


_composed_keys = keys.composed(
    {"pair_logsumexp": pairs_forward, "pair_logsumexp_backward": pairs_backward}
)
