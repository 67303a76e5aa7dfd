"""The C++ kernels of the preprocessing as a backend."""

from collections.abc import Sequence

from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.backends.dispatch import Backend, wrong_dtypes
from tsssl_fast.ops.preprocess import spec
from tsssl_fast.ops.preprocess.cpp.preprocess import preprocess


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    return native.why_not() + wrong_dtypes(tensors, spec.DTYPES)


BACKEND = Backend(
    "cpp",
    kernels={"preprocess": preprocess},
    why_not=_why_not,
    devices=frozenset({"cpu"}),
)
