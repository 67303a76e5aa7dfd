"""The seven-operation SimCLR-TS pipeline, two views, against eager torch and per-sample numpy.

    python benchmarks/augment.py [--threads 2] [--single]

Rows are timed in turns inside one process; figures are medians in milliseconds. All three draw per
sample; `torch` is vectorised over the batch, `numpy` repeats the document's snippets sample by
sample, mended where they raise on two-dimensional input.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from tsssl_fast import augment

SHAPES = ((256, 9, 128), (256, 3, 315), (1024, 9, 128))


def interleaved(cases: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of every case."""
    for run in cases.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, run in cases.items():
            begin = time.perf_counter()
            run()
            times[name].append(1e3 * (time.perf_counter() - begin))
    return {name: statistics.median(values) for name, values in times.items()}


def torch_view(x: Tensor, p: float) -> Tensor:
    """One view in vectorised torch: the same operations, a coin and parameters per sample."""
    n, c, t = x.shape
    steps = torch.arange(t)

    def where(y: Tensor) -> Tensor:
        return torch.where(torch.rand(n, 1, 1) < p, y, x)

    def resample(position: Tensor) -> Tensor:
        left = position.long().clamp(0, t - 2)
        weight = (position - left)[:, None]
        left = left[:, None].expand(n, c, t)
        a, b = x.gather(-1, left), x.gather(-1, left + 1)
        return a + weight * (b - a)

    x = where(x.flip(-1))
    length = int(0.1 * t + 0.5)
    start = torch.randint(0, t - length + 1, (n, 1, 1))
    x = where(x.masked_fill((steps >= start) & (steps < start + length), 0.0))
    x = where(x + (torch.rand_like(x) * 2 - 1) * 0.1 * x.std(-1, correction=0, keepdim=True))
    crop = (0.5 + 0.5 * torch.rand(n, 1)) * t
    first = torch.rand(n, 1) * (t - crop)
    x = where(resample(first + steps * (crop - 1) / (t - 1)))
    periods, theta = 1 + 2 * torch.rand(n, 1, 1), torch.rand(n, c, 1)
    x = where(x * (1 + 0.1 * torch.sin(2 * torch.pi * (periods * steps / t + theta))))
    speed = 1 + 0.5 * (2 * torch.rand(n, 1, 6) - 1)
    speed = torch.nn.functional.interpolate(speed, t - 1, mode="linear", align_corners=True)[:, 0]
    tau = torch.nn.functional.pad(speed.cumsum(-1), (1, 0))
    x = where(resample(tau / tau[:, -1:] * (t - 1)))
    s = 0.5 * torch.rand(n, 1, 1)
    padded = torch.nn.functional.pad(x, (1, 1), mode="replicate")
    return where((1 - s) * x + s / 2 * (padded[..., :-2] + padded[..., 2:]))


def torch_views(x: Tensor, p: float) -> Tensor:
    return torch.stack([torch_view(x, p), torch_view(x, p)])


def numpy_sample(x: np.ndarray, p: float, random: np.random.RandomState) -> np.ndarray:
    """One view of one (C, T) sample, snippet by snippet."""
    c, t = x.shape
    index = np.arange(t)
    if random.rand() < p:
        x = np.flip(x, axis=1)
    if random.rand() < p:
        size = int(t * 0.1)
        start = random.randint(0, t - size)
        x = x.copy()
        x[:, start : start + size] = 0
    if random.rand() < p:
        x = x + random.uniform(-1, 1, x.shape) * np.std(x, axis=1, keepdims=True) * 0.1
    if random.rand() < p:
        crop = int(random.uniform(0.5, 1.0) * t)
        start = random.randint(0, t - crop + 1)
        grid = np.linspace(start, start + crop - 1, t)
        x = np.stack([np.interp(grid, index, row) for row in x])
    if random.rand() < p:
        theta = random.uniform(0, 2 * np.pi, (c, 1))
        x = x * (1 + 0.1 * np.sin(2 * np.pi * random.uniform(1, 3) * index / t + theta))
    if random.rand() < p:
        warped = index + random.uniform(0, 0.2, size=t)
        x = np.stack([np.interp(warped, index, row) for row in x])
    if random.rand() < p:
        x = np.stack([np.convolve(row, np.ones(3) / 3, mode="same") for row in x])
    return x


def numpy_views(x: np.ndarray, p: float, random: np.random.RandomState) -> np.ndarray:
    return np.stack([np.stack([numpy_sample(s, p, random) for s in x]) for _ in range(2)])


def pipelines(rounds: int) -> None:
    names = ("ours", "torch", "numpy", "x torch", "x numpy")
    print(f"{'shape':>14} {'p':>4} " + " ".join(f"{name:>8}" for name in names))
    for shape in SHAPES:
        x = torch.randn(shape)
        array, random = x.numpy(), np.random.RandomState(0)
        for p in (0.5, 1.0):
            pipeline = augment.presets.simclr_ts(p=p)
            ms = interleaved(
                {
                    "ours": lambda: pipeline(x, 2, seed=0),  # noqa: B023
                    "torch": lambda: torch_views(x, p),  # noqa: B023
                    "numpy": lambda: numpy_views(array, p, random),  # noqa: B023
                },
                rounds,
            )
            ratios = [ms[name] / ms["ours"] for name in ("torch", "numpy")]
            print(
                f"{'x'.join(map(str, shape)):>14} {p:4} {ms['ours']:8.3f} {ms['torch']:8.2f} "
                f"{ms['numpy']:8.1f} {ratios[0]:8.1f} {ratios[1]:8.1f}"
            )


def single_operations(rounds: int) -> None:
    """One operation, one view, in units of a clone of the series."""
    x = torch.randn(256, 9, 128)
    operations = [
        augment.TimeFlip(),
        augment.SignFlip(),
        augment.Blockout(),
        augment.RandomNoise(),
        augment.RandomNoise(distribution="normal"),
        augment.CropResize(),
        augment.MagnitudeWarp(),
        augment.TimeWarp(),
        augment.Smooth(),
    ]
    cases: dict[str, Callable[[], object]] = {"clone": x.clone}
    for operation in operations:
        cases[repr(operation)] = lambda f=operation: f(x, 1, seed=0)
    ms = interleaved(cases, rounds)
    for name, value in ms.items():
        print(f"{value:8.3f} ms {value / ms['clone']:6.1f} clones  {name}")


def overhead(rounds: int) -> None:
    x, pipeline = torch.randn(1, 3, 64), augment.presets.simclr_ts()
    ms = interleaved({"call": lambda: pipeline(x, 2, seed=0)}, 20 * rounds)
    print(f"one call at 1x3x64, two views: {1e3 * ms['call']:.0f} microseconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--single", action="store_true", help="single operations and call overhead")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {arguments.threads} threads")
    if arguments.single:
        single_operations(3 * arguments.rounds)
        overhead(arguments.rounds)
    else:
        pipelines(arguments.rounds)


if __name__ == "__main__":
    main()
