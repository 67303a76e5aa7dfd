"""Train rows that play the test rows while a recipe is chosen."""

from dataclasses import replace
from typing import Any

import torch
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from tsssl_fast.data import Dataset


def held_out(data: Dataset, seed: int) -> Dataset:
    """Two thirds of the train rows to learn from, the last third as test rows."""
    folds: Any = StratifiedKFold if data.groups is None else StratifiedGroupKFold
    split = folds(3, shuffle=True, random_state=seed).split(data.y_train, data.y_train, data.groups)
    learn, judge = map(torch.from_numpy, next(split))
    return replace(
        data,
        x_train=data.x_train[learn],
        y_train=data.y_train[learn],
        x_test=data.x_train[judge],
        y_test=data.y_train[judge],
        groups=None if data.groups is None else data.groups[learn],
    )
