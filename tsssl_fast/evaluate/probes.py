"""Read-outs of frozen features: linear, ridge, RBF-SVM, weighted neighbours, by scikit-learn.

Hyper-parameters are chosen by cross-validation inside the train split; the test split is only
scored. scikit-learn runs on one thread: a probe of 7352 x 256 features takes 19 s so, and took 242
s with two threads on two busy cores; and one thread gives the same digits everywhere.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tsssl_fast.common import checks
from tsssl_fast.data import Dataset
from tsssl_fast.evaluate.features import of_splits
from tsssl_fast.evaluate.labels import stratified

# The linear probe's inverse regularisation strength. Where several are equally good, which is
# common with few rows, the search takes the first: the usual 1, and not the extreme 0.001.
C_GRID = (1.0, 0.1, 10.0, 0.01, 0.001)
K_GRID = (1, 3, 5, 10, 20, 50)
ALPHA_GRID = tuple(10.0**i for i in range(-3, 7))
# TS2Vec's protocol (Yue et al., AAAI 2022): these C by five folds, without a search below 50 rows
# or 5 rows a class, and at most 10,000 training rows.
SVM_GRID = (*(10.0**i for i in range(-4, 5)), math.inf)
SVM_LEAST_ROWS, SVM_LEAST_PER_CLASS, SVM_MOST_ROWS = 50, 5, 10_000
# Stands for an infinite C, with the same bits where the solver ends: it has no end, or no finite
# coefficients, where the kernel can not tell rows of two classes apart.
SVM_INFINITE = 1e10
FOLDS = 5


@dataclass(frozen=True)
class Result:
    """accuracy: on the test rows, in [0, 1]; predictions: (N_test,) int64; chosen: C, alpha or k.

    scores: (N_test, K), the larger the likelier: probabilities of the linear probe and of kNN,
    decision values of ridge and SVM; classes: the K labels of the train rows, ascending;
    validation: accuracy with `chosen` over the folds inside the train rows, NaN without a search.
    """

    accuracy: float
    predictions: np.ndarray
    chosen: float
    scores: np.ndarray
    classes: tuple[int, ...]
    validation: float = math.nan


def linear_probe(
    train_z: Tensor,
    train_y: Tensor,
    test_z: Tensor,
    test_y: Tensor,
    *,
    grid: Sequence[float] = C_GRID,
    folds: int = FOLDS,
    groups: Tensor | None = None,
) -> Result:
    """Logistic regression on standardised features, C by cross-validation inside the train rows.

    Args:
        train_z, test_z: (N, F) and (M, F) features; train_y, test_y: (N,) and (M,) int64 labels.
        grid: values of C > 0; folds: stratified ones, 2 or more.
        groups: (N,) int64 or None; rows of a group (a subject) never stand on both sides of a fold.

    Fewer folds where a class has fewer rows; with one row in a class, C = 1 without
    cross-validation. Raises ValueError for mismatched shapes, non-finite features or a
    single class.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    _check(train_z, train_y, test_z, test_y)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=2000))
    name = "logisticregression__C"
    return _search(model, name, _positive(grid), train_z, train_y, test_z, test_y, groups, folds)


def _positive(grid: Sequence[float]) -> tuple[float, ...]:
    if not grid or not all(c > 0 for c in grid):
        raise ValueError(f"grid: {tuple(grid)}; accepted: one or more numbers > 0")
    return tuple(grid)


def ridge_probe(
    train_z: Tensor,
    train_y: Tensor,
    test_z: Tensor,
    test_y: Tensor,
    *,
    groups: Tensor | None = None,
) -> Result:
    """Ridge regression to one-against-rest targets -1 and 1, on standardised features.

    alpha is chosen among 10^-3 to 10^6 by cross-validation. A closed form: on 7352 x 256 features a
    fiftieth of the time of `linear_probe`. Arguments and errors as there.
    """
    from sklearn.linear_model import RidgeClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    _check(train_z, train_y, test_z, test_y)
    model = make_pipeline(StandardScaler(), RidgeClassifier())
    name = "ridgeclassifier__alpha"
    return _search(model, name, ALPHA_GRID, train_z, train_y, test_z, test_y, groups)


def svm_probe(
    train_z: Tensor,
    train_y: Tensor,
    test_z: Tensor,
    test_y: Tensor,
    *,
    grid: Sequence[float] = SVM_GRID,
    folds: int = FOLDS,
    groups: Tensor | None = None,
    seed: int = 0,
) -> Result:
    """A support vector machine with an RBF kernel on the raw features, after TS2Vec's protocol.

    gamma = 1 / (F var(z)). C is chosen in `grid` by five-fold cross-validation; with fewer than 50
    train rows, or fewer than 5 per class on average, C is infinite without a search. Of more than
    10,000 train rows, a stratified sample of 10,000 drawn by `seed` is used.

    Source: Yue et al., TS2Vec, AAAI 2022. Deviation: folds are shuffled, and keep groups together.
    Other arguments and errors as in `linear_probe`.
    """
    from sklearn.svm import SVC

    _check(train_z, train_y, test_z, test_y)
    grid = _positive(grid)
    if len(train_z) > SVM_MOST_ROWS:
        rows = stratified(train_y, SVM_MOST_ROWS / len(train_y), seed)[:SVM_MOST_ROWS]
        train_z, train_y = train_z[rows], train_y[rows]
        groups = None if groups is None else groups[rows]
    per_class = len(train_z) // len(train_y.unique())
    if len(train_z) < SVM_LEAST_ROWS or per_class < SVM_LEAST_PER_CLASS:
        grid = (math.inf,)
    grid = tuple(SVM_INFINITE if math.isinf(c) else c for c in grid)
    model = SVC(kernel="rbf", gamma="scale", decision_function_shape="ovr")
    found = _search(model, "C", grid, train_z, train_y, test_z, test_y, groups, folds)
    return replace(found, chosen=math.inf) if found.chosen == SVM_INFINITE else found


