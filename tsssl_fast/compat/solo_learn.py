"""solo-learn's loss functions (solo/losses). Where torch.distributed runs, they gather the rows.

Where the results differ from its code, on purpose; a and b are torch.randn(8, 16) in float64, drawn
one after the other from torch.manual_seed(0):

* SimCLR's exponentials do not overflow: of a and b in float32 at temperature 0.01 it is 42.7489,
  there nan.
* SimCLR's row with an index that occurs once has loss 0: rows (1, 0), (1, 0), (0, 1) with indexes
  0, 0, 1 at temperature 1 give 0.208841, there inf.
* 16-bit inputs are computed in float32 and rounded once at the end: SimCLR of a and b in bfloat16
  is 4.96875, there 5; in float64 it is 4.97745.
* Barlow Twins' gradient passes through the sum over processes: on two, each with four rows of a and
  b, the gradient of a's first four has the norm 0.108579, there 0.0542897.

Embeddings are floating; results have their dtype. Errors: TypeError for another dtype, ValueError
for another shape or a value out of range, NotImplementedError for masks of earlier releases.
"""

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from tsssl_fast import functional
from tsssl_fast.common import collectives
from tsssl_fast.compat._shared import (
    barlow_among_processes,
    pair,
    promoted,
    refuse,
    refusing,
    result,
    rows_against,
    widened,
)
from tsssl_fast.functional.contrastive.row_losses import row_loss

__all__ = [
    "barlow_loss_func",
    "byol_loss_func",
    "mocov2plus_loss_func",
    "mocov3_loss_func",
    "nnclr_loss_func",
    "simclr_loss_func",
    "simsiam_loss_func",
    "vibcreg_loss_func",
    "vicreg_loss_func",
]

_OWN = "solo-learn's own works beside ours"

__getattr__ = refusing(
    __name__,
    {
        "DINOLoss": "tsssl_fast.compat.lightly.DINOLoss",
        "deepclusterv2_loss_func": _OWN,
        "mae_loss_func": "tsssl_fast.masking hides parts of a series",
        "manual_simclr_loss_func": "simclr_loss_func",
        "mean_shift_loss_func": _OWN,
        "moco_loss_func": "mocov2plus_loss_func",
        "ressl_loss_func": _OWN,
        "swav_loss_func": "tsssl_fast.compat.lightly.SwaVLoss",
        "wmse_loss_func": _OWN,
    },
)

_VIEWS = ("z1", "z2")


def simclr_loss_func(
    z: Tensor,
    indexes: Tensor,
    temperature: float = 0.1,
    extra_pos_mask: Tensor | None = None,
    extra_neg_mask: Tensor | None = None,
) -> Tensor:
    """-log(sum over the positives exp(a) / sum over all others exp(a)), the mean over the rows.

    Args:
        z: (M, D), all views. indexes: (M,): equal ones are positives (labels: supervised).
        extra_pos_mask, extra_neg_mask: None; earlier releases had them.
    """
    for name, mask in (("extra_pos_mask", extra_pos_mask), ("extra_neg_mask", extra_neg_mask)):
        if mask is not None:
            refuse(name, "equal indexes are positives; functional.contrastive_loss has pair_mask")
    ids = indexes.to(z.device)
    if collectives.world_size() == 1:
        loss = functional.contrastive_loss(
            z, temperature=temperature, q_ids=ids, positives="log_sum"
        )
        return result(loss, z)
    keys, key_ids = (torch.cat(collectives.own_first(x)) for x in (z, ids))
    found = rows_against(z, keys, ids, key_ids, temperature, normalize=True, skip_diagonal=True)
    return result(row_loss(found, "log_sum", "all").mean(), z)


def vicreg_loss_func(
    z1: Tensor,
    z2: Tensor,
    sim_loss_weight: float = 25.0,
    var_loss_weight: float = 25.0,
    cov_loss_weight: float = 1.0,
) -> Tensor:
    """VICReg (Bardes et al., ICLR 2022), the hinges of both views summed. z1, z2: (N, D)."""
    z1, z2 = pair(_VIEWS, z1, z2)
    weights = (sim_loss_weight, var_loss_weight, cov_loss_weight)
    if collectives.world_size() == 1:
        return result(_vicreg(z1, z2, *weights), z1)
    invariance = _vicreg(z1, z2, sim_loss_weight, 0.0, 0.0)
    return result(invariance + _vicreg(*_all(z1, z2), 0.0, *weights[1:]), z1)


