"""`GeneratedEncoder`: what `encoders.pretrained` says of scaled series, in every form of X."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from toy import sines

from tsssl_fast import encoders, evaluate
from tsssl_fast.data import Scaling
from tsssl_fast.estimators import GeneratedEncoder
from tsssl_fast.estimators import aeon as collections


def series(n=24, channels=3, length=40, seed=0):
    x, y = sines(n, channels, length, 3, seed)
    return x.numpy().astype(np.float64), y.numpy()


def test_it_is_the_encoder_on_scaled_series():
    x, _ = series()
    estimator = GeneratedEncoder(n_jobs=1)
    z = estimator.fit_transform(x * 100)
    scaling = Scaling.fit(torch.from_numpy(x * 100))
    wanted = evaluate.features(
        encoders.pretrained("generated-1"), scaling(torch.from_numpy(x * 100))
    )
    assert np.array_equal(z, wanted.numpy())
    assert z.dtype == np.float32
    assert z.shape == (24, 2048)
    assert len(estimator.get_feature_names_out()) == 2048
    assert GeneratedEncoder(full=True).fit_transform(x[:2]).shape[1] > 2048
    beside = collections.GeneratedEncoder().fit_transform(x * 100)
    np.testing.assert_allclose(beside, z, rtol=1e-5, atol=1e-5)


def test_series_of_any_length_have_the_features_that_they_have_alone():
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(2, n)) for n in (8, 50, 13, 1)]
    estimator = GeneratedEncoder().fit(x)
    together = estimator.transform(x)
    for row, one in zip(together, x, strict=True):
        np.testing.assert_allclose(row, estimator.transform([one])[0], rtol=1e-4, atol=1e-5)
    table = GeneratedEncoder().fit_transform(rng.normal(size=(5, 30)))
    assert table.shape == (5, encoders.pretrained("generated-1", 1).out_features)


def test_it_tells_frequencies_apart_without_training():
    x, y = series(30)
    test, truth = series(60, seed=1)
    model = make_pipeline(GeneratedEncoder(), StandardScaler(), RidgeClassifierCV())
    assert model.fit(x, y).score(test, truth) == 1.0


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"weights": "generated-0"}, "name: 'generated-0'; accepted: generated-1"),
        ({"scaling": "robust"}, "scaling: 'robust'; accepted"),
        ({"missing": "mean"}, "missing: 'mean'; accepted"),
        ({"scale_group": 2}, "scale_group: 2; accepted: a divisor of the 3 channels"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        GeneratedEncoder(**parameters).fit(series()[0])


def test_bad_series():
    x = series()[0]
    estimator = GeneratedEncoder().fit(x)
    with pytest.raises(ValueError, match="X: 2 channels; accepted: 3, as in fit"):
        estimator.transform(x[:, :2])
    x[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        estimator.transform(x)
    assert np.isfinite(GeneratedEncoder(missing="linear").fit_transform(x)).all()
