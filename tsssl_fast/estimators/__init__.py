"""Estimators of scikit-learn's conventions, one per method; `estimators.aeon` has those of aeon.

from tsssl_fast.estimators import SimCLREncoder
z = SimCLREncoder(random_state=0).fit(X).transform(X)  # X: (n, C, T), (n, T) or a list

`GeneratedEncoder` needs no training: it comes with its weights.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tsssl_fast.estimators.augmentation import Augment
    from tsssl_fast.estimators.classifier import SSLClassifier
    from tsssl_fast.estimators.encoders import (
        BarlowTwinsEncoder,
        MaskedEncoder,
        MoCoEncoder,
        SimCLREncoder,
        VICRegEncoder,
    )
    from tsssl_fast.estimators.generated import GeneratedEncoder

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
_FROM = {
    "Augment": "augmentation",
    "GeneratedEncoder": "generated",
    "SSLClassifier": "classifier",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_FROM.get(name, 'encoders')}")
    except ImportError as error:
        raise ImportError(
            f"{name} needs scikit-learn and Lightning Fabric ({error}); install them by: "
            "pip install 'tsssl_fast[sklearn]'"
        ) from error
    value = getattr(module, name)
    globals()[name] = value
    return value
