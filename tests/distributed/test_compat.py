"""What tsssl_fast.compat gathers: the mean over processes is the loss of all rows, gradients too.

The processes have the same number of rows, as the libraries want it."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from compat import formulas
from distributed.ranks import batch, in_processes
from torch import Tensor
from torch.nn.functional import normalize

from tsssl_fast.compat import barlow_twins, lightly, open_clip, solo_learn, vicreg

SIZES = (5, 5)
LABELS = torch.tensor([0, 1, 2, 0, 1, 1, 2, 0, 3, 0])
SCALE = torch.tensor(3.0, dtype=torch.float64)
Loss = Callable[..., Tensor]


def solo_simclr(a: Tensor, b: Tensor, labels: Tensor) -> Tensor:
    return solo_learn.simclr_loss_func(torch.cat([a, b]), labels.repeat(2))


def gathering(world: int, rank: int) -> dict[str, Loss]:
    here = {"rank": rank, "world_size": world}
    both = {"gather_with_grad": True, **here}
    dclw = lightly.DCLLoss(0.2, lambda u, v: (u - v).square().sum(1), gather_distributed=True)
    return {
        "nt_xent": lambda a, b, _: lightly.NTXentLoss(0.2, gather_distributed=True)(a, b),
        "dcl": lambda a, b, _: lightly.DCLLoss(0.2, gather_distributed=True)(a, b),
        "dcl, weighted": lambda a, b, _: dclw(a, b),
        "sup_con": lambda a, b, x: lightly.SupConLoss(0.2, True, rescale=False)(a, b, x),
        "sup_con, no labels": lambda a, b, _: lightly.SupConLoss(0.2, True, rescale=False)(a, b),
        "vicreg": lambda a, b, _: lightly.VICRegLoss(gather_distributed=True)(a, b),
        "official vicreg": lambda a, b, _: vicreg.VICRegLoss()(a, b),
        "barlow": lambda a, b, _: lightly.BarlowTwinsLoss(0.1, gather_distributed=True)(a, b),
        "official barlow": lambda a, b, _: barlow_twins.BarlowTwinsLoss(0.1)(a, b),
        "solo barlow": lambda a, b, _: solo_learn.barlow_loss_func(a, b, 0.1, 1.0),
        "solo simclr": solo_simclr,
        "solo vicreg": lambda a, b, _: solo_learn.vicreg_loss_func(a, b),
        "solo nnclr": lambda a, b, _: solo_learn.nnclr_loss_func(a, b),
        "clip": lambda a, b, _: open_clip.ClipLoss(**both)(a, b, SCALE),
        "clip, local": lambda a, b, _: open_clip.ClipLoss(True, **both)(a, b, SCALE),
        "siglip": lambda a, b, _: open_clip.SigLipLoss(**here)(a, b, SCALE, -SCALE),
    }


def standardised(a: Tensor, b: Tensor, _: Tensor) -> Tensor:
    """Barlow Twins with each process's statistics."""

    def standard(z: Tensor) -> Tensor:
        z = z.reshape(2, 5, -1)
        var = z.var(1, unbiased=False, keepdim=True)
        return ((z - z.mean(1, keepdim=True)) / (var + 1e-5).sqrt()).flatten(0, 1)

    c = standard(a).T @ standard(b) / len(a)
    return (1 - c.diagonal()).square().sum() + 0.1 * c[formulas.not_self(len(c))].square().sum()


def all_rows() -> dict[str, Loss]:
    def supervised(a: Tensor, b: Tensor, labels: Tensor) -> Tensor:
        return formulas.sup_con(normalize(torch.cat([a, b])), labels.repeat(2), 0.2)

    def weight(u: Tensor, v: Tensor) -> Tensor:
        return (u - v).square().sum(1)

    def simclr(a: Tensor, b: Tensor, labels: Tensor) -> Tensor:
        u, ids = normalize(torch.cat([a, b])), labels.repeat(2)
        p = (u @ u.T / 0.1).exp() * formulas.not_self(len(u))
        return -((p * (ids[:, None] == ids)).sum(1) / p.sum(1)).log().mean()

    def clip(a: Tensor, b: Tensor, _: Tensor) -> Tensor:
        logits = SCALE * a @ b.T
        sides = [x.logsumexp(1) - x.diagonal() for x in (logits, logits.T)]
        return (sides[0] + sides[1]).mean() / 2

    def siglip(a: Tensor, b: Tensor, _: Tensor) -> Tensor:
        sign = 2 * torch.eye(len(a)) - 1
        return -torch.nn.functional.logsigmoid(sign * (SCALE * a @ b.T - SCALE)).sum() / len(a)

    def nnclr(a: Tensor, b: Tensor, _: Tensor) -> Tensor:
        logits = normalize(a) @ normalize(b).T / 0.1
        return (logits.logsumexp(1) - logits.diagonal()).mean()

    def vicregs(summed: float) -> Loss:
        return lambda a, b, _: formulas.vicreg(a, b, (25, 25 * summed, 1))

    return {
        "nt_xent": lambda a, b, _: formulas.nt_xent(a, b, 0.2),
        "dcl": lambda a, b, _: formulas.dcl(a, b, 0.2),
        "dcl, weighted": lambda a, b, _: formulas.dcl(a, b, 0.2, weight),
        "sup_con": supervised,
        "sup_con, no labels": lambda a, b, _: supervised(a, b, torch.arange(len(a))),
        "vicreg": vicregs(1),
        "official vicreg": vicregs(1),
        "barlow": standardised,
        "official barlow": standardised,
        "solo barlow": standardised,
        "solo simclr": simclr,
        "solo vicreg": vicregs(2),
        "solo nnclr": nnclr,
        "clip": clip,
        "clip, local": clip,
        "siglip": siglip,
    }


def value_and_gradients(loss: Loss, a: Tensor, b: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
    a, b = a.clone().requires_grad_(), b.clone().requires_grad_()
    value = loss(a, b, labels)
    return (value.detach(), *torch.autograd.grad(value, (a, b)))


def work(rank: int, world: int) -> dict[str, Any]:
    a, b = batch(SIZES, rank)
    labels = LABELS.split(5)[rank]
    found: dict[str, Any] = {
        name: value_and_gradients(loss, a, b, labels)
        for name, loss in gathering(world, rank).items()
    }
    bank = lightly.NTXentLoss(memory_bank_size=(30, 6), gather_distributed=True)
    bank(a.requires_grad_(), b)
    scores = lightly.SwaVLoss(sinkhorn_gather_distributed=True)([a, b], [])
    return found | {"bank": bank.memory_bank.bank[:10], "swav": scores.detach()}


@cache
def results() -> list[Any]:
    return in_processes(2, work)


@pytest.mark.parametrize("name", sorted(all_rows()))
def test_mean_over_processes(name: str) -> None:
    a, b = batch((10,), 0)
    value, *exact = value_and_gradients(all_rows()[name], a, b, LABELS)
    ranks = [result[name] for result in results()]
    torch.testing.assert_close(torch.stack([r[0] for r in ranks]).mean(), value)
    for i in (1, 2):
        torch.testing.assert_close(torch.cat([r[i] for r in ranks]) / 2, exact[i - 1])


def test_the_bank_takes_the_keys_of_all() -> None:
    _, b = batch((10,), 0)
    for result in results():
        torch.testing.assert_close(result["bank"], normalize(b).float())


def test_assignments_are_balanced_over_all() -> None:
    a, b = batch((10,), 0)
    exact = lightly.SwaVLoss()([a, b], [])
    torch.testing.assert_close(torch.stack([r["swav"] for r in results()]).mean(0), exact)
