"""The losses as functions: they check their arguments, then call a registered operator.

Every function takes `backend=`: "reference", "cpp", "numba" or "triton"; None chooses the fastest
that can run the inputs (see tsssl_fast.explain).
"""

from tsssl_fast.functional.contrastive import (
    clip_loss,
    dcl,
    dclw,
    info_nce,
    nt_xent,
    sigmoid_pair_loss,
    sup_con,
    triplet,
)
from tsssl_fast.functional.engine import ContrastiveStats, PairTemperature, contrastive
from tsssl_fast.functional.hierarchical import hierarchical_contrastive
from tsssl_fast.functional.synthesis import (
    extrapolate_positives,
    interpolate_negatives,
    mix_hard_negatives,
)

__all__ = [
    "ContrastiveStats",
    "PairTemperature",
    "clip_loss",
    "contrastive",
    "dcl",
    "dclw",
    "extrapolate_positives",
    "hierarchical_contrastive",
    "info_nce",
    "interpolate_negatives",
    "mix_hard_negatives",
    "nt_xent",
    "sigmoid_pair_loss",
    "sup_con",
    "triplet",
]
