"""Several processes, by torch.distributed (gloo, NCCL; started by torchrun): the collectives that
losses across processes are made of, and batches larger than memory.

The losses themselves take `process_group`:

    loss = tsssl_fast.functional.nt_xent_loss(model(v1), model(v2), process_group="world")

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
from tsssl_fast.distributed.batch_norm import SyncBatchNorm
from tsssl_fast.distributed.gradient_cache import cached_backward

__all__ = [
    "SyncBatchNorm",
    "cached_backward",
    "gather_parts",
    "gather_rows",
    "rank",
    "sum_over_processes",
    "world_size",
]


def __getattr__(name: str) -> object:
    """Losses that were functions of this module, until 0.3."""
    if name.endswith("_loss"):
        raise AttributeError(
            f"{__name__}.{name} is now tsssl_fast.functional.{name} with process_group='world'"
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
