"""Times that can be compared: candidates take turns in one process; medians and quartiles."""

import ctypes
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

# A sample lasts at least this long, so that the clock and a call's overhead do not show.
SAMPLE_SECONDS = 0.005
QUICK_SECONDS = 0.1  # a candidate this short runs once before every sample


@dataclass(frozen=True)
class Times:
    """Seconds per call: the median, the distance between the quartiles, and the least."""

    median: float
    spread: float
    least: float


def interleaved(candidates: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Times]:
    """Times every candidate once per round; each has run once before.

    A disturbance hits neighbours in a round alike, so that ratios hold where times do not. The
    order changes from round to round, each starts with no freed memory of another's, and runs once
    before its sample: malloc gives the pages back in whoever's call it may be (VICReg at 256 x 2048
    in the calls after the D x D form: 8 ms became 8 to 27, the rest in unmap_page_range).
    """
    order = list(candidates.items())
    shuffle = random.Random(0).shuffle
    alone = {name: _seconds(candidate) for name, candidate in candidates.items()}
    repeats = {name: max(1, round(SAMPLE_SECONDS / seconds)) for name, seconds in alone.items()}
    quick = {name: seconds < QUICK_SECONDS for name, seconds in alone.items()}
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        shuffle(order)
        for name, candidate in order:
            give_back()
            if quick[name]:
                candidate()
            samples[name].append(_once(candidate, repeats[name]))
    return {name: _summary(s) for name, s in samples.items()}


def _once(candidate: Callable[[], object], calls: int = 1) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        candidate()
    return (time.perf_counter() - start) / calls


def overhead(candidate: Callable[[], object], calls: int = 2000) -> float:
    """Seconds of a small call in a loop of its own, the median.

    Alone, because for some milliseconds after a parallel candidate its idle thread spins on the
    other half of the core: the same call takes a third longer in turns.
    """
    return statistics.median([_once(candidate) for _ in range(calls + 300)][300:])


def ratio(slow: Times, fast: Times) -> float:
    return slow.median / fast.median


def _seconds(candidate: Callable[[], object]) -> float:
    candidate()
    return _once(candidate)


def give_back() -> None:
    """Freed memory goes back to the system now, where the C library is glibc."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


def _summary(samples: list[float]) -> Times:
    if len(samples) < 2:
        return Times(samples[0], 0.0, samples[0])
    low, median, high = statistics.quantiles(samples, n=4, method="inclusive")
    return Times(median, high - low, min(samples))


def first_call(candidate: Callable[[], object], rounds: int) -> float:
    """Seconds of one call right after 64 MB of other work, the median."""
    other, samples = torch.zeros(1 << 24), []
    for _ in range(rounds):
        other.add_(1.0)
        samples.append(_once(candidate))
    return statistics.median(samples)


def processor() -> str:
    """Its name, as the system gives it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), "")
    return model or platform.processor()


def ceilings() -> dict[str, Callable[[], object]]:
    """The machine's limits as candidates: torch's matrix product and its copy (GEMM, COPY)."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    source = torch.randn(1 << 24)
    target = torch.empty_like(source)
    return {"gemm": lambda: a @ b, "copy": lambda: target.copy_(source)}


def limits() -> dict[str, float]:
    """What torch reaches here: GFLOP/s of a float32 and of a bfloat16 product, GB/s of a copy."""
    size, seconds = 64, 0.0
    while size < 1024 and 8 * seconds < SAMPLE_SECONDS:  # without a unit 1024 takes seconds
        size *= 2
        a, b = torch.randn(2, size, size).bfloat16().unbind()
        seconds = _seconds(lambda a=a, b=b: a @ b)
    times = interleaved({**ceilings(), "bf16": lambda: a @ b}, 5)
    return {
        FLOAT32: GEMM_FLOPS / times["gemm"].median / 1e9,
        BFLOAT16: 2.0 * size**3 / times["bf16"].median / 1e9,
        COPY: COPY_BYTES / times["copy"].median / 1e9,
    }


FLOAT32, BFLOAT16 = "float32 product, GFLOP/s", "bfloat16 product, GFLOP/s"
COPY = "copy, GB/s"
GEMM_FLOPS = 2.0 * 1024**3
COPY_BYTES = 2.0 * 4 * (1 << 24)
