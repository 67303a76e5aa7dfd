"""Common to the calls of the Numba kernels: places of rows, layouts of tiles."""

from functools import lru_cache

import numpy as np

from tsssl_fast.ops.contrastive.numba.kernels.problem import Layout


def _places(size: int, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of the first and of the second view (-1: padding), and every row's positive."""
    begin = 2 * size * np.arange(len(lengths))
    step = np.arange(size)
    first = np.where(step < lengths[:, None], begin[:, None] + step, -1)
    second = np.where(step < lengths[:, None], first + lengths[:, None], -1)
    partner = np.full(2 * first.size, -1)
    live = first >= 0
    partner[first[live]], partner[second[live]] = second[live], first[live]
    return first.ravel(), second.ravel(), partner


@lru_cache(16)
def whole(groups: int, size: int) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], Layout]:
    """Of groups without padding: kept, because making it takes longer than the loss of 64 rows."""
    lengths = np.full(groups, size)
    return _places(size, lengths), Layout(2 * size * np.arange(groups), 2 * lengths, 0)


@lru_cache(16)
def _layout(rows: int, columns: int) -> Layout:
    return Layout(np.zeros(1, int), np.array([rows]), columns)
