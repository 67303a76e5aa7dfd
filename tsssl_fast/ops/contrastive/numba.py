"""The numba kernels (numba_kernels.py) on torch tensors. They are imported at the first call."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from tsssl_fast import _numba
from tsssl_fast.dispatch import Backend
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.rules import Rules


def _lazy(name: str) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        from tsssl_fast.ops.contrastive import numba_calls

        return getattr(numba_calls, name)(*arguments)

    return call


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    return _numba.why_not(tensors, spec.DTYPES)


def _warm() -> None:
    rules = Rules(None, None, None, None, None, None, None, None, True, False, False, 0)
    beta = torch.tensor(2.0, dtype=torch.float64)
    for dtype in (torch.float32, torch.float64):
        z = torch.ones((1, 2, 1), dtype=dtype)
        loss, saved = BACKEND.kernels["grouped_nt_xent"](z, z, None, 0.5, True)
        BACKEND.kernels["grouped_nt_xent_backward"](loss, z, z, saved, None, 0.5, True)
        out, sums, scale, _ = BACKEND.kernels["pair_logsumexp"](z[0], None, beta, rules, False)
        BACKEND.kernels["pair_logsumexp_backward"](out, z[0], None, beta, rules, sums, scale, False)


BACKEND = Backend(
    "numba",
    kernels={
        "nt_xent": _lazy("nt_xent_forward"),
        "nt_xent_backward": _lazy("nt_xent_backward"),
        "grouped_nt_xent": _lazy("grouped_forward"),
        "grouped_nt_xent_backward": _lazy("grouped_backward"),
        "pair_logsumexp": _lazy("pairs_forward"),
        "pair_logsumexp_backward": _lazy("pairs_backward"),
    },
    why_not=_why_not,
    devices=frozenset({"cpu"}),
    warm=_warm,
)
