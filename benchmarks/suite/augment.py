"""The seven-operation SimCLR-TS pipeline, two views, and its operations one by one: this package,
vectorised torch, and numpy series by series as published snippets write it.

All draw per sample, each by a generator of its own, so that only this package's backends can be
held to the definition in float64. `copy` writes the series once a view: the floor of memory.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from registry import BACKENDS, Case, Inputs, Provider
from torch import Tensor

from suite.common import backends, compiled_by_torch, forward, series
from tsssl_fast import augment
from tsssl_fast.ops.augment import spec

SHAPES = ((256, 9, 128), (256, 3, 315), (1024, 9, 128))
Operation = Callable[[Tensor], Tensor]


def flip(x: Tensor) -> Tensor:
    return x.flip(-1)


def blockout(x: Tensor) -> Tensor:
    n, _, t = x.shape
    length, steps = int(0.1 * t + 0.5), torch.arange(t)
    start = torch.randint(0, t - length + 1, (n, 1, 1))
    return x.masked_fill((steps >= start) & (steps < start + length), 0.0)


def noise(x: Tensor) -> Tensor:
    return x + (torch.rand_like(x) * 2 - 1) * 0.1 * x.std(-1, correction=0, keepdim=True)


def resampled(x: Tensor, position: Tensor) -> Tensor:
    n, c, t = x.shape
    left = position.long().clamp(0, t - 2)
    weight = (position - left)[:, None]
    left = left[:, None].expand(n, c, t)
    a, b = x.gather(-1, left), x.gather(-1, left + 1)
    return a + weight * (b - a)


def crop_resize(x: Tensor) -> Tensor:
    n, _, t = x.shape
    crop = (0.5 + 0.5 * torch.rand(n, 1)) * t
    first = torch.rand(n, 1) * (t - crop)
    return resampled(x, first + torch.arange(t) * (crop - 1) / (t - 1))


def magnitude_warp(x: Tensor) -> Tensor:
    n, c, t = x.shape
    periods, theta = 1 + 2 * torch.rand(n, 1, 1), torch.rand(n, c, 1)
    phase = periods * torch.arange(t) / t + theta
    return x * (1 + 0.1 * torch.sin(2 * torch.pi * phase))


def time_warp(x: Tensor) -> Tensor:
    n, _, t = x.shape
    speed = 1 + 0.5 * (2 * torch.rand(n, 1, 6) - 1)
    speed = torch.nn.functional.interpolate(speed, t - 1, mode="linear", align_corners=True)[:, 0]
    tau = torch.nn.functional.pad(speed.cumsum(-1), (1, 0))
    return resampled(x, tau / tau[:, -1:] * (t - 1))


def smooth(x: Tensor) -> Tensor:
    s = 0.5 * torch.rand(len(x), 1, 1)
    padded = torch.nn.functional.pad(x, (1, 1), mode="replicate")
    return (1 - s) * x + s / 2 * (padded[..., :-2] + padded[..., 2:])


def torch_view(x: Tensor, p: float) -> Tensor:
    """One view in vectorised torch: a coin and parameters per sample."""
    for operation in (flip, blockout, noise, crop_resize, magnitude_warp, time_warp, smooth):
        x = torch.where(torch.rand(len(x), 1, 1) < p, operation(x), x)
    return x


def torch_views(x: Tensor, p: float) -> Tensor:
    return torch.stack([torch_view(x, p), torch_view(x, p)])


# As published snippets write it: one series at a time, its parameters, and numpy's old generator.
# Four take (C, T); the others raise on two dimensions, so `rows` calls them channel by channel.
random = np.random.RandomState(0)


def numpy_flip(series: np.ndarray) -> np.ndarray:
    return np.flip(series, axis=1)


def numpy_blockout(series: np.ndarray, ratio: float = 0.1) -> np.ndarray:
    size = int(series.shape[1] * ratio)
    start = random.randint(0, series.shape[1] - size)
    series = series.copy()
    series[:, start : start + size] = 0
    return series


def numpy_noise(series: np.ndarray, factor: float = 0.1) -> np.ndarray:
    drawn = random.uniform(-1, 1, series.shape)
    return series + drawn * np.std(series, axis=1, keepdims=True) * factor


def numpy_magnitude_warp(series: np.ndarray, magnitude: float = 0.1) -> np.ndarray:
    return series * (1 + random.uniform(-magnitude, magnitude))


def numpy_crop(row: np.ndarray) -> np.ndarray:
    length = len(row) // 2
    start = random.randint(0, len(row) - length + 1)
    cropped = np.zeros_like(row)
    cropped[start : start + length] = row[start : start + length]
    return cropped


def numpy_time_warp(row: np.ndarray, factor: float = 0.2) -> np.ndarray:
    index = np.arange(len(row))
    return np.interp(index + random.uniform(0, factor, size=len(row)), index, row)


def numpy_smooth(row: np.ndarray, window: int = 3) -> np.ndarray:
    return np.convolve(row, np.ones(window) / window, mode="same")


def rows(operation: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda series: np.stack([operation(row) for row in series])


SNIPPETS = (
    *(numpy_flip, numpy_blockout, numpy_noise, rows(numpy_crop)),
    *(numpy_magnitude_warp, rows(numpy_time_warp), rows(numpy_smooth)),
)


def numpy_view(x: np.ndarray, p: float) -> np.ndarray:
    views = []
    for one in x:
        for operation in SNIPPETS:
            if p == 1 or random.rand() < p:
                one = operation(one)
        views.append(one)
    return np.stack(views)


def numpy_views(x: np.ndarray, p: float) -> np.ndarray:
    return np.stack([numpy_view(x, p), numpy_view(x, p)])


def in_numpy(function: Callable[[np.ndarray], np.ndarray]) -> Provider:
    return forward(lambda x: torch.from_numpy(function(x.numpy())))


def make(
    operator: str,
    shape: tuple[int, int, int],
    transform: Any,
    views: int,
    others: dict[str, Provider],
    bars: dict[str, float] | None = None,
    quick: bool = False,
) -> Case:
    def drawn(x: Tensor, backend: str | None = None) -> Tensor:
        out: Tensor = transform(x, views=views, seed=0, backend=backend)
        return out

    def copy(inputs: Inputs) -> Any:
        out = torch.empty(views, *shape)
        return lambda: (out.copy_(inputs[0].expand(out.shape)),)

    return Case(
        family="augment",
        operator=operator,
        shape=shape,
        inputs=series(shape),
        truth=lambda inputs: (drawn(inputs[0].double(), "reference"),),
        providers={**backends(forward(drawn)), **others, "copy": copy},
        baseline="eager",
        rounding="reference",
        judged=frozenset(BACKENDS),
        factor=spec.ERROR_FACTOR,
        bars=bars or {},
        quick=quick,
    )


def pipeline(shape: tuple[int, int, int], p: float, quick: bool = False) -> Case:
    def eager(x: Tensor) -> Tensor:
        return torch_views(x, p)

    others = {
        "eager": forward(eager),
        "compiled": lambda inputs: forward(compiled_by_torch(eager))(inputs),
        "numpy": in_numpy(lambda x: numpy_views(x, p)),
    }
    return make(f"views p={p:g}", shape, augment.presets.simclr_ts(p=p), 2, others, quick=quick)


SINGLE: tuple[tuple[Any, Operation, Callable[[np.ndarray], np.ndarray]], ...] = (
    (augment.TimeFlip(), flip, SNIPPETS[0]),
    (augment.Blockout(), blockout, SNIPPETS[1]),
    (augment.RandomNoise(), noise, SNIPPETS[2]),
    (augment.CropResize(), crop_resize, SNIPPETS[3]),
    (augment.MagnitudeWarp(), magnitude_warp, SNIPPETS[4]),
    (augment.TimeWarp(), time_warp, SNIPPETS[5]),
    (augment.Smooth(), smooth, SNIPPETS[6]),
)


def single(transform: Any, eager: Operation, snippet: Callable[[np.ndarray], np.ndarray]) -> Case:
    def snippets(x: np.ndarray) -> np.ndarray:
        return np.stack([snippet(series) for series in x])

    others = {"eager": forward(eager), "numpy": in_numpy(snippets)}
    return make(type(transform).__name__, SHAPES[0], transform, 1, others)


CASES = [pipeline(shape, p, quick=shape == SHAPES[0]) for shape in SHAPES for p in (0.5, 1.0)]
CASES += [pipeline((1, 3, 64), 0.5)]
CASES += [single(*operation) for operation in SINGLE]
