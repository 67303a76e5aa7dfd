"""Probes and their protocols."""

import numpy as np
import pytest
import torch
from torch import nn
from toy import dataset

from tsssl_fast import encoders, evaluate


def clusters(n, classes, spread, seed=0):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % classes
    centre = torch.eye(classes, 8)[y] * 5
    return centre + spread * torch.randn(n, 8, generator=generator), y


def reference_knn(train_z, train_y, test_z, k, temperature):
    unit = nn.functional.normalize
    cosine = unit(test_z.double()) @ unit(train_z.double()).T
    top = cosine.topk(k, dim=1)
    votes = torch.zeros(len(test_z), int(train_y.max()) + 1, dtype=torch.float64)
    votes.scatter_add_(1, train_y[top.indices], torch.exp(top.values / temperature))
    return votes.argmax(1)


@pytest.mark.parametrize("k", [1, 3, 20])
def test_knn_votes_by_weighted_cosine(k):
    train_z, train_y = clusters(60, 4, spread=3.0)
    test_z, test_y = clusters(50, 4, spread=3.0, seed=1)
    result = evaluate.knn_classify(train_z, train_y, test_z, test_y, k=k, temperature=0.2)
    expected = reference_knn(train_z, train_y, test_z, k, 0.2)
    assert result.predictions.tolist() == expected.tolist()
    assert result.accuracy == pytest.approx((expected == test_y).double().mean().item())
    assert result.chosen == k
    assert 0.3 < result.accuracy < 1


def test_knn_weights_do_not_underflow_at_a_small_temperature():
    train_z, train_y = clusters(40, 4, spread=0.5)
    # In the opposite direction every neighbour is far, and exp(-distance / temperature) is 0.
    result = evaluate.knn_classify(train_z, train_y, -train_z, train_y, k=40, temperature=1e-4)
    nearest = evaluate.knn_classify(train_z, train_y, -train_z, train_y, k=1)
    assert result.predictions.tolist() == nearest.predictions.tolist()


def test_knn_chooses_k_on_the_train_rows_alone():
    train_z, train_y = clusters(12, 3, spread=0.1)
    result = evaluate.knn_classify(train_z, train_y, train_z, train_y)
    assert result.accuracy == 1
    assert result.chosen <= 6  # no more than a fold's train side surely holds
    shuffled = train_y.flip(0)
    again = evaluate.knn_classify(train_z, train_y, train_z, shuffled)
    assert again.chosen == result.chosen


def test_linear_probe_is_blind_to_scale_and_separates_what_is_linear():
    train_z, train_y = clusters(60, 4, spread=0.5)
    test_z, test_y = clusters(40, 4, spread=0.5, seed=1)
    result = evaluate.linear_probe(train_z, train_y, test_z, test_y)
    assert result.accuracy == 1
    stretched = torch.logspace(-3, 3, 8)
    again = evaluate.linear_probe(train_z * stretched, train_y, test_z * stretched, test_y)
    assert again.predictions.tolist() == result.predictions.tolist()
    assert again.chosen == result.chosen


def test_linear_probe_at_chance_on_noise():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(400, 8, generator=generator)
    y = torch.arange(400) % 4
    result = evaluate.linear_probe(z[:200], y[:200], z[200:], y[200:])
    assert 0.1 < result.accuracy < 0.4


def test_groups_stay_on_one_side(monkeypatch):
    from sklearn.model_selection import StratifiedGroupKFold

    train_z, train_y = clusters(60, 3, spread=1.0)
    groups = torch.arange(60) // 10
    seen = []
    split = StratifiedGroupKFold.split

    def spy(self, x, y=None, groups=None):
        for train, test in split(self, x, y, groups):
            seen.append(set(groups[train]) & set(groups[test]))
            yield train, test

    monkeypatch.setattr(StratifiedGroupKFold, "split", spy)
    evaluate.linear_probe(train_z, train_y, train_z, train_y, groups=groups)
    assert seen
    assert not any(seen)


def test_one_row_per_class_needs_no_cross_validation():
    train_z, train_y = clusters(4, 4, spread=0.1)
    test_z, test_y = clusters(20, 4, spread=0.1, seed=1)
    linear = evaluate.linear_probe(train_z, train_y, test_z, test_y)
    assert linear.chosen == 1
    assert linear.accuracy > 0.5  # chance is 0.25; with four rows the noise is standardised, too
    knn = evaluate.knn_classify(train_z, train_y, test_z, test_y)
    assert (knn.accuracy, knn.chosen) == (1, 1)


def test_features_freeze_the_encoder():
    data = dataset()
    encoder = encoders.build("resnet", data.channels, data.length)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    z = evaluate.features(encoder, data.x_train, batch_size=7)
    assert z.shape == (24, encoder.out_features)
    assert z.dtype == torch.float32
    assert not z.requires_grad
    assert encoder.training
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    # The same series gives the same features whatever stands beside it.
    alone = evaluate.features(encoder, data.x_train[3:4])
    assert alone.numpy() == pytest.approx(z[3:4].numpy(), abs=1e-5)


@pytest.mark.parametrize("read_out", [evaluate.linear_probe, evaluate.knn_classify])
def test_bad_input(read_out):
    z, y = clusters(12, 3, spread=0.1)
    with pytest.raises(ValueError, match=r"train_y: .*\(11,\); accepted: integers \(12,\)"):
        read_out(z, y[:11], z, y)
    with pytest.raises(ValueError, match=r"test_y: torch\.float32"):
        read_out(z, y, z, y.float())
    with pytest.raises(ValueError, match="test_z: holds NaN"):
        read_out(z, y, z * np.nan, y)
    with pytest.raises(ValueError, match="test_z: 7 features; accepted: 8"):
        read_out(z, y, z[:, :7], y)
    with pytest.raises(ValueError, match="train_y: a single class"):
        read_out(z, y * 0, z, y)
    with pytest.raises(ValueError, match=r"train_z: shape \(12, 8, 1\)"):
        read_out(z[..., None], y, z, y)


def test_bad_k():
    z, y = clusters(12, 3, spread=0.1)
    for k in (0, 13):
        with pytest.raises(ValueError, match=f"k: {k}; accepted: 1 to 12"):
            evaluate.knn_classify(z, y, z, y, k=k)
    with pytest.raises(ValueError, match="temperature: 0"):
        evaluate.knn_classify(z, y, z, y, temperature=0)
