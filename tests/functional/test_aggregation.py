"""Means by similarity, segment, slot and neighbourhood; influence and communities of graphs;
cluster refinement; discrepancy of devices; histograms of scores: each as a loop."""

import math

import pytest
import torch
from torch import Tensor

from tsssl_fast import functional
from tsssl_fast.functional import clustering, graphs
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.report import plots


def drawn(*shapes: tuple[int, ...]) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(s, dtype=torch.float64) for s in shapes]


def cosine(a: Tensor, b: Tensor) -> float:
    dot = sum(x * y for x, y in zip(a.tolist(), b.tolist(), strict=True))
    return dot / math.sqrt(sum(x * x for x in a.tolist()) * sum(y * y for y in b.tolist()))


def close(found: Tensor, expected: object) -> None:
    torch.testing.assert_close(
        found, torch.as_tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("elements", [1 << 20, 8])
def test_similarity_aggregate(elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spec, "BLOCK_ELEMENTS", elements)
    z, h = (x.requires_grad_() for x in drawn((4, 3), (4, 5)))
    found = functional.similarity_aggregate(z, h)
    assert found.sum().item() == pytest.approx(-7.0231751147, abs=5e-11)
    for i in range(4):
        e = [math.exp(cosine(z[i], z[j]) / 0.1) if j != i else 0.0 for j in range(4)]
        close(found[i], sum(w * x for w, x in zip(e, h, strict=True)).detach() / sum(e))
    deep = functional.similarity_aggregate(z, h[:, None].expand(4, 2, 5))
    torch.testing.assert_close(deep[:, 1], found)
    assert torch.autograd.gradcheck(functional.similarity_aggregate, (z, h))


def test_segment_mean_and_slots() -> None:
    (x,) = drawn((2, 5, 3))
    segments = torch.tensor([[0, 0, 2, -1, 2], [1, 1, 1, 1, 0]])
    means, valid = functional.segment_mean(x, segments, 3)
    for n in range(2):
        for s in range(3):
            of = [x[n, step] for step in range(5) if segments[n, step] == s]
            assert valid[n, s] == bool(of)
            close(means[n, s], sum(of) / len(of) if of else torch.zeros(3))
    share = drawn((2, 5, 4))[0].softmax(2)
    share[..., 3] = 0
    slots, kept = functional.slot_pool(x, share)
    for n in range(2):
        for s in range(4):
            weight = share[n, :, s].tolist()
            total = sum(w * r for w, r in zip(weight, x[n], strict=True))
            close(slots[n, s], total / sum(weight) if s < 3 else torch.zeros(3))
            largest = [step for step in range(5) if share[n, step].argmax() == s]
            assert kept[n, s] == bool(largest)
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda y: functional.segment_mean(y, segments, 3)[0], x)
    a = share[..., :3].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda y, b: functional.slot_pool(y, b)[0], (x, a))


@pytest.mark.parametrize("with_self", [True, False])
def test_neighbour_mean(with_self: bool) -> None:
    z, queue = drawn((4, 3), (6, 3))
    valid = torch.tensor([True, False, True, True, True, False])
    for flags, rows in ((None, range(6)), (valid, (0, 2, 3, 4))):
        found = functional.neighbour_mean(z, queue, 3, queue_valid=flags, with_self=with_self)
        for i in range(4):
            near = sorted(rows, key=lambda j: -cosine(z[i], queue[j]))[:3]
            group = [queue[j] for j in near] + ([z[i]] if with_self else [])
            close(found[i], sum(group) / len(group))
    few = functional.neighbour_mean(z, queue, 5, queue_valid=torch.arange(6) < 2)
    close(few, (z + queue[:2].sum(0)) / 3)


