"""Estimators: forms of X, settings, what trains, what is refused, and that libraries compose."""

import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from toy import sines

from tsssl_fast import augment, encoders, estimators, evaluate, training
from tsssl_fast.data import Dataset, Scaling
from tsssl_fast.estimators import (
    Augment,
    BarlowTwinsEncoder,
    MaskedEncoder,
    MoCoEncoder,
    SimCLREncoder,
    SSLClassifier,
    VICRegEncoder,
)
from tsssl_fast.estimators import aeon as collections
from tsssl_fast.methods import METHODS

ENCODERS = [SimCLREncoder, VICRegEncoder, BarlowTwinsEncoder, MoCoEncoder, MaskedEncoder]
QUICK = {"epochs": 2, "batch_size": 12, "random_state": 0, "n_jobs": 1, "amp": "32"}


def series(n=24, channels=3, length=40, seed=0):
    x, y = sines(n, channels, length, 3, seed)
    return x.numpy().astype(np.float64), np.array(["slow", "middle", "fast"])[y]


@pytest.mark.parametrize("kind", ENCODERS)
def test_an_estimator_is_its_method_by_the_training_loop(kind):
    x, _ = series()
    estimator = kind(**QUICK)
    z = estimator.fit(x).transform(x)
    seed = int(np.random.RandomState(0).randint(np.iinfo(np.int32).max))
    options = estimator.method_options(40)
    assert set(options) <= set(METHODS[kind.method].__func__.__code__.co_varnames)
    config = training.Config(
        method=kind.method, options=options, epochs=2, batch_size=12, amp="32", seed=seed
    )
    data = torch.from_numpy(x)
    y = torch.full((24,), -1)
    config = config.resolved(Dataset("x", data, y, data[:0], y[:0], ()))
    method, scaling = config.build(3, 40), Scaling.fit(data)
    training.fit(method, scaling(data).float(), config)
    expected = evaluate.features(method.encoder, scaling(data).float())
    assert np.array_equal(z, expected.numpy())
    assert z.dtype == np.float32
    assert list(estimator.get_feature_names_out()[:1]) == [f"{kind.__name__.lower()}0"]
    assert len(estimator.get_feature_names_out()) == z.shape[1]
    assert len(estimator.pretrained_.history) == 2


def test_forms_of_x():
    x, _ = series(channels=1)
    estimator = SimCLREncoder(**QUICK)
    z = estimator.fit_transform(x)
    assert np.array_equal(clone(estimator).fit_transform(x[:, 0]), z)
    assert np.array_equal(clone(estimator).fit_transform(list(x)), z)
    assert np.array_equal(clone(estimator).fit_transform(torch.from_numpy(x)), z)
    unequal = [row[:, : 20 + i] for i, row in enumerate(x)]
    fitted = clone(estimator).fit(unequal)
    together = fitted.transform(unequal)
    alone = np.concatenate([fitted.transform([row]) for row in unequal])
    assert together == pytest.approx(alone, abs=2e-6)
    flat = clone(estimator).fit([row[0] for row in unequal])
    assert np.array_equal(flat.transform([row[0] for row in unequal]), together)
    # What is fitted on one form takes the others.
    assert fitted.transform(x).shape == z.shape
    assert flat.transform(x[:, 0]).shape == z.shape


