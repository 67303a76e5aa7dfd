"""The losses of tsssl_fast.compat.lightly that are plain torch, against the published formulas."""

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
    """Two high-resolution crops, a low-resolution one."""
    loss = SwaVLoss(sinkhorn_iterations=iterations)
    agree(
        lambda a, b, c: loss([a, b], [c])[0],
        lambda a, b, c: formulas.swav([a, b], [c], iterations),
        drawn(*PAIR, (12, 10), scale=0.3),
    )
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
        exact = formulas.dino([a, b], [b, d, c], centre, tau)
        found = loss([a, b], [b, d, c], epoch=epoch)
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
    exact = formulas.ibot(teacher, student, (1, 3, 0))
    torch.testing.assert_close(loss(teacher, student, mask), exact)
    torch.testing.assert_close(loss.center.center[0].double(), 0.1 * teacher.mean(0))
    assert loss.state_dict().keys() == {"center.center"}


@pytest.mark.parametrize("iterations", [0, 3])
def test_msn(iterations: int) -> None:
    def formula(a: Tensor, t: Tensor, p: Tensor) -> Tensor:
        return formulas.msn(a, t, p, 0.5, iterations) + 0 * t.sum()

    loss = MSNLoss(sinkhorn_iterations=iterations, regularization_weight=0.5)
    inputs = drawn((12, 10), (6, 10), (7, 10))
    agree(lambda a, t, p: loss(a, t, p) + 0 * t.sum(), formula, inputs)


def test_msn_under_the_earlier_name_of_its_weight() -> None:
    inputs = drawn((12, 10), (6, 10), (7, 10))[0]
    with pytest.warns(DeprecationWarning, match="me_max_weight: use regularization_weight"):
        loss = MSNLoss(regularization_weight=2.0, me_max_weight=0.5)
    assert loss.regularization_weight == 0.5
    torch.testing.assert_close(loss(*inputs), MSNLoss(regularization_weight=0.5)(*inputs))


def test_msn_by_position_as_in_1_6_0(recwarn: pytest.WarningsRecorder) -> None:
    loss = MSNLoss(0.2, 2, 0.3, True)
    assert (loss.regularization_weight, loss.me_max_weight, loss.gather_distributed) == (
        *(0.3, None),
        True,
    )
    assert not MSNLoss(0.2, 2, 0.3, False).gather_distributed
    assert not recwarn.list
    with pytest.raises(ValueError, match="me_max_weight: False with gather_distributed"):
        MSNLoss(0.2, 2, 0.3, False, True)


def test_koleo() -> None:
    agree(KoLeoLoss(), formulas.koleo, drawn((12, 10)))


def test_tico_remembers_its_covariance() -> None:
    for inputs in drawn(*PAIR):
        a, b = (x.double() for x in inputs)
        loss, memory = TiCoLoss(), torch.zeros(10, 10, dtype=torch.float64)
        for update in (True, False, True):
            exact, c = formulas.tico(a, b, memory)
            found = loss(*inputs, update_covariance_matrix=update)
            torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-6)
            memory = c if update else memory
    assert list(loss.state_dict()) == []


def test_tico_has_gradients_through_the_rows_alone() -> None:
    """The memory is a constant, the new matrix too."""

    def ours(a: Tensor, b: Tensor) -> Tensor:
        loss = TiCoLoss()
        loss(b.detach(), a.detach())
        return loss(a, b)

    def formula(a: Tensor, b: Tensor) -> Tensor:
        return formulas.tico(a, b, formulas.tico(b.detach(), a.detach())[1])[0]

    agree(ours, formula, drawn(*PAIR))


def test_mmcr() -> None:
    agree(MMCRLoss(), formulas.mmcr, drawn((6, 3, 8), (6, 3, 8)))


def test_vicregl() -> None:
    def formula(*x: Tensor) -> Tensor:
        return formulas.vicregl(x[:3], x[3:6], x[6:], (3, 2))

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
