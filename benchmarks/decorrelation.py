"""VICReg on two views, forward and backward, float32: this package, plain torch, lightly.

    python benchmarks/run.py --cases vicreg            # the cases, their errors, memory and bars
    python benchmarks/decorrelation.py [--repeat 9]    # the sweep

A unit is 6 min(n, d) n d flops at the rate of torch's matrix product: the floor without its bytes.
Of lightly, where it is installed, its loss is loaded alone: the package needs torchvision, the loss
does not. The sweep compares with the faster of both torch forms from 2 x 8 to 4096 x 8192 and says
where this package loses.
"""

import argparse
import functools
import importlib
import importlib.util
import pathlib
import sys
import types
from collections.abc import Callable
from typing import cast

import torch
from nt_xent import Inputs, compiled_by_torch, run
from registry import Case, Unavailable
from timing import interleaved
from torch import Tensor

from tsssl_fast import functional
from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.reference import moments

GAMMA, EPS = 1.0, 1e-4
Loss = Callable[[Tensor, Tensor], Tensor]
# n x d -> bars: against the direct form, against the best of all others, peak memory in bytes of
# the inputs, microseconds.
SHAPES: dict[tuple[int, int], dict[str, float]] = {
    (16, 16): {"microseconds": 150},
    (256, 2048): {"ratio": 15, "memory": 3},
    (256, 8192): {"ratio": 40, "best": 2, "memory": 3},
    (1024, 2048): {"best": 1.7, "memory": 3},
    (2048, 2048): {"best": 1.7, "memory": 3},
}


def ours(a: Tensor, b: Tensor) -> Tensor:
    return cast(Tensor, functional.vicreg_loss(a, b))


def _shell(a: Tensor, b: Tensor, penalty: Callable[[Tensor], Tensor]) -> Tensor:
    hinge = sum((GAMMA - (z.var(dim=0) + EPS).sqrt()).relu().mean() / 2 for z in (a, b))
    return 25 * torch.nn.functional.mse_loss(a, b) + 25 * hinge + penalty(a) + penalty(b)


def direct(a: Tensor, b: Tensor) -> Tensor:
    def penalty(z: Tensor) -> Tensor:
        x = z - z.mean(dim=0)
        return moments.off_diagonal(x.T @ x / (len(z) - 1)).square().sum() / z.shape[1]

    return _shell(a, b, penalty)


def gram(a: Tensor, b: Tensor) -> Tensor:
    def penalty(z: Tensor) -> Tensor:
        x = z - z.mean(dim=0)
        k = x @ x.T / (len(z) - 1)
        return (k.square().sum() - z.var(dim=0).square().sum()) / z.shape[1]

    return _shell(a, b, penalty)


@functools.cache
def lightly_loss() -> Callable[..., Tensor]:
    package = importlib.util.find_spec("lightly")
    if package is None or not package.submodule_search_locations:
        raise Unavailable("lightly: not installed")
    root = pathlib.Path(package.submodule_search_locations[0])
    for name in ("lightly", "lightly.loss", "lightly.utils"):
        module = types.ModuleType(name)
        module.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules.setdefault(name, module)
    try:
        loss: Callable[..., Tensor] = importlib.import_module(
            "lightly.loss.vicreg_loss"
        ).VICRegLoss()
    except Exception as error:
        raise Unavailable(f"lightly: {error!r}") from error
    return loss


def views(n: int, d: int) -> Inputs:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(n, d, generator=generator)
    return a, a + 0.1 * torch.randn(n, d, generator=generator)


def make(n: int, d: int, bars: dict[str, float]) -> Case:
    return Case(
        name=f"vicreg {n}x{d}",
        inputs=lambda: views(n, d),
        truth=lambda z: run(direct, tuple(x.double() for x in z))(),
        providers={
            "cpp": lambda z: run(ours, z),
            "eager": lambda z: run(direct, z),
            "gram": lambda z: run(gram, z),
            "compiled": lambda z: run(compiled_by_torch(gram if n < d else direct), z),
            "lightly": lambda z: run(lightly_loss(), z),
        },
        ours="cpp",
        baseline="eager",
        factor=spec.ERROR_FACTOR,
        flops=6.0 * min(n, d) * n * d,
        bytes=4.0 * 6 * n * d,
        bars=bars,
    )


CASES = [make(*shape, bars) for shape, bars in SHAPES.items()]


def sweep(repeat: int) -> None:
    """Every shape against the faster of both torch forms; the direct one where d <= 2048."""
    ratios: dict[str, float] = {}
    for n in (2, 8, 32, 128, 512, 1024, 4096):
        for d in (8, 32, 128, 512, 2048, 8192):
            forms: dict[str, Loss] = {"own": ours, "gram": gram}
            if d <= 2048:
                forms["direct"] = direct
            cases = {name: run(form, views(n, d)) for name, form in forms.items()}
            flops = 6.0 * min(n, d) * n * d
            rounds = max(3, min(4 * repeat, int(repeat * 1e9 / (1e7 + flops))))
            times = {name: t.median for name, t in interleaved(cases, rounds).items()}
            own = times.pop("own")
            best = min(times, key=times.__getitem__)
            ratios[f"{n}x{d}"] = times[best] / own
            ratio = ratios[f"{n}x{d}"]
            print(f"{n:5d} x {d:5d} {1e3 * own:10.3f}  {ratio:6.2f}x of {best}", flush=True)
    least = min(ratios, key=ratios.__getitem__)
    lost = [shape for shape, ratio in ratios.items() if ratio < 1]
    print(f"least {ratios[least]:.2f}x at {least}; slower at: {', '.join(lost) or 'none'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, milliseconds")
    sweep(options.repeat)


if __name__ == "__main__":
    main()