def test_missing_values():
    x, _ = series()
    x[0, 1, 3:6] = np.nan
    x[1, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        SimCLREncoder(**QUICK).fit(x)
    for missing in ("linear", "forward_backward", "zero"):
        estimator = SimCLREncoder(missing=missing, **QUICK).fit(x)
        assert np.isfinite(estimator.transform(list(x))).all()
        assert estimator.__sklearn_tags__().input_tags.allow_nan
    filled = x.copy()
    filled[0, 1, 3:6] = x[0, 1, 2] + (x[0, 1, 6] - x[0, 1, 2]) * np.array([0.25, 0.5, 0.75])
    filled[1, 2] = 0
    linear = SimCLREncoder(missing="linear", **QUICK).fit_transform(x)
    assert linear == pytest.approx(SimCLREncoder(**QUICK).fit_transform(filled), abs=1e-5)
    x[2, 0, 0] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        SimCLREncoder(missing="zero", **QUICK).fit(x)


def test_units_change_nothing():
    """Scaled in float64, far beyond what float32 holds."""
    x, _ = series()
    z = SimCLREncoder(**QUICK).fit_transform(x)
    for unit in (2.0**-30, 2.0**200):
        assert np.array_equal(SimCLREncoder(**QUICK).fit_transform(x * unit), z)


def test_random_state_warm_start_and_pickle():
    x, _ = series()
    first, second = (SimCLREncoder(**QUICK).fit(x) for _ in range(2))
    z = first.transform(x)
    assert np.array_equal(second.transform(x), z)
    assert not np.array_equal(SimCLREncoder(**{**QUICK, "random_state": 1}).fit_transform(x), z)
    assert np.array_equal(pickle.loads(pickle.dumps(first)).transform(x), z)
    warm = first.set_params(warm_start=True).fit(x)
    assert not np.array_equal(warm.transform(x), z)
    moved = x * 3 + 5
    scaling = warm.pretrained_.scaling
    assert torch.equal(warm.fit(moved).pretrained_.scaling.scale, scaling.scale)
    with pytest.raises(ValueError, match="X: 2 channels; accepted: 3, as in fit"):
        warm.fit(x[:, :2])
    cold = second.fit(x[:, :2])
    assert cold.n_channels_in_ == 2


@pytest.mark.parametrize("kind", ENCODERS)
def test_partial_fit_goes_on_part_by_part(kind):
    x, _ = series(48)
    settings = {**QUICK, "epochs": None}
    parts = x[:24], 3 * x[24:] + 1
    estimator = kind(**settings)
    first = estimator.partial_fit(parts[0]).transform(x)
    assert np.array_equal(first, kind(**QUICK).set_params(epochs=1).fit(parts[0]).transform(x))
    scaling = estimator.pretrained_.scaling
    z = estimator.partial_fit(parts[1]).transform(x)
    assert not np.array_equal(z, first)
    assert estimator.pretrained_.scaling is scaling  # of the first part
    assert len(estimator.pretrained_.history) == 2
    # As a fit that goes on, whose views are drawn anew.
    warm = kind(**settings).set_params(epochs=1, warm_start=True)
    assert np.array_equal(warm.fit(parts[0]).fit(parts[1]).transform(x), z)
    assert estimator.pretrained_.config.seed == warm.pretrained_.config.seed
    assert estimator.pretrained_.config.seed == kind(**QUICK).fit(x).pretrained_.config.seed + 1
    with pytest.raises(ValueError, match="X: 2 channels; accepted: 3, as in fit"):
        estimator.partial_fit(x[:, :2])
    # fit begins again.
    assert np.array_equal(estimator.set_params(epochs=1).fit(parts[0]).transform(x), first)


def test_partial_fit_is_of_encoders_alone():
    """The classifier on top is fitted on all features at once."""
    assert not hasattr(SSLClassifier(), "partial_fit")
    assert not hasattr(Augment(), "partial_fit")


def test_masked_runs_are_no_longer_than_the_series():
    x, _ = series()
    short = MaskedEncoder(**QUICK).fit(x[..., :5])
    assert short.pretrained_.config.options["size"] == 5
    assert MaskedEncoder(**QUICK).fit(x).pretrained_.config.options["size"] == 8
    with pytest.raises(ValueError, match="size: 8 steps; accepted: at most T = 5"):
        MaskedEncoder(size=8, **QUICK).fit(x[..., :5])
    with pytest.raises(ValueError, match=r"n_features = 1.*accepted: 2 or more with MaskedEncoder"):
        MaskedEncoder(**QUICK).fit(x[..., :1])


def test_the_default_caps_the_steps_of_small_data():
    x, _ = series()
    defaults = {"random_state": 0, "amp": "32"}
    small = SimCLREncoder(**defaults).fit(x[:, :1, :6])
    assert len(small.pretrained_.history) == 5
    middle = SimCLREncoder(**defaults).fit(x[:, :1])
    assert len(middle.pretrained_.history) == 24 * 40 // 100


def test_score_tells_neighbours_and_rank():
    x, y = series(48)
    estimator = SimCLREncoder(**QUICK).fit(x)
    z = torch.from_numpy(estimator.transform(x))
    labels = torch.from_numpy(np.unique(y, return_inverse=True)[1])
    assert estimator.score(x, y) == training.monitor.leave_one_out_knn(z, labels)
    assert estimator.score(x) == pytest.approx(evaluate.collapse_report(z).effective_rank)
    assert estimator.score(x, y) > estimator.score(x, np.roll(y, 1)) - 1e-9


def test_pipeline_grid_search_and_data_frames(capsys):
    x, y = series(48)
    pipeline = make_pipeline(SimCLREncoder(**QUICK), StandardScaler(), SVC())
    search = GridSearchCV(pipeline, {"simclrencoder__temperature": [0.1, 0.5]}, cv=2)
    search.fit(x, y)
    assert search.best_score_ > 1 / 3
    assert search.score(*series(24, seed=1)) > 1 / 3
    framed = SimCLREncoder(verbose=1, **QUICK).set_output(transform="pandas")
    table = framed.fit_transform(x[:, 0])
    assert list(table.columns[:2]) == ["simclrencoder0", "simclrencoder1"]
    assert "[SimCLREncoder] epoch 2/2: loss " in capsys.readouterr().out


def test_augment_in_front_of_an_encoder_and_a_search_without_labels():
    x, _ = series()
    pipeline = make_pipeline(Augment(augment.RandomNoise(0.1)), SimCLREncoder(**QUICK))
    search = GridSearchCV(pipeline, {"augment__random_state": [0, 1]}, cv=2).fit(x)
    assert 1 <= search.best_score_ <= 12  # an effective rank, of 12 series at most
    assert search.best_estimator_.transform(x).shape[0] == 24


def test_n_jobs_are_threads_and_put_back():
    x, _ = series(12)
    before, seen = torch.get_num_threads(), []

    def views(x, views=2, *, seed, sample_ids):
        seen.append(torch.get_num_threads())
        return torch.stack([x] * views)

    torch.set_num_threads(2)
    try:
        for n_jobs, expected in ((1, 1), (None, 2), (-1, joblib.effective_n_jobs(-1))):
            SimCLREncoder(**{**QUICK, "epochs": 1, "views": views, "n_jobs": n_jobs}).fit(x)
            assert seen.pop() == expected
            assert torch.get_num_threads() == 2
        with pytest.raises(ValueError, match="n_jobs"):
            SimCLREncoder(**{**QUICK, "n_jobs": 0}).fit(x)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_classifier_learns_from_few_labels():
    x, y = series(60)
    x_test, y_test = series(30, seed=1)
    model = SSLClassifier(method="vicreg", options={"width": 64}, **QUICK).fit(x, y)
    accuracy = model.score(x_test, y_test)
    assert accuracy > 0.5
    assert list(model.classes_) == ["fast", "middle", "slow"]
    shares = model.predict_proba(x_test)
    assert shares.sum(1) == pytest.approx(1)
    assert np.array_equal(model.classes_[shares.argmax(1)], model.predict(x_test))
    some = np.where(np.arange(60) % 2, y, "none")
    part = SSLClassifier(method="vicreg", options={"width": 64}, unlabelled="none", **QUICK)
    part.fit(x, some)
    assert list(part.classes_) == ["fast", "middle", "slow"]
    for ours, theirs in zip(
        part.encoder_.parameters(), model.encoder_.parameters(), strict=True
    ):  # pre-trained on all series, whatever their labels
        assert torch.equal(ours, theirs)
    assert part.score(x_test, y_test) > 0.5
    machine = SSLClassifier(classifier=SVC(), **QUICK).fit(x, y)
    assert not hasattr(machine, "predict_proba")
    assert machine.score(x, y) > 0.5


def test_augment_is_a_function_of_the_series():
    x, _ = series()
    pipeline = augment.Compose([augment.CropResize((0.5, 0.9)), augment.RandomNoise(0.1)])
    fitted = Augment(pipeline, random_state=0).fit(x)
    y = fitted.transform(x)
    assert y.shape == x.shape
    assert not np.allclose(y, x, atol=1e-3)
    assert np.array_equal(fitted.transform(x[::-1])[::-1], y)
    assert np.array_equal(fitted.transform(x[5:6])[0], y[5])
    assert not np.array_equal(Augment(pipeline, random_state=1).fit_transform(x), y)
    assert np.array_equal(pickle.loads(pickle.dumps(fitted)).transform(x), y)
    unequal = [row[:, : 20 + i] for i, row in enumerate(x)]
    listed = fitted.transform(unequal)
    assert [row.shape for row in listed] == [row.shape for row in unequal]
    assert listed[3] == pytest.approx(fitted.transform(unequal[3:4])[0], abs=1e-12)
    table = Augment(pipeline, random_state=0).fit(x[:, 0])
    assert table.transform(x[:, 0]).shape == (24, 40)
    assert len(table.get_feature_names_out()) == 40
    with pytest.raises(ValueError, match=r"pipeline: gave \(2, 24, 3, 40\); accepted: one view"):
        Augment(augment.PerView([pipeline, pipeline])).fit(x).transform(x)


def test_aeons_estimators_have_these_inside():
    x, y = series()
    ours, theirs = SimCLREncoder(**QUICK), collections.SimCLREncoder(**QUICK)
    assert np.array_equal(theirs.fit_transform(x), ours.fit_transform(x))
    assert theirs.n_jobs_ == 1
    unequal = [row[:, : 20 + i] for i, row in enumerate(x)]
    assert np.array_equal(theirs.fit_transform(unequal), ours.fit_transform(unequal))
    model = collections.SSLClassifier(**QUICK).fit(x, y)
    assert np.array_equal(model.predict(x), SSLClassifier(**QUICK).fit(x, y).predict(x))
    holes = x.copy()
    holes[0, 0, 3] = np.nan
    with pytest.raises(ValueError, match="missing"):
        collections.SimCLREncoder(**QUICK).fit(holes)
    filled = collections.SimCLREncoder(missing="linear", **QUICK).fit_transform(holes)
    assert np.isfinite(filled).all()
    assert set(estimators.__all__) == set(collections.__all__)


@pytest.mark.parametrize(
    ("settings", "x", "message"),
    [
        ({"missing": "drop"}, series()[0], "missing: 'drop'; accepted: raise, linear"),
        ({"temperature": 0.0}, series()[0], "temperature: 0.0; accepted: a finite number > 0"),
        ({"encoder": "lstm"}, series()[0], "encoder: 'lstm'; accepted: auto, resnet"),
        ({"views": "strong"}, series()[0], "views: 'strong'; accepted: forward"),
        ({"pooling": "all"}, series()[0], "pooling: 'all'; accepted: final"),
        ({"epochs": -1}, series()[0], "epochs: -1; accepted"),
        ({"device": "gpu"}, series()[0], "device: 'gpu'; accepted: auto, cpu, cuda"),
        ({"batch_size": 100}, series()[0], "batch_size: 100; accepted: at most the 24"),
        ({}, series()[0][:1], "X: n_samples = 1; accepted: 2 or more with SimCLREncoder"),
        ({}, [series()[0][0], series()[0][0, :2]], "X: series of different numbers of channels"),
        ({}, np.zeros((4, 0, 5)), "0 feature|accepted: "),
        ({}, np.zeros((4, 2, 3, 5)), "dim"),
        ({}, np.array([["a", "b"], ["c", "d"]]), "could not convert|numeric"),
    ],
)
def test_bad_input(settings, x, message):
    with pytest.raises(ValueError, match=message):
        SimCLREncoder(**{**QUICK, "batch_size": None, **settings}).fit(x)


def test_bad_labels():
    x, y = series()
    for given, error in ((y[:-1], "y: 23 labels; accepted: 24"), (None, "requires y"),
                         (np.linspace(0, 1, 24), "Unknown label type")):  # fmt: skip
        with pytest.raises(ValueError, match=error):
            SSLClassifier(**QUICK).fit(x, given)
    with pytest.raises(ValueError, match="all are 'none', unlabelled; accepted: some labels"):
        SSLClassifier(unlabelled="none", **QUICK).fit(x, np.full(24, "none"))


@pytest.mark.parametrize("name", encoders.ENCODERS)
def test_tslearns_embedder_takes_an_encoder_as_it_is(name):
    tslearn = pytest.importorskip("tslearn.foundation", reason="tslearn is not installed")
    encoder = encoders.build(name, 3, 40).eval()
    x, _ = series(5)
    embedder = tslearn.TimeSeriesFoundationEmbedder(encoder, input_layout="channels_first")
    z = embedder.fit_transform(x.transpose(0, 2, 1))
    with torch.no_grad():
        assert np.array_equal(z, encoder(torch.from_numpy(x).float()))


def test_without_scikit_learn(tmp_path):
    (tmp_path / "sklearn.py").write_text("raise ImportError('none here')\n")
    code = (
        "import tsssl_fast.estimators as e\ntry: e.SimCLREncoder\nexcept ImportError as x: print(x)"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "SimCLREncoder needs scikit-learn and Lightning Fabric" in done.stdout
    assert "pip install 'tsssl_fast[sklearn]'" in done.stdout
