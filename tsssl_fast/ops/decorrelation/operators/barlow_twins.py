"""The operators `barlow_twins` and `barlow_twins_backward`."""

from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.operators.declaring import define

_SIZES = spec.BarlowTwinsMoments.sizes

barlow_twins = define("barlow_twins", "Tensor z1, Tensor z2", "(Tensor, Tensor)", 2, _SIZES)
