"""Regression targets from frozen features, by scikit-learn."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from tsssl_fast.common import checks
from tsssl_fast.data import Dataset
from tsssl_fast.evaluate.features import of_splits
from tsssl_fast.evaluate.probes import ALPHA_GRID, FOLDS


def regression(
    encoder: nn.Module, scaling: Callable[[Tensor], Tensor], data: Dataset
) -> "Regression":
    """Ridge regression on a frozen encoder's features of the scaled series of a data set.

    Args:
        encoder: (N, C, T) -> (N, F).
        scaling: (N, C, T) -> (N, C, T), of the train split.
        data: whose y are targets, (N,) floating.

    Raises ValueError as `ridge_regression`.
    """
    train, test = of_splits(encoder, scaling, data)
    return ridge_regression(train, data.y_train, test, data.y_test, groups=data.groups)


@dataclass(frozen=True)
class Regression:
    """Errors on the test rows: root mean square, mean absolute, and R2, the share of the targets'
    variance that is explained (0: no better than their mean). predictions: (N_test,) float64;
    chosen: alpha.
    """

    rmse: float
    mae: float
    r2: float
    predictions: np.ndarray
    chosen: float


def ridge_regression(
    train_z: Tensor,
    train_y: Tensor,
    test_z: Tensor,
    test_y: Tensor,
    *,
    groups: Tensor | None = None,
) -> Regression:
    """Ridge regression on standardised features; alpha among 10^-3 to 10^6 by cross-validation.

        min_w ||y - z w||^2 + alpha ||w||^2

    Source: Hoerl and Kennard, Technometrics 1970.

    Args:
        train_z, test_z: (N, F) and (M, F) features; train_y, test_y: (N,) and (M,) float targets.
        groups: (N,) int64 or None; rows of a group (a subject) never stand on both sides of a fold.

    Raises TypeError, ValueError for features or targets of another kind or shape, or fewer than two
    train rows. R2 of a single test row is NaN.
    """
    from scipy.linalg import LinAlgWarning
    from sklearn.linear_model import Ridge
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
    from sklearn.model_selection import GridSearchCV, GroupKFold, KFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    for name, z, y in (("train", train_z, train_y), ("test", test_z, test_y)):
        checks.matrix(f"{name}_z", z)
        if y.shape != z.shape[:1] or not y.is_floating_point():
            raise ValueError(f"{name}_y: {y.dtype} {tuple(y.shape)}; accepted: floats ({len(z)},)")
        if not (torch.isfinite(z).all() and torch.isfinite(y).all()):
            raise ValueError(f"{name}: holds NaN or infinite values; accepted: finite numbers")
    if train_z.shape[1] != test_z.shape[1] or len(train_z) < 2:
        raise ValueError(
            f"test_z: {test_z.shape[1]} features; accepted: {train_z.shape[1]} as train_z, of two "
            "rows or more"
        )
    features, wanted = train_z.numpy(), train_y.double().numpy()
    ids = None if groups is None else groups.numpy()
    folds = min(FOLDS, len(features) if ids is None else len(np.unique(ids)))
    model = make_pipeline(StandardScaler(), Ridge())
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", LinAlgWarning)
        chosen = 1.0
        if folds > 1:
            split = KFold(folds, shuffle=True, random_state=0) if ids is None else GroupKFold(folds)
            search = GridSearchCV(
                model,
                {"ridge__alpha": list(ALPHA_GRID)},
                cv=split,
                scoring="neg_root_mean_squared_error",
            )
            chosen = search.fit(features, wanted, groups=ids).best_params_["ridge__alpha"]
        model.set_params(ridge__alpha=chosen).fit(features, wanted)
        predictions = model.predict(test_z.numpy())
    targets = test_y.double().numpy()
    return Regression(
        float(root_mean_squared_error(targets, predictions)),
        float(mean_absolute_error(targets, predictions)),
        float(r2_score(targets, predictions)) if len(targets) > 1 else float("nan"),
        predictions,
        float(chosen),
    )