def test_influence_is_the_sum_of_walks() -> None:
    graph = torch.tensor([[0.0, 2, 1], [1, 0, 0], [0, 0, 0]]).double()
    walk = [[0.0, 2 / 3, 1 / 3], [1.0, 0, 0], [0.0, 0, 0]]

    def times(a: list[list[float]], b: list[list[float]]) -> list[list[float]]:
        return [[sum(a[i][k] * b[k][j] for k in range(3)) for j in range(3)] for i in range(3)]

    two, three = times(walk, walk), times(times(walk, walk), walk)
    found = graphs.influence(graph, order=3, decay=0.5)
    for i in range(3):
        for j in range(3):
            expected = walk[i][j] + 0.5 * two[i][j] + 0.25 * three[i][j]
            assert found[i, j].item() == pytest.approx(expected, abs=1e-12)
    with pytest.raises(ValueError, match=r"adjacency: shape \(2, 3\); accepted: \(N, N\)"):
        graphs.influence(graph[:2])


def test_dense_communities() -> None:
    r = drawn((5, 3))[0].softmax(1)
    graph = torch.rand(5, 5).double()
    size = [sum(r[i, k].item() for i in range(5)) for k in range(3)]

    def density(k: int, m: int) -> float:
        pairs = [(i, j) for i in range(5) for j in range(5)]
        edges = sum((r[i, k] * graph[i, j] * r[j, m]).item() for i, j in pairs)
        return edges / (size[k] * size[m])

    between = [density(k, m) for k in range(3) for m in range(3) if k != m]
    expected = 0.7 * sum(between) / 6 - sum(density(k, k) for k in range(3)) / 3
    found = graphs.dense_community_loss(r, graph, between=0.7)
    assert found.item() == pytest.approx(expected, abs=1e-12)
    r.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: graphs.dense_community_loss(x, graph), r)
    # Two cliques: the right communities have the lower loss.
    cliques = torch.block_diag(torch.ones(3, 3), torch.ones(3, 3)).double()
    right = torch.eye(2).double().repeat_interleave(3, 0)
    wrong = torch.eye(2).double().repeat(3, 1)
    good, bad = (graphs.dense_community_loss(x, cliques) for x in (right, wrong))
    assert good.item() == pytest.approx(-1)
    assert bad > good + 0.5
    with pytest.raises(ValueError, match="adjacency: shape"):
        graphs.dense_community_loss(r, graph[:4, :4])


def test_cluster_refinement() -> None:
    z, centres = (x.requires_grad_() for x in drawn((5, 3), (2, 3)))
    q = clustering.student_t_assignments(z, centres, freedom=2.0)
    expected = []
    for row in z.tolist():
        t = [
            (1 + sum((a - b) ** 2 for a, b in zip(row, c, strict=True)) / 2) ** -1.5
            for c in centres.tolist()
        ]
        expected.append([x / sum(t) for x in t])
    close(q.detach(), expected)
    size = [sum(row[k] for row in expected) for k in range(2)]
    target, total = [], 0.0
    for row in expected:
        p = [x * x / s for x, s in zip(row, size, strict=True)]
        target.append([x / sum(p) for x in p])
        total += sum(a * math.log(a / b) for a, b in zip(target[-1], row, strict=True))
    close(clustering.refinement_targets(q), target)
    loss = clustering.refinement_loss(z, centres, freedom=2.0)
    assert loss.item() == pytest.approx(total / 5, abs=1e-12)
    assert torch.autograd.gradcheck(clustering.student_t_assignments, (z, centres))
    gradient = torch.autograd.grad(loss, centres)[0]
    fixed = torch.tensor(target, dtype=torch.float64)
    direct = -(fixed * clustering.student_t_assignments(z, centres, freedom=2.0).log()).sum() / 5
    torch.testing.assert_close(gradient, torch.autograd.grad(direct, centres)[0])


def test_discrepancy() -> None:
    x, y = drawn((4, 2), (3, 2))

    def kernel(a: Tensor, b: Tensor, width: float) -> float:
        apart = sum((p - q) ** 2 for p, q in zip(a.tolist(), b.tolist(), strict=True))
        return math.exp(-apart / (2 * width * width))

    def mean(a: Tensor, b: Tensor) -> float:
        return sum(kernel(p, q, 0.8) for p in a for q in b) / (len(a) * len(b))

    found = functional.maximum_mean_discrepancy(x, y, bandwidth=0.8)
    assert found.item() == pytest.approx(mean(x, x) + mean(y, y) - 2 * mean(x, y), abs=1e-12)
    assert functional.maximum_mean_discrepancy(x, x).item() == pytest.approx(0, abs=1e-12)
    near, far = x + 0.1, x + 3
    ranked = functional.rank_devices(x, torch.stack([far, near, x + 1]))
    assert ranked.argsort().tolist() == [1, 2, 0]
    with pytest.raises(ValueError, match="devices: shape"):
        functional.rank_devices(x, y)


