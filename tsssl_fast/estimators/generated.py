"""Features of an encoder that ships: nothing is trained, the scaling of the channels alone is
fitted."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from tsssl_fast import encoders
from tsssl_fast.data import Scaling
from tsssl_fast.estimators.collection import collection
from tsssl_fast.estimators.pretraining import threads
from tsssl_fast.evaluate.features import features
from tsssl_fast.training.devices import device


@dataclass(kw_only=True, repr=False, eq=False)
class GeneratedParameters:
    """
    Args:
        weights: a name that `encoders.pretrained` knows.
        full: all features, where there are more than 2,048, instead of a projection.
        scaling: "standard", "scale" or "none", per channel, fitted on the series of `fit`.
        scale_group: that many neighbouring channels share a scale.
        missing: what to do with NaN: "raise", "linear", "forward_backward" or "zero".
        n_jobs: threads; -1: as many as there are processors; None: as torch is set.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
    """  # noqa: D212  it stands inside that of GeneratedEncoder

    weights: str = "generated-1"
    full: bool = False
    scaling: str = "standard"
    scale_group: int = 1
    missing: str = "raise"
    n_jobs: int | None = None
    device: str = "auto"


class GeneratedEncoder(
    GeneratedParameters, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    __doc__ = f"""The encoder that was trained on generated series alone (`encoders.pretrained`).

        GeneratedEncoder().fit_transform(X)  # (n, D) float32, D at most 2,048

    X: (n, C, T); (n, T), n series of one channel; or a list of (C, T_i), series of any length,
    each of which has the features that it has alone. What the features are: `encoders.ReadOut`.
    {GeneratedParameters.__doc__}
    Attributes:
        encoder_: the encoder, an `nn.Module`; scaling_: the `data.Scaling` before it.
        n_channels_in_: C; n_features_in_: T of a table (n, T).
    """

    encoder_: encoders.ReadOut
    scaling_: Scaling

    def fit(self, X: Any, y: Any = None) -> "GeneratedEncoder":
        """Fits the scaling on X; y is not looked at.

        Raises ValueError for X or parameters that do not fit, naming them.
        """
        series = collection(self, X, self.missing, reset=True)
        channels = series.x.shape[1]
        encoder = encoders.pretrained(self.weights, channels, full=self.full)
        self.scaling_ = series.scaling(self.scaling, self.scale_group)
        self.encoder_ = encoder.to(device(self.device))
        self._n_features_out = encoder.out_features
        return self

    def transform(self, X: Any) -> np.ndarray:
        """(n, D) float32. Raises ValueError for X of other channels or columns than in `fit`."""
        check_is_fitted(self)
        series = collection(self, X, self.missing, reset=False)
        with threads(self.n_jobs):
            z = features(self.encoder_, series.scaled(self.scaling_), lengths=series.lengths)
        array: np.ndarray = z.numpy()
        return array

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = self.missing != "raise"
        tags.transformer_tags.preserves_dtype = []  # float32 for any input
        return tags
