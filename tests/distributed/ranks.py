"""Runs losses in several gloo processes: `in_processes`, and what each process does."""

import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, multiprocessing
from torch import distributed as dist

Work = Callable[[int, int], Any]
TIMEOUT = timedelta(seconds=60)
ROOT = str(Path(__file__).parents[2])


def in_processes(world: int, work: Work) -> list[Any]:
    """What work(rank, world) returns on each rank; work is a module's function, imported there."""
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.get_context("spawn")
        processes = [
            context.Process(target=_main, args=(rank, world, folder, work, sys.path))
            for rank in range(world)
        ]
        # A worker imports this folder as tests.distributed: behind an installed package.
        sys.path.append(ROOT)
        try:
            for process in processes:
                process.start()
        finally:
            sys.path.remove(ROOT)
        for process in processes:
            process.join(120)
        for process in processes:
            if process.is_alive():
                process.terminate()
        assert [p.exitcode for p in processes] == [0] * world
        return [torch.load(Path(folder) / f"{rank}.pt") for rank in range(world)]


def _main(rank: int, world: int, folder: str, work: Work, path: Sequence[str]) -> None:
    sys.path[:] = path
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", f"file://{folder}/start", rank=rank, world_size=world, timeout=TIMEOUT
    )
    torch.save(work(rank, world), Path(folder) / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def batch(sizes: Sequence[int], rank: int, *, columns: int = 6) -> tuple[Tensor, Tensor]:
    """This rank's rows of two views of a batch of sum(sizes) series, float64."""
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(sum(sizes), columns, generator=generator, dtype=torch.float64)
    b = a + 0.7 * torch.randn(a.shape, generator=generator, dtype=torch.float64)
    return a.split(list(sizes))[rank], b.split(list(sizes))[rank]
