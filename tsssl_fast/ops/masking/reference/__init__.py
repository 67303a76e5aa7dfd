"""The definition in plain torch of the masking as a backend."""

from tsssl_fast.backends.dispatch import Backend
from tsssl_fast.ops.masking import spec
from tsssl_fast.ops.masking.reference import fill, loss, mask, tokens

BACKEND = Backend(
    "reference",
    kernels=spec.kernels(fill, loss, mask, tokens),
    why_not=lambda op, tensors: [],
    devices=frozenset({"cpu", "cuda", "xpu", "meta"}),
)
