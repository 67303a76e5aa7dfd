"""A classifier on the features of an encoder that was pre-trained on the same series."""

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from tsssl_fast.estimators.encoders import Pretraining
from tsssl_fast.estimators.parameters import ClassifierParameters
from tsssl_fast.estimators.pretraining import threads


def _has_probabilities(estimator: Any) -> bool:
    chosen = getattr(estimator, "classifier_", estimator.classifier)
    return chosen is None or hasattr(chosen, "predict_proba")


class SSLClassifier(ClassifierParameters, ClassifierMixin, Pretraining):
    __doc__ = f"""Pre-trains on all series without their labels, then fits a classifier on the
    frozen encoder's features of those that have one.

        SSLClassifier(method="vicreg", unlabelled=-1).fit(X, y).predict(X)

    X as of `SimCLREncoder`; y: (n,) labels of any kind. All parameters are keywords: see
    `parameters.TrainingParameters` for those of training. {ClassifierParameters.__doc__}

    Attributes: classes_; classifier_, the fitted one; those of `SimCLREncoder`.
    """

    classes_: np.ndarray
    classifier_: Any

    def fit(self, X: Any, y: Any) -> "SSLClassifier":
        """Raises ValueError for X, y or parameters that do not fit, naming them."""
        if y is None:
            raise ValueError(
                "SSLClassifier requires y to be passed, but the target y is None; accepted: a "
                "label for every series"
            )
        y = column_or_1d(y, warn=True)
        labelled = np.ones(len(y), bool) if self.unlabelled is None else y != self.unlabelled
        if not labelled.any():
            raise ValueError(f"y: all are {self.unlabelled!r}, unlabelled; accepted: some labels")
        check_classification_targets(y[labelled])
        series = self._pretrain(X, self.warm_start, self.epochs)
        if len(y) != len(series.x):
            raise ValueError(f"y: {len(y)} labels; accepted: {len(series.x)}, as series in X")
        head = self.classifier
        if head is None:
            head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        with threads(self.n_jobs):
            self.classifier_ = clone(head).fit(self._features_of(series)[labelled], y[labelled])
        self.classes_ = self.classifier_.classes_
        return self

    def predict(self, X: Any) -> np.ndarray:
        """(n,) labels."""
        check_is_fitted(self)
        labels: np.ndarray = self.classifier_.predict(self._features(X))
        return labels

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> np.ndarray:
        """(n, classes) in the order of `classes_`; where the classifier has it."""
        check_is_fitted(self)
        shares: np.ndarray = self.classifier_.predict_proba(self._features(X))
        return shares
