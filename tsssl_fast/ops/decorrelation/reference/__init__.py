"""The definition in plain torch of the decorrelation losses as a backend."""

from collections.abc import Sequence

from torch import Tensor

from tsssl_fast.backends.dispatch import Backend, without_autocast
from tsssl_fast.ops.decorrelation.reference.barlow_twins import _barlow_twins, barlow_twins_backward
from tsssl_fast.ops.decorrelation.reference.vicreg import _vicreg, vicreg_backward


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    return []


BACKEND = Backend(
    "reference",
    kernels=without_autocast(
        {
            "vicreg": _vicreg,
            "vicreg_backward": vicreg_backward,
            "barlow_twins": _barlow_twins,
            "barlow_twins_backward": barlow_twins_backward,
        }
    ),
    why_not=_why_not,
    devices=frozenset({"cpu", "cuda", "xpu", "meta"}),
)
