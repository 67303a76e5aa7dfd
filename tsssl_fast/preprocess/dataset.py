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
from tsssl_fast.backends.precision import host_of
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


def inlying_series(
    x: Tensor,
    *,
    method: str = "zscore",
    factor: float | None = None,
    reference: Tensor | None = None,
) -> Tensor:
    """Which series have no outlying value, so that the others can be removed.

    Args:
        x: (N, C, T); NaN is no outlier.
        method: borders of a channel, over all series and steps: "zscore", mean +- factor * std
            (default 3), std over their number; "iqr", q1 - factor * (q3 - q1) and
            q3 + factor * (q3 - q1) (default 1.5), quantiles interpolated linearly.
        factor: > 0.
        reference: (M, C, T'), where the borders come from: the training set; None: x.

    Returns:
        (N,) bool. `clip_outliers` keeps all series and moves values.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    table = ChannelTransform._table(x if reference is None else reference)
    if table.shape[1] != x.shape[1]:
        raise ValueError(f"reference: {table.shape[1]} channels; accepted: {x.shape[1]} as x")
    checks.choice("method", method, ("zscore", "iqr"))
    wide = checks.positive(
        "factor", {"zscore": 3.0, "iqr": 1.5}[method] if factor is None else factor
    )
    if method == "zscore":
        middle, spread = np.nanmean(table, 0), np.nanstd(table, 0)
        low, high = middle - wide * spread, middle + wide * spread
    else:
        q1, q3 = np.nanquantile(table, [0.25, 0.75], axis=0)
        low, high = q1 - wide * (q3 - q1), q3 + wide * (q3 - q1)
    own = x.to(host_of(x)).double()
    lower, upper = (torch.from_numpy(v).to(own.device)[:, None] for v in (low, high))
    outside = (own < lower) | (own > upper)
    return ~outside.flatten(1).any(1).to(x.device)


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
