"""Masks, fills and the masked loss against a Python loop over samples and against eager torch.

    python benchmarks/masking.py [--threads 2] [--rounds 15]

Rows are timed in turns inside one process; figures are medians. `loop` is the usual Python: a
clone of the series and of the target, then per sample `np.random.choice(T, k, replace=False)` and
zeros at these steps. `ours` is `random_mask` and `fill`, for every mode. Where every channel has
its own mask the same loop runs over samples and channels. A step is mask, fill and masked mse,
forward and backward, the prediction given. Memory is measured in a child process, in units of the
series: "held" is what the step leaves (mask, filled series, gradient), "extra" what it needs beyond
that. The exit status is 1 where a bar is missed.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from timing import interleaved
from torch import Tensor

from tsssl_fast import masking

SHAPE = (256, 9, 128)
LARGE = (1024, 9, 1024)  # of the memory: 38 MB, which pages and pools do not blur
RATIO = 0.5
BARS = {"mask": 50.0, "step": 3.0, "memory": 2.0}


def document_loop(data: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    n, _, t = data.shape
    mask = torch.zeros(n, t, dtype=torch.bool)
    masked, target = data.clone(), data.clone()
    for i in range(n):
        index = np.random.choice(t, count, replace=False)  # noqa: NPY002, as such loops have it
        mask[i, index] = True
        masked[i, :, index] = 0
    return mask, masked, target


def masks(rounds: int) -> bool:
    x = torch.randn(SHAPE)
    rows = x.view(-1, 1, SHAPE[2])
    count = int(RATIO * SHAPE[2])
    cases: dict[str, Callable[[], object]] = {
        "loop": lambda: document_loop(x, count),
        "loop, per channel": lambda: document_loop(rows, count),
    }
    for mode in masking.MODES:
        for per_channel in (False, True)[: 1 + (mode != "channel")]:

            def draw(mode: str = mode, per_channel: bool = per_channel) -> Tensor:
                return masking.random_mask(SHAPE, RATIO, mode, per_channel=per_channel, seed=0)

            name = mode + (", per channel" if per_channel else "")
            cases[name] = draw
            cases[name + " and fill"] = lambda draw=draw: masking.fill(x, draw())
    times = {name: t.median for name, t in interleaved(cases, rounds).items()}
    print(f"Python loop {SHAPE}: {1e3 * times['loop']:.2f} ms, over channels too "
          f"{1e3 * times['loop, per channel']:.2f} ms")  # fmt: skip
    good = True
    for name in cases:
        if name.startswith("loop") or name.endswith("fill"):
            continue
        loop = times["loop, per channel" if "per channel" in name else "loop"]
        both = loop / times[name + " and fill"]
        good = good and both >= BARS["mask"]
        print(
            f"{name:>24} {1e6 * times[name]:8.1f} us, x {loop / times[name]:6.1f}"
            f"   with fill {1e6 * times[name + ' and fill']:8.1f} us, x {both:6.1f}"
        )
    return good


def eager_step(x: Tensor, pred: Tensor) -> Tensor:
    n, _, t = x.shape
    order = torch.rand(n, t).argsort(1)
    mask = torch.zeros(n, t, dtype=torch.bool).scatter(1, order[:, : int(RATIO * t)], True)
    mask = mask[:, None].expand_as(x)
    filled = x.masked_fill(mask, 0.0)
    loss = ((pred - x).square() * mask).sum() / mask.sum()
    loss.backward()
    return filled


def our_step(x: Tensor, pred: Tensor) -> Tensor:
    mask = masking.random_mask(x.shape, RATIO, seed=0)
    filled = masking.fill(x, mask)
    masking.masked_loss(pred, x, mask).backward()
    return filled


STEPS = {"ours": our_step, "eager": eager_step}


def steps(rounds: int) -> bool:
    x, pred = torch.randn(SHAPE), torch.randn(SHAPE, requires_grad=True)

    def case(step: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], object]:
        def run() -> Tensor:
            pred.grad = None
            return step(x, pred)

        return run

    times = interleaved({name: case(step) for name, step in STEPS.items()}, rounds)
    ours, eager = times["ours"].median, times["eager"].median
    print(
        f"mask, fill, masked mse, forward and backward: ours {1e6 * ours:.1f} us, eager torch "
        f"{1e6 * eager:.1f} us, x {eager / ours:.2f}"
    )
    return eager / ours >= BARS["step"]


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def measure(name: str) -> None:
    """Prints the bytes held after a step and the peak, both over the start, in units of x."""
    small = torch.randn(8, 2, 64, requires_grad=True)
    STEPS[name](small.detach(), small)
    x, pred = torch.randn(LARGE), torch.randn(LARGE, requires_grad=True)
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark restarts here
    kept = STEPS[name](x, pred)
    peak = _status("VmHWM") - before
    held = sum(v.untyped_storage().nbytes() for v in (kept, pred.grad))
    size = x.numel() * x.element_size()
    print(held / size, peak / size)


def memory() -> bool:
    extra = {}
    for name in STEPS:
        done = subprocess.run(
            [sys.executable, __file__, "--measure", name],
            capture_output=True,
            text=True,
            check=True,
        )
        held, peak = map(float, done.stdout.split())
        extra[name] = peak - held
        print(f"memory of {LARGE}, {name}: held {held:.2f}, extra {peak - held:.2f} series")
    return extra["ours"] <= BARS["memory"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.measure:
        measure(arguments.measure)
        return 0
    print(f"torch {torch.__version__}, {arguments.threads} threads")
    good = [masks(arguments.rounds), steps(arguments.rounds), memory()]
    for (name, bar), met in zip(BARS.items(), good, strict=True):
        print(f"bar of {name}, {bar:g}: {'met' if met else 'MISSED'}")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
