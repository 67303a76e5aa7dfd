"""Compiled kernels for self-supervised learning on time series, behind a torch API.

    import tsssl_fast
    loss = tsssl_fast.functional.nt_xent_loss(z1, z2, temperature=0.1)

`tsssl_fast.explain(op, *inputs)` tells which backend runs an operator, and why not another.
"""

import torch as torch  # before the extension: it shares torch's OpenMP runtime

from tsssl_fast import augment, functional, losses, masking, preprocess
from tsssl_fast._version import __version__
from tsssl_fast.backends.dispatch import BackendUnavailableError, explain, use_backend

__all__ = [
    "BackendUnavailableError",
    "__version__",
    "augment",
    "explain",
    "functional",
    "losses",
    "masking",
    "preprocess",
    "use_backend",
]
