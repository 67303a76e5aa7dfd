"""Calls as other libraries' users write them, with the import alone changed and nothing but the
library's defaults: the number of its published formula, or an error that names the option."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from compat import formulas
from compat.formulas import drawn
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from tsssl_fast.compat import (
    barlow_twins,
    info_nce,
    lightly,
    open_clip,
    simclr,
    solo_learn,
    supcontrast,
    torch_audiomentations,
    ts2vec,
    ts_tcc,
    tsaug,
    vicreg,
)
from tsssl_fast.compat import pytorch_metric_learning as pml

A, B = (x.double() for x in drawn((12, 10), (12, 10), draws=1)[0])
C = torch.randn(12, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
LABELS = torch.arange(12) % 3
VIEWS = normalize(torch.stack([A, B], dim=1), dim=2)
UNITS = [normalize(x, dim=1) for x in (A, B, C)]
WIDE = torch.randn(12, 70, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
STEPS = A.reshape(4, 6, 5)
MAPS = list(torch.randn(2, 12, 5, 5, 4, generator=torch.Generator().manual_seed(3)).double())
GRIDS = list(torch.rand(2, 12, 5, 5, 2, generator=torch.Generator().manual_seed(4)).double())


def of_labels(z: Tensor, tau: float) -> Tensor:
    return formulas.sup_con(normalize(z, dim=1), LABELS, tau)


def pairs_alone(z: Tensor, tau: float) -> Tensor:
    """pytorch-metric-learning's NT-Xent: a positive against itself and the negatives."""
    a = (lambda u: u @ u.T / tau)(normalize(z, dim=1))
    same = LABELS[:, None] == LABELS
    terms = [
        torch.cat([a[i, j, None], a[i][~same[i]]]).logsumexp(0) - a[i, j]
        for i, j in (same & formulas.not_self(12)).nonzero().tolist()
    ]
    return torch.stack(terms).mean()


def weight(u: Tensor, v: Tensor) -> Tensor:
    return (u - v).square().sum(1)


with pytest.warns(FutureWarning, match="output_type"):
    INVERSION = torch_audiomentations.TimeInversion(p=1.0)

