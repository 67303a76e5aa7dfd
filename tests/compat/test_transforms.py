"""Losses of tsssl_fast.compat under torch.func, forward mode, second derivatives, tracing, export
and on meta tensors, against the published formulas."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from compat import formulas
from compat.formulas import drawn
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, normalize

from tsssl_fast.compat import (
    barlow_twins,
    info_nce,
    lightly,
    open_clip,
    solo_learn,
    supcontrast,
    ts2vec,
    ts_tcc,
    vicreg,
)
from tsssl_fast.compat import pytorch_metric_learning as pml

Loss = Callable[[Tensor, Tensor], Tensor]
LABELS = torch.arange(12) % 3
BANK = normalize(torch.randn(20, 10, generator=torch.Generator().manual_seed(5)), dim=1)


class Of(nn.Module):
    """A function of two views as a module, for what wants one."""

    def __init__(self, loss: Any, call: Callable[..., Any]) -> None:
        super().__init__()
        self.loss = loss
        self.call = call

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.call(self.loss, a, b)


def with_bank() -> nn.Module:
    loss = lightly.NTXentLoss(memory_bank_size=(20, 10))
    loss.memory_bank.bank.copy_(BANK)
    return loss


def views(a: Tensor, b: Tensor) -> Tensor:
    return torch.stack([a, b], dim=1)


def steps(z: Tensor) -> Tensor:
    return z.reshape(-1, 4, 10)


def negative_cosine(a: Tensor, b: Tensor) -> Tensor:
    return -cosine_similarity(a, b, dim=1).mean()


def sup_con(a: Tensor, b: Tensor) -> Tensor:
    return formulas.sup_con(normalize(torch.cat([a, b]), dim=1), LABELS.repeat(2), 0.5)


# A fresh loss each time, as some remember, and its formula.
PAIRS: dict[str, tuple[Callable[[], nn.Module], Loss]] = {
    "lightly nt_xent": (lightly.NTXentLoss, lambda a, b: formulas.nt_xent(a, b, 0.5)),
    "lightly bank": (with_bank, lambda a, b: formulas.against_bank(a, b, BANK, 0.5)),
    "lightly dcl": (lightly.DCLLoss, lambda a, b: formulas.dcl(a, b, 0.1)),
    "lightly dclw": (
        lightly.DCLWLoss,
        lambda a, b: formulas.dcl(a, b, 0.1, lambda u, v: formulas.mises_fisher(u, v, 0.5)),
    ),
    "lightly sup_con": (lightly.SupConLoss, lambda a, b: 0.5 * formulas.nt_xent(a, b, 0.5)),
    "lightly sup_con labels": (
        lambda: Of(lightly.SupConLoss(), lambda loss, a, b: loss(a, b, LABELS)),
        lambda a, b: 0.5 * sup_con(a, b),
    ),
    "lightly vicreg": (lightly.VICRegLoss, formulas.vicreg),
    "lightly barlow": (lightly.BarlowTwinsLoss, lambda a, b: formulas.barlow_twins(a, b, 5e-3)),
    "lightly cosine": (lightly.NegativeCosineSimilarity, negative_cosine),
    "lightly tico": (lightly.TiCoLoss, lambda a, b: formulas.tico(a, b)[0]),
    "pml nt_xent": (
        lambda: pml.SelfSupervisedLoss(pml.NTXentLoss()),
        lambda a, b: formulas.nt_xent(a, b, 0.07),
    ),
    "pml sup_con": (
        lambda: pml.SelfSupervisedLoss(pml.SupConLoss(), symmetric=False),
        lambda a, b: formulas.info_nce(a, b, 0.1),
    ),
    "pml labels": (
        lambda: Of(
            pml.SupConLoss(0.5),
            lambda loss, a, b: loss(torch.cat([a, b]), LABELS.repeat(2)),
        ),
        sup_con,
    ),
    "pml vicreg": (
        lambda: Of(pml.VICRegLoss(), lambda loss, a, b: loss(a, ref_emb=b)),
        formulas.vicreg,
    ),
    "info_nce": (info_nce.InfoNCE, lambda a, b: formulas.info_nce(a, b, 0.1)),
    "ts_tcc": (
        lambda: ts_tcc.NTXentLoss("cpu", 12, 0.2, True),
        lambda a, b: formulas.nt_xent(a, b, 0.2),
    ),
    "ts2vec": (
        lambda: Of(
            ts2vec.hierarchical_contrastive_loss, lambda loss, a, b: loss(steps(a), steps(b))
        ),
        lambda a, b: formulas.ts2vec(steps(a), steps(b)),
    ),
    "vicreg": (vicreg.VICRegLoss, formulas.vicreg),
    "barlow": (barlow_twins.BarlowTwinsLoss, lambda a, b: formulas.barlow_twins(a, b, 0.0051)),
    "open_clip": (
        lambda: Of(open_clip.ClipLoss(), lambda loss, a, b: loss(a, b, 3.0)),
        lambda a, b: formulas.clip(a, b, 3.0),
    ),
    "open_clip siglip": (
        lambda: Of(open_clip.SigLipLoss(), lambda loss, a, b: loss(a, b, 3.0, -2.0)),
        lambda a, b: formulas.siglip(a, b, 3.0, -2.0),
    ),
    "supcontrast": (
        lambda: Of(
            supcontrast.SupConLoss(0.5, base_temperature=0.5),
            lambda loss, a, b: loss(normalize(views(a, b), dim=2), LABELS),
        ),
        sup_con,
    ),
    "solo simclr": (
        lambda: Of(
            solo_learn.simclr_loss_func,
            lambda loss, a, b: loss(torch.cat([a, b]), LABELS.repeat(2)),
        ),
        lambda a, b: formulas.simclr(torch.cat([a, b]), LABELS.repeat(2), 0.1),
    ),
    "solo vibcreg": (
        lambda: Of(solo_learn.vibcreg_loss_func, lambda loss, a, b: loss(a, b)),
        formulas.vibcreg,
    ),
}
REMEMBER = {"lightly bank", "lightly tico"}
STATELESS = sorted(PAIRS.keys() - REMEMBER)
ALL = pytest.mark.parametrize("name", PAIRS)
# Rows enter the bank in place, which neither torch.func nor meta rows may do.
WITHOUT_BANK = pytest.mark.parametrize("name", sorted(PAIRS.keys() - {"lightly bank"}))


def wide(draw: int = 0, scale: float = 0.3) -> tuple[Tensor, Tensor]:
    a, b = drawn((12, 10), (12, 10), scale=scale)[draw]
    return a.double(), b.double()


def gradients(loss: Any, inputs: tuple[Tensor, ...], *, twice: bool) -> tuple[Tensor, ...]:
    """Of the loss, or of the gradients' products with fixed vectors."""
    leaves = [x.clone().requires_grad_() for x in inputs]
    found = torch.autograd.grad(loss(*leaves), leaves, create_graph=twice)
    if not twice:
        return found
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(x.shape, generator=generator, dtype=x.dtype) for x in leaves]
    total = torch.stack([(g * w).sum() for g, w in zip(found, weights, strict=True)]).sum()
    return torch.autograd.grad(total, leaves)


