"""Augmentations as transformers: series in, one augmented copy of each out."""

import hashlib
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from tsssl_fast.estimators.collection import Collection, collection
from tsssl_fast.estimators.parameters import AugmentParameters
from tsssl_fast.training.views import preset


class Augment(AugmentParameters, OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    __doc__ = f"""Augments every series once; the result has the form and lengths of X.

        Augment(augment.RandomNoise(0.1), random_state=0).fit_transform(X)

    What a series becomes depends on the seed, which `fit` draws, and on its own values, not on its
    place in X: a fitted Augment is a function of a series. X as of `SimCLREncoder`.
    {AugmentParameters.__doc__}"""

    def fit(self, X: Any, y: Any = None) -> "Augment":
        """Draws the seed and learns the number of channels. Raises ValueError as `transform`."""
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        collection(self, X, self.missing, reset=True)
        self.seed_ = int(seed)
        return self

    def transform(self, X: Any) -> Any:
        """X augmented, float64: (n, C, T), (n, T), or a list for a list.

        Raises ValueError for X of other channels or columns than in `fit`, a pipeline that gives
        several views, or one that does not fit the series.
        """
        check_is_fitted(self)
        series = collection(self, X, self.missing, reset=False)
        pipeline: Any = self.pipeline
        pipeline = preset(pipeline) if isinstance(pipeline, str) else pipeline
        given = {} if series.lengths is None else {"lengths": series.lengths}
        y = pipeline(series.x, seed=self.seed_, sample_ids=identities(series), **given)
        if y.shape != series.x.shape:
            raise ValueError(
                f"pipeline: gave {tuple(y.shape)}; accepted: one view, {tuple(series.x.shape)}"
            )
        array = y.numpy()
        if series.listed:
            steps = [y.shape[2]] * len(y) if series.lengths is None else series.lengths.tolist()
            return [
                row[0, :n] if series.flat else row[:, :n]
                for row, n in zip(array, steps, strict=True)
            ]
        return array[:, 0] if series.flat else array

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = self.missing != "raise"
        return tags


def identities(series: Collection) -> Tensor:
    """(N,) int64: a digest of each series' own values, in the place of its row's number."""
    x = series.x.numpy()
    steps = [x.shape[2]] * len(x) if series.lengths is None else series.lengths.tolist()
    digests = [
        hashlib.blake2b(np.ascontiguousarray(row[:, :n]).data, digest_size=8).digest()
        for row, n in zip(x, steps, strict=True)
    ]
    return torch.tensor([int.from_bytes(d, "little") >> 1 for d in digests])
