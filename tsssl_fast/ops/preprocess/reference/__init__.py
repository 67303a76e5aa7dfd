"""The definition in plain torch of the preprocessing as a backend."""

from collections.abc import Sequence

from torch import Tensor

from tsssl_fast.backends.dispatch import Backend
from tsssl_fast.ops.preprocess.reference.preprocess import preprocess


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    return []


BACKEND = Backend(
    "reference",
    kernels={"preprocess": preprocess},
    why_not=_why_not,
    devices=frozenset({"cpu", "cuda", "xpu", "meta"}),
)
