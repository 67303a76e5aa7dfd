"""Both sides of `sigmoid_pairs` and `triplet`, in the order of the C++ kernels."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from tsssl_fast.ops.contrastive.cpp import calls
from tsssl_fast.ops.contrastive.rules import Rules


class Sides:
    """Arguments of a call in the kernel's order, and the tensors that keep their memory alive."""

    def __init__(self, q: Tensor, k: Tensor, rules: Rules) -> None:
        self.q, self.k = calls.rows_of(q), calls.rows_of(k)
        q_id, k_id = calls.codes_of(rules.q_id, rules.k_id)
        q_valid, k_valid = (
            None if x is None else x.contiguous() for x in (rules.q_valid, rules.k_valid)
        )
        self.alive = ((q_id, q_valid), (k_id, k_valid))
        self.tuples = [
            (z.data_ptr(), z.stride(0), len(z), *(0 if x is None else x.data_ptr() for x in arrays))
            for z, arrays in zip((self.q, self.k), self.alive, strict=True)
        ]

    def kernel(self, name: str) -> Callable[..., Any]:
        return calls.native_kernel(name, self.q.dtype)