SAME: dict[str, tuple[Callable[[], Any], Callable[[], Tensor]]] = {
    "lightly nt_xent": (
        lambda: lightly.loss.NTXentLoss()(A, B),
        lambda: formulas.nt_xent(A, B, 0.5),
    ),
    "lightly nt_xent, positional": (
        lambda: lightly.NTXentLoss(0.2, 0, False)(A, B),
        lambda: formulas.nt_xent(A, B, 0.2),
    ),
    "lightly vicreg": (lambda: lightly.VICRegLoss()(A, B), lambda: formulas.vicreg(A, B)),
    "lightly vicreg, weights": (
        lambda: lightly.VICRegLoss(lambda_param=1.0, mu_param=2.0, nu_param=3.0, eps=1e-2)(A, B),
        lambda: formulas.vicreg(A, B, (1, 2, 3), 1e-2),
    ),
    "lightly vicreg, three dimensions": (
        lambda: lightly.VICRegLoss()(torch.stack([A, B], 1), torch.stack([C, A], 1)),
        lambda: (formulas.vicreg(A, C) + formulas.vicreg(B, A)) / 2,
    ),
    "lightly barlow": (
        lambda: lightly.BarlowTwinsLoss()(A, B),
        lambda: formulas.barlow_twins(A, B, 5e-3),
    ),
    "lightly dcl": (lambda: lightly.DCLLoss()(A, B), lambda: formulas.dcl(A, B, 0.1)),
    "lightly dcl, weight_fn": (
        lambda: lightly.DCLLoss(temperature=0.2, weight_fn=weight)(A, B),
        lambda: formulas.dcl(A, B, 0.2, weight),
    ),
    "lightly dclw": (
        lambda: lightly.DCLWLoss()(A, B),
        lambda: formulas.dcl(A, B, 0.1, lambda u, v: formulas.mises_fisher(u, v, 0.5)),
    ),
    "lightly cosine": (
        lambda: lightly.NegativeCosineSimilarity()(A, B),
        lambda: -cosine_similarity(A, B, dim=1).mean(),
    ),
    "lightly dclw, positional": (
        lambda: lightly.DCLWLoss(0.2, 0.4, False)(A, B),
        lambda: formulas.dcl(A, B, 0.2, lambda u, v: formulas.mises_fisher(u, v, 0.4)),
    ),
    "lightly mises_fisher": (
        lambda: lightly.negative_mises_fisher_weights(A, B),
        lambda: formulas.mises_fisher(A, B, 0.5),
    ),
    "lightly sup_con": (
        lambda: lightly.SupConLoss()(A, B),
        lambda: 0.5 * formulas.nt_xent(A, B, 0.5),
    ),
    "lightly direct_clr": (
        lambda: lightly.DirectCLRLoss()(WIDE, WIDE.roll(1, 0) + WIDE),
        lambda: formulas.nt_xent(WIDE[:, :64], (WIDE.roll(1, 0) + WIDE)[:, :64], 0.5),
    ),
    "lightly tico": (lambda: lightly.TiCoLoss()(A, B), lambda: formulas.tico(A, B)[0]),
    "lightly tico, positional": (
        lambda: lightly.TiCoLoss(0.9, 8.0, False)(A, B),
        lambda: formulas.tico(A, B)[0],
    ),
    "lightly mmcr": (
        lambda: lightly.MMCRLoss()(VIEWS, C[:, None] * VIEWS),
        lambda: formulas.mmcr(VIEWS, C[:, None] * VIEWS),
    ),
    "lightly koleo": (lambda: lightly.KoLeoLoss()(A), lambda: formulas.koleo(A)),
    "lightly swav": (
        lambda: lightly.SwaVLoss()([A, B], [C])[0],
        lambda: formulas.swav([A, B], [C]),
    ),
    "lightly dino": (
        lambda: lightly.DINOLoss(10)([A, B], [B, A, C]),
        lambda: formulas.dino([A, B], [B, A, C]),
    ),
    "lightly dino, first epoch": (
        lambda: lightly.DINOLoss(10)([A, B], [B, A, C], epoch=0),
        lambda: formulas.dino([A, B], [B, A, C], tau=float(torch.tensor(0.04))),
    ),
    "lightly ibot": (
        lambda: lightly.IBOTPatchLoss(10)(A, B, torch.ones(3, 2, 2, dtype=torch.bool)),
        lambda: formulas.ibot(A, B, (4, 4, 4)),
    ),
    "lightly msn": (
        lambda: lightly.MSNLoss()(torch.cat([A, B]), C, A[:7]),
        lambda: formulas.msn(torch.cat([A, B]), C, A[:7]),
    ),
    "lightly msn, positional": (
        lambda: lightly.MSNLoss(0.1, 0, 0.5, None, False)(A, B, C[:7]),
        lambda: formulas.msn(A, B, C[:7], 0.5, 0),
    ),
    "lightly msn, positional, of 1.6.0": (
        lambda: lightly.MSNLoss(0.1, 3, 0.3, False)(A, B, C[:7]),
        lambda: formulas.msn(A, B, C[:7], 0.3, 3),
    ),
    "lightly vicregl": (
        lambda: lightly.VICRegLLoss()(list(zip([A, B], MAPS, strict=True)), GRIDS)[0],
        lambda: formulas.vicregl([A, B], MAPS, GRIDS),
    ),
    "pml nt_xent": (
        lambda: pml.losses.NTXentLoss()(A, LABELS),
        lambda: pairs_alone(A, 0.07),
    ),
    "pml sup_con": (lambda: pml.losses.SupConLoss()(A, LABELS), lambda: of_labels(A, 0.1)),
    "pml vicreg": (
        lambda: pml.losses.VICRegLoss()(A, ref_emb=B),
        lambda: formulas.vicreg(A, B),
    ),
    "pml self-supervised": (
        lambda: pml.losses.SelfSupervisedLoss(pml.losses.NTXentLoss())(A, B),
        lambda: formulas.nt_xent(A, B, 0.07),
    ),
    "supcontrast": (
        lambda: supcontrast.SupConLoss()(VIEWS, LABELS),
        lambda: formulas.sup_con(VIEWS.transpose(0, 1).flatten(0, 1), LABELS.repeat(2), 0.07),
    ),
    "supcontrast, no labels, another base": (
        lambda: supcontrast.SupConLoss(temperature=0.1)(VIEWS),
        lambda: formulas.nt_xent(A, B, 0.1) * 0.1 / 0.07,
    ),
    "open_clip": (
        lambda: open_clip.ClipLoss()(A, B, torch.tensor(7.0)),
        lambda: formulas.clip(A, B, 7.0),
    ),
    "open_clip, output_dict": (
        lambda: open_clip.ClipLoss()(A, B, 7.0, output_dict=True)["contrastive_loss"],
        lambda: formulas.clip(A, B, 7.0),
    ),
    "open_clip siglip": (
        lambda: open_clip.SigLipLoss()(A, B, torch.tensor(7.0), torch.tensor(-3.0)),
        lambda: formulas.siglip(A, B, 7.0, -3.0),
    ),
    "solo simclr": (
        lambda: solo_learn.simclr_loss_func(torch.cat([A, B]), torch.arange(12).repeat(2)),
        lambda: formulas.nt_xent(A, B, 0.1),
    ),
    "solo vicreg": (
        lambda: solo_learn.vicreg_loss_func(A, B),
        lambda: formulas.vicreg(A, B, (25, 50, 1)),
    ),
    "solo barlow": (
        lambda: solo_learn.barlow_loss_func(A, B),
        lambda: 0.025 * formulas.barlow_twins(A, B, 5e-3),
    ),
    "solo mocov3": (
        lambda: solo_learn.mocov3_loss_func(A, B),
        lambda: 0.4 * formulas.info_nce(A, B, 0.2),
    ),
    "solo mocov2plus": (
        lambda: solo_learn.mocov2plus_loss_func(UNITS[0], UNITS[1], UNITS[2].T),
        lambda: formulas.against_bank(A, B, UNITS[2], 0.1),
    ),
    "solo nnclr": (
        lambda: solo_learn.nnclr_loss_func(A, B),
        lambda: formulas.info_nce(A, B, 0.1),
    ),
    "solo vibcreg": (
        lambda: solo_learn.vibcreg_loss_func(A, B),
        lambda: formulas.vibcreg(A, B),
    ),
    "solo simsiam": (
        lambda: solo_learn.simsiam_loss_func(A, B),
        lambda: -cosine_similarity(A, B, dim=1).mean(),
    ),
    "solo byol": (
        lambda: solo_learn.byol_loss_func(A, B),
        lambda: 2 - 2 * cosine_similarity(A, B, dim=1).mean(),
    ),
    "info_nce": (lambda: info_nce.info_nce(A, B), lambda: formulas.info_nce(A, B, 0.1)),
    "info_nce, positional": (
        lambda: info_nce.info_nce(A, B, C, 0.5, "mean", "unpaired"),
        lambda: formulas.against_bank(A, B, normalize(C, dim=1), 0.5),
    ),
    "ts2vec": (
        lambda: ts2vec.hierarchical_contrastive_loss(STEPS, STEPS.flip(0) + 1),
        lambda: formulas.ts2vec(STEPS, STEPS.flip(0) + 1, 0.5),
    ),
    "ts2vec, positional": (
        lambda: ts2vec.hierarchical_contrastive_loss(STEPS, STEPS.flip(0) + 1, 0.3, 1),
        lambda: formulas.ts2vec(STEPS, STEPS.flip(0) + 1, 0.3, 1),
    ),
    "ts2vec, instances": (
        lambda: ts2vec.instance_contrastive_loss(A[:, None], B[:, None]),
        lambda: formulas.dot_products(A, B, 1.0),
    ),
    "ts_tcc": (
        lambda: ts_tcc.NTXentLoss("cpu", 12, 0.2, False)(A, B),
        lambda: formulas.dot_products(A, B, 0.2),
    ),
    "simclr": (
        lambda: simclr.info_nce_loss(torch.cat([A, B]))[0],
        lambda: formulas.nt_xent(A, B, 0.07),
    ),
    "vicreg": (lambda: vicreg.VICRegLoss()(A, B), lambda: formulas.vicreg(A, B)),
    "barlow": (
        lambda: barlow_twins.BarlowTwinsLoss()(A, B),
        lambda: formulas.barlow_twins(A, B, 0.0051),
    ),
    "torch_audiomentations": (
        lambda: torch_audiomentations.Compose([INVERSION])(VIEWS, sample_rate=16),
        lambda: VIEWS.flip(2),
    ),
    "tsaug": (
        lambda: torch.from_numpy(tsaug.Reverse().augment(A.numpy()).copy()),
        lambda: A.flip(1),
    ),
}


