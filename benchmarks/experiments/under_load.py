"""How long do calls take while other processes want the processors?

    python benchmarks/experiments/under_load.py [--seconds 2]

Mean latency of NT-Xent 256 x 128, forward and backward, of the two-view pipeline on 256 x 9 x 128
and of NT-Xent in plain torch: quiet, with one busy process beside, and with one per processor.
The bars: at most 2x of quiet, at most 3x, and never worse than plain torch under the same load.
Exit status 1 where one is missed.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import folder_above as folder_above

# isort: split
import torch
from suite import nt_xent

from tsssl_fast import augment, functional

N, DIM = 256, 128
MOST = {0: 1.0, 1: 2.0}  # by busy processes; otherwise 3


@dataclass
class Latency:
    """Milliseconds."""

    mean: float
    median: float
    most: float  # of 99 in 100


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    beside = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    time.sleep(0.5)
    try:
        yield
    finally:
        for process in beside:
            process.kill()
            process.wait()


def calls() -> dict[str, Callable[[], object]]:
    z = tuple(torch.randn(N, DIM, requires_grad=True) for _ in range(2))
    x = torch.randn(N, 9, DIM)
    pipeline = augment.presets.simclr_ts()
    steps = iter(range(10**9))

    def ours() -> None:
        torch.autograd.grad(functional.nt_xent_loss(*z, temperature=nt_xent.TEMPERATURE), z)

    def eager() -> None:
        torch.autograd.grad(nt_xent.eager(*z), z)

    return {
        f"nt_xent {N}x{DIM}": ours,
        f"pipeline {N}x9x{DIM}": lambda: pipeline(x, views=2, seed=0, step=next(steps)),
        "plain torch": eager,
    }


def latency(call: Callable[[], object], seconds: float) -> Latency:
    for _ in range(20):
        call()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - begin))
    times.sort()
    return Latency(
        sum(times) / len(times), times[len(times) // 2], times[int(0.99 * (len(times) - 1))]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    seconds = parser.parse_args().seconds
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    names = calls()
    quiet: dict[str, float] = {}
    missed = []
    for count in dict.fromkeys((0, 1, processors)):
        with busy(count):
            found = {name: latency(call, seconds) for name, call in names.items()}
        plain = found["plain torch"].mean
        for name, each in found.items():
            times = each.mean / quiet.setdefault(name, each.mean)
            verdict = ""
            if name != "plain torch":
                slower = name.startswith("nt_xent") and each.mean > plain
                met = times <= MOST.get(count, 3.0) and not slower
                verdict = "met" if met else "missed"
                missed += [] if met else [f"{name} beside {count}"]
            print(
                f"{count} busy beside  {name:20} mean {each.mean:8.3f} ms  median "
                f"{each.median:8.3f}  99 % {each.most:8.3f}  {times:5.2f}x of quiet  {verdict}",
                flush=True,
            )
    print(f"missed: {', '.join(missed) or 'none'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
