"""The losses as functions: they check their arguments, then call a registered operator.

Those that compile take `backend=`: "reference", "cpp", "numba" or "triton"; None chooses the
fastest that can run the inputs (see tsssl_fast.explain).

Embeddings are float16, bfloat16, float32 or float64, of different dtypes in the one that
torch.promote_types gives. Errors: TypeError for another dtype or type, ValueError for another shape
or a value out of range, each naming the argument; BackendUnavailableError for a backend that can
not run the inputs.
"""

from tsssl_fast.functional.adversarial import (
    projected_gradient,
    virtual_adversarial_direction,
    virtual_adversarial_loss,
)
from tsssl_fast.functional.aggregation import (
    neighbour_mean,
    region_contrastive_loss,
    segment_mean,
    similarity_aggregate,
    slot_pool,
)
from tsssl_fast.functional.alignment import (
    mse_alignment,
    negative_cosine_similarity,
    smooth_l1_alignment,
)
from tsssl_fast.functional.contrastive.all_pairs import (
    clan_loss,
    nearest_keys,
    nnclr_loss,
    scgc_loss,
)
from tsssl_fast.functional.contrastive.engine import contrastive_loss
from tsssl_fast.functional.contrastive.group_ordering import (
    differentiable_sort,
    groco_loss,
    group_ordering_loss,
)
from tsssl_fast.functional.contrastive.hierarchical import (
    grouped_nt_xent_loss,
    hierarchical_contrastive_loss,
)
from tsssl_fast.functional.contrastive.pairwise import siglip_loss, triplet_loss
from tsssl_fast.functional.contrastive.problem import PairTemperature
from tsssl_fast.functional.contrastive.queries_keys import clip_loss, info_nce_loss, moco_loss
from tsssl_fast.functional.contrastive.row_sets import collossl_loss, voco_loss
from tsssl_fast.functional.contrastive.scores import ScoreDistribution, score_distribution
from tsssl_fast.functional.contrastive.statistics import ContrastiveStats
from tsssl_fast.functional.contrastive.supervised import core_tuning_loss, sup_con_loss
from tsssl_fast.functional.contrastive.synthesis import (
    extrapolate_positives,
    interpolate_negatives,
    mix_hard_negatives,
    mix_hardest_pairs,
    quality_weights,
)
from tsssl_fast.functional.contrastive.two_views import dcl_loss, dclw_loss, nt_xent_loss
from tsssl_fast.functional.decorrelation.barlow_twins import barlow_twins_loss
from tsssl_fast.functional.decorrelation.penalties import (
    covariance_penalty,
    invariance_penalty,
    variance_penalty,
)
from tsssl_fast.functional.decorrelation.vicreg import vicreg_loss
from tsssl_fast.functional.discrepancy import maximum_mean_discrepancy, rank_devices
from tsssl_fast.functional.latent_positives import latent_positives, slerp, slerp_limit

__all__ = [
    "ContrastiveStats",
    "PairTemperature",
    "ScoreDistribution",
    "barlow_twins_loss",
    "clan_loss",
    "clip_loss",
    "collossl_loss",
    "contrastive_loss",
    "core_tuning_loss",
    "covariance_penalty",
    "dcl_loss",
    "dclw_loss",
    "differentiable_sort",
    "extrapolate_positives",
    "groco_loss",
    "group_ordering_loss",
    "grouped_nt_xent_loss",
    "hierarchical_contrastive_loss",
    "info_nce_loss",
    "interpolate_negatives",
    "invariance_penalty",
    "latent_positives",
    "maximum_mean_discrepancy",
    "mix_hard_negatives",
    "mix_hardest_pairs",
    "moco_loss",
    "mse_alignment",
    "nearest_keys",
    "negative_cosine_similarity",
    "neighbour_mean",
    "nnclr_loss",
    "nt_xent_loss",
    "projected_gradient",
    "quality_weights",
    "rank_devices",
    "region_contrastive_loss",
    "scgc_loss",
    "score_distribution",
    "segment_mean",
    "siglip_loss",
    "similarity_aggregate",
    "slerp",
    "slerp_limit",
    "slot_pool",
    "smooth_l1_alignment",
    "sup_con_loss",
    "triplet_loss",
    "variance_penalty",
    "vicreg_loss",
    "virtual_adversarial_direction",
    "virtual_adversarial_loss",
    "voco_loss",
]

_RENAMED = {
    "contrastive": "contrastive_loss",
    "dcl": "dcl_loss",
    "dclw": "dclw_loss",
    "grouped_nt_xent": "grouped_nt_xent_loss",
    "hierarchical_contrastive": "hierarchical_contrastive_loss",
    "info_nce": "info_nce_loss",
    "invariance": "invariance_penalty",
    "nt_xent": "nt_xent_loss",
    "sigmoid_pair_loss": "siglip_loss",
    "sup_con": "sup_con_loss",
    "triplet": "triplet_loss",
}
del contrastive  # type: ignore[name-defined] # noqa: F821  the folder, whose name a loss had


def __getattr__(name: str) -> object:
    """Names of 0.1, until 0.3."""
    if name in _RENAMED:
        raise AttributeError(f"{__name__}.{name} is now {__name__}.{_RENAMED[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
