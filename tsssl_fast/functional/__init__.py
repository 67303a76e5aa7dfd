"""The losses as functions: they check their arguments, then call a registered operator.

Every function takes `backend=`: "reference", "cpp", "numba" or "triton"; None chooses the fastest
that can run the inputs (see tsssl_fast.explain).
"""

from tsssl_fast.functional.alignment import (
    mse_alignment,
    negative_cosine_similarity,
    smooth_l1_alignment,
)
from tsssl_fast.functional.contrastive.engine import ContrastiveStats, PairTemperature, contrastive
from tsssl_fast.functional.contrastive.hierarchical import grouped_nt_xent, hierarchical_contrastive
from tsssl_fast.functional.contrastive.named import clip_loss, dcl, dclw, info_nce, nt_xent, sup_con
from tsssl_fast.functional.contrastive.pairwise import sigmoid_pair_loss, triplet
from tsssl_fast.functional.contrastive.synthesis import (
    extrapolate_positives,
    interpolate_negatives,
    mix_hard_negatives,
)
from tsssl_fast.functional.decorrelation import (
    barlow_twins_loss,
    covariance_penalty,
    invariance,
    variance_penalty,
    vicreg_loss,
)

__all__ = [
    "ContrastiveStats",
    "PairTemperature",
    "barlow_twins_loss",
    "clip_loss",
    "contrastive",
    "covariance_penalty",
    "dcl",
    "dclw",
    "extrapolate_positives",
    "grouped_nt_xent",
    "hierarchical_contrastive",
    "info_nce",
    "interpolate_negatives",
    "invariance",
    "mix_hard_negatives",
    "mse_alignment",
    "negative_cosine_similarity",
    "nt_xent",
    "sigmoid_pair_loss",
    "smooth_l1_alignment",
    "sup_con",
    "triplet",
    "variance_penalty",
    "vicreg_loss",
]
