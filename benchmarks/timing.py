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
    """Seconds per call: the median and the distance between the quartiles."""

    median: float
    spread: float


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
            _give_back()
            if quick[name]:
                candidate()
            start = time.perf_counter()
            for _ in range(repeats[name]):
                candidate()
            samples[name].append((time.perf_counter() - start) / repeats[name])
    return {name: _summary(s) for name, s in samples.items()}


def overhead(candidate: Callable[[], object], calls: int = 2000) -> float:
    """Seconds of a small call in a loop of its own, the median.

    Alone, because for some milliseconds after a parallel candidate its idle thread spins on the
    other half of the core: the same call takes a third longer in turns.
    """
    samples = []
    for _ in range(calls + 300):
        start = time.perf_counter()
        candidate()
        samples.append(time.perf_counter() - start)
    return statistics.median(samples[300:])


def ratio(slow: Times, fast: Times) -> float:
    return slow.median / fast.median


def _seconds(candidate: Callable[[], object]) -> float:
    candidate()
    start = time.perf_counter()
    candidate()
    return time.perf_counter() - start


def _give_back() -> None:
    """Freed memory goes back to the system now, where the C library is glibc."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


def _summary(samples: list[float]) -> Times:
    if len(samples) < 2:
        return Times(samples[0], 0.0)
    low, median, high = statistics.quantiles(samples, n=4, method="inclusive")
    return Times(median, high - low)


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


GEMM_FLOPS = 2.0 * 1024**3
COPY_BYTES = 2.0 * 4 * (1 << 24)
