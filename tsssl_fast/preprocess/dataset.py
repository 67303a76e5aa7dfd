"""What is learnt from a training set and applied to others: scikit-learn on (N, C, T) series.

Needs scikit-learn (extra `train`). Fit on the training set, then transform everything:

    scaler = ChannelTransform(sklearn.preprocessing.StandardScaler()).fit(train)
    train, test = scaler.transform(train), scaler.transform(test)
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tsssl_fast.augment import inputs, validation
from tsssl_fast.common import checks


class ChannelTransform:
    """A scikit-learn transformer with channels as features and time steps as observations.

    For StandardScaler, MinMaxScaler, RobustScaler, and for KNNImputer, which fills a missing
    channel from the steps whose other channels are alike.

    Args:
        transformer: anything with fit and transform on (observations, features) that keeps their
            number.
    """

    def __init__(self, transformer: Any) -> None:
        self.transformer = transformer
        self._channels: int | None = None

    def fit(self, x: Tensor) -> "ChannelTransform":
        """x: (N, C, T). Returns itself."""
        self.transformer.fit(self._table(x))
        self._channels = x.shape[1]
        return self

    def transform(self, x: Tensor) -> Tensor:
        """(N, C, T) -> (N, C, T) in the dtype of x, on its device.

        Raises ValueError before fit, or for another number of channels.
        """
        table = self._table(x)
        if self._channels is None or x.shape[1] != self._channels:
            known = "call fit first" if self._channels is None else f"C = {self._channels}"
            raise ValueError(f"x: shape {tuple(x.shape)}; accepted: {known}")
        y = np.asarray(self.transformer.transform(table))
        n, c, t = x.shape
        return torch.from_numpy(y).reshape(n, t, c).transpose(1, 2).to(x).contiguous()

    @staticmethod
    def _table(x: Tensor) -> np.ndarray:
        checks.floating("x", x)
        inputs.check_series(x, "NCT")
        return x.detach().cpu().double().transpose(1, 2).reshape(-1, x.shape[1]).numpy()


def uncorrelated_features(features: Tensor, *, threshold: float = 0.95) -> Tensor:
    """Numbers of the columns that remain when every pair above the threshold loses its second.

    Args:
        features: (N, D) of the training set, N >= 2.
        threshold: of the absolute correlation, in (0, 1].

    Returns:
        (K,) int64, ascending. Columns are taken in order; one is dropped if its correlation with a
        column that is kept exceeds the threshold. Constant columns are dropped.
    """
    checks.matrix("features", features)
    validation.interval("threshold", validation.number("threshold", threshold), 0, 1, open_low=True)
    if len(features) < 2:
        raise ValueError(f"features: shape {tuple(features.shape)}; accepted: (N, D) with N >= 2")
    x = features.detach().cpu().double()
    x = x - x.mean(0)
    norm = torch.linalg.vector_norm(x, dim=0)
    x = x / torch.where(norm > 0, norm, 1.0)
    correlation = (x.T @ x).abs()
    kept: list[int] = []
    for i in range(x.shape[1]):
        if norm[i] > 0 and not bool((correlation[i, kept] > threshold).any()):
            kept.append(i)
    return torch.tensor(kept, dtype=torch.int64)
