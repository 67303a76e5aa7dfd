"""Several processes, by torch.distributed (gloo, NCCL; started by torchrun): losses of the whole
batch, and the collectives that they are made of.

    loss = tsssl_fast.distributed.nt_xent_loss(encoder(v1), encoder(v2), temperature=0.1)

With the encoder in DistributedDataParallel its gradient is that of a single process with all rows.
`cached_backward` takes batches larger than memory, with these losses or any other.
"""

from tsssl_fast.common.collectives import (
    gather_parts,
    gather_rows,
    rank,
    sum_over_processes,
    world_size,
)
from tsssl_fast.distributed.gradient_cache import cached_backward
from tsssl_fast.distributed.losses import (
    barlow_twins_loss,
    clip_loss,
    dcl_loss,
    dclw_loss,
    hierarchical_contrastive_loss,
    info_nce_loss,
    moco_loss,
    nt_xent_loss,
    siglip_loss,
    sup_con_loss,
    vicreg_loss,
)

__all__ = [
    "barlow_twins_loss",
    "cached_backward",
    "clip_loss",
    "dcl_loss",
    "dclw_loss",
    "gather_parts",
    "gather_rows",
    "hierarchical_contrastive_loss",
    "info_nce_loss",
    "moco_loss",
    "nt_xent_loss",
    "rank",
    "siglip_loss",
    "sum_over_processes",
    "sup_con_loss",
    "vicreg_loss",
    "world_size",
]
