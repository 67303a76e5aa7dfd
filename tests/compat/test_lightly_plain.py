"""The losses of tsssl_fast.compat.lightly that are plain torch, against the published formulas."""

import math
from typing import Any

import pytest
import torch
from compat import formulas
from compat.formulas import agree, balanced, cross_entropy, drawn
from torch import Tensor
from torch.nn.functional import normalize

from tsssl_fast.compat.lightly.loss import (
    DINOLoss,
    IBOTPatchLoss,
    KoLeoLoss,
    MMCRLoss,
    MSNLoss,
    SwaVLoss,
    SymNegCosineSimilarityLoss,
    TiCoLoss,
    VICRegLLoss,
)

PAIR = ((12, 10), (12, 10))


def test_sym_neg_cosine_similarity_stops_the_projections() -> None:
    with pytest.warns(DeprecationWarning, match="NegativeCosineSimilarity"):
        loss = SymNegCosineSimilarityLoss()

    def formula(z0: Tensor, p0: Tensor, z1: Tensor, p1: Tensor) -> Tensor:
        pairs = [(p0, z1.detach()), (p1, z0.detach())]
        return -sum((normalize(p) * normalize(z)).sum(1).mean() for p, z in pairs) / 2 + 0 * (
            z0.sum() + z1.sum()
        )

    def ours(z0: Tensor, p0: Tensor, z1: Tensor, p1: Tensor) -> Tensor:
        return loss((z0, p0), (z1, p1)) + 0 * (z0.sum() + z1.sum())

    agree(ours, formula, drawn(*PAIR, *PAIR))


@pytest.mark.parametrize("iterations", [0, 1, 3])
def test_swav(iterations: int) -> None:
    def formula(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """Two high-resolution crops, a low-resolution one."""
        targets = [balanced(x.detach() / 0.05, iterations) for x in (a, b)]
        rows = [
            cross_entropy(t, x / 0.1).mean()
            for t, others in zip(targets, ((b, c), (a, c)), strict=True)
            for x in others
        ]
        return torch.stack(rows).mean()

    loss = SwaVLoss(sinkhorn_iterations=iterations)
    agree(lambda a, b, c: loss([a, b], [c])[0], formula, drawn(*PAIR, (12, 10), scale=0.3))
    assert loss([torch.eye(3)] * 2, []).shape == (1,)


def test_swav_with_a_queue_that_fills_the_assignments() -> None:
    loss = SwaVLoss()
    (a, b, q) = drawn((12, 10), (12, 10), (5, 10), scale=0.3)[0]
    targets = [balanced(torch.cat([x, q]).double() / 0.05, 3)[:12] for x in (a, b)]
    pairs = zip(targets, (b, a), strict=True)
    exact = torch.stack([cross_entropy(t, x.double() / 0.1).mean() for t, x in pairs])
    torch.testing.assert_close(loss([a, b], [], [q, q])[0].double(), exact.mean())


def test_dino_and_its_centre() -> None:
    a, b, c, d = (x.double() for x in drawn(*PAIR, *PAIR)[0])
    loss = DINOLoss(10, warmup_teacher_temp=0.02, teacher_temp=0.06, warmup_teacher_temp_epochs=5)
    centre = torch.zeros(10, dtype=torch.float64)
    for epoch, tau in ((0, 0.02), (2, 0.04), (5, 0.06), (None, 0.06)):
        targets = [((x - centre) / tau).softmax(1) for x in (a, b)]
        pairs = [(0, 1), (0, 2), (1, 0), (1, 2)]  # the teacher's two views, the student's three
        students = (b, d, c)
        exact = torch.stack(
            [cross_entropy(targets[t], students[s] / 0.1).mean() for t, s in pairs]
        ).mean()
        found = loss([a, b], list(students), epoch=epoch)
        torch.testing.assert_close(found, exact, rtol=1e-5, atol=0)
        centre = 0.9 * centre + 0.1 * torch.cat([a, b]).mean(0)
        torch.testing.assert_close(loss.center[0, 0].double(), centre, rtol=1e-5, atol=1e-7)
    assert loss.state_dict().keys() == {"center"}
    assert loss.center.shape == (1, 1, 10)
    with pytest.raises(ValueError, match="one view"):
        loss([a], [b])
    with pytest.raises(ValueError, match="center_mode"):
        DINOLoss(center_mode="median")


def test_ibot_weighs_images_alike() -> None:
    mask = torch.zeros(3, 2, 2, dtype=torch.bool)
    mask[0, 0, 0] = mask[1, 0] = mask[1, 1, 0] = True  # 1, 3 and 0 masked patches
    teacher, student = (x.double() for x in drawn((4, 6), (4, 6))[0])
    loss = IBOTPatchLoss(6)
    each = cross_entropy((teacher / 0.04).softmax(1), student / 0.1)
    exact = (each[0] + each[1:].mean()) / 3
    torch.testing.assert_close(loss(teacher, student, mask), exact)
    torch.testing.assert_close(loss.center.center[0].double(), 0.1 * teacher.mean(0))
    assert loss.state_dict().keys() == {"center.center"}


@pytest.mark.parametrize("iterations", [0, 3])
def test_msn(iterations: int) -> None:
    def formula(anchors: Tensor, targets: Tensor, prototypes: Tensor) -> Tensor:
        a, t, p = (normalize(x) for x in (anchors, targets.detach(), prototypes))
        predicted = (a @ p.T / 0.1).softmax(1)
        wanted = (t @ p.detach().T / 0.1).softmax(1) ** 4
        wanted = wanted / wanted.sum(1, keepdim=True)
        if iterations:
            wanted = balanced(wanted.log(), iterations)
        loss = -(wanted.repeat(2, 1) * predicted.log()).sum(1).mean()
        mean = predicted.mean(0)
        return loss + 0.5 * ((mean * mean.log()).sum() + math.log(7)) + 0 * targets.sum()

    loss = MSNLoss(sinkhorn_iterations=iterations, regularization_weight=0.5)
    inputs = drawn((12, 10), (6, 10), (7, 10))
    agree(lambda a, t, p: loss(a, t, p) + 0 * t.sum(), formula, inputs)


def test_koleo() -> None:
    def formula(x: Tensor) -> Tensor:
        u = normalize(x)
        far = u @ u.T - 3 * torch.eye(len(u))
        distance = ((u - u[far.argmax(1)] + 1e-8).square().sum(1)).sqrt()
        return -(distance + 1e-8).log().mean()

    agree(KoLeoLoss(), formula, drawn((12, 10)))


def test_tico_remembers_its_covariance() -> None:
    for inputs in drawn(*PAIR):
        a, b = (normalize(x.double()) for x in inputs)
        loss, memory = TiCoLoss(), torch.zeros(10, 10, dtype=torch.float64)
        for update in (True, False, True):
            c = 0.9 * memory + 0.1 * a.T @ a / 12
            exact = 1 - (a * b).sum(1).mean() + 8 * torch.einsum("ni,ij,nj->n", a, c, a).mean()
            found = loss(*inputs, update_covariance_matrix=update)
            torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-6)
            memory = c if update else memory
    assert list(loss.state_dict()) == []


