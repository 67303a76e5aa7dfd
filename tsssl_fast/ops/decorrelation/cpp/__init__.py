"""The C++ kernels of the decorrelation losses as a backend."""

from tsssl_fast.backends import cpp as native
from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.cpp.barlow_twins import barlow_twins, barlow_twins_backward
from tsssl_fast.ops.decorrelation.cpp.vicreg import vicreg, vicreg_backward

BACKEND = native.backend(
    spec.with_views(
        {
            "vicreg": vicreg,
            "vicreg_backward": vicreg_backward,
            "barlow_twins": barlow_twins,
            "barlow_twins_backward": barlow_twins_backward,
        }
    ),
    spec.DTYPES,
)