@pytest.mark.parametrize("elements", [1 << 20, 8])
def test_scores(elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spec, "BLOCK_ELEMENTS", elements)
    z, k = drawn((7, 3), (5, 3))
    ids, other = torch.arange(7) % 3, torch.arange(5) % 3
    for keys, key_ids in ((None, None), (k, other)):
        found = functional.score_distribution(z, keys, q_ids=ids, k_ids=key_ids, bins=8)
        counts = {True: [0] * 8, False: [0] * 8}
        for i in range(7):
            for j, row in enumerate(z if keys is None else keys):
                if keys is None and i == j:
                    continue
                at = min(7, math.floor((cosine(z[i], row) + 1) / 0.25))
                same = ids[i] == (ids if key_ids is None else key_ids)[j]
                counts[bool(same)][at] += 1
        assert found.positive.tolist() == counts[True]
        assert found.negative.tolist() == counts[False]
        pairs = 7 * (6 if keys is None else 5)
        assert found.positive.sum() + found.negative.sum() == pairs
    assert found.edges.tolist() == [-1 + 0.25 * b for b in range(9)]
    axes = plots.scores(found).axes[0]
    for patch, counts in zip(axes.patches, (found.positive, found.negative), strict=True):
        values, edges, _ = patch.get_data()
        assert values.tolist() == pytest.approx((counts / counts.sum()).tolist())
        assert edges.tolist() == found.edges.tolist()
    same = functional.score_distribution(torch.ones(2, 3), q_ids=torch.zeros(2).long(), bins=4)
    assert same.positive.tolist() == [0, 0, 0, 2]
    with pytest.raises(ValueError, match="bins: 0"):
        functional.score_distribution(z, q_ids=ids, bins=0)


BAD = {
    "h: shape": lambda z: functional.similarity_aggregate(z, z[:3]),
    "temperature: 0": lambda z: functional.similarity_aggregate(z, z, temperature=0),
    "segments: 3; accepted: below count = 2": lambda z: functional.segment_mean(
        z[None], torch.full((1, 4), 3), 2
    ),
    "assignments: shape": lambda z: functional.slot_pool(z[None], z[None, :2]),
    "neighbours: 9; accepted: 1 to the 4": lambda z: functional.neighbour_mean(z, z, 9),
    "centres: 2 columns": lambda z: clustering.student_t_assignments(z, z[:, :2]),
    "assignments: 1 community": lambda z: graphs.dense_community_loss(z[:, :1], z @ z.T),
}


@pytest.mark.parametrize("words", BAD)
def test_errors_name_the_argument(words: str) -> None:
    with pytest.raises(ValueError, match=words):
        BAD[words](torch.randn(4, 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_discrepancy_far_from_the_origin_and_of_equal_rows(dtype: torch.dtype) -> None:
    (x,) = drawn((9, 4))
    x = x.to(dtype)
    y = torch.cat([x[:3], x[:3] + 0.5])
    near = functional.maximum_mean_discrepancy(x, y)
    rows = torch.cat([x, y]).double()
    apart = (rows[:, None] - rows).square().sum(2)
    width = math.sqrt(apart[apart > 0].median() / 2)
    exact = functional.maximum_mean_discrepancy(x.double(), y.double(), bandwidth=width)
    assert near.item() == pytest.approx(exact.item(), rel=1e-5 if dtype == torch.float32 else 1e-9)
    far = functional.maximum_mean_discrepancy(x + 64, y + 64)
    assert far.item() == pytest.approx(near.item(), rel=1e-3 if dtype == torch.float32 else 1e-9)
    x.requires_grad_()
    functional.maximum_mean_discrepancy(x, y).backward()
    assert torch.isfinite(x.grad).all()
    if dtype == torch.float64:
        assert torch.autograd.gradcheck(
            lambda a: functional.maximum_mean_discrepancy(a, y + 1, bandwidth=0.8), x
        )
