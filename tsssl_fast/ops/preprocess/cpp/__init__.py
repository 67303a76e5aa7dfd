"""The C++ kernels of the preprocessing as a backend."""

from collections.abc import Sequence

from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.backends.dispatch import Backend
from tsssl_fast.ops.preprocess import spec
from tsssl_fast.ops.preprocess.cpp.preprocess import preprocess


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    why = list(native.why_not())
    dtypes = {x.dtype for x in tensors} - set(spec.DTYPES)
    if dtypes:
        names = ", ".join(sorted(map(str, dtypes)))
        why.append(f"dtype={names} (supported: {', '.join(map(str, spec.DTYPES))})")
    return why


BACKEND = Backend(
    "cpp",
    kernels={"preprocess": preprocess},
    why_not=_why_not,
    devices=frozenset({"cpu"}),
)
