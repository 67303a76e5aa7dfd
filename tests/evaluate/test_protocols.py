"""Ridge, SVM, label shares, metrics, clustering, retrieval, features of all stages."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, roc_auc_score
from toy import dataset

from tsssl_fast import encoders, evaluate


def clusters(n, classes, spread, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, 8, generator=torch.Generator().manual_seed(99))
    y = torch.arange(n) % classes
    return centres[y] + spread * torch.randn(n, 8, generator=generator), y


@pytest.mark.parametrize("read_out", [evaluate.ridge_probe, evaluate.svm_probe])
def test_read_outs_separate_clusters_and_not_noise(read_out):
    train, test = clusters(120, 4, 0.5), clusters(80, 4, 0.5, seed=1)
    result = read_out(*train, *test)
    assert result.accuracy > 0.95
    assert result.scores.shape == (80, 4)
    assert (result.scores.argmax(1) == result.predictions).mean() > 0.95
    assert result.accuracy - 0.1 < result.validation <= 1
    noise = torch.randn(200, 8, generator=torch.Generator().manual_seed(3))
    y = torch.arange(200) % 4
    assert 0.1 < read_out(noise[:100], y[:100], noise[100:], y[100:]).accuracy < 0.4


def test_svm_protocol():
    test = clusters(20, 4, 0.3, seed=1)
    few = evaluate.svm_probe(*clusters(40, 4, 0.3), *test)
    assert few.chosen == math.inf  # fewer than 50 rows: no search
    assert math.isnan(few.validation)
    many = evaluate.svm_probe(*clusters(60, 4, 0.3), *test, grid=(1.0, 10.0), folds=3)
    assert many.chosen in (1, 10)
    for grid in ((), (0.0,), (-1.0, 1.0)):
        with pytest.raises(ValueError, match="grid: "):
            evaluate.svm_probe(*clusters(60, 4, 0.3), *test, grid=grid)
    with pytest.raises(ValueError, match="folds: 1; accepted: 2 or more"):
        evaluate.svm_probe(*clusters(60, 4, 0.3), *test, folds=1)


def test_standardised_knn_is_blind_to_the_scale_of_a_feature():
    train, test = clusters(60, 4, 0.5), clusters(40, 4, 0.5, seed=1)
    stretch = torch.logspace(-3, 3, 8)
    plain = evaluate.knn_classify(*train, *test, k=5, standardize=True)
    stretched = evaluate.knn_classify(
        train[0] * stretch, train[1], test[0] * stretch, test[1], k=5, standardize=True
    )
    assert plain.predictions.tolist() == stretched.predictions.tolist()


def test_stratified():
    y = torch.tensor([0] * 200 + [1] * 100 + [2] * 3)
    small, large = (evaluate.stratified(y, f, seed=4) for f in (0.1, 0.5))
    assert y[small].bincount().tolist() == [20, 10, 1]
    assert y[large].bincount().tolist() == [100, 50, 2]
    assert set(small.tolist()) <= set(large.tolist())
    assert small.tolist() == sorted(small.tolist()) == evaluate.stratified(y, 0.1, 4).tolist()
    assert small.tolist() != evaluate.stratified(y, 0.1, seed=5).tolist()
    assert evaluate.stratified(y, 1.0).tolist() == list(range(303))
    for fraction in (0.0, 1.5, math.nan):
        with pytest.raises(ValueError, match="fraction: "):
            evaluate.stratified(y, fraction)
    with pytest.raises(ValueError, match=r"y: torch\.float32"):
        evaluate.stratified(y.float(), 0.1)


def test_metrics_against_scikit_learn():
    train, test = clusters(60, 3, 1.5), clusters(60, 3, 1.5, seed=1)
    result = evaluate.linear_probe(*train, *test)
    found = evaluate.metrics(result, test[1])
    y = test[1].numpy()
    assert found.accuracy == result.accuracy < 1
    assert found.macro_f1 == f1_score(y, result.predictions, average="macro")
    assert found.auc == pytest.approx(roc_auc_score(y, result.scores, multi_class="ovr"))
    # Two classes, and a class that the test rows lack.
    two = evaluate.ridge_probe(*clusters(60, 2, 1.5), *clusters(40, 2, 1.5, seed=1))
    assert 0.5 < evaluate.metrics(two, clusters(40, 2, 1.5)[1]).auc <= 1
    only = evaluate.linear_probe(*train, test[0][:1], test[1][:1])
    assert math.isnan(evaluate.metrics(only, test[1][:1]).auc)
    with pytest.raises(ValueError, match="test_y"):
        evaluate.metrics(result, test[1][:5])


@pytest.mark.parametrize("noise", [0, 1e-6, 1e-4])
@pytest.mark.parametrize("read_out", [evaluate.ridge_probe, evaluate.svm_probe])
def test_features_of_one_direction_are_read_in_time_and_without_a_word(read_out, noise, recwarn):
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(72) % 3
    size = 1 + 0.02 * y + 0.01 * torch.randn(72, generator=generator)
    z = size[:, None] * 3 * torch.rand(256, generator=generator)
    z += noise * torch.randn(z.shape, generator=generator)
    found = read_out(z[:48], y[:48], z[48:], y[48:])
    assert found.accuracy > 0.5
    assert np.isfinite(found.scores).all()
    assert [str(w.message) for w in recwarn] == []


@pytest.mark.parametrize(
    ("accuracy", "n", "ends"),
    [
        (0.5, 24, (0.3143, 0.6857)),
        (1.0, 24, (0.8620, 1)),
        (0.0, 24, (0, 0.1380)),
        (0.9, 1000, (0.8798, 0.9171)),
        (1.0, 1, (0.2065, 1)),
    ],
)
def test_interval_of_an_accuracy(accuracy, n, ends):
    found = evaluate.interval(accuracy, n)
    assert found == pytest.approx(ends, abs=5e-5)
    for p in found:  # Wilson's: the shares that lie 1.96 of their own deviations away
        assert (accuracy - p) ** 2 == pytest.approx(1.959964**2 * p * (1 - p) / n, abs=1e-7)


@pytest.mark.parametrize(("accuracy", "n"), [(0.5, 0), (1.1, 24), (-0.1, 24), (math.nan, 24)])
def test_what_is_no_share_has_no_interval(accuracy, n):
    with pytest.raises(ValueError, match=rf"accuracy: {accuracy} of n = {n}; accepted: 0 to 1"):
        evaluate.interval(accuracy, n)


def test_clustering():
    z, y = clusters(90, 3, 0.05)
    assert evaluate.clustering(z, y) == evaluate.Clustering(nmi=1, ari=1)
    # The names of the classes do not matter; random labels agree with nothing.
    assert evaluate.clustering(z, 2 - y).ari == 1
    shuffled = y[torch.randperm(90, generator=torch.Generator().manual_seed(0))]
    assert abs(evaluate.clustering(z, shuffled).ari) < 0.1


def test_retrieval_against_loops():
    z, y = clusters(40, 4, 2.0)
    unit = torch.nn.functional.normalize(z.double())
    ranks = []
    for i in range(40):
        order = sorted((j for j in range(40) if j != i), key=lambda j: -float(unit[i] @ unit[j]))
        ranks.append(1 + [bool(y[j] == y[i]) for j in order].index(True))
    found = evaluate.retrieval(z, y, ks=(1, 3), block=7)
    assert found.recall[1] == pytest.approx(np.mean([r <= 1 for r in ranks]))
    assert found.recall[3] == pytest.approx(np.mean([r <= 3 for r in ranks]))
    assert found.mrr == pytest.approx(np.mean([1 / r for r in ranks]))
    assert 0 < found.recall[1] < found.recall[3]
    # A gallery without the class: nothing is found.
    lost = evaluate.retrieval(z[:4], torch.full((4,), 9), z, y)
    assert (lost.mrr, lost.recall[10]) == (0, 0)
    with pytest.raises(ValueError, match="ks: 0"):
        evaluate.retrieval(z, y, ks=(0,))


@pytest.mark.parametrize("name", ["resnet", "inception"])
def test_features_of_all_stages(name):
    data = dataset(n=10, length=64)
    encoder = encoders.build(name, data.channels, data.length)
    final = evaluate.features(encoder, data.x_train)
    sizes = {}
    for pooling in ("final", "stages", "stages+thirds", "input+stages"):
        z = evaluate.features(encoder, data.x_train, batch_size=4, pooling=pooling)
        sizes[pooling] = z.shape[1]
        assert z[:, -encoder.out_features :].numpy() == pytest.approx(final.numpy(), abs=1e-5)
        # A series' features do not depend on its batch.
        whole = evaluate.features(encoder, data.x_train, pooling=pooling)
        assert z.numpy() == pytest.approx(whole.numpy(), abs=1e-5)
    assert sizes["final"] == encoder.out_features
    assert sizes["input+stages"] == sizes["stages"] + 4 * data.channels
    assert sizes["final"] < sizes["stages"] < sizes["stages+thirds"]
    inputs = evaluate.features(encoder, data.x_train, pooling="input+stages")[:, :12]
    x = data.x_train
    stacked = torch.cat([x.mean(-1), x.std(-1, correction=0), x.amin(-1), x.amax(-1)], 1)
    assert inputs.numpy() == pytest.approx(stacked.numpy(), abs=1e-5)
    assert not any(m._forward_hooks for m in encoder.modules())
    with pytest.raises(ValueError, match="pooling: 'all'"):
        evaluate.features(encoder, x, pooling="all")
