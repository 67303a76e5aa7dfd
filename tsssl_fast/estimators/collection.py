"""X as scikit-learn and aeon have it -> series (N, C, T) float64 with their lengths."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data
from torch import Tensor

from tsssl_fast import preprocess
from tsssl_fast.common import checks
from tsssl_fast.data import Scaling

MISSING = ("raise", "linear", "forward_backward", "zero")


class Collection(NamedTuple):
    """x: (N, C, T) float64, finite, 0 beyond the lengths; lengths: (N,) int64, or None for all T.

    listed: X was a list of series; flat: they had no dimension for channels.
    """

    x: Tensor
    lengths: Tensor | None
    listed: bool = False
    flat: bool = False

    def scaling(self, kind: str, group: int) -> Scaling:
        """Fitted on all steps that are no padding, in float64."""
        return Scaling.fit(self.x, kind, group, self.lengths)

    def scaled(self, scaling: Scaling) -> Tensor:
        """(N, C, T) float32: scaled in float64, then rounded."""
        return scaling(self.x).float()


def collection(estimator: Any, X: Any, missing: str, reset: bool) -> Collection:
    """The series of X; of a table, scikit-learn's checks with their attributes and messages.

    | X                                     | series                            |
    | ------------------------------------- | --------------------------------- |
    | array (n, C, T)                       | n of C channels and T steps       |
    | table (n, T): array, DataFrame, lists | n of one channel                  |
    | list of arrays (C, T_i)               | n of C channels, of any length    |
    | list of arrays (T_i,) of any length   | n of one channel, of any length   |

    missing: "raise", or how NaN are filled, within one series and channel: see `data.load`.

    Raises ValueError for another form, other channels or columns than in `fit`, infinite values,
    and NaN without a policy.
    """
    checks.choice("missing", missing, MISSING)
    finite: Any = True if missing == "raise" else "allow-nan"
    if _is_list_of_series(X):
        found = _listed(X, finite)
    elif getattr(X, "ndim", 2) == 3:
        array = check_array(X, dtype=np.float64, allow_nd=True, ensure_all_finite=finite, copy=True)
        if 0 in array.shape:
            raise ValueError(f"X: shape {array.shape}; accepted: (n, C, T) with n, C, T >= 1")
        found = Collection(torch.from_numpy(array), None)
    else:
        table = validate_data(
            estimator, X, reset=reset, dtype=np.float64, ensure_all_finite=finite, copy=True
        )
        found = Collection(torch.from_numpy(np.ascontiguousarray(table))[:, None], None, flat=True)
    if reset:
        estimator.n_channels_in_ = found.x.shape[1]
    elif found.x.shape[1] != estimator.n_channels_in_:
        raise ValueError(
            f"X: {found.x.shape[1]} channels; accepted: {estimator.n_channels_in_}, as in fit"
        )
    return found._replace(x=_filled(found.x, found.lengths, missing))


def _is_list_of_series(X: Any) -> bool:
    """A sequence of (C, T_i), or of (T_i,) that make no table."""
    if not isinstance(X, Sequence) or isinstance(X, str) or len(X) == 0:
        return False
    dimensions = {getattr(row, "ndim", 0) for row in X}
    if dimensions == {2}:
        return True
    return dimensions == {1} and len({len(row) for row in X}) > 1


def _listed(X: Sequence[Any], finite: Any) -> Collection:
    flat = X[0].ndim == 1
    series = [
        check_array(
            np.atleast_2d(np.asarray(row)),
            dtype=np.float64,
            ensure_all_finite=finite,
            input_name=f"X[{number}]",
        )
        for number, row in enumerate(X)
    ]
    if len({len(row) for row in series}) > 1:
        raise ValueError("X: series of different numbers of channels; accepted: the same in all")
    lengths = torch.tensor([row.shape[1] for row in series])
    x = torch.zeros(len(series), len(series[0]), int(lengths.max()), dtype=torch.float64)
    for row, given in zip(x, series, strict=True):
        row[:, : given.shape[1]] = torch.from_numpy(given)
    unequal = lengths if bool((lengths != x.shape[2]).any()) else None
    return Collection(x, unequal, listed=True, flat=flat)


def _filled(x: Tensor, lengths: Tensor | None, missing: str) -> Tensor:
    if missing == "raise" or not torch.isnan(x).any():
        return x
    if missing != "zero":
        x = preprocess.fill_missing(x, method=missing, lengths=lengths)
    return torch.nan_to_num(x, nan=0.0)  # a channel without any value
