"""A scikit-learn transformer per method: series in, features of the pre-trained encoder out."""

from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import nn

from tsssl_fast.estimators.collection import Collection, collection
from tsssl_fast.estimators.parameters import (
    BarlowTwinsParameters,
    MaskedParameters,
    MoCoParameters,
    SimCLRParameters,
    VICRegParameters,
)
from tsssl_fast.estimators.pretraining import Pretrained, pretrain, threads
from tsssl_fast.functional.collapse import collapse_report
from tsssl_fast.training.monitor import leave_one_out_knn


class Pretraining(BaseEstimator):
    """What transformers and the classifier share; parameters come from a class beside it."""

    pretrained_: Pretrained
    epochs: int | None
    missing: str
    pooling: str
    n_jobs: int | None
    warm_start: bool

    @property
    def encoder_(self) -> nn.Module:
        """The trained encoder, (N, C, T) scaled series -> (N, D)."""
        check_is_fitted(self)
        return self.pretrained_.method.encoder

    def _pretrain(self, X: Any, goes_on: bool, epochs: int | None) -> Collection:
        before = getattr(self, "pretrained_", None) if goes_on else None
        series = collection(self, X, self.missing, reset=before is None)
        with threads(self.n_jobs):
            self.pretrained_ = pretrain(type(self).__name__, self, series, before, epochs)
        return series

    def _features(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return self._features_of(collection(self, X, self.missing, reset=False))

    def _features_of(self, series: Collection) -> np.ndarray:
        with threads(self.n_jobs):
            return self.pretrained_.features(series, self.pooling)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = self.missing != "raise"
        return tags


class EncoderEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Pretraining):
    """Pre-trains an encoder on series without labels; `transform` gives its features.

        SimCLREncoder(epochs=20, random_state=0).fit(X).transform(X)  # (n, D) float32

    X: (n, C, T); (n, T), n series of one channel; or a list of (C, T_i), series of any length,
    each of which has the features that it has alone. All parameters are keywords: see
    `parameters.TrainingParameters` for those that all methods share.

    Attributes:
        pretrained_: the trained method, the scaling, the settings, the losses of every epoch, those
            that `warm_start` or `partial_fit` went on from included.
        encoder_: the encoder alone, an `nn.Module`.
        n_channels_in_: C; n_features_in_: T of a table (n, T).
    """

    def fit(self, X: Any, y: Any = None) -> "EncoderEstimator":
        """Trains on X; y is not looked at.

        Raises ValueError for X or parameters that do not fit, naming them; FloatingPointError
        where the loss is not finite.
        """
        return self._trained(X, self.warm_start, self.epochs)

    def partial_fit(self, X: Any, y: Any = None) -> "EncoderEstimator":
        """Trains on X, a part of the data, from the weights so far: `epochs` passes, 1 for None.

        The first call draws the weights and fits the scaling, which later parts share. Every call
        has an optimizer and a schedule of its own, which ends at a rate of zero: warm restarts
        (Loshchilov and Hutter, ICLR 2017). Raises as `fit`, and for other channels or columns
        than in the first call.
        """
        return self._trained(X, True, 1 if self.epochs is None else self.epochs)

    def _trained(self, X: Any, goes_on: bool, epochs: int | None) -> "EncoderEstimator":
        series = self._pretrain(X, goes_on, epochs)
        lengths = None if series.lengths is None else series.lengths[:1]
        self._n_features_out = self._features_of(Collection(series.x[:1], lengths)).shape[1]
        return self

    def transform(self, X: Any) -> np.ndarray:
        """(n, D) float32. Raises ValueError for X of other channels or columns than in `fit`."""
        return self._features(X)

    def score(self, X: Any, y: Any = None) -> float:
        """How good the features of X are, to compare settings by; higher is better.

        With y, the accuracy of labelling each series as its 10 nearest others are, by cosine.
        Without, the effective rank of the features (RankMe: Garrido et al., ICML 2023).
        """
        z = torch.from_numpy(self._features(X))
        if y is None:
            return float(collapse_report(z).effective_rank)
        labels = np.unique(np.asarray(y), return_inverse=True)[1]
        return leave_one_out_knn(z, torch.from_numpy(labels))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # float32 for any input
        return tags


class SimCLREncoder(SimCLRParameters, EncoderEstimator):
    __doc__ = f"""SimCLR (`methods.SimCLR`). {SimCLRParameters.__doc__}
    {EncoderEstimator.__doc__}"""


class VICRegEncoder(VICRegParameters, EncoderEstimator):
    __doc__ = f"""VICReg (`methods.VICReg`). {VICRegParameters.__doc__}
    {EncoderEstimator.__doc__}"""


class BarlowTwinsEncoder(BarlowTwinsParameters, EncoderEstimator):
    __doc__ = f"""Barlow Twins (`methods.BarlowTwins`). {BarlowTwinsParameters.__doc__}
    {EncoderEstimator.__doc__}"""


class MoCoEncoder(MoCoParameters, EncoderEstimator):
    __doc__ = f"""MoCo v2 (`methods.MoCo`). {MoCoParameters.__doc__}
    {EncoderEstimator.__doc__}"""


class MaskedEncoder(MaskedParameters, EncoderEstimator):
    __doc__ = f"""Masked reconstruction (`methods.MaskedReconstruction`). {MaskedParameters.__doc__}
    {EncoderEstimator.__doc__}"""
