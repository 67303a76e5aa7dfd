"""Stages, batches of distinct pseudo-labels, the context of windows, forecasting."""

import pytest
import torch
from torch import nn
from torch.nn.functional import normalize
from toy import Jitter, dataset

from tsssl_fast import augment, encoders, evaluate
from tsssl_fast.augment.crops import distance_weights
from tsssl_fast.functional import clustering
from tsssl_fast.methods import Batch, WithinClusters
from tsssl_fast.methods.forecasting import Forecasting, windows
from tsssl_fast.training import (
    RecordingContext,
    Settings,
    distinct_batches,
    fit_context,
    fit_stages,
)


def test_contrast_within_clusters_is_a_loop() -> None:
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(120, 6))
    encoder.out_features = 6
    clusters = torch.tensor([0, 1, 0, 1, 2, 0])
    method = WithinClusters.recipe(encoder, Jitter(), clusters, 0.3).double()
    given = Batch(dataset().x_train[:6].double(), torch.arange(6), 5)
    loss, _ = method.loss(given)
    x = Jitter()(given.x, seed=5, sample_ids=given.sample_ids).flatten(0, 1)
    u, y = normalize(method.projector(encoder(x))), clusters.repeat(2)
    e = (u @ u.T / 0.3).exp()
    terms = []
    for i in range(12):
        own = (i + 6) % 12
        others = [j for j in range(12) if y[j] == y[i] and j not in (i, own)]
        value = -(e[i, own] / (e[i, own] + e[i, others].sum())).log().item()
        terms.append(value if others else 0.0)
    assert loss.item() == pytest.approx(sum(terms) / 12, rel=1e-9)
    with pytest.raises(ValueError, match=r"clusters: torch.float32 \(6,\); accepted: int64"):
        WithinClusters.recipe(encoder, Jitter(), clusters.float())


def test_stages_stand_side_by_side() -> None:
    data = dataset()
    settings = Settings(epochs=2, batch_size=12, amp="32")

    def build(stage: int):
        return encoders.build("resnet", 3, 40, widths=(4,))

    found = fit_stages(build, Jitter(), data.x_train, settings, stages=2, clusters=3)
    assert found.out_features == 16
    x = data.x_test
    z = found(x)
    torch.testing.assert_close(z[:, :8], found.encoders[0](x))
    torch.testing.assert_close(z[:, 8:], found.encoders[1](x))
    again = fit_stages(build, Jitter(), data.x_train, settings, stages=1, clusters=3)
    torch.testing.assert_close(again(x), z[:, :8])
    with pytest.raises(ValueError, match="stages: 0"):
        fit_stages(build, Jitter(), data.x_train, settings, stages=0)


def test_no_label_comes_twice_in_a_batch() -> None:
    torch.manual_seed(0)
    x = torch.randn(200, 4)
    labels = clustering.assign(x, clustering.kmeans(x, 20))
    found = distinct_batches(labels, 16, seed=3)
    rows = torch.cat(found.batches)
    assert len(rows.unique()) == len(rows) == 200 - found.dropped
    for batch in found.batches:
        assert 8 <= len(batch) <= 16
        assert len(labels[batch].unique()) == len(batch)
    # What is left has fewer labels than a batch needs.
    left = torch.ones(200, dtype=torch.bool)
    left[rows] = False
    assert len(labels[left].unique()) < 8
    again = distinct_batches(labels, 16, seed=3)
    assert all(map(torch.equal, found.batches, again.batches))
    assert not torch.equal(rows, torch.cat(distinct_batches(labels, 16, seed=4).batches))
    few = distinct_batches(torch.tensor([0, 0, 1, 1, 1]), 16)
    assert (few.batches, few.dropped) == ([], 5)
    with pytest.raises(ValueError, match="batch_size: 0"):
        distinct_batches(labels, 0)
    with pytest.raises(ValueError, match=r"labels: torch.float32 \(200,\)"):
        distinct_batches(labels.float(), 4)
    with pytest.raises(TypeError, match=r"labels: list; accepted: torch\.Tensor"):
        distinct_batches(labels.tolist(), 4)


