"""The modules of tsssl_fast.compat for libraries of one or a few losses, against the formulas."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from compat import formulas
from compat.formulas import agree, drawn, not_self
from torch import Tensor
from torch.nn.functional import normalize

from tsssl_fast.compat import (
    barlow_twins,
    info_nce,
    open_clip,
    simclr,
    solo_learn,
    supcontrast,
    ts2vec,
    ts_tcc,
    vicreg,
)

PAIR = ((12, 10), (12, 10))
LABELS = torch.tensor([0, 1, 2, 0, 1, 0, 3, 0, 1, 2, 0, 1])


def flattened(features: Tensor) -> Tensor:
    return torch.cat([x.flatten(1) for x in features.unbind(1)])


def sup_contrast(
    features: Tensor, positive: Tensor, tau: float, base: float, anchors: int | None = None
) -> Tensor:
    """Weights of the positives, (rows, rows); the first `anchors` rows count."""
    z = flattened(features)
    apart = not_self(len(z))
    a = (z @ z.T / tau).masked_fill(~apart, -torch.inf)
    w = (positive * apart).to(z.dtype)
    mean = (w * a.masked_fill(~apart, 0.0)).sum(1) / w.sum(1)
    return tau / base * (a.logsumexp(1) - mean)[:anchors].mean()


@pytest.mark.parametrize("mode", ["all", "one"])
@pytest.mark.parametrize("labels", [None, LABELS, LABELS[:, None], torch.zeros(12).long()])
def test_sup_contrast(mode: str, labels: Tensor | None) -> None:
    """One class alone too: 7.02 there, no 0."""
    ids = (torch.arange(12) if labels is None else labels.reshape(-1)).repeat(3)
    positive = ids[:, None] == ids
    loss = supcontrast.SupConLoss(0.3, mode, base_temperature=0.1)
    agree(
        lambda x: loss(normalize(x, dim=2), labels),
        lambda x: sup_contrast(
            normalize(x, dim=2), positive, 0.3, 0.1, 12 if mode == "one" else None
        ),
        drawn((12, 3, 10)),
    )


@pytest.mark.parametrize("mode", ["all", "one"])
def test_sup_contrast_with_a_mask(mode: str) -> None:
    mask = torch.rand(12, 12, generator=torch.Generator().manual_seed(0))
    mask = torch.where(mask > 0.6, mask, 0.0).fill_diagonal_(1.0)
    loss = supcontrast.SupConLoss(contrast_mode=mode, temperature=0.5)
    agree(
        lambda x: loss(x, mask=mask),
        lambda x: sup_contrast(
            x, mask.repeat(2, 2).to(x), 0.5, 0.07, 12 if mode == "one" else None
        ),
        drawn((12, 2, 2, 5), scale=0.5),
    )


def test_sup_contrast_rows_without_a_positive() -> None:
    x = normalize(drawn((12, 1, 10))[0][0].double(), dim=2)
    u = x[:, 0]
    mean, every, _ = formulas.rows(u, u, LABELS[:, None] == LABELS, not_self(12), 0.07)
    exact = (every - mean)[LABELS != 3].sum() / 12
    torch.testing.assert_close(supcontrast.SupConLoss()(x, LABELS), exact)


def test_sup_contrast_of_equal_rows_at_logits_of_4000() -> None:
    """Float32 numbers are 2.4e-4 apart there."""
    z = torch.full((64, 7), 40.0**0.5)
    for views, labels in ((2, None), (1, torch.arange(64) % 2), (1, torch.zeros(64).long())):
        x = z.reshape(64 // views, views, 7).requires_grad_()
        loss = supcontrast.SupConLoss()(x, labels)
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss.item(), math.log(63), rtol=0, atol=2e-6)
        (gradient,) = torch.autograd.grad(loss, x)
        assert gradient.abs().max() < 1e-5


def test_sup_contrast_arguments() -> None:
    x = torch.randn(4, 2, 3)
    with pytest.raises(ValueError, match="features: shape"):
        supcontrast.SupConLoss()(x[0])
    with pytest.raises(ValueError, match="labels, mask"):
        supcontrast.SupConLoss()(x, torch.arange(4), torch.eye(4))
    with pytest.raises(ValueError, match="labels: 3 entries"):
        supcontrast.SupConLoss()(x, torch.arange(3))
    with pytest.raises(ValueError, match="mask: shape"):
        supcontrast.SupConLoss()(x, mask=torch.eye(3))
    with pytest.raises(ValueError, match="contrast_mode"):
        supcontrast.SupConLoss(contrast_mode="two")(x)


def test_clip_takes_features_and_the_scale_as_they_are() -> None:
    inputs = [[*x, torch.tensor(3.0)] for x in drawn(*PAIR)]
    agree(open_clip.ClipLoss(), formulas.clip, inputs)
    a, b, _ = inputs[0]
    torch.testing.assert_close(open_clip.ClipLoss()(a, b, 3.0), formulas.clip(a, b, 3.0))
    named = open_clip.ClipLoss()(a, b, torch.tensor([3.0]), output_dict=True)
    assert named.keys() == {"contrastive_loss"}
    bias = torch.zeros((), requires_grad=True)
    open_clip.ClipLoss()(a, b, 3.0, logit_bias=bias).backward()
    assert bias.grad == 0
    assert open_clip.ClipLoss()(a.bfloat16(), b.bfloat16(), 3.0).dtype == torch.bfloat16
    with pytest.raises(NotImplementedError, match="use_horovod"):
        open_clip.ClipLoss(use_horovod=True)
    with pytest.raises(ValueError, match="world_size: 2"):
        open_clip.ClipLoss(world_size=2)(a, b, 3.0)
    with pytest.raises(ValueError, match="logit_scale: 0"):
        open_clip.ClipLoss()(a, b, 0.0)


def test_clip_of_close_views_at_a_scale_of_100() -> None:
    a = torch.eye(8)
    b = normalize(a + 1e-2 * torch.randn(8, 8, generator=torch.Generator().manual_seed(0)))
    exact = open_clip.ClipLoss()(a.double(), b.double(), 100.0)
    assert 0 < exact < 1e-30
    found = open_clip.ClipLoss()(a, b, 100.0).double()
    torch.testing.assert_close(found, exact, rtol=1e-3, atol=0)


def test_siglip() -> None:
    inputs = [[*x, torch.tensor(2.0), torch.tensor(-3.0)] for x in drawn(*PAIR)]
    agree(open_clip.SigLipLoss(), formulas.siglip, inputs)
    a, b, scale, _ = inputs[0]
    torch.testing.assert_close(
        open_clip.SigLipLoss(chunk_size=4, dist_impl="gather")(a, b, scale, None),
        formulas.siglip(a, b, scale, torch.tensor(0.0)),
    )
    with pytest.raises(AssertionError, match="dist_impl"):
        open_clip.SigLipLoss(dist_impl="ring")


@pytest.mark.parametrize("indexes", [torch.arange(6).repeat(2), LABELS % 3])
def test_solo_simclr(indexes: Tensor) -> None:
    agree(
        lambda z: solo_learn.simclr_loss_func(z, indexes),
        lambda z: formulas.simclr(z, indexes, 0.1),
        drawn((12, 10)),
    )
    with pytest.raises(NotImplementedError, match="extra_pos_mask"):
        solo_learn.simclr_loss_func(torch.eye(3), torch.arange(3), extra_pos_mask=torch.eye(3))


def test_solo_simclr_of_a_label_that_occurs_once() -> None:
    """Its row counts with 0; in the library the whole loss is infinite."""
    z, ids = torch.eye(3)[[0, 0, 1]].double().requires_grad_(), torch.tensor([0, 0, 1])
    found = solo_learn.simclr_loss_func(z, ids, temperature=1.0)
    torch.testing.assert_close(found.item(), 2 / 3 * math.log(1 + math.exp(-1)))
    assert torch.autograd.grad(found, z)[0].isfinite().all()
    assert formulas.simclr(z, ids, 1.0) == math.inf
    z = drawn((12, 10))[0][0].double()
    u, same = normalize(z), LABELS[:, None] == LABELS
    a = (u @ u.T / 0.1).exp() * not_self(12)
    share = (a * same).sum(1) / a.sum(1)
    exact = -share[LABELS != 3].log().sum() / 12
    torch.testing.assert_close(solo_learn.simclr_loss_func(z, LABELS), exact)


def test_solo_simclr_at_low_temperatures() -> None:
    """exp(1 / 0.01) has no place in float32."""
    z, ids = drawn((12, 10))[0][0], torch.arange(6).repeat(2)
    exact = solo_learn.simclr_loss_func(z.double(), ids, 0.01)
    found = solo_learn.simclr_loss_func(z, ids, 0.01)
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=0)


def solo_vicreg(a: Tensor, b: Tensor) -> Tensor:
    return formulas.vicreg(a, b, (25, 50, 1))  # the hinges summed, not halved


def solo_byol(a: Tensor, b: Tensor) -> Tensor:
    return 2 - 2 * (normalize(a) * normalize(b.detach())).sum(1).mean() + 0 * b.sum()


@pytest.mark.parametrize(
    ("loss", "formula", "scale"),
    [
        (solo_learn.vicreg_loss_func, solo_vicreg, 0.3),
        (solo_learn.vibcreg_loss_func, formulas.vibcreg, 0.3),
        (
            solo_learn.barlow_loss_func,
            lambda a, b: 0.025 * formulas.barlow_twins(a, b, 5e-3),
            1.0,
        ),
        (solo_learn.mocov3_loss_func, lambda a, b: 0.4 * formulas.info_nce(a, b, 0.2), 1.0),
        (solo_learn.nnclr_loss_func, lambda a, b: formulas.info_nce(a, b, 0.1), 1.0),
        (lambda a, b: solo_learn.byol_loss_func(a, b) + 0 * b.sum(), solo_byol, 1.0),
        (
            lambda a, b: solo_learn.simsiam_loss_func(a, b) + 0 * b.sum(),
            lambda a, b: solo_byol(a, b) / 2 - 1,
            1.0,
        ),
    ],
)
def test_solo_pairs(loss: Any, formula: Any, scale: float) -> None:
    agree(loss, formula, drawn(*PAIR, scale=scale))


def test_solo_vibcreg_of_columns_that_hardly_vary() -> None:
    """The floor of a column's norm is not the variance's eps."""
    a, b = (1e-5 * x.double() for x in drawn(*PAIR)[0])
    torch.testing.assert_close(solo_learn.vibcreg_loss_func(a, b), formulas.vibcreg(a, b))


def test_solo_queue() -> None:
    def formula(q: Tensor, k: Tensor, queue: Tensor) -> Tensor:
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue], dim=1) / 0.1
        return (logits.logsumexp(1) - logits[:, 0]).mean()

    agree(solo_learn.mocov2plus_loss_func, formula, drawn(*PAIR, (10, 30), scale=0.3))


def against_negatives(q: Tensor, k: Tensor, n: Tensor) -> Tensor:
    u, v, w = (normalize(x, dim=-1) for x in (q, k, n))
    others = torch.einsum("nd,nsd->ns", u, w) if w.dim() == 3 else u @ w.T
    logits = torch.cat([(u * v).sum(1, keepdim=True), others], dim=1) / 0.1
    return logits.logsumexp(1) - logits[:, 0]


@pytest.mark.parametrize(("mode", "shape"), [("unpaired", (7, 10)), ("paired", (12, 7, 10))])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_info_nce(mode: str, shape: tuple[int, ...], reduction: str) -> None:
    reduce: dict[str, Callable[[Tensor], Tensor]] = {
        "mean": torch.mean,
        "sum": torch.sum,
        "none": lambda x: x,
    }
    loss = info_nce.InfoNCE(reduction=reduction, negative_mode=mode)
    agree(
        loss,
        lambda q, k, n: reduce[reduction](against_negatives(q, k, n)),
        drawn(*PAIR, shape),
    )
    a, b = drawn(*PAIR)[0]
    found = info_nce.info_nce(a, b, None, 0.5, reduction, mode)
    logits = normalize(a) @ normalize(b).T / 0.5
    torch.testing.assert_close(found, reduce[reduction](logits.logsumexp(1) - logits.diagonal()))


def test_info_nce_arguments() -> None:
    a, b = drawn(*PAIR)[0]
    for more, said in (
        ((b[:5],), "positive_key: shape"),
        ((b, torch.randn(3, 4)), "D = 10"),
        ((b, torch.randn(12, 3, 10)), r"accepted: \(K, D\)"),
    ):
        with pytest.raises(ValueError, match=said):
            info_nce.info_nce(a, *more)
    with pytest.raises(ValueError, match=r"accepted: \(12, S, D\)"):
        info_nce.info_nce(a, b, torch.randn(5, 3, 10), negative_mode="paired")
    with pytest.raises(ValueError, match="negative_mode"):
        info_nce.info_nce(a, b, b, negative_mode="own")
    with pytest.raises(ValueError, match="query: shape"):
        info_nce.info_nce(a[0], b)


@pytest.mark.parametrize("temporal_unit", [0, 1, 2, 9])
@pytest.mark.parametrize("steps", [1, 7, 8])
def test_ts2vec(temporal_unit: int, steps: int) -> None:
    agree(
        lambda a, b: ts2vec.hierarchical_contrastive_loss(a, b, 0.3, temporal_unit),
        lambda a, b: formulas.ts2vec(a, b, 0.3, temporal_unit),
        drawn((3, steps, 4), (3, steps, 4)),
    )


@pytest.mark.parametrize("cosine", [True, False])
def test_ts_tcc(cosine: bool) -> None:
    formula = formulas.nt_xent if cosine else formulas.dot_products
    loss = ts_tcc.NTXentLoss("cpu", 12, 0.2, cosine)
    agree(loss, lambda a, b: formula(a, b, 0.2), drawn(*PAIR, scale=0.5))
    with pytest.raises(ValueError, match="batch_size = 12"):
        loss(torch.eye(3), torch.eye(3))


def test_official_codes() -> None:
    inputs = drawn(*PAIR, scale=0.3)
    agree(vicreg.VICRegLoss(), formulas.vicreg, inputs)
    agree(
        vicreg.VICRegLoss(sim_coeff=1, std_coeff=2, cov_coeff=3),
        lambda a, b: formulas.vicreg(a, b, (1, 2, 3)),
        inputs,
    )
    agree(barlow_twins.BarlowTwinsLoss(), lambda a, b: formulas.barlow_twins(a, b, 0.0051), inputs)
    x = torch.arange(9).reshape(3, 3)
    assert vicreg.off_diagonal(x).tolist() == [1, 2, 3, 5, 6, 7]
    with pytest.raises(AssertionError, match="square"):
        barlow_twins.off_diagonal(x[:2])


def test_simclr_with_its_accuracies() -> None:
    for a, b in drawn(*PAIR, scale=2.0):
        found = simclr.info_nce_loss(torch.cat([a, b]), temperature=0.2)
        exact = formulas.nt_xent(a.double(), b.double(), 0.2)
        torch.testing.assert_close(found.loss.double(), exact, rtol=1e-5, atol=0)
        u = normalize(torch.cat([a, b]))
        logits = (u @ u.T).fill_diagonal_(-math.inf)
        order = logits.argsort(1, descending=True)
        partner = (torch.arange(24) + 12) % 24
        for k, top in ((1, found.top1), (5, found.top5)):
            hits = (order[:, :k] == partner[:, None]).any(1)
            torch.testing.assert_close(top, 100 * hits.float().mean(0, keepdim=True))
    with pytest.raises(NotImplementedError, match="n_views=3"):
        simclr.info_nce_loss(a, n_views=3)
    with pytest.raises(ValueError, match="features: 11 rows"):
        simclr.info_nce_loss(a[:11])
