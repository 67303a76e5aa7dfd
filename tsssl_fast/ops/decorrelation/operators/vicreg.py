"""The operators `vicreg` of two views, `vicreg_views` of more, and their backwards."""

from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.operators.declaring import define

_SIZES = spec.VICRegMoments.sizes

vicreg = define("vicreg", "Tensor z1, Tensor z2", "(Tensor, Tensor)", 3, _SIZES)
vicreg_views = define("vicreg_views", "Tensor[] z", "Tensor[]", 3, _SIZES)