def test_the_context_of_windows_tells_what_a_window_does_not() -> None:
    """label = type of this window XOR that of the one before it."""
    source = torch.Generator().manual_seed(0)
    kind = torch.randint(2, (80, 21), generator=source)
    features = torch.stack([kind, 1 - kind], -1) + 0.1 * torch.randn(80, 21, 2, generator=source)
    labels = kind ^ kind.roll(1, 1)
    labels[:, 0] = -1
    train, test = slice(0, 40), slice(40, 80)
    alone = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))
    torch.manual_seed(0)
    found = {}
    for name, model in (("context", RecordingContext(2, 2, 12)), ("window", alone)):
        fit_context(model, features[train], labels[train], steps=100, lr=0.03)
        with torch.no_grad():
            told = model(features[test]).argmax(2)
        found[name] = (told == labels[test])[:, 1:].double().mean().item()
    assert found["context"] >= 0.95, found
    assert 0.4 < found["window"] < 0.6, found
    assert RecordingContext(2, 3, 4, ahead=True)(features).shape == (80, 21, 3)
    with pytest.raises(ValueError, match=r"accepted: \(R, W, F\), \(R, W\)"):
        fit_context(alone, features, labels[:, 1:])


def test_forecasts_of_two_sines() -> None:
    source = torch.Generator().manual_seed(0)
    t = torch.arange(1200.0)
    clean = ((2 * torch.pi * t / 24).sin() + (2 * torch.pi * t / 17).sin())[None]
    series = clean + 0.1 * torch.randn(clean.shape, generator=source)
    x = windows(series, 120, 4)
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(96, 48, bias=False))
    encoder.out_features, encoder.channels = 48, 1
    method = Forecasting.recipe(encoder, None, horizon=24, weight=0)
    optimizer = torch.optim.AdamW(method.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 150)
    for step in range(150):
        optimizer.zero_grad()
        method.loss(Batch(x[:220], torch.arange(220), step))[0].backward()
        optimizer.step()
        schedule.step()
    past, future = x[240:, :, :96], x[240:, :, 96:]
    found = evaluate.forecast_errors(method.forecast(past).detach(), future)
    assert found.mse <= 0.015, found.mse
    assert found.mse_at.shape == found.mae_at.shape == (24,)


def test_forecasting_is_its_formula_and_refuses_a_long_horizon() -> None:
    torch.manual_seed(0)
    encoder = encoders.build("resnet", 3, 40, widths=(4,))
    method = Forecasting.recipe(encoder, Jitter(), horizon=10, weight=0.4).double().eval()
    given = Batch(dataset().x_train[:6].double(), torch.arange(6), 5)
    loss, logs = method.loss(given)
    past, future = given.x[..., :30], given.x[..., 30:]
    error = (method.head(encoder(past)).view(6, 3, 10) - future).square().mean()
    views = Jitter()(past, seed=5, sample_ids=given.sample_ids).flatten(0, 1)
    u = normalize(method.projector(encoder(views)))
    logits = (u @ u.T / 0.2).fill_diagonal_(-torch.inf)
    contrast = nn.functional.cross_entropy(logits, (torch.arange(12) + 6) % 12)
    assert loss.item() == pytest.approx((error + 0.4 * contrast).item(), rel=1e-9)
    assert logs["mse"].item() == pytest.approx(error.item(), rel=1e-12)
    with pytest.raises(ValueError, match="horizon: 10; accepted: below the 10 steps"):
        method.loss(given._replace(x=past[..., :10]))
    with pytest.raises(ValueError, match=r"weight: 0.1 without projector and views; accepted: 0"):
        Forecasting(encoder, method.head, 10, weight=0.1)


