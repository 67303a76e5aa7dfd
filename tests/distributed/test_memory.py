"""What a process holds in a loss and its backward: its rows and those of all, no matrix of pairs;
in the ring its own rows alone."""

from functools import cache
from typing import Any

import pytest
import torch
from distributed.ranks import in_processes
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tsssl_fast import functional

WORLD, ROWS, COLUMNS = 4, 96, 16
LOSSES: dict[str, tuple[str, dict[str, Any]]] = {
    "nt_xent": ("nt_xent_loss", {}),
    "dcl": ("dcl_loss", {}),
    "dclw": ("dclw_loss", {}),
    "info_nce": ("info_nce_loss", {}),
    "clip": ("clip_loss", {}),
    "siglip": ("siglip_loss", {}),
    "vicreg": ("vicreg_loss", {}),
    "barlow_twins": ("barlow_twins_loss", {}),
    "clip, ring": ("clip_loss", {"ring": True}),
    "siglip, ring": ("siglip_loss", {"ring": True}),
}


class Largest(TorchDispatchMode):
    """The largest number of elements that a tensor had; operators of ours are seen whole."""

    elements = 0

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = op(*args, **(kwargs or {}))
        for x in tree_leaves(result):
            if isinstance(x, Tensor):
                self.elements = max(self.elements, x.numel())
        return result


def work(rank: int, world: int) -> dict[str, int]:
    found = {}
    for name, (function, options) in LOSSES.items():
        generator = torch.Generator().manual_seed(rank)
        a, b = torch.randn(2, ROWS, COLUMNS, generator=generator).unbind()
        a.requires_grad_(), b.requires_grad_()
        with Largest() as seen:
            getattr(functional, function)(a, b, process_group="world", **options).backward()
        found[name] = seen.elements
    return found


@cache
def results() -> list[Any]:
    return in_processes(WORLD, work)


@pytest.mark.parametrize("name", LOSSES)
def test_the_largest_tensor(name: str) -> None:
    both_views = 2 * ROWS * COLUMNS
    for found in results():
        if name.endswith("ring"):
            assert found[name] <= both_views
        else:
            assert both_views < found[name] <= WORLD * both_views < ROWS * WORLD * ROWS
