"""The C++ kernels of the decorrelation losses as a backend."""

from collections.abc import Sequence

from torch import Tensor

from tsssl_fast.backends import cpp as native
from tsssl_fast.backends.dispatch import Backend, wrong_dtypes
from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.cpp.barlow_twins import barlow_twins, barlow_twins_backward
from tsssl_fast.ops.decorrelation.cpp.vicreg import vicreg, vicreg_backward


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    return native.why_not() + wrong_dtypes(tensors, spec.DTYPES)


BACKEND = Backend(
    "cpp",
    kernels=spec.with_views(
        {
            "vicreg": vicreg,
            "vicreg_backward": vicreg_backward,
            "barlow_twins": barlow_twins,
            "barlow_twins_backward": barlow_twins_backward,
        }
    ),
    why_not=_why_not,
    devices=frozenset({"cpu"}),
    by_dtype=frozenset(spec.OPERATORS),
)
