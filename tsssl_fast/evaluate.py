"""What a frozen encoder's features are worth: linear probe and nearest neighbours, by scikit-learn.

Hyper-parameters are chosen by cross-validation inside the train split; the test split is only
scored. scikit-learn runs on one thread: a probe of 7352 x 256 features takes 19 s so, and took 242
s with two threads on two busy cores; and one thread gives the same digits everywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tsssl_fast import _checks
from tsssl_fast.data import Dataset

__all__ = ["Probes", "Result", "features", "knn_classify", "linear_probe", "probe"]

# The linear probe's inverse regularisation strength. Where several are equally good, which is
# common with few rows, the search takes the first: the usual 1, and not the extreme 0.001.
C_GRID = (1.0, 0.1, 10.0, 0.01, 0.001)
K_GRID = (1, 3, 5, 10, 20, 50)
FOLDS = 5


@dataclass(frozen=True)
class Result:
    """accuracy: on the test rows, in [0, 1]; predictions: (N_test,) int64; chosen: C or k."""

    accuracy: float
    predictions: np.ndarray
    chosen: float


def features(encoder: nn.Module, x: Tensor, batch_size: int = 512) -> Tensor:
    """(N, C, T) -> (N, F) float32: the encoder in evaluation mode, without gradient.

    The encoder's mode is restored afterwards. x is moved to the encoder's device, batch by batch.
    """
    _checks.floating("x", x)
    if x.dim() != 3 or len(x) == 0:
        raise ValueError(f"x: shape {tuple(x.shape)}; accepted: (N, C, T) with N >= 1")
    device = next((p.device for p in encoder.parameters()), x.device)
    training = encoder.training
    encoder.eval()
    try:
        with torch.inference_mode():
            parts = [encoder(part.to(device)).float().cpu() for part in x.split(batch_size)]
    finally:
        encoder.train(training)
    return torch.cat(parts)


def linear_probe(
    train_z: Tensor,
    train_y: Tensor,
    test_z: Tensor,
    test_y: Tensor,
    *,
    groups: Tensor | None = None,
) -> Result:
    """Logistic regression on standardised features, C by cross-validation inside the train rows.

    Args:
        train_z, test_z: (N, F) and (M, F) features; train_y, test_y: (N,) and (M,) int64 labels.
        groups: (N,) int64 or None; rows of a group (a subject) never stand on both sides of a fold.

    Five stratified folds, fewer where a class has fewer rows; with one row in a class, C = 1
    without cross-validation. Raises ValueError for mismatched shapes, non-finite features or a
    single class.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    _check(train_z, train_y, test_z, test_y)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=2000))
    return _search(model, "logisticregression__C", C_GRID, train_z, train_y, test_z, test_y, groups)


def knn_classify(
    train_z: Tensor,
    train_y: Tensor,
    test_z: Tensor,
    test_y: Tensor,
    *,
    k: int | None = None,
    temperature: float = 0.07,
    groups: Tensor | None = None,
) -> Result:
    """The k nearest train rows by cosine vote with weight exp(cosine / temperature).

    Source: Wu et al., Instance Discrimination, CVPR 2018.

    Args:
        k: neighbours, at most N; None chooses among 1 to 50 by cross-validation inside the train
        rows. The rest as in `linear_probe`.
    """
    from sklearn.neighbors import KNeighborsClassifier

    _check(train_z, train_y, test_z, test_y)
    temperature = _checks.positive("temperature", temperature)
    if k is not None and not 1 <= k <= len(train_z):
        raise ValueError(f"k: {k}; accepted: 1 to {len(train_z)}, the train rows")

    def weights(distance: np.ndarray) -> np.ndarray:
        # exp(cosine / t) up to a factor per row: the nearest weighs 1, so no row underflows
        nearest = distance.min(axis=1, keepdims=True)
        weight: np.ndarray = np.exp((nearest - distance) / temperature)
        return weight

    model = KNeighborsClassifier(n_neighbors=1, metric="cosine", algorithm="brute", weights=weights)
    fold_rows = len(train_z) - -(-len(train_z) // 2)  # a fold's train side holds at least half
    grid = (k,) if k else tuple(n for n in K_GRID if n <= max(1, fold_rows))
    return _search(model, "n_neighbors", grid, train_z, train_y, test_z, test_y, groups)


def _check(train_z: Tensor, train_y: Tensor, test_z: Tensor, test_y: Tensor) -> None:
    for name, z, y in (("train", train_z, train_y), ("test", test_z, test_y)):
        _checks.matrix(f"{name}_z", z)
        if y.shape != z.shape[:1] or y.is_floating_point():
            raise ValueError(
                f"{name}_y: {y.dtype} {tuple(y.shape)}; accepted: integers ({len(z)},) as {name}_z"
            )
        if not torch.isfinite(z).all():
            raise ValueError(f"{name}_z: holds NaN or infinite values; accepted: finite features")
    if train_z.shape[1] != test_z.shape[1]:
        raise ValueError(
            f"test_z: {test_z.shape[1]} features; accepted: {train_z.shape[1]} as train_z"
        )
    if len(train_y.unique()) < 2:
        raise ValueError("train_y: a single class; accepted: two or more")


def _search(
    model: Any,
    parameter: str,
    grid: tuple[float, ...],
    train_z: Tensor,
    train_y: Tensor,
    test_z: Tensor,
    test_y: Tensor,
    groups: Tensor | None,
) -> Result:
    """Fits `model` with the parameter of the best cross-validated accuracy, then predicts."""
    from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, StratifiedKFold
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    z, y = train_z.numpy(), train_y.numpy()
    folds = min(FOLDS, int(np.unique(y, return_counts=True)[1].min()))
    group_ids = None if groups is None else groups.numpy()
    if group_ids is not None:
        folds = min(folds, len(np.unique(group_ids)))
    with threadpool_limits(1):
        if len(grid) == 1 or folds < 2:
            chosen = grid[0] if len(grid) == 1 or parameter == "n_neighbors" else 1.0
            model.set_params(**{parameter: chosen}).fit(z, y)
        else:
            kind = StratifiedKFold if group_ids is None else StratifiedGroupKFold
            split = kind(folds, shuffle=True, random_state=0)
            search = GridSearchCV(model, {parameter: list(grid)}, cv=split)
            search.fit(z, y, groups=group_ids)
            model, chosen = search.best_estimator_, search.best_params_[parameter]
        predictions = model.predict(test_z.numpy())
    return Result(float((predictions == test_y.numpy()).mean()), predictions, float(chosen))


@dataclass(frozen=True)
class Probes:
    """What one encoder reaches on one data set; the features are (N, F) float32."""

    knn: Result
    linear: Result
    train_features: Tensor
    test_features: Tensor


def probe(encoder: nn.Module, scaling: Callable[[Tensor], Tensor], data: Dataset) -> Probes:
    """Both read-outs of a frozen encoder on the scaled series of a labelled data set."""
    train, test = (features(encoder, scaling(x)) for x in (data.x_train, data.x_test))
    split = (train, data.y_train, test, data.y_test)
    return Probes(
        knn_classify(*split, groups=data.groups),
        linear_probe(*split, groups=data.groups),
        train,
        test,
    )