def test_errors_and_the_receptive_field_are_loops() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(2, 4, 2, 3, dtype=torch.float64)
    found = evaluate.forecast_errors(a, b)
    for h in range(3):
        d = [float(a[n, c, h] - b[n, c, h]) for n in range(4) for c in range(2)]
        assert found.mse_at[h].item() == pytest.approx(sum(v * v for v in d) / 8)
        assert found.mae_at[h].item() == pytest.approx(sum(map(abs, d)) / 8)
    assert found.mse == pytest.approx(found.mse_at.mean().item())
    with pytest.raises(ValueError, match="future: shape"):
        evaluate.forecast_errors(a, b[..., :2])
    conv = nn.Conv1d(2, 3, 3, padding=1, bias=False).double()
    x = torch.randn(4, 2, 10, dtype=torch.float64)
    field = evaluate.receptive_field(conv, x, step=5)
    slope = conv.weight.sum(0).abs().mean(0)
    expected = torch.zeros(10).double()
    expected[4:7] = slope.detach()
    torch.testing.assert_close(field, expected)
    with pytest.raises(ValueError, match="step: 10; accepted: a step of the output"):
        evaluate.receptive_field(conv, x, step=10)


def test_groups_are_ranked_by_their_nearest_rows() -> None:
    torch.manual_seed(0)
    q, z = torch.randn(5, 3), torch.randn(9, 3)
    group, group_y = torch.tensor([0, 0, 1, 1, 1, 2, 2, 3, 3]), torch.tensor([0, 1, 0, 1])
    y = torch.tensor([0, 1, 0, 1, 2])
    found = evaluate.group_retrieval(q, y, z, group, group_y, nearest=2, ks=(1, 2))
    s = normalize(q) @ normalize(z).T
    ranks = []
    for i in range(5):
        scores = [sorted(s[i, group == g].tolist(), reverse=True)[:2] for g in range(4)]
        order = sorted(range(4), key=lambda g: -sum(scores[g]) / len(scores[g]))
        places = [n for n, g in enumerate(order, 1) if group_y[g] == y[i]]
        ranks.append(places[0] if places else None)
    assert found.recall[1] == sum(r == 1 for r in ranks) / 5
    assert found.recall[2] == sum(r is not None and r <= 2 for r in ranks) / 5
    assert found.mrr == pytest.approx(sum(1 / r for r in ranks if r) / 5)
    with pytest.raises(ValueError, match="gallery_group"):
        evaluate.group_retrieval(q, y, z, group, group_y[:3])


@pytest.mark.parametrize("law", ["linear", "uniform"])
def test_clips_are_a_distance_apart_that_follows_the_law(law: str) -> None:
    """Chi-square below its 0.999 quantile for 10 degrees of freedom, 29.6, with a fixed seed."""
    n, steps, length = 4000, 30, 20
    pairs = augment.ClipPairs(length, law=law)
    x = torch.arange(float(steps)).expand(n, 1, steps).contiguous()
    clips = pairs(x, seed=7)
    assert clips.shape == (2, n, 1, length)
    starts = pairs.starts(x, seed=7)
    assert torch.equal(clips[..., 0, 0].long(), starts)
    assert torch.equal(clips.diff(dim=-1), torch.ones(2, n, 1, length - 1))
    distance = (starts[0] - starts[1]).abs()
    weights = distance_weights(law, 11).double()
    expected = n * weights / weights.sum()
    counts = distance.bincount(minlength=11).double()
    assert ((counts - expected).square() / expected).sum() < 29.6
    apart = starts[:, distance > 0]
    assert 0.45 < (apart[0] < apart[1]).double().mean() < 0.55
    part = pairs(x[5:9], seed=7, sample_ids=torch.arange(5, 9))
    assert torch.equal(part, clips[:, 5:9])
    with pytest.raises(ValueError, match="accepted: T >= length = 20"):
        pairs(x[..., :19])
    with pytest.raises(ValueError, match="law: 'cubic'; accepted: uniform, linear"):
        augment.ClipPairs(4, law="cubic")
