"""The C++ kernels of the contrastive losses as a backend."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.backends.dispatch import Backend
from tsssl_fast.backends.precision import exact
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.cpp.grouped import grouped_backward, grouped_forward, grouped_fused
from tsssl_fast.ops.contrastive.cpp.keys import key_logsumexp
from tsssl_fast.ops.contrastive.cpp.nt_xent import nt_xent_backward, nt_xent_forward
from tsssl_fast.ops.contrastive.cpp.pairs import pairs_backward, pairs_forward
from tsssl_fast.ops.contrastive.cpp.sigmoid import sigmoid_backward, sigmoid_forward
from tsssl_fast.ops.contrastive.cpp.triplet import triplet_backward, triplet_forward


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    why = list(native.why_not())
    for tensor in tensors:
        if tensor.dtype not in spec.DTYPES:
            why.append(f"dtype={tensor.dtype} (supported: {', '.join(map(str, spec.DTYPES))})")
    return why


KERNELS: dict[str, Callable[..., Any]] = {
    "nt_xent": nt_xent_forward,
    "nt_xent_backward": nt_xent_backward,
    "pair_logsumexp": pairs_forward,
    "pair_logsumexp_backward": pairs_backward,
    "key_logsumexp": key_logsumexp,
    **exact(
        {
            "grouped_nt_xent": grouped_forward,
            "grouped_nt_xent_backward": grouped_backward,
            "grouped_nt_xent_fused": grouped_fused,
            "sigmoid_pairs": sigmoid_forward,
            "sigmoid_pairs_backward": sigmoid_backward,
            "triplet": triplet_forward,
            "triplet_backward": triplet_backward,
        }
    ),
}

BACKEND = Backend(
    "cpp",
    kernels=KERNELS,
    why_not=_why_not,
    devices=frozenset({"cpu"}),
    by_dtype=frozenset(KERNELS),
)
