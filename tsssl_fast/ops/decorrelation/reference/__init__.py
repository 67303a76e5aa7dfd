"""The definition in plain torch of the decorrelation losses as a backend."""

from tsssl_fast.backends import dispatch
from tsssl_fast.backends.precision import exact
from tsssl_fast.ops.decorrelation.reference.barlow_twins import _barlow_twins, barlow_twins_backward
from tsssl_fast.ops.decorrelation.reference.vicreg import _vicreg, vicreg_backward

BACKEND = dispatch.reference(
    exact(
        dispatch.without_autocast(
            {
                "vicreg": _vicreg,
                "vicreg_backward": vicreg_backward,
                "barlow_twins": _barlow_twins,
                "barlow_twins_backward": barlow_twins_backward,
            }
        )
    ),
    "mps",
)
