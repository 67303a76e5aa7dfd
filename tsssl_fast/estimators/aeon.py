"""The estimators by aeon's conventions: the same names, in `BaseCollectionTransformer` and
`BaseClassifier`.

Each has the estimator of `tsssl_fast.estimators` of its name inside, as `estimator_`, and its
parameters; `n_jobs` is 1 unless given, as aeon asks for. X as aeon has it.
"""

from dataclasses import make_dataclass
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

from tsssl_fast.estimators import augmentation, classifier, encoders, generated

__all__ = [
    "Augment",
    "BarlowTwinsEncoder",
    "GeneratedEncoder",
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

    def __post_init__(self) -> None:
        super().__init__()
        # aeon refuses NaN itself where no policy takes them.
        self.set_tags(**{"capability:missing_values": self.missing != "raise"})

    def _build(self) -> Any:
        given = self.get_params(deep=False)
        if "n_jobs" in given:
            self.n_jobs_ = joblib.effective_n_jobs(given["n_jobs"])
        return self.inside(**given)


class _Transformer(_Inside, BaseCollectionTransformer):
    def _fit(self, X: Any, y: Any = None) -> "_Transformer":
        self.estimator_ = self._build().fit(X)
        return self

    def _transform(self, X: Any, y: Any = None) -> Any:
        return self.estimator_.transform(X)


class _Encoder(_Transformer):
    _tags: ClassVar[dict[str, Any]] = {
        **CAPABILITIES,
        "output_data_type": "Tabular",
        "capability:multithreading": True,
    }


class _Augment(_Transformer):
    _tags: ClassVar[dict[str, Any]] = {**CAPABILITIES, "output_data_type": "Collection"}


class _Classifier(_Inside, BaseClassifier):
    _tags: ClassVar[dict[str, Any]] = {**CAPABILITIES, "capability:multithreading": True}

    def _fit(self, X: Any, y: np.ndarray) -> "_Classifier":
        self.estimator_ = self._build().fit(X, y)
        return self

    def _predict(self, X: Any) -> np.ndarray:
        labels: np.ndarray = self.estimator_.predict(X)
        return labels

    def _predict_proba(self, X: Any) -> np.ndarray:
        shares: np.ndarray = self.estimator_.predict_proba(X)
        return shares


def _around(inside: Any, base: type) -> Any:
    """The class of the same name, documentation and parameters, from aeon's base class."""
    parameters = inside.__bases__[0]
    return make_dataclass(
        inside.__name__,
        [("n_jobs", "int | None", 1)] if hasattr(parameters, "n_jobs") else [],
        bases=(parameters, base),
        namespace={"__module__": __name__, "__doc__": inside.__doc__, "inside": inside},
        repr=False,
        eq=False,
        kw_only=base is not _Augment,
    )


Augment = _around(augmentation.Augment, _Augment)
BarlowTwinsEncoder = _around(encoders.BarlowTwinsEncoder, _Encoder)
GeneratedEncoder = _around(generated.GeneratedEncoder, _Encoder)
MaskedEncoder = _around(encoders.MaskedEncoder, _Encoder)
MoCoEncoder = _around(encoders.MoCoEncoder, _Encoder)
SSLClassifier = _around(classifier.SSLClassifier, _Classifier)
SimCLREncoder = _around(encoders.SimCLREncoder, _Encoder)
VICRegEncoder = _around(encoders.VICRegEncoder, _Encoder)
