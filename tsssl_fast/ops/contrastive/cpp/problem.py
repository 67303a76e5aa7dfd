"""The problem of queries and keys that the C++ kernels over pairs take."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends.precision import IEEE
from tsssl_fast.ops.contrastive.cpp import calls
from tsssl_fast.ops.contrastive.rules import Rules

# As they are; identifiers become int32, weights the kernel's dtype.
_PLAIN = ("q_valid", "k_valid", "mask")


class Problem:
    """`native` with the tensors that keep its memory alive.

    k: None: one set against itself. narrow: the kernels take many bfloat16 keys as they are.
    """

    def __init__(
        self,
        q: Tensor,
        k: Tensor | None,
        beta: float,
        rules: Rules,
        precision: int = IEEE,
        narrow: bool = False,
    ) -> None:
        bits = calls.BITS[q.dtype]
        if k is not None and k.dtype != q.dtype:
            bits = max(bits, calls.BITS[k.dtype])
        self.q = calls.rows_of(q)
        self.dtype = self.q.dtype
        m, dim = q.shape
        p = m if k is None else k.shape[0]
        # The kernels widen many bfloat16 keys block by block; a copy of all lies on fresh pages.
        self.narrow = (
            narrow
            and k is not None
            and k.dtype == torch.bfloat16
            and k.stride(-1) == 1
            and self.kernel("many_keys")(
                m, p, rules.normalize, not (rules.symmetric or rules.skip_diagonal), beta
            )
        )
        self.k = k if k is None or self.narrow else calls.rows_of(k)
        self.rows = m + (p if rules.symmetric else 0)
        self.scales = m if k is None else m + p
        # What is not there is not touched: of a call at 8 x 16 the kernel is a hundredth.
        self.arrays: dict[str, Tensor] = {}
        if rules.q_id is not None and rules.k_id is not None:
            self.arrays["q_id"], self.arrays["k_id"] = calls.codes_of(rules.q_id, rules.k_id)
        if rules.q_group is not None and rules.k_group is not None:
            codes = calls.codes_of(rules.q_group, rules.k_group)
            self.arrays["q_group"], self.arrays["k_group"] = codes
        for name in _PLAIN:
            if (x := getattr(rules, name)) is not None:
                self.arrays[name] = x.contiguous()
        if rules.weight is not None:
            self.arrays["weight"] = rules.weight.to(self.dtype).contiguous()
        keys = (
            {}
            if self.k is None
            else {
                "k": self.k.data_ptr(),
                "k_stride": self.k.stride(0),
                "narrow": self.narrow,
            }
        )
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