REFUSED: list[tuple[str, Callable[[], Any]]] = [
    (
        "extra_pos_mask",
        lambda: solo_learn.simclr_loss_func(A, LABELS, extra_pos_mask=torch.ones(12, 12)),
    ),
    (
        "extra_neg_mask",
        lambda: solo_learn.simclr_loss_func(A, LABELS, extra_neg_mask=torch.ones(12, 12)),
    ),
    ("use_horovod", lambda: open_clip.ClipLoss(use_horovod=True)),
    ("n_views=3", lambda: simclr.info_nce_loss(A, n_views=3)),
    ("how='quantile'", lambda: tsaug.Quantize(how="quantile")),
    ("PitchShift", lambda: torch_audiomentations.PitchShift),
]
# Per module, a name of the peer that is not there, and a word of what to write instead.
MISSING = [
    ("lightly.loss", "DetConSLoss", "q_ids"),
    ("lightly", "PMSNLoss", "MSNLoss"),
    ("open_clip", "CoCaLoss", "cross_entropy"),
    ("open_clip", "DistillClipLoss", "teacher"),
    ("simclr", "accuracy", "top1"),
    ("solo_learn", "DINOLoss", "compat.lightly.DINOLoss"),
    ("solo_learn", "moco_loss_func", "mocov2plus_loss_func"),
    ("pytorch_metric_learning.losses", "TripletMarginLoss", "triplet_loss"),
    ("pytorch_metric_learning.losses", "ContrastiveLoss", "library's own"),
    ("pytorch_metric_learning", "ContrastiveLoss", "library's own"),
    ("pytorch_metric_learning", "miners", "library's own"),
    ("pytorch_metric_learning.distances", "SNRDistance", "library's own"),
    ("pytorch_metric_learning.reducers", "PerAnchorReducer", "library's own"),
    ("torch_audiomentations", "SpliceOut", "Blockout"),
    ("vicreg", "FullGatherLayer", "VICRegLoss"),
]
WITH_STATISTICS: list[Callable[..., Any]] = [
    *(pml.losses.NTXentLoss, pml.losses.SupConLoss, pml.losses.VICRegLoss),
    *(pml.distances.CosineSimilarity, pml.distances.DotProductSimilarity),
    *(pml.distances.LpDistance, pml.reducers.MeanReducer, pml.reducers.SumReducer),
    *(partial(pml.reducers.ThresholdReducer, 0.0), pml.reducers.AvgNonZeroReducer),
    pml.reducers.DoNothingReducer,
]


