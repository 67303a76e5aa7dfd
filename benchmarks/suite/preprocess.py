"""Preprocessing along time: this package, vectorised torch, and numpy row by row.

The truth is numpy's in float64: what all of them compute is the same.
"""

from collections.abc import Callable

import numpy as np
import torch
from registry import Case, Inputs
from torch import Tensor

from suite.common import backends, forward, series
from tsssl_fast import preprocess

SHAPE = (256, 9, 512)
WINDOW = 5
Rows = Callable[[np.ndarray], np.ndarray]
WHOLE = series(SHAPE)


def with_gaps() -> Inputs:
    """One value in ten is missing, ends included."""
    (x,) = WHOLE()
    missing = torch.rand(SHAPE, generator=torch.Generator().manual_seed(1)) < 0.1
    return (x.masked_fill(missing, torch.nan),)


def numpy_fill(row: np.ndarray) -> np.ndarray:
    known = np.flatnonzero(~np.isnan(row))
    return np.interp(np.arange(len(row)), known, row[known])


def eager_fill(x: Tensor) -> Tensor:
    """Between the last known step and the next, found by running maxima."""
    steps = torch.arange(x.shape[-1]).expand(x.shape)
    known, end = ~x.isnan(), x.shape[-1]
    left = steps.masked_fill(~known, -1).cummax(-1).values
    right = steps.masked_fill(~known, end).flip(-1).cummin(-1).values.flip(-1)
    left, right = torch.where(left < 0, right, left), torch.where(right == end, left, right)
    a, b = x.gather(-1, left), x.gather(-1, right)
    return a + (b - a) * (steps - left) / (right - left).clamp_min(1)


def numpy_standardize(row: np.ndarray) -> np.ndarray:
    return (row - row.mean()) / row.std()


def eager_standardize(x: Tensor) -> Tensor:
    return (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True, correction=0)


def numpy_minmax(row: np.ndarray) -> np.ndarray:
    return (row - row.min()) / (row.max() - row.min())


def eager_minmax(x: Tensor) -> Tensor:
    low, high = x.aminmax(dim=-1, keepdim=True)
    return (x - low) / (high - low)


def numpy_average(row: np.ndarray) -> np.ndarray:
    ones = np.ones(WINDOW)
    return np.convolve(row, ones, mode="same") / np.convolve(np.ones_like(row), ones, mode="same")


def eager_average(x: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool1d(
        x, WINDOW, stride=1, padding=WINDOW // 2, count_include_pad=False
    )


def numpy_clip(row: np.ndarray) -> np.ndarray:
    low, high = np.percentile(row, (25, 75))
    reach = 1.5 * (high - low)
    return np.clip(row, low - reach, high + reach)


def eager_clip(x: Tensor) -> Tensor:
    low, high = x.quantile(torch.tensor([0.25, 0.75], dtype=x.dtype), dim=-1, keepdim=True)
    reach = 1.5 * (high - low)
    return x.clamp(low - reach, high + reach)


def make(
    operator: str,
    ours: Callable[[Tensor], Tensor],
    eager: Callable[[Tensor], Tensor],
    row: Rows,
    inputs: Callable[[], Inputs] = WHOLE,
    quick: bool = False,
) -> Case:
    def in_numpy(x: Tensor) -> Tensor:
        array = x.numpy()
        return torch.from_numpy(np.apply_along_axis(row, -1, array).astype(array.dtype))

    return Case(
        family="preprocess",
        operator=operator,
        shape=SHAPE,
        inputs=inputs,
        truth=lambda inputs: (in_numpy(inputs[0].double()),),
        providers={
            **backends(forward(ours)),
            "eager": forward(eager),
            "numpy": forward(in_numpy),
        },
        baseline="eager",
        factor=1.0,
        quick=quick,
    )


CASES = [
    make(
        "fill_missing linear",
        lambda x: preprocess.fill_missing(x, method="linear"),
        *(eager_fill, numpy_fill, with_gaps),
        quick=True,
    ),
    make("standardize", preprocess.standardize, eager_standardize, numpy_standardize, quick=True),
    make("minmax", preprocess.minmax, eager_minmax, numpy_minmax),
    make(
        "moving_average",
        lambda x: preprocess.moving_average(x, WINDOW),
        *(eager_average, numpy_average),
    ),
    make(
        "clip_outliers iqr",
        lambda x: preprocess.clip_outliers(x, method="iqr"),
        *(eager_clip, numpy_clip),
    ),
]
