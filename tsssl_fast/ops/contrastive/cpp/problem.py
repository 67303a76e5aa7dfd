"""The problem of queries and keys that the C++ kernels over pairs take."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from tsssl_fast.backends.precision import IEEE
from tsssl_fast.ops.contrastive.cpp import calls
from tsssl_fast.ops.contrastive.rules import Rules


def _contiguous(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.contiguous()


class Problem:
    """`native` with the tensors that keep its memory alive. k = None: one set against itself."""

    def __init__(
        self, q: Tensor, k: Tensor | None, beta: float, rules: Rules, precision: int = IEEE
    ) -> None:
        bits = max(calls.BITS[x.dtype] for x in (q, k) if x is not None)
        self.q, self.k = calls.rows_of(q), None if k is None else calls.rows_of(k)
        self.dtype = self.q.dtype
        m, dim = q.shape
        p = m if k is None else len(k)
        self.rows = m + (p if rules.symmetric else 0)
        self.scales = m if k is None else m + p
        q_id, k_id = calls.codes_of(rules.q_id, rules.k_id)
        q_group, k_group = calls.codes_of(rules.q_group, rules.k_group)
        weight = None if rules.weight is None else rules.weight.to(self.dtype).contiguous()
        arrays = {
            "q_id": q_id,
            "k_id": k_id,
            "q_group": q_group,
            "k_group": k_group,
            "q_valid": _contiguous(rules.q_valid),
            "k_valid": _contiguous(rules.k_valid),
            "mask": _contiguous(rules.mask),
            "weight": weight,
        }
        self.arrays = {name: x for name, x in arrays.items() if x is not None}
        keys = {} if self.k is None else {"k": self.k.data_ptr(), "k_stride": self.k.stride(0)}
        self.native = self.kernel("PairProblem")(
            q=self.q.data_ptr(),
            q_stride=self.q.stride(0),
            rows=m,
            **keys,
            columns=p,
            dim=dim,
            beta=beta,
            bits=bits,
            precision=precision,
            normalize=rules.normalize,
            symmetric=rules.symmetric,
            skip_diagonal=rules.skip_diagonal,
            group_rule=rules.group_rule,
            **self.arrays,
        )

    def kernel(self, name: str) -> Callable[..., Any]:
        return calls.native_kernel(name, self.dtype)
