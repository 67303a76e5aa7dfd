"""Memory of a loss across processes: growth of the first one's resident set, as a table.

    python benchmarks/experiments/process_memory.py                     # that of docs/processes.md
    python benchmarks/experiments/process_memory.py --rows 512 --worlds 1 2

Each number is of processes of their own (gloo, one thread each): the peak of the resident set of
the first during a loss and its backward, less what it was before, the working memory of the kernels
included. The same loss of 8 rows ran before. Two views a process.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import folder_above as folder_above
import torch
from memory import peak_extra_bytes
from torch import Tensor, multiprocessing
from torch import distributed as dist

from tsssl_fast import functional as f

Loss = Callable[[Tensor, Tensor], Tensor]
ALL = {"process_group": "world"}
LOSSES: dict[str, Loss] = {
    "NT-Xent": lambda a, b: f.nt_xent_loss(a, b, **ALL),
    "SupCon": lambda a, b: f.sup_con_loss(
        torch.cat([a, b]), torch.arange(len(a)).repeat(2) // 2, **ALL
    ),
    "MoCo": lambda a, b: f.moco_loss(a, b, b.detach().flip(0), **ALL),
    "CLIP": lambda a, b: f.clip_loss(a, b, **ALL),
    "CLIP, ring": lambda a, b: f.clip_loss(a, b, ring=True, **ALL),
    "SigLIP": lambda a, b: f.siglip_loss(a, b, **ALL),
    "SigLIP, ring": lambda a, b: f.siglip_loss(a, b, ring=True, **ALL),
    "VICReg": lambda a, b: f.vicreg_loss(a, b, **ALL),
    "Barlow Twins": lambda a, b: f.barlow_twins_loss(a, b, **ALL),
}


def work(rank: int, world: int, name: str, rows: int, columns: int, folder: str) -> None:
    torch.set_num_threads(1)
    where = f"file://{folder}/start"
    dist.init_process_group("gloo", where, rank=rank, world_size=world)

    def run(count: int) -> Callable[[], object]:
        generator = torch.Generator().manual_seed(rank)
        a, b = torch.randn(2, count, columns, generator=generator).unbind()
        views = a.requires_grad_(), b.requires_grad_()

        def step() -> object:
            LOSSES[name](*views).backward()
            return [z.grad for z in views]

        return step

    run(8)()
    step = run(rows)
    found = peak_extra_bytes(step) if rank == 0 else step()
    if rank == 0:
        Path(folder, "found").write_text(str(found))
    dist.barrier()
    dist.destroy_process_group()


def growth(world: int, name: str, rows: int, columns: int) -> float:
    """In MB."""
    with tempfile.TemporaryDirectory() as folder:
        given = (world, name, rows, columns, folder)
        multiprocessing.spawn(work, given, nprocs=world)
        return int(Path(folder, "found").read_text()) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2048)
    parser.add_argument("--columns", type=int, default=256)
    parser.add_argument("--worlds", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--losses", nargs="+", default=list(LOSSES), choices=LOSSES)
    given = parser.parse_args()
    views = 8 * given.rows * given.columns / 1e6
    print(
        f"{given.rows} rows of {given.columns} float32 numbers, two views: {views:.1f} MB a process"
    )
    print(f"| processes | {' | '.join(given.losses)} |\n{'| --- ' * (1 + len(given.losses))}|")
    for world in given.worlds:
        found = [growth(world, name, given.rows, given.columns) for name in given.losses]
        print(f"| {world} | {' | '.join(f'{mb:.1f} MB' for mb in found)} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
