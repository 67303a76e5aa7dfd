"""The seven-operation SimCLR-TS pipeline, two views, against eager torch and plain numpy.

    python benchmarks/augment.py [--threads 2] [--single | --scaling] [--fastest]

Rows are timed in turns inside one process, a sample being as many calls as fill 100 milliseconds;
figures are medians in milliseconds, or with --fastest the least of every row: what a machine with
other work on it disturbs least. All three draw per sample; `torch` is vectorised over the batch,
`numpy` is the pipeline as published snippets write it, series by series. `copy` copies the series
twice: the floor of two views. `first` is ours right after 64 MB of other work: a single call whose
series, output and code have left the caches, as between two training steps.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from tsssl_fast import augment

summary: Callable[[list[float]], float] = statistics.median
SHAPES = ((256, 9, 128), (256, 3, 315), (1024, 9, 128))
# Several calls of the fastest case: after another candidate malloc has given its pages back to the
# system, and the first call pays 1 microsecond for each of them (2.5 ms at 1024 x 9 x 128).
SAMPLE_SECONDS = 0.1


def seconds(run: Callable[[], object], calls: int = 1) -> float:
    begin = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - begin) / calls


def interleaved(cases: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Milliseconds of every case."""
    for run in cases.values():
        run()
    calls = {name: max(1, round(SAMPLE_SECONDS / seconds(run))) for name, run in cases.items()}
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, run in cases.items():
            times[name].append(1e3 * seconds(run, calls[name]))
    return {name: summary(values) for name, values in times.items()}


def first_call(run: Callable[[], object], rounds: int) -> float:
    """Milliseconds of one call after other work."""
    other, times = torch.zeros(1 << 24), []
    for _ in range(rounds):
        other.add_(1.0)
        times.append(1e3 * seconds(run))
    return summary(times)


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


# As published snippets write it: one series at a time, its parameters, and numpy's old
# generator. Four take (C, T); the others raise on two dimensions, so `rows` calls them channel by
# channel.
random = np.random.RandomState(0)


def left_to_right_flip(series: np.ndarray) -> np.ndarray:
    return np.flip(series, axis=1)


def blockout(series: np.ndarray, ratio: float = 0.1) -> np.ndarray:
    size = int(series.shape[1] * ratio)
    start = random.randint(0, series.shape[1] - size)
    series = series.copy()
    series[:, start : start + size] = 0
    return series


def random_noise(series: np.ndarray, factor: float = 0.1) -> np.ndarray:
    noise = random.uniform(-1, 1, series.shape)
    return series + noise * np.std(series, axis=1, keepdims=True) * factor


def magnitude_warping(series: np.ndarray, magnitude: float = 0.1) -> np.ndarray:
    return series * (1 + random.uniform(-magnitude, magnitude))


def random_cropping(row: np.ndarray) -> np.ndarray:
    length = len(row) // 2
    start = random.randint(0, len(row) - length + 1)
    cropped = np.zeros_like(row)
    cropped[start : start + length] = row[start : start + length]
    return cropped


def time_warping(row: np.ndarray, factor: float = 0.2) -> np.ndarray:
    index = np.arange(len(row))
    return np.interp(index + random.uniform(0, factor, size=len(row)), index, row)


def random_smoothing(row: np.ndarray, window: int = 3) -> np.ndarray:
    return np.convolve(row, np.ones(window) / window, mode="same")


def rows(operation: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda series: np.stack([operation(row) for row in series])


SNIPPETS = (
    left_to_right_flip,
    blockout,
    random_noise,
    rows(random_cropping),
    magnitude_warping,
    rows(time_warping),
    rows(random_smoothing),
)


def numpy_view(x: np.ndarray, p: float) -> np.ndarray:
    views = []
    for series in x:
        for operation in SNIPPETS:
            if p == 1 or random.rand() < p:
                series = operation(series)
        views.append(series)
    return np.stack(views)


def numpy_views(x: np.ndarray, p: float) -> np.ndarray:
    return np.stack([numpy_view(x, p), numpy_view(x, p)])


def pipelines(rounds: int) -> None:
    names = ("ours", "first", "copy", "torch", "numpy", "x torch", "x numpy")
    print(f"{'shape':>12} {'p':>4} " + " ".join(f"{name:>8}" for name in names))
    for shape in SHAPES:
        x = torch.randn(shape)
        array, out = x.numpy(), torch.empty(2, *shape)
        for p in (0.5, 1.0):
            pipeline = augment.presets.simclr_ts(p=p)
            cases: dict[str, Callable[[], object]] = {
                "ours": lambda f=pipeline, x=x: f(x, 2, seed=0),
                "copy": lambda out=out, x=x: out.copy_(x.expand(out.shape)),
                "torch": lambda x=x, p=p: torch_views(x, p),
                "numpy": lambda array=array, p=p: numpy_views(array, p),
            }
            ms = interleaved(cases, rounds)
            ratios = [ms[name] / ms["ours"] for name in ("torch", "numpy")]
            print(
                f"{'x'.join(map(str, shape)):>12} {p:4} {ms['ours']:8.3f} "
                f"{first_call(cases['ours'], rounds):8.3f} {ms['copy']:8.3f} {ms['torch']:8.2f} "
                f"{ms['numpy']:8.1f} {ratios[0]:8.1f} {ratios[1]:8.1f}",
                flush=True,
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


def scaling(threads: int, rounds: int) -> None:
    """The pipeline at one number of elements and several lengths, on one thread and on several."""
    pipeline = augment.presets.simclr_ts(p=1.0)
    batches = {t: torch.randn(1024 * 128 // t, 9, t) for t in (32, 128, 512, 4096)}
    cases: dict[str, Callable[[], object]] = {}
    for t, x in batches.items():
        for count in (1, threads):

            def run(x: Tensor = x, count: int = count) -> None:
                torch.set_num_threads(count)
                pipeline(x, 2, seed=0)

            cases[f"{t} {count}"] = run
    ms = interleaved(cases, rounds)
    for t, x in batches.items():
        one, several = ms[f"{t} 1"], ms[f"{t} {threads}"]
        print(
            f"T={t:5d}: {2e-3 * x.numel() / one:7.1f} million elements written per second on one "
            f"thread ({ms['4096 1'] / one:.2f} of T=4096), x {one / several:.2f} on {threads} "
            f"({ms[f'4096 {threads}'] / several:.2f})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--single", action="store_true", help="single operations and call overhead")
    parser.add_argument("--scaling", action="store_true", help="series lengths and threads")
    parser.add_argument("--fastest", action="store_true", help="least times instead of medians")
    arguments = parser.parse_args()
    global summary
    summary = min if arguments.fastest else statistics.median
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {arguments.threads} threads")
    if arguments.scaling:
        scaling(arguments.threads, arguments.rounds)
    elif arguments.single:
        single_operations(3 * arguments.rounds)
        overhead(arguments.rounds)
    else:
        pipelines(arguments.rounds)


if __name__ == "__main__":
    main()