def test_mmcr() -> None:
    def formula(a: Tensor, b: Tensor) -> Tensor:
        z = torch.cat([a, b], dim=1)
        norms = [torch.linalg.matrix_norm(x, "nuc") for x in z]
        return 5e-3 * torch.stack(norms).mean() - torch.linalg.matrix_norm(z.mean(1), "nuc")

    agree(MMCRLoss(), formula, drawn((6, 3, 8), (6, 3, 8)))


def test_vicregl() -> None:
    """Positions matched by brute force."""

    def matched(a: Tensor, b: Tensor, x: Tensor, y: Tensor, count: int) -> Tensor:
        left, right = [], []
        for n in range(len(a)):
            best = sorted(
                ((x[n, i] - y[n, j]).norm().item(), i, j)
                for i in range(a.shape[1])
                for j in [int((y[n] - x[n, i]).norm(dim=1).argmin())]
            )[:count]
            left.append(torch.stack([a[n, i] for _, i, _ in best]))
            right.append(torch.stack([b[n, j] for _, _, j in best]))
        u, v = torch.stack(left), torch.stack(right)
        positions = range(u.shape[1])
        return torch.stack(
            [formulas.vicreg(u[:, i], v[:, i], (25, 25, 0.5)) for i in positions]
        ).mean()

    def formula(*x: Tensor) -> Tensor:
        pools, maps, grids = x[:3], [m.flatten(1, 2) for m in x[3:6]], x[6:]
        grids = [g.flatten(1, 2) for g in grids]
        pairs = [(0, 1), (0, 2), (1, 0), (1, 2)]
        invariance = torch.stack([(pools[a] - pools[b]).square().mean() for a, b in pairs]).mean()
        spread = torch.stack([formulas.vicreg(z, z, (0, 25, 0.5)) for z in pools]).mean()
        local = []
        for a, b in pairs:
            for p, q in ((maps[a], maps[b]), (grids[a], grids[b])):
                local.append(matched(maps[a], maps[b], p, q, 3))
                local.append(matched(maps[b], maps[a], q, p, 2))
        total = 0.75 * (25 * invariance + spread)
        return total + 0.25 * torch.stack(local).sum() / 2 / len(pairs)

    def ours(*x: Any) -> Tensor:
        loss = VICRegLLoss(num_matches=(3, 2))
        views = list(zip(x[:2], x[3:5], strict=True))
        return loss(views, x[6:8], [(x[2], x[5])], [x[8]])[0]

    shapes = [(5, 6)] * 3 + [(5, 2, 2, 4), (5, 2, 2, 4), (5, 1, 3, 4)]
    grids = [(5, 2, 2, 2), (5, 2, 2, 2), (5, 1, 3, 2)]
    for inputs in drawn(*shapes, draws=2, scale=0.5):
        generator = torch.Generator().manual_seed(0)
        places = [torch.rand(g, generator=generator) for g in grids]
        agree(
            lambda *x, g=places: ours(*x, *(y.to(x[0]) for y in g)),
            lambda *x, g=places: formula(*x, *(y.to(x[0]) for y in g)),
            [inputs],
        )
    with pytest.raises(ValueError, match="local_view_grids"):
        VICRegLLoss()([], [], [])
    with pytest.raises(ValueError, match="grids: 0 and 0"):
        VICRegLLoss()([(torch.eye(2), torch.eye(2))], [])
