"""The Numba backend beside the C++ kernels and plain torch: augmentations, NT-Xent, VICReg.

    python benchmarks/backends.py [--threads 2] [--rounds 9] [--cases nt_xent,vicreg]

Forward, and for the losses backward, in turns inside one process, after every kernel is compiled;
medians in milliseconds. Exit status 1 where a bar of the numba backend is missed: at most 3 times
the C++ pipeline's time, twice a loss's at 1024 rows and above; and less than plain torch's.
"""

import argparse
import sys
from collections.abc import Callable, Iterator

import torch
from augment import torch_views
from decorrelation import gram
from timing import interleaved
from torch import Tensor

from tsssl_fast import augment, functional, info

BACKENDS = ("cpp", "numba")
AUGMENT = ((256, 9, 128), (256, 3, 315), (1024, 9, 128))
LOSSES = ((256, 128), (1024, 128), (2048, 128), (1024, 512))
DECORRELATION = ((256, 128), (256, 2048), (1024, 128), (1024, 2048))
Runs = dict[str, Callable[[], object]]


def _step(loss: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> None:
    a.grad = b.grad = None
    loss(a, b).backward()


def eager_nt_xent(a: Tensor, b: Tensor) -> Tensor:
    z = torch.nn.functional.normalize(torch.cat([a, b]))
    logits = (z @ z.T / 0.1).fill_diagonal_(-torch.inf)
    return torch.nn.functional.cross_entropy(logits, torch.arange(len(z)).roll(len(a)))


def pipelines() -> Iterator[tuple[str, Runs, float]]:
    for shape in AUGMENT:
        x = torch.randn(shape)
        for p in (0.5, 1.0):
            pipeline = augment.presets.simclr_ts(p=p)
            runs: Runs = {
                name: lambda name=name, f=pipeline, x=x: f(x, 2, seed=0, backend=name)
                for name in BACKENDS
            }
            runs["torch"] = lambda x=x, p=p: torch_views(x, p)
            yield f"augment {'x'.join(map(str, shape))} p={p}", runs, 3.0


def _losses(
    what: str,
    shapes: tuple[tuple[int, int], ...],
    ours: Callable[..., Tensor],
    eager: Callable[[Tensor, Tensor], Tensor],
    least: int,
) -> Iterator[tuple[str, Runs, float]]:
    """least: rows from which on C++ may be twice as fast; below, only eager torch may not be."""
    for n, dim in shapes:
        a, b = (torch.randn(n, dim, requires_grad=True) for _ in range(2))
        runs: Runs = {
            name: lambda name=name, a=a, b=b: _step(lambda *z: ours(*z, backend=name), a, b)
            for name in BACKENDS
        }
        runs["torch"] = lambda a=a, b=b: _step(eager, a, b)
        yield f"{what} {n}x{dim}", runs, 2.0 if n >= least else float("inf")


def cases() -> Iterator[tuple[str, Runs, float]]:
    yield from pipelines()
    yield from _losses(
        "nt_xent", LOSSES,
        lambda a, b, backend: functional.nt_xent_loss(a, b, temperature=0.1, backend=backend),
        eager_nt_xent, least=1024,
    )  # fmt: skip
    yield from _losses("vicreg", DECORRELATION, functional.vicreg_loss, gram, least=1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cases", default="", help="parts of names, comma-separated")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    parts = arguments.cases.split(",")
    for line in info.warm():
        print(line)
    print(f"torch {torch.__version__}, {arguments.threads} threads, milliseconds")
    print(f"{'case':<26} {'cpp':>9} {'numba':>9} {'torch':>9} {'x cpp':>6} {'torch x':>8}")
    missed = False
    for name, runs, bar in cases():
        if not any(part in name for part in parts):
            continue
        times = interleaved(runs, arguments.rounds)
        cpp, numba, eager = (1e3 * times[k].median for k in ("cpp", "numba", "torch"))
        late = numba > bar * cpp or numba > eager
        missed |= late
        print(
            f"{name:<26} {cpp:>9.3f} {numba:>9.3f} {eager:>9.3f} {numba / cpp:>6.2f} "
            f"{eager / numba:>8.2f}{'  MISSED' if late else ''}",
            flush=True,
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
