"""What an encoder's features are worth; hyper-parameters are chosen inside the train split alone.

| function                                | answers                                               |
| --------------------------------------- | ----------------------------------------------------- |
| `linear_probe`, `ridge_probe`           | are the classes linearly separable                    |
| `ridge_regression`                      | how near are targets that are numbers                 |
| `svm_probe`                             | are they, by TS2Vec's protocol                        |
| `knn_classify`, `retrieval`             | are neighbours of the same class                      |
| `novelty_scores`, `auroc`               | which series are unlike all training series           |
| `clustering`                            | do clusters follow the classes (NMI, ARI)             |
| `stratified`                            | rows for the same with 1, 5, 10, 50 % of the labels   |
| `metrics`                               | accuracy, macro F1, area under the ROC curve          |
| `collapse_report`                       | do the features use their dimensions                  |
| `dissect`                               | which concept of a series a unit selects              |
| `near_duplicates`                       | which series are there twice                          |
| `identify_by_votes`                     | what a recording is by its snippets                   |
| `channel_importance`                    | which channels a prediction needs                     |
| `forecast_errors`                       | how far forecasts are off, per step ahead             |
| `receptive_field`                       | which steps of the input an output looks at           |
| `series_statistics`                     | what features made by hand say, to compare or add  |

Features z are (N, F) floating, labels y (N,) integers. Errors: TypeError for another dtype or type,
ValueError for another shape, labels of another kind or a value out of range, naming the argument.

What the whole network reaches on labels: `training.fine_tune`. `report.html.write_report` puts all
of it into one HTML file.
"""

from typing import Any

from tsssl_fast.evaluate.dissection import Dissection, dissect
from tsssl_fast.evaluate.duplicates import Identification, identify_by_votes, near_duplicates
from tsssl_fast.evaluate.features import features
from tsssl_fast.evaluate.forecasts import ForecastErrors, forecast_errors, receptive_field
from tsssl_fast.evaluate.importance import channel_importance
from tsssl_fast.evaluate.labels import FRACTIONS, stratified
from tsssl_fast.evaluate.metrics import Clustering, Metrics, clustering, interval, metrics
from tsssl_fast.evaluate.novelty import auroc, novelty_scores
from tsssl_fast.evaluate.probes import (
    Probes,
    Result,
    knn_classify,
    linear_probe,
    probe,
    ridge_probe,
    svm_probe,
)
from tsssl_fast.evaluate.regression import Regression, regression, ridge_regression
from tsssl_fast.evaluate.retrieval import Retrieval, group_retrieval, retrieval
from tsssl_fast.evaluate.statistics import series_statistics
from tsssl_fast.functional.collapse import CollapseReport, collapse_report

__all__ = [
    "FRACTIONS",
    "Clustering",
    "CollapseReport",
    "Dissection",
    "ForecastErrors",
    "Identification",
    "Metrics",
    "Probes",
    "Regression",
    "Result",
    "Retrieval",
    "auroc",
    "channel_importance",
    "clustering",
    "collapse_report",
    "dissect",
    "features",
    "forecast_errors",
    "group_retrieval",
    "identify_by_votes",
    "interval",
    "knn_classify",
    "linear_probe",
    "metrics",
    "near_duplicates",
    "novelty_scores",
    "probe",
    "receptive_field",
    "regression",
    "retrieval",
    "ridge_probe",
    "ridge_regression",
    "series_statistics",
    "stratified",
    "svm_probe",
]


def __getattr__(name: str) -> Any:
    if name == "fine_tune":
        raise AttributeError("evaluate.fine_tune was renamed: training.fine_tune")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
