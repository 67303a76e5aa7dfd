"""The C++ kernels of the decorrelation losses as a backend."""

from collections.abc import Sequence

from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.backends.dispatch import Backend
from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.cpp.barlow_twins import barlow_twins, barlow_twins_backward
from tsssl_fast.ops.decorrelation.cpp.vicreg import vicreg, vicreg_backward


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    why = list(native.why_not())
    dtypes = [t.dtype for t in tensors if t.dtype not in spec.DTYPES]
    if dtypes:
        names = ", ".join(sorted(map(str, set(dtypes))))
        why.append(f"dtype={names} (supported: {', '.join(map(str, spec.DTYPES))})")
    return why


BACKEND = Backend(
    "cpp",
    kernels={
        "vicreg": vicreg,
        "vicreg_views": vicreg,
        "vicreg_backward": vicreg_backward,
        "barlow_twins": barlow_twins,
        "barlow_twins_backward": barlow_twins_backward,
    },
    why_not=_why_not,
    devices=frozenset({"cpu"}),
)