@pytest.mark.filterwarnings("ignore:Compose. output_type:FutureWarning")
@pytest.mark.parametrize("name", SAME)
def test_the_same_number(name: str) -> None:
    call, formula = SAME[name]
    torch.testing.assert_close(call(), formula(), rtol=1e-10, atol=1e-12, check_dtype=False)


@pytest.mark.parametrize(("option", "call"), REFUSED)
def test_what_is_not_there_is_refused_by_name(option: str, call: Callable[[], Any]) -> None:
    with pytest.raises(NotImplementedError, match=option):
        call()


@pytest.mark.parametrize("made", WITH_STATISTICS)
def test_statistics_are_refused_and_their_absence_is_not(made: Callable[..., Any]) -> None:
    with pytest.raises(NotImplementedError, match="collect_stats=True"):
        made(collect_stats=True)
    for absent in (None, False):
        made(collect_stats=absent)


@pytest.mark.parametrize(("module", "name", "instead"), MISSING)
def test_an_import_of_what_is_not_there_shows_its_name_and_what_to_write(
    module: str, name: str, instead: str
) -> None:
    with pytest.raises(NotImplementedError, match=f"^{name}: not implemented; .*{instead}"):
        exec(f"from tsssl_fast.compat.{module} import {name}")
    with pytest.raises(ImportError, match="cannot import name 'Anything'"):
        exec(f"from tsssl_fast.compat.{module} import Anything")