@ALL
@pytest.mark.parametrize("twice", [False, True], ids=["first", "second"])
def test_derivatives(name: str, twice: bool) -> None:
    made, formula = PAIRS[name]
    found = gradients(made(), wide(), twice=twice)
    expected = gradients(formula, wide(), twice=twice)
    assert all(x.abs().max() > 0 for x in expected)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    "loss",
    [
        lambda a, b: lightly.SupConLoss(0.005)(a, b),
        lambda a, b: supcontrast.SupConLoss(0.005)(views(a, b)),
        lambda a, b: pml.SupConLoss(0.005)(torch.cat([a, b]), torch.arange(12).repeat(2)),
        lambda a, b: pml.NTXentLoss(0.005, reducer=pml.reducers.SumReducer())(
            torch.cat([a, b]), torch.arange(12).repeat(2)
        ),
        lambda a, b: info_nce.info_nce(a, b, -a[:, None], 0.005, negative_mode="paired"),
        lambda a, b: lightly.NTXentLoss(0.005)(a, b),
    ],
    ids=["lightly", "supcontrast", "pml", "pml nt_xent", "info_nce", "nt_xent"],
)
def test_second_derivatives_where_a_loss_has_converged(loss: Loss) -> None:
    """Where the exponential of a difference of logits overflows: numbers, no NaN."""
    a = torch.eye(12)
    assert all(x.isfinite().all() for x in gradients(loss, (a, a), twice=True))


