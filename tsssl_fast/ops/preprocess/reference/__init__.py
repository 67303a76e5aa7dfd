"""The definition in plain torch of the preprocessing as a backend."""

from tsssl_fast.backends.dispatch import Backend
from tsssl_fast.ops.preprocess.reference.preprocess import preprocess

BACKEND = Backend(
    "reference",
    kernels={"preprocess": preprocess},
    why_not=lambda op, tensors: [],
    devices=frozenset({"cpu", "cuda", "xpu", "meta"}),
)