def knn_classify(
    train_z: Tensor,
    train_y: Tensor,
    test_z: Tensor,
    test_y: Tensor,
    *,
    k: int | None = None,
    temperature: float = 0.07,
    standardize: bool = False,
    folds: int = FOLDS,
    groups: Tensor | None = None,
) -> Result:
    """The k nearest train rows by cosine vote with weight exp(cosine / temperature).

    Source: Wu et al., Instance Discrimination, CVPR 2018.

    Args:
        k: neighbours, at most N; None chooses among 1 to 50 by cross-validation inside the train
        rows.
        standardize: features to mean 0 and deviation 1 over the train rows first, so that no level
            of several concatenated ones outweighs the others.
    The rest as in `linear_probe`.
    """
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.preprocessing import StandardScaler

    _check(train_z, train_y, test_z, test_y)
    temperature = checks.positive("temperature", temperature)
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
    if standardize:
        scaler = StandardScaler().fit(train_z.numpy())
        train_z, test_z = (torch.from_numpy(scaler.transform(z.numpy())) for z in (train_z, test_z))
    return _search(model, "n_neighbors", grid, train_z, train_y, test_z, test_y, groups, folds)


def _check(train_z: Tensor, train_y: Tensor, test_z: Tensor, test_y: Tensor) -> None:
    for name, z, y in (("train", train_z, train_y), ("test", test_z, test_y)):
        checks.matrix(f"{name}_z", z)
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
    folds: int = FOLDS,
) -> Result:
    """Fits `model` with the parameter of the best cross-validated accuracy, then predicts."""
    from scipy.linalg import LinAlgWarning
    from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, StratifiedKFold
    from threadpoolctl import threadpool_limits

    z, y = train_z.numpy(), train_y.numpy()
    if folds < 2:
        raise ValueError(f"folds: {folds}; accepted: 2 or more")
    folds = min(folds, int(np.unique(y, return_counts=True)[1].min()))
    group_ids = None if groups is None else groups.numpy()
    if group_ids is not None:
        folds = min(folds, len(np.unique(group_ids)))
    validation = math.nan
    with threadpool_limits(1), warnings.catch_warnings():
        # The least alphas of a grid may be ill-conditioned or singular, where features use few
        # directions; validation then chooses others.
        warnings.simplefilter("ignore", LinAlgWarning)
        warnings.filterwarnings("ignore", message="Singular matrix in solving dual problem")
        if len(grid) == 1 or folds < 2:
            chosen = grid[0] if len(grid) == 1 or parameter == "n_neighbors" else 1.0
            model.set_params(**{parameter: chosen}).fit(z, y)
        else:
            kind = StratifiedKFold if group_ids is None else StratifiedGroupKFold
            split = kind(folds, shuffle=True, random_state=0)
            search = GridSearchCV(model, {parameter: list(grid)}, cv=split)
            search.fit(z, y, groups=group_ids)
            model, chosen = search.best_estimator_, search.best_params_[parameter]
            validation = float(search.best_score_)
        test = test_z.numpy()
        predictions = model.predict(test)
        probabilities = getattr(model, "predict_proba", None)
        scores = probabilities(test) if probabilities else model.decision_function(test)
    if scores.ndim == 1:  # two classes: the value of the second
        scores = np.stack([-scores, scores], axis=1)
    accuracy = float((predictions == test_y.numpy()).mean())
    classes = tuple(int(label) for label in np.unique(y))
    return Result(accuracy, predictions, float(chosen), scores, classes, validation)


@dataclass(frozen=True)
class Probes:
    """What one encoder reaches on one data set; the features are (N, F) float32."""

    knn: Result
    linear: Result
    train_features: Tensor
    test_features: Tensor

    def results(self) -> dict[str, Result]:
        """The read-outs by their names."""
        return {"kNN": self.knn, "linear probe": self.linear}


def probe(encoder: nn.Module, scaling: Callable[[Tensor], Tensor], data: Dataset) -> Probes:
    """kNN and linear probe of a frozen encoder on the scaled series of a labelled data set.

    Args:
        encoder: (N, C, T) -> (N, F).
        scaling: (N, C, T) -> (N, C, T), of the train split.

    Raises ValueError as `linear_probe`.
    """
    train, test = of_splits(encoder, scaling, data)
    split = (train, data.y_train, test, data.y_test)
    return Probes(
        knn_classify(*split, groups=data.groups),
        linear_probe(*split, groups=data.groups),
        train,
        test,
    )
