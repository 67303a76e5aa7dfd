"""Clusters, balanced assignments, centring and momentum teachers."""

import math

import pytest
import torch
from sklearn.cluster import KMeans
from torch import nn
from torch.nn.functional import cross_entropy, normalize

from tsssl_fast.functional import clustering
from tsssl_fast.methods.teacher import MomentumTeacher, cosine_momentum


def blobs(n=60, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.tensor([[4.0, 0, 0], [0, 4, 0], [0, 0, 4]])
    y = torch.arange(n) % 3
    return centres[y] + 0.5 * torch.randn(n, 3, generator=generator), y


def test_a_step_is_lloyds():
    x, _ = blobs()
    centres = x[:5]
    nearest = torch.cdist(x, centres).argmin(1)
    new, assigned = clustering.kmeans_step(x, centres)
    assert torch.equal(assigned, nearest)
    for k in range(5):
        assert torch.allclose(new[k], x[nearest == k].mean(0), atol=1e-6)


def test_a_spherical_step_is_by_cosine():
    x = normalize(blobs()[0], dim=1)
    centres = x[:4]
    nearest = (x @ centres.T).argmax(1)
    new, assigned = clustering.kmeans_step(x, 2 * centres, spherical=True)
    assert torch.equal(assigned, nearest)
    for k in range(4):
        assert torch.allclose(new[k], normalize(x[nearest == k].sum(0), dim=0), atol=1e-6)


def test_a_centre_without_rows_stays():
    x, _ = blobs()
    far = torch.full((1, 3), 100.0)
    for spherical, given in ((False, far), (True, -normalize(far, dim=1))):
        rows = normalize(x.abs(), dim=1) if spherical else x
        new, assigned = clustering.kmeans_step(rows, torch.cat([given, rows[:2]]), spherical)
        assert not (assigned == 0).any()
        assert torch.equal(new[:1], given)


def test_kmeans_reaches_what_scikit_learn_reaches():
    x, y = blobs(300)
    centres = clustering.kmeans(x, 3)
    assigned = clustering.assign(x, centres)
    assert len({(int(a), int(b)) for a, b in zip(assigned, y, strict=True)}) == 3
    inertia = torch.cdist(x, centres).amin(1).square().sum()
    theirs = KMeans(3, n_init=5, random_state=0).fit(x.numpy()).inertia_
    assert inertia.item() == pytest.approx(theirs, rel=1e-4)
    assert torch.equal(centres, clustering.kmeans(x, 3))
    assert len(clustering.kmeans(torch.zeros(4, 2), 4)) == 4
    with pytest.raises(ValueError, match="clusters: 5; accepted: 1 to the 4 rows"):
        clustering.kmeans(torch.zeros(4, 2), 5)
    with pytest.raises(ValueError, match="centres: 2 columns; accepted: 3 as x"):
        clustering.kmeans_step(x, torch.zeros(2, 2))


def test_sinkhorn_balances_its_clusters():
    scores = torch.randn(64, 8, dtype=torch.float64)
    scores[:, 0] += 3  # without balance everything would go there
    q = clustering.sinkhorn(scores, 0.5, 200)
    assert torch.allclose(q.sum(1), torch.ones(64, dtype=torch.float64))
    assert torch.allclose(q.sum(0), torch.full((8,), 8.0, dtype=torch.float64), atol=1e-6)
    # Scaling rows and columns leaves all cross ratios alone.
    e = (scores / 0.5).exp()
    ratio = (q[0, 0] * q[1, 1]) / (q[0, 1] * q[1, 0])
    assert ratio.item() == pytest.approx(((e[0, 0] * e[1, 1]) / (e[0, 1] * e[1, 0])).item())
    # Three rounds of SwAV's loop in linear space.
    p = e / e.sum()
    for _ in range(3):
        p = p / p.sum(0) / 8
        p = p / p.sum(1, keepdim=True) / 64
    assert torch.allclose(clustering.sinkhorn(scores, 0.5, 3), 64 * p)
    assert torch.isfinite(clustering.sinkhorn(100 * scores, 1e-3)).all()
    with pytest.raises(ValueError, match="temperature: 0; accepted"):
        clustering.sinkhorn(scores, 0)


def test_centring_subtracts_a_running_mean():
    centring = clustering.Centring(4, temperature=0.1, momentum=0.75)
    first, second = torch.randn(6, 4), torch.randn(6, 4)
    assert torch.allclose(centring(first), (first / 0.1).softmax(1))
    centre = 0.25 * first.mean(0)
    assert torch.allclose(centring.centre, centre)
    assert torch.allclose(centring.eval()(second), ((second - centre) / 0.1).softmax(1))
    assert torch.allclose(centring.centre, centre)
    with pytest.raises(ValueError, match="momentum: 1; accepted"):
        clustering.Centring(4, momentum=1)


def test_views_predict_each_others_assignments():
    scores = torch.randn(3, 5, 4, requires_grad=True)
    targets = torch.randn(2, 5, 4).softmax(-1)
    pairs = [
        cross_entropy(scores[v] / 0.2, targets[w]) for v in range(3) for w in range(2) if v != w
    ]
    loss = clustering.assignment_loss(scores, targets, 0.2)
    assert loss.item() == pytest.approx(torch.stack(pairs).mean().item(), rel=1e-6)
    (gradient,) = torch.autograd.grad(loss, scores)
    (expected,) = torch.autograd.grad(torch.stack(pairs).mean(), scores)
    assert torch.allclose(gradient, expected, atol=1e-7)
    with pytest.raises(ValueError, match="scores: shape"):
        clustering.assignment_loss(scores[:1], targets)
    with pytest.raises(ValueError, match="assignments: shape"):
        clustering.assignment_loss(scores, targets[:, :4])


@pytest.mark.parametrize("teacher", ["sinkhorn", "centring"])
def test_clusters_are_learned_from_two_views(teacher):
    """SwAV's and DINO's loss with a linear student: views of a blob end in one cluster."""
    x, y = blobs(90)
    student = nn.Linear(3, 3, bias=False)
    momentum = MomentumTeacher(student, 0.9)
    centring = clustering.Centring(3, 0.05)
    optimizer = torch.optim.SGD(student.parameters(), 0.5)
    for _ in range(60):
        views = [normalize(x + 0.3 * torch.randn_like(x), dim=1) for _ in range(2)]
        scores = torch.stack([student(v) for v in views])
        seen = torch.stack([momentum(v) for v in views])
        make = clustering.sinkhorn if teacher == "sinkhorn" else centring
        loss = clustering.assignment_loss(scores, torch.stack([make(s) for s in seen]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        momentum.update(student)
    assigned = student(normalize(x, dim=1)).argmax(1)
    counts = torch.stack([assigned[y == c].bincount(minlength=3) for c in range(3)])
    assert (counts.amax(1) >= 28).all(), counts
    assert len(counts.argmax(1).unique()) == 3, counts


def test_momentum_rises_along_half_a_cosine():
    momentum = cosine_momentum(0.9, 10)
    assert momentum(0) == pytest.approx(0.9)
    assert momentum(5) == pytest.approx(0.95)
    assert momentum(10) == momentum(50) == 1
    assert momentum(3) == pytest.approx(1 - 0.1 * (math.cos(0.3 * math.pi) + 1) / 2)
    with pytest.raises(ValueError, match="start: 1; accepted"):
        cosine_momentum(1, 10)
    with pytest.raises(ValueError, match="steps: 0; accepted"):
        cosine_momentum(0.9, 0)


def test_a_teacher_follows_by_its_schedule():
    student = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    teacher = MomentumTeacher(student, lambda step: 0.5 if step == 0 else 1.0)
    start = [p.clone() for p in teacher.module.parameters()]
    with torch.no_grad():
        for p in student.parameters():
            p.add_(1)
    teacher.update(student)
    for p, s in zip(teacher.module.parameters(), start, strict=True):
        assert torch.allclose(p, s + 0.5)
    teacher.update(student)  # m = 1: it stays
    for p, s in zip(teacher.module.parameters(), start, strict=True):
        assert torch.allclose(p, s + 0.5)
    assert teacher.steps == 2
    assert not any(p.requires_grad for p in teacher.parameters())
    assert not teacher(torch.randn(4, 2)).requires_grad
    with pytest.raises(ValueError, match="momentum: 1; accepted"):
        MomentumTeacher(student, 1)
