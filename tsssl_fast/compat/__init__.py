"""Other libraries' losses and augmentations under their names, with their signatures, defaults,
shapes and dtypes: one module a library, so that training code changes one import.

    from tsssl_fast.compat.lightly.loss import NTXentLoss

Values and gradients are those of the library's own formula; where it is wrong, ours stays right,
and the module's docstring tells both numbers. An option that is not there is a NotImplementedError
that names it. What our kernels have no products for is plain torch, and says so.
`patch("lightly")` swaps the classes in a running program.
"""

from tsssl_fast.compat import (
    barlow_twins,
    info_nce,
    lightly,
    open_clip,
    pytorch_metric_learning,
    simclr,
    solo_learn,
    supcontrast,
    torch_audiomentations,
    ts2vec,
    ts_tcc,
    tsaug,
    vicreg,
)
from tsssl_fast.compat.patching import patch, patched, unpatch

__all__ = [
    "barlow_twins",
    "info_nce",
    "lightly",
    "open_clip",
    "patch",
    "patched",
    "pytorch_metric_learning",
    "simclr",
    "solo_learn",
    "supcontrast",
    "torch_audiomentations",
    "ts2vec",
    "ts_tcc",
    "tsaug",
    "unpatch",
    "vicreg",
]
