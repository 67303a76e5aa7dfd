"""What an encoder's features are worth; hyper-parameters are chosen inside the train split alone.

| function                                | answers                                               |
| --------------------------------------- | ----------------------------------------------------- |
| `linear_probe`, `ridge_probe`           | are the classes linearly separable                    |
| `svm_probe`                             | are they, by TS2Vec's protocol                        |
| `knn_classify`, `retrieval`             | are neighbours of the same class                      |
| `clustering`                            | do clusters follow the classes (NMI, ARI)             |
| `stratified`                            | rows for the same with 1, 5, 10, 50 % of the labels   |
| `metrics`                               | accuracy, macro F1, area under the ROC curve          |
"""

from tsssl_fast.evaluate.features import features
from tsssl_fast.evaluate.labels import FRACTIONS, stratified
from tsssl_fast.evaluate.metrics import Clustering, Metrics, clustering, metrics
from tsssl_fast.evaluate.probes import (
    Probes,
    Result,
    knn_classify,
    linear_probe,
    probe,
    ridge_probe,
    svm_probe,
)
from tsssl_fast.evaluate.retrieval import Retrieval, retrieval

__all__ = [
    "FRACTIONS",
    "Clustering",
    "Metrics",
    "Probes",
    "Result",
    "Retrieval",
    "clustering",
    "features",
    "knn_classify",
    "linear_probe",
    "metrics",
    "probe",
    "retrieval",
    "ridge_probe",
    "stratified",
    "svm_probe",
]
