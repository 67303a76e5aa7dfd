"""The Numba kernels of the contrastive losses as a backend; imported at the first call."""

import torch

from tsssl_fast.backends.dispatch import lazily
from tsssl_fast.backends.numba import availability
from tsssl_fast.backends.precision import IEEE, exact
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.reference.pairs import PLAIN


def _warm() -> None:
    beta = torch.tensor(2.0, dtype=torch.float64)
    for dtype in (torch.float32, torch.float64):
        z = torch.ones((1, 2, 1), dtype=dtype)
        loss, saved = BACKEND.kernels["grouped_nt_xent"](z, z, None, 0.5, True, IEEE)
        BACKEND.kernels["grouped_nt_xent_backward"](loss, z, z, saved, None, 0.5, True, IEEE)
        of = (z[0], None, beta, PLAIN)
        out, sums, scale, _ = BACKEND.kernels["pair_logsumexp"](*of, False, IEEE)
        BACKEND.kernels["pair_logsumexp_backward"](out, *of, sums, scale, False, IEEE)


_MODULES = {"nt_xent": "nt_xent", "grouped_nt_xent": "grouped", "pair_logsumexp": "pairs"}
BACKEND = availability.backend(
    exact(
        {
            op + suffix: lazily(f"{__name__}.{module}", module + (suffix or "_forward"))
            for op, module in _MODULES.items()
            for suffix in ("", "_backward")
        }
    ),
    *(spec.DTYPES, _warm),
)
