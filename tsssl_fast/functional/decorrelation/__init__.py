"""The decorrelation losses as functions; `tsssl_fast.functional` re-exports them.

Every function takes `backend=`: "reference", "cpp", "numba" or "triton"; None chooses the fastest
that can run the inputs (see tsssl_fast.explain). Where published codes differ, each one's scaling
is a `convention` with a name; ops/decorrelation/README.md has the table.
"""

from tsssl_fast.functional.decorrelation.barlow_twins import BarlowTwinsTerms, barlow_twins_loss
from tsssl_fast.functional.decorrelation.penalties import (
    covariance_penalty,
    invariance_penalty,
    variance_penalty,
)
from tsssl_fast.functional.decorrelation.vicreg import VICRegTerms, vicreg_loss

__all__ = [
    "BarlowTwinsTerms",
    "VICRegTerms",
    "barlow_twins_loss",
    "covariance_penalty",
    "invariance_penalty",
    "variance_penalty",
    "vicreg_loss",
]
