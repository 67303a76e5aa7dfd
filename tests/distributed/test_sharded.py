"""Parameters in parts (FSDP2): gradients are those of one process, as with DDP."""

from typing import Any

import pytest
import torch
from distributed.ranks import batch, in_processes
from torch import Tensor, nn
from torch.distributed import fsdp

from tsssl_fast import losses

LOSSES = ("NTXentLoss", "VICRegLoss")


def gradients(name: str, rank: int | None) -> list[Tensor]:
    """rank: None: of one process with all rows."""
    torch.manual_seed(0)
    module: Any = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4)).double()
    group = None if rank is None else "world"
    if rank is not None:
        fsdp.fully_shard(module)
    views = batch((12,), 0) if rank is None else batch((5, 7), rank)
    loss = getattr(losses, name)(process_group=group)
    loss(*module(torch.cat(views)).tensor_split(2)).backward()
    found = [p.grad for p in module.parameters()]
    return found if rank is None else [g.full_tensor() for g in found]


def work(rank: int, world: int) -> dict[str, list[Tensor]]:
    return {name: gradients(name, rank) for name in LOSSES}


@pytest.mark.skipif(not hasattr(fsdp, "fully_shard"), reason="this torch has no fully_shard")
def test_gradients_are_those_of_one_process() -> None:
    for found in in_processes(2, work):
        for name in LOSSES:
            torch.testing.assert_close(found[name], gradients(name, None), msg=name)
