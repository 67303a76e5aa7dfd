"""Where is NT-Xent slower than plain torch? Forward and backward over a grid of sizes.

    python benchmarks/sweep.py [--points 32x128,2048x8] [--compile dynamic|static|none]

One line per point, small ones first, and a summary of the points where this package is slower than
the better of eager and torch.compile; the exit status is 1 where a result is wrong. Points that do
not fit into --seconds are named. torch.compile is asked up to COMPILE_ROWS series: `dynamic`
compiles one graph for all sizes, `static` one a point, at some ten seconds each.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Callable

import nt_xent
import torch
from registry import Run
from run import error
from timing import interleaved
from torch import Tensor

from tsssl_fast import functional
from tsssl_fast.ops.contrastive import reference, spec

SERIES = (2, 8, 32, 128, 512, 2048, 8192)
DIMENSIONS = (8, 32, 128, 512, 1024)
COMPILE_ROWS = 512
FULL_TRUTH_ROWS = 512  # beyond, float64 would take most of the time
POINT_SECONDS = 1.5
Inputs = tuple[Tensor, ...]


def ours(z1: Tensor, z2: Tensor) -> Tensor:
    return functional.nt_xent(z1, z2, nt_xent.TEMPERATURE, backend="cpp")


def correct(inputs: Inputs, mine: tuple[Tensor, ...], plain: tuple[Tensor, ...]) -> str:
    """Why the result is wrong; "" where it is right.

    Small points: the bound of the benchmarks, against float64. Large ones: 64 rows of the loss
    against float64, and the gradients against eager torch within 1e-4 of their largest element.
    """
    if len(inputs[0]) <= FULL_TRUTH_ROWS:
        truth = nt_xent.truth(inputs)
        allowed = spec.ERROR_FACTOR * error(plain, truth) + torch.finfo(torch.float32).eps
        found = error(mine, truth)
        return "" if found <= allowed else f"error {found:.1e}, allowed {allowed:.1e}"
    rows = functional.nt_xent(*inputs, nt_xent.TEMPERATURE, "none", backend="cpp")
    sample = torch.linspace(0, len(rows) - 1, 64).long()
    expected = loss_rows(inputs, sample)
    off = ((rows[sample].double() - expected).abs().max() / expected.abs().max()).item()
    apart = error(mine, tuple(x.double() for x in plain))
    if off <= 1e-5 and apart <= 1e-4:
        return ""
    return f"loss off by {off:.1e}, {apart:.1e} from eager"


def loss_rows(inputs: Inputs, sample: Tensor) -> Tensor:
    """The definition in float64, of some rows."""
    u = reference.unit(torch.cat(inputs).double())[0]
    logits = u[sample] @ u.T / nt_xent.TEMPERATURE
    logits[torch.arange(len(sample)), sample] = -torch.inf
    other = sample + torch.where(sample < len(inputs[0]), 1, -1) * len(inputs[0])
    return logits.logsumexp(dim=1) - logits[torch.arange(len(sample)), other]


def once(run: Run) -> tuple[float, tuple[Tensor, ...]]:
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def measure(n: int, dim: int, compiled: Callable[..., Tensor] | None) -> tuple[str, float]:
    """The line of a point, and the better of the others' times over ours (0: wrong)."""
    inputs = nt_xent.make(n, dim, {}).inputs()
    runs = {"eager": nt_xent.run(nt_xent.eager, inputs), "cpp": nt_xent.run(ours, inputs)}
    if compiled is not None:
        runs["compiled"] = nt_xent.run(compiled, inputs)
        runs["compiled"]()
    first = {name: once(run) for name, run in runs.items()}
    start = f"{n:>5} x {dim:<5}"
    if why := correct(inputs, first["cpp"][1], first["eager"][1]):
        return f"{start} WRONG: {why}", 0.0
    seconds = {name: took for name, (took, _) in first.items()}
    del first
    rounds = min(9, int(POINT_SECONDS / sum(seconds.values())))
    if rounds >= 3:
        seconds = {name: times.median for name, times in interleaved(runs, rounds).items()}
    ratio = min(s for name, s in seconds.items() if name != "cpp") / seconds["cpp"]
    columns = "".join(
        f"{seconds[name] * 1e3:>12.3f}" if name in seconds else f"{'-':>12}"
        for name in ("cpp", "eager", "compiled")
    )
    single = "" if rounds >= 3 else "  (one pass)"
    return f"{start}{columns}{ratio:>8.2f}x{single}{'  SLOWER' if ratio < 1 else ''}", ratio


def points(pattern: str) -> list[tuple[int, int]]:
    """Those asked for, or the grid, in the order of their work."""
    if pattern:
        pairs = [part.split("x") for part in pattern.split(",")]
        grid = [(int(n), int(dim)) for n, dim in pairs]
    else:
        grid = list(itertools.product(SERIES, DIMENSIONS))
    return sorted(grid, key=lambda p: p[0] ** 2 * p[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", default="", help="such as 32x128,2048x8; default: the grid")
    parser.add_argument("--compile", choices=("dynamic", "static", "none"), default="dynamic")
    parser.add_argument("--seconds", type=float, default=220.0, help="of the whole run")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    end = time.perf_counter() + arguments.seconds
    shared = torch.compile(nt_xent.eager, dynamic=True)
    slower, wrong, missing = [], [], []
    print(f"{'N':>5} x {'D':<5}{'cpp ms':>12}{'eager ms':>12}{'compiled ms':>12}{'ratio':>9}")
    for n, dim in points(arguments.points):
        if time.perf_counter() > end:
            missing.append(f"{n}x{dim}")
            continue
        compiled = None
        if arguments.compile != "none" and n <= COMPILE_ROWS:
            static = arguments.compile == "static"
            compiled = nt_xent.compiled_by_torch(nt_xent.eager) if static else shared
        line, ratio = measure(n, dim, compiled)
        print(line, flush=True)
        if ratio < 1:
            (slower if ratio > 0 else wrong).append(f"{n}x{dim}")
    print(f"slower at: {', '.join(slower) or 'no point'}")
    for name, found in (("wrong at", wrong), ("no time left for", missing)):
        if found:
            print(f"{name}: {', '.join(found)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