def _vicreg(z1: Tensor, z2: Tensor, sim: float, var: float, cov: float) -> Tensor:
    return functional.vicreg_loss(
        z1,
        z2,
        invariance_weight=sim,
        variance_weight=var,
        covariance_weight=cov,
        convention="solo-learn",
    )


def _all(z1: Tensor, z2: Tensor) -> tuple[Tensor, Tensor]:
    return collectives.gather_rows(z1), collectives.gather_rows(z2)


def vibcreg_loss_func(
    z1: Tensor,
    z2: Tensor,
    sim_loss_weight: float = 25.0,
    var_loss_weight: float = 25.0,
    cov_loss_weight: float = 200.0,
) -> Tensor:
    """VIbCReg (Lee and Aune, 2021): VICReg with the covariance of columns of unit norm, whose least
    norm is 1e-12. z1, z2: (N, D)."""
    z1, z2 = pair(_VIEWS, z1, z2)
    loss = _vicreg(z1, z2, sim_loss_weight, 0.0, 0.0)
    views = _all(z1, z2)
    loss = loss + _vicreg(*views, 0.0, var_loss_weight, 0.0)
    penalties = [functional.covariance_penalty(z, correlation=True) for z in views]
    return result(loss + cov_loss_weight * (penalties[0] + penalties[1]), z1)


def barlow_loss_func(
    z1: Tensor, z2: Tensor, lamb: float = 5e-3, scale_loss: float = 0.025
) -> Tensor:
    """Barlow Twins (Zbontar et al., ICML 2021) times scale_loss. z1, z2: (N, D)."""
    z1, z2 = pair(_VIEWS, z1, z2)
    if collectives.world_size() == 1:
        loss = functional.barlow_twins_loss(
            z1, z2, lambd=lamb, scale_loss=scale_loss, convention="solo-learn"
        )
        return result(loss, z1)
    return result(scale_loss * barlow_among_processes(z1, z2, lamb), z1)


def mocov3_loss_func(query: Tensor, key: Tensor, temperature: float = 0.2) -> Tensor:
    """InfoNCE times 2 temperature (Chen et al., ICCV 2021). query, key: (N, D); across processes
    the keys have no gradient."""
    query, key = pair(("query", "key"), query, key)
    if collectives.world_size() == 1:
        loss = functional.info_nce_loss(query, key, temperature=temperature)
    else:
        loss = _own_key(query, key.detach(), temperature)
    return result(2 * temperature * loss, query)


def nnclr_loss_func(nn: Tensor, p: Tensor, temperature: float = 0.1) -> Tensor:
    """InfoNCE of nearest neighbours against predictions (Dwibedi et al., ICCV 2021). (N, D)."""
    nn, p = pair(("nn", "p"), nn, p)
    if collectives.world_size() == 1:
        loss = functional.info_nce_loss(nn, p, temperature=temperature)
    else:
        loss = _own_key(nn, p, temperature)
    return result(loss, nn)


def _own_key(q: Tensor, k: Tensor, temperature: float) -> Tensor:
    """Key i of this process is the positive of query i, the keys of all others are negatives."""
    own, others = collectives.own_first(k)
    ids = torch.arange(len(q), device=q.device)
    return functional.contrastive_loss(
        q, own, temperature=temperature, q_ids=ids, k_ids=ids, negatives=others
    )


def mocov2plus_loss_func(
    query: Tensor, key: Tensor, queue: Tensor, temperature: float = 0.1
) -> Tensor:
    """InfoNCE of dot products against a queue (He et al., CVPR 2020). query, key: (N, D);
    queue: (D, K)."""
    query, key = pair(("query", "key"), query, key)
    loss = functional.info_nce_loss(
        query, key, temperature=temperature, negatives=queue.T.to(query.dtype), normalize=False
    )
    return result(loss, query)


def byol_loss_func(p: Tensor, z: Tensor, simplified: bool = True) -> Tensor:
    """2 - 2 mean cos(p, z), no gradient into z (Grill et al., NeurIPS 2020). `simplified` chooses
    between two ways to the same number. Plain torch: there is no product of pairs."""
    p, z = promoted(p, z)
    return result(2 - 2 * _mean_cosine(p, z), p)


def simsiam_loss_func(p: Tensor, z: Tensor, simplified: bool = True) -> Tensor:
    """-mean cos(p, z), no gradient into z (Chen and He, CVPR 2021); as byol_loss_func."""
    p, z = promoted(p, z)
    return result(-_mean_cosine(p, z), p)


def _mean_cosine(p: Tensor, z: Tensor) -> Tensor:
    a, b = widened(p, z.detach())
    return cosine_similarity(a, b, dim=-1).mean()
