"""The Numba kernels of the contrastive losses as a backend; imported at the first call."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tsssl_fast.backends.dispatch import Backend, lazily
from tsssl_fast.backends.numba import availability
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.rules import Rules


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    return availability.why_not(tensors, spec.DTYPES)


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
        "nt_xent": lazily(__name__ + ".nt_xent", "nt_xent_forward"),
        "nt_xent_backward": lazily(__name__ + ".nt_xent", "nt_xent_backward"),
        "grouped_nt_xent": lazily(__name__ + ".grouped", "grouped_forward"),
        "grouped_nt_xent_backward": lazily(
            "tsssl_fast.ops.contrastive.numba.grouped", "grouped_backward"
        ),
        "pair_logsumexp": lazily(__name__ + ".pairs", "pairs_forward"),
        "pair_logsumexp_backward": lazily(
            "tsssl_fast.ops.contrastive.numba.pairs", "pairs_backward"
        ),
    },
    why_not=_why_not,
    devices=frozenset({"cpu"}),
    warm=_warm,
)
