"""Kernels in forked DataLoader workers, after the parent has used its threads."""

import sys

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from tsssl_fast import functional


class Losses(Dataset[torch.Tensor]):
    """Item i is a loss over a batch large enough for several blocks."""

    def __init__(self, backend: str) -> None:
        self.backend = backend

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> torch.Tensor:
        z = torch.randn(300, 8, generator=torch.Generator().manual_seed(index))
        return functional.nt_xent_loss(z, z.flip(1), backend=self.backend)


@pytest.mark.skipif(sys.platform != "linux", reason="fork is the default on Linux only")
@pytest.mark.parametrize("backend", ["cpp", "numba"])
def test_fork_after_threads_in_the_parent(backend: str) -> None:
    data = Losses(backend)
    torch.set_num_threads(2)
    expected = torch.stack([data[i] for i in range(len(data))])
    # A worker that deadlocks on the parent's thread pool ends in a RuntimeError after 60 s.
    loader = DataLoader(
        data, batch_size=2, num_workers=2, timeout=60, multiprocessing_context="fork"
    )
    assert torch.equal(torch.cat(list(loader)), expected)
