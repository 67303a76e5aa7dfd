"""The estimators by aeon's conventions: the same names, in `BaseCollectionTransformer` and
`BaseClassifier`.

Each has the estimator of `tsssl_fast.estimators` of its name inside, as `estimator_`, and its
parameters; `n_jobs` is 1 unless given, as aeon asks for.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import joblib
import numpy as np

try:
    from aeon.classification.base import BaseClassifier
    from aeon.transformations.collection import BaseCollectionTransformer
except ImportError as error:
    raise ImportError(
        "tsssl_fast.estimators.aeon needs aeon; install it by: pip install 'tsssl_fast[sklearn]'"
    ) from error

from tsssl_fast.estimators import augmentation, classifier, encoders
from tsssl_fast.estimators import parameters as declared
from tsssl_fast.estimators.parameters import AugmentParameters

__all__ = [
    "Augment",
    "BarlowTwinsEncoder",
    "MaskedEncoder",
    "MoCoEncoder",
    "SSLClassifier",
    "SimCLREncoder",
    "VICRegEncoder",
]

CAPABILITIES = {
    "X_inner_type": ["np-list", "numpy3D"],
    "capability:multivariate": True,
    "capability:unequal_length": True,
    "capability:missing_values": False,
}


class _Inside:
    """Builds the estimator of scikit-learn's conventions with these parameters."""

    inside: ClassVar[Any]
    missing: str
    get_params: Any
    set_tags: Any
    estimator_: Any

    def _build(self) -> Any:
        given = self.get_params(deep=False)
        if "n_jobs" in given:
            self.n_jobs_ = joblib.effective_n_jobs(given["n_jobs"])
        return self.inside(**given)

    def _tell(self) -> None:
        """aeon refuses NaN itself where no policy takes them."""
        self.set_tags(**{"capability:missing_values": self.missing != "raise"})


class _Transformer(_Inside, BaseCollectionTransformer):
    def __post_init__(self) -> None:
        BaseCollectionTransformer.__init__(self)
        self._tell()

    def _fit(self, X: Any, y: Any = None) -> "_Transformer":
        self.estimator_ = self._build().fit(X)
        return self

    def _transform(self, X: Any, y: Any = None) -> Any:
        return self.estimator_.transform(X)


class _Encoder(_Transformer):
    """`transform` gives (n, D) float32."""

    _tags: ClassVar[dict[str, Any]] = {
        **CAPABILITIES,
        "output_data_type": "Tabular",
        "capability:multithreading": True,
    }


@dataclass(kw_only=True, repr=False, eq=False)
class SimCLREncoder(declared.SimCLRParameters, _Encoder):
    """`estimators.SimCLREncoder` as a collection transformer."""

    inside: ClassVar[Any] = encoders.SimCLREncoder
    n_jobs: int | None = 1


@dataclass(kw_only=True, repr=False, eq=False)
class VICRegEncoder(declared.VICRegParameters, _Encoder):
    """`estimators.VICRegEncoder` as a collection transformer."""

    inside: ClassVar[Any] = encoders.VICRegEncoder
    n_jobs: int | None = 1


@dataclass(kw_only=True, repr=False, eq=False)
class BarlowTwinsEncoder(declared.BarlowTwinsParameters, _Encoder):
    """`estimators.BarlowTwinsEncoder` as a collection transformer."""

    inside: ClassVar[Any] = encoders.BarlowTwinsEncoder
    n_jobs: int | None = 1


@dataclass(kw_only=True, repr=False, eq=False)
class MoCoEncoder(declared.MoCoParameters, _Encoder):
    """`estimators.MoCoEncoder` as a collection transformer."""

    inside: ClassVar[Any] = encoders.MoCoEncoder
    n_jobs: int | None = 1


@dataclass(kw_only=True, repr=False, eq=False)
class MaskedEncoder(declared.MaskedParameters, _Encoder):
    """`estimators.MaskedEncoder` as a collection transformer."""

    inside: ClassVar[Any] = encoders.MaskedEncoder
    n_jobs: int | None = 1


@dataclass(kw_only=True, repr=False, eq=False)
class SSLClassifier(declared.ClassifierParameters, _Inside, BaseClassifier):
    """`estimators.SSLClassifier` as a classifier of collections."""

    _tags: ClassVar[dict[str, Any]] = {**CAPABILITIES, "capability:multithreading": True}
    inside: ClassVar[Any] = classifier.SSLClassifier
    n_jobs: int | None = 1

    def __post_init__(self) -> None:
        BaseClassifier.__init__(self)
        self._tell()

    def _fit(self, X: Any, y: np.ndarray) -> "SSLClassifier":
        self.estimator_ = self._build().fit(X, y)
        return self

    def _predict(self, X: Any) -> np.ndarray:
        labels: np.ndarray = self.estimator_.predict(X)
        return labels

    def _predict_proba(self, X: Any) -> np.ndarray:
        shares: np.ndarray = self.estimator_.predict_proba(X)
        return shares


@dataclass(repr=False, eq=False)
class Augment(AugmentParameters, _Transformer):
    """`estimators.Augment` as a collection transformer; the result is a collection."""

    _tags: ClassVar[dict[str, Any]] = {**CAPABILITIES, "output_data_type": "Collection"}
    inside: ClassVar[Any] = augmentation.Augment
