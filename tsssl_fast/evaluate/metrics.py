"""Figures of merit of predictions and of clusterings, by scikit-learn."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tsssl_fast.common import checks
from tsssl_fast.evaluate.probes import Result


@dataclass(frozen=True)
class Metrics:
    """accuracy; macro_f1: F1 averaged over the classes; auc: area under the ROC curve, one class
    against the rest, averaged over the classes; NaN where the test rows lack a class.
    """

    accuracy: float
    macro_f1: float
    auc: float


def metrics(result: Result, test_y: Tensor) -> Metrics:
    """Of a read-out's predictions and scores on the rows with labels test_y (M,).

    Raises ValueError where the number of rows differs.
    """
    from sklearn.metrics import f1_score, roc_auc_score

    y = test_y.numpy()
    if y.shape != result.predictions.shape:
        raise ValueError(f"test_y: {y.shape}; accepted: {result.predictions.shape} as predicted")
    classes = np.asarray(result.classes)
    one_hot = y[:, None] == classes
    auc = float("nan")
    if one_hot.any(0).all() and one_hot.any(1).all() and len(classes) > 1:
        auc = float(roc_auc_score(one_hot, result.scores, average="macro"))
    return Metrics(result.accuracy, float(f1_score(y, result.predictions, average="macro")), auc)


def interval(accuracy: float, n: int) -> tuple[float, float]:
    """The interval of 95 % confidence of a share of n rows.

    Source: Wilson, Journal of the American Statistical Association 1927. Raises ValueError for n
    below 1 or a share that is none.
    """
    if n < 1 or not 0 <= accuracy <= 1:
        raise ValueError(f"accuracy: {accuracy} of n = {n}; accepted: 0 to 1, of 1 or more")
    z = 1.959963984540054
    middle = accuracy + z * z / (2 * n)
    spread = z * math.sqrt(accuracy * (1 - accuracy) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


@dataclass(frozen=True)
class Clustering:
    """Agreement of k-means clusters with the classes: normalised mutual information and the
    adjusted Rand index; 1 for the same partition, about 0 for an unrelated one.
    """

    nmi: float
    ari: float


def clustering(z: Tensor, y: Tensor, seed: int = 0) -> Clustering:
    """k-means of unit features z (N, F), as many clusters as y (N,) has classes, ten starts.

    Raises TypeError, ValueError for features or labels of another kind or shape.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    from threadpoolctl import threadpool_limits

    checks.matrix("z", z)
    if y.shape != z.shape[:1] or y.is_floating_point():
        raise ValueError(f"y: {y.dtype} {tuple(y.shape)}; accepted: integers ({len(z)},)")
    unit = torch.nn.functional.normalize(z.float()).numpy()
    with threadpool_limits(1):
        found = KMeans(len(y.unique()), n_init=10, random_state=seed).fit_predict(unit)
    return Clustering(
        float(normalized_mutual_info_score(y.numpy(), found)),
        float(adjusted_rand_score(y.numpy(), found)),
    )