@WITHOUT_BANK
def test_torch_func(name: str) -> None:
    """The gradient, and the forward mode's, of torch.func."""
    made, formula = PAIRS[name]
    a, b = wide()
    expected = gradients(formula, (a, b), twice=False)
    found = torch.func.grad(made(), (0, 1))(a, b)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)
    generator = torch.Generator().manual_seed(1)
    tangents = tuple(torch.randn(2, 12, 10, generator=generator, dtype=a.dtype))
    value, tangent = torch.func.jvp(made(), (a, b), tangents)
    torch.testing.assert_close(value, formula(a, b))
    along = torch.stack([(g * t).sum() for g, t in zip(expected, tangents, strict=True)]).sum()
    torch.testing.assert_close(tangent, along, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", STATELESS)
def test_vmap(name: str) -> None:
    """Over batches: of the loss, and of its gradient."""
    made, formula = PAIRS[name]
    batches = [wide(i) for i in range(3)]
    a, b = (torch.stack(x) for x in zip(*batches, strict=True))
    found = torch.vmap(made())(a, b)
    torch.testing.assert_close(found, torch.stack([formula(*x) for x in batches]))
    found = torch.vmap(torch.func.grad(made(), (0, 1)))(a, b)
    each = [gradients(formula, x, twice=False) for x in batches]
    expected = tuple(torch.stack(x) for x in zip(*each, strict=True))
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.clean_memory
@WITHOUT_BANK
def test_meta_tensors(name: str) -> None:
    made, _ = PAIRS[name]
    leaves = [x.float().to("meta").requires_grad_() for x in wide()]
    value = made()(*leaves)
    assert value.is_meta
    assert (value.shape, value.dtype) == ((), torch.float32)
    found = torch.autograd.grad(value, leaves)
    assert [(g.device.type, g.shape) for g in found] == [("meta", (12, 10))] * 2


@pytest.mark.clean_memory
@pytest.mark.parametrize("name", STATELESS)
def test_export(name: str) -> None:
    """One graph, which gives the formula's number on other rows."""
    made, formula = PAIRS[name]
    exported = torch.export.export(made(), wide()).module()
    torch.testing.assert_close(exported(*wide(1)), formula(*wide(1)), rtol=1e-8, atol=1e-10)


# What a traced loss does with another number of rows. The others refuse it.
ANY_NUMBER = {
    *("lightly nt_xent", "lightly barlow", "lightly cosine", "lightly tico", "pml nt_xent"),
    *("ts_tcc", "ts2vec", "barlow", "open_clip siglip"),
    *("lightly vicreg", "pml vicreg", "vicreg", "solo vibcreg"),
}


@pytest.mark.clean_memory
@WITHOUT_BANK
def test_jit_trace(name: str) -> None:
    """The formula's number and gradients on other rows, and an error where not."""
    made, formula = PAIRS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        traced = torch.jit.trace(made(), [x.requires_grad_() for x in wide()], check_trace=False)
    other = wide(1)
    torch.testing.assert_close(traced(*other), formula(*other), rtol=1e-8, atol=1e-10)
    found, expected = (gradients(loss, other, twice=False) for loss in (traced, formula))
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)
    for rows in (8, 16):
        fewer = tuple(torch.cat(x)[:rows] for x in zip(wide(1), wide(2), strict=True))
        if name in ANY_NUMBER:
            torch.testing.assert_close(traced(*fewer), formula(*fewer), rtol=1e-8, atol=1e-10)
        else:
            with pytest.raises(RuntimeError):
                traced(*fewer)
