"""Kernels in forked children, after the parent has used its threads."""

import multiprocessing
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


@pytest.mark.skipif(sys.platform != "linux", reason="fork is the default on Linux only")
@pytest.mark.parametrize("backend", ["cpp", "numba"])
def test_threads_of_a_forked_child(backend: str) -> None:
    """Plain torch waits for ever there: OpenMP's threads are the parent's."""
    data = Losses(backend)
    torch.set_num_threads(2)
    expected = data[0]
    z = torch.randn(300, 8, generator=torch.Generator().manual_seed(0))
    flipped = z.flip(1)
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()

    def child() -> None:
        torch.set_num_threads(2)
        results.put(functional.nt_xent_loss(z, flipped, backend=backend).item())

    process = context.Process(target=child)
    process.start()
    process.join(60)
    if process.exitcode is None:
        process.kill()
    assert process.exitcode == 0
    assert results.get() == expected.item()
