"""16-bit inputs in tsssl_fast.compat: what float32 gives for the same numbers, rounded once."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from compat.formulas import drawn
from torch import Tensor

from tsssl_fast.compat import (
    barlow_twins,
    info_nce,
    lightly,
    open_clip,
    simclr,
    solo_learn,
    ts_tcc,
    vicreg,
)
from tsssl_fast.compat import pytorch_metric_learning as pml

LABELS = torch.arange(12) % 3
IDS = torch.arange(12).repeat(2)
# Numbers that both dtypes have.
BANK = torch.randint(-40, 40, (20, 10), generator=torch.Generator().manual_seed(5)) / 64
Call = Callable[..., Any]


def with_bank(a: Tensor, b: Tensor) -> Tensor:
    loss = lightly.NTXentLoss(memory_bank_size=(20, 10))
    loss.memory_bank.bank.copy_(BANK)
    return loss(a, b)


def far(u: Tensor, v: Tensor) -> Tensor:
    return (u - v).square().sum(1)


def symmetric_cosine(a: Tensor, b: Tensor) -> Tensor:
    with pytest.warns(DeprecationWarning, match="NegativeCosineSimilarity"):
        loss = lightly.SymNegCosineSimilarityLoss()
    return loss((b.detach().roll(1, 0), a), (a.detach().roll(2, 1), b))


def vicregl(a: Tensor, b: Tensor) -> Tensor:
    pools, maps = a.reshape(2, 3, 20).unbind(), b.reshape(2, 3, 2, 2, 5).unbind()
    places = [m.detach()[..., :2] for m in maps]
    return lightly.VICRegLLoss()(list(zip(pools, maps, strict=True)), places)


def memory(a: Tensor, b: Tensor) -> Any:
    loss = pml.CrossBatchMemory(pml.SupConLoss(), 10, 30)
    loss(b, LABELS)
    return loss(a, LABELS)


def paired(x: Tensor) -> Tensor:
    return x.reshape(12, 1, 10)


LOSSES: dict[str, Call] = {
    "lightly nt_xent": lambda a, b: lightly.NTXentLoss()(a, b),
    "lightly bank": with_bank,
    "lightly direct_clr": lambda a, b: lightly.DirectCLRLoss(6)(a, b),
    "lightly dcl": lambda a, b: lightly.DCLLoss()(a, b),
    "lightly dcl weight": lambda a, b: lightly.DCLLoss(weight_fn=far)(a, b),
    "lightly dclw": lambda a, b: lightly.DCLWLoss()(a, b),
    "lightly sup_con": lambda a, b: lightly.SupConLoss()(a, b, LABELS),
    "lightly vicreg": lambda a, b: lightly.VICRegLoss()(a, b),
    "lightly vicreg positions": lambda a, b: lightly.VICRegLoss()(
        a.reshape(6, 2, 10), b.reshape(6, 2, 10)
    ),
    "lightly barlow": lambda a, b: lightly.BarlowTwinsLoss()(a, b),
    "lightly cosine": lambda a, b: lightly.NegativeCosineSimilarity()(a, b),
    "lightly symmetric cosine": symmetric_cosine,
    "lightly tico": lambda a, b: lightly.TiCoLoss()(a, b),
    "lightly mmcr": lambda a, b: lightly.MMCRLoss()(a.reshape(4, 3, 10), b.reshape(4, 3, 10)),
    "lightly koleo": lambda a, b: lightly.KoLeoLoss()(torch.cat([a, b])),
    "lightly swav": lambda a, b: lightly.SwaVLoss()([a, b], []),
    "lightly dino": lambda a, b: lightly.DINOLoss(10)([b.detach(), a.detach()], [a, b]),
    "lightly ibot": lambda a, b: lightly.IBOTPatchLoss(10)(a, b, torch.ones(4, 1, 3).bool()),
    "lightly msn": lambda a, b: lightly.MSNLoss()(a, b, b[:7]),
    "lightly vicregl": vicregl,
    "pml nt_xent": lambda a, b: pml.NTXentLoss()(a, LABELS),
    "pml nt_xent references": lambda a, b: pml.NTXentLoss()(
        a, LABELS, ref_emb=b, ref_labels=LABELS.flip(0)
    ),
    "pml sup_con": lambda a, b: pml.SupConLoss()(a, LABELS),
    "pml sum": lambda a, b: pml.NTXentLoss(reducer=pml.reducers.SumReducer())(a, LABELS),
    "pml distance": lambda a, b: pml.NTXentLoss(distance=pml.distances.LpDistance())(
        a, LABELS, ref_emb=b, ref_labels=LABELS.flip(0)
    ),
    "pml vicreg": lambda a, b: pml.VICRegLoss()(a, ref_emb=b),
    "pml self-supervised": lambda a, b: pml.SelfSupervisedLoss(pml.NTXentLoss())(a, b),
    "pml memory": memory,
    "open_clip": lambda a, b: open_clip.ClipLoss()(a, b, 3.0),
    "open_clip scale": lambda a, b: open_clip.ClipLoss()(a, b, torch.tensor(15.9375).to(a)),
    "open_clip siglip": lambda a, b: open_clip.SigLipLoss()(
        a, b, torch.tensor(5.25).to(a), torch.tensor(-3.125).to(a)
    ),
    "solo simclr": lambda a, b: solo_learn.simclr_loss_func(torch.cat([a, b]), IDS),
    "solo vicreg": solo_learn.vicreg_loss_func,
    "solo vibcreg": solo_learn.vibcreg_loss_func,
    "solo barlow": solo_learn.barlow_loss_func,
    "solo mocov3": solo_learn.mocov3_loss_func,
    "solo mocov2plus": lambda a, b: solo_learn.mocov2plus_loss_func(a, b, BANK.T.to(a)),
    "solo nnclr": solo_learn.nnclr_loss_func,
    "solo byol": solo_learn.byol_loss_func,
    "solo simsiam": solo_learn.simsiam_loss_func,
    "info_nce": info_nce.info_nce,
    "info_nce negatives": lambda a, b: info_nce.info_nce(a, b, BANK.to(a)),
    "info_nce paired": lambda a, b: info_nce.info_nce(
        a, b, paired(b.detach().flip(0)), negative_mode="paired"
    ),
    "ts_tcc": lambda a, b: ts_tcc.NTXentLoss("cpu", 12, 0.2, True)(a, b),
    "simclr": lambda a, b: simclr.info_nce_loss(torch.cat([a, b])).loss,
    "vicreg": lambda a, b: vicreg.VICRegLoss()(a, b),
    "barlow": lambda a, b: barlow_twins.BarlowTwinsLoss()(a, b),
}


# Sums of gradients that are 16 bits each.
IN_PARTS = {
    *("lightly dcl weight", "lightly dclw", "solo vibcreg", "solo mocov2plus"),
    "info_nce negatives",
}


def rounded_once(found: Tensor, exact: Tensor) -> bool:
    """Whether each number is a nearest one of its dtype, to the rounding of the float32 one."""
    limits = torch.finfo(found.dtype)
    slack = 1e-5 * exact.abs().max()
    unit = limits.eps / 2 * exact.abs() + limits.smallest_normal * limits.eps / 2
    return bool(((found.float() - exact).abs() <= 1.001 * unit + slack).all())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", LOSSES)
def test_value_and_gradients_are_rounded_once(name: str, dtype: torch.dtype) -> None:
    loss, eps = LOSSES[name], torch.finfo(dtype).eps
    for pair in drawn((12, 10), (12, 10), scale=0.5):
        narrow = [x.to(dtype).requires_grad_() for x in pair]
        wide = [x.detach().float().requires_grad_() for x in narrow]
        results = []
        for leaves in (narrow, wide):
            value = loss(*leaves)
            grads = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
            results.append([value.detach(), *(g for g in grads if g is not None)])
        found, exact = results
        assert len(found) == len(exact) >= 2
        for x, y in zip(found, exact, strict=True):
            assert x.dtype == dtype
            assert y.dtype == torch.float32
            if name in IN_PARTS and x.dim():
                torch.testing.assert_close(
                    x.float(), y, rtol=0, atol=2 * eps * y.abs().max().item()
                )
            else:
                assert rounded_once(x, y)
