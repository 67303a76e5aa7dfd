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
PROTOTYPES = torch.randn(7, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
# Of five masked patches in two images.
MASK = torch.tensor([[[1, 1], [1, 0]], [[0, 1], [0, 1]]], dtype=torch.bool)
Loss = Callable[..., Tensor]


def weight(u: Tensor, v: Tensor) -> Tensor:
    return (u - v).square().sum(1)


def positions(z: Tensor) -> Tensor:
    return z.reshape(-1, 3, 2)


def local(a: Tensor, b: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Two views: pooled features, a map of 1 x 3 positions and their places."""
    maps = [positions(x)[:, None] for x in (a, b)]
    return [a, b], maps, [m.detach().sin() for m in maps]


def vicregl(a: Tensor, b: Tensor) -> Tensor:
    loss = lightly.VICRegLLoss(num_matches=(2, 1), gather_distributed=True)
    pools, maps, places = local(a, b)
    return loss(list(zip(pools, maps, strict=True)), places)[0]


def dino(a: Tensor, b: Tensor) -> Tensor:
    """The second call, whose centre is the first's."""
    loss = lightly.DINOLoss(6).double()
    loss([b.detach(), a.detach()], [a, b])
    return loss([b.detach().roll(1, 1), b.detach()], [a, b])


def ibot(a: Tensor, b: Tensor) -> Tensor:
    loss = lightly.IBOTPatchLoss(6).double()
    loss(b.detach(), a, MASK)
    return loss(b.detach().roll(1, 1), a, MASK) + 0 * b.sum()


def gathering(world: int, rank: int) -> dict[str, Loss]:
    here = {"rank": rank, "world_size": world}
    both = {"gather_with_grad": True, **here}
    gather = {"gather_distributed": True}

    def solo_simclr(a: Tensor, b: Tensor, labels: Tensor) -> Tensor:
        return solo_learn.simclr_loss_func(torch.cat([a, b]), labels.repeat(2))

    def msn(weight: float) -> Loss:
        loss = lightly.MSNLoss(regularization_weight=weight, **gather)
        return lambda a, b, _: loss(a, b, PROTOTYPES)

    def swav(a: Tensor, b: Tensor, _: Tensor) -> Tensor:
        return lightly.SwaVLoss(sinkhorn_gather_distributed=True)([a, b], [])[0]

    return {
        "nt_xent": lambda a, b, _: lightly.NTXentLoss(0.2, **gather)(a, b),
        "direct_clr": lambda a, b, _: lightly.DirectCLRLoss(4, 0.2, **gather)(a, b),
        "dcl": lambda a, b, _: lightly.DCLLoss(0.2, **gather)(a, b),
        "dcl, weighted": lambda a, b, _: lightly.DCLLoss(0.2, weight, **gather)(a, b),
        "dclw": lambda a, b, _: lightly.DCLWLoss(0.2, 0.4, **gather)(a, b),
        "sup_con": lambda a, b, x: lightly.SupConLoss(0.2, True, rescale=False)(a, b, x),
        "sup_con, no labels": lambda a, b, _: lightly.SupConLoss(0.2, True, rescale=False)(a, b),
        "vicreg": lambda a, b, _: lightly.VICRegLoss(**gather)(a, b),
        "vicreg, positions": lambda a, b, _: lightly.VICRegLoss(**gather)(
            positions(a), positions(b)
        ),
        "vicregl": lambda a, b, _: vicregl(a, b),
        "tico": lambda a, b, _: lightly.TiCoLoss(**gather)(a, b),
        "msn": msn(1.0),
        "msn, entropy aside": msn(0.0),
        "swav": swav,
        "dino": lambda a, b, _: dino(a, b),
        "ibot": lambda a, b, _: ibot(a, b),
        "official vicreg": lambda a, b, _: vicreg.VICRegLoss()(a, b),
        "barlow": lambda a, b, _: lightly.BarlowTwinsLoss(0.1, **gather)(a, b),
        "official barlow": lambda a, b, _: barlow_twins.BarlowTwinsLoss(0.1)(a, b),
        "solo barlow": lambda a, b, _: solo_learn.barlow_loss_func(a, b, 0.1, 1.0),
        "solo simclr": solo_simclr,
        "solo vicreg": lambda a, b, _: solo_learn.vicreg_loss_func(a, b),
        "solo vibcreg": lambda a, b, _: solo_learn.vibcreg_loss_func(a, b),
        "solo nnclr": lambda a, b, _: solo_learn.nnclr_loss_func(a, b),
        "solo mocov3": lambda a, b, _: solo_learn.mocov3_loss_func(a, b),
        "clip": lambda a, b, _: open_clip.ClipLoss(**both)(a, b, SCALE),
        "clip, local": lambda a, b, _: open_clip.ClipLoss(True, **both)(a, b, SCALE),
        "clip, cached": lambda a, b, _: open_clip.ClipLoss(True, cache_labels=True, **both)(
            a, b, SCALE
        ),
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

    def von_mises(u: Tensor, v: Tensor) -> Tensor:
        """Of each process's own rows."""
        parts = zip(u.chunk(2), v.chunk(2), strict=True)
        return torch.cat([formulas.mises_fisher(*part, 0.4) for part in parts])

    def simclr(a: Tensor, b: Tensor, labels: Tensor) -> Tensor:
        return formulas.simclr(torch.cat([a, b]), labels.repeat(2), 0.1)

    def vicregs(summed: float) -> Loss:
        return lambda a, b, _: formulas.vicreg(a, b, (25, 25 * summed, 1))

    def vicreg_of_positions(a: Tensor, b: Tensor, _: Tensor) -> Tensor:
        pairs = zip(positions(a).unbind(1), positions(b).unbind(1), strict=True)
        return torch.stack([formulas.vicreg(*pair) for pair in pairs]).mean()

    def dino(a: Tensor, b: Tensor, _: Tensor) -> Tensor:
        centre = 0.1 * torch.cat([a, b]).mean(0).detach()
        return formulas.dino([b.detach().roll(1, 1), b.detach()], [a, b], centre)

    def ibot(a: Tensor, b: Tensor, _: Tensor) -> Tensor:
        centre = 0.1 * b.mean(0).detach()
        return formulas.ibot(b.detach().roll(1, 1), a, (3, 2, 3, 2), centre)

    def clip(a: Tensor, b: Tensor, _: Tensor) -> Tensor:
        return formulas.clip(a, b, SCALE)

    return {
        "nt_xent": lambda a, b, _: formulas.nt_xent(a, b, 0.2),
        "direct_clr": lambda a, b, _: formulas.nt_xent(a[:, :4], b[:, :4], 0.2),
        "dcl": lambda a, b, _: formulas.dcl(a, b, 0.2),
        "dcl, weighted": lambda a, b, _: formulas.dcl(a, b, 0.2, weight),
        "dclw": lambda a, b, _: formulas.dcl(a, b, 0.2, von_mises),
        "sup_con": supervised,
        "sup_con, no labels": lambda a, b, _: supervised(a, b, torch.arange(len(a))),
        "vicreg": vicregs(1),
        "vicreg, positions": vicreg_of_positions,
        "vicregl": lambda a, b, _: formulas.vicregl(*local(a, b), (2, 1)),
        "tico": lambda a, b, _: formulas.tico(a, b)[0],
        "msn": lambda a, b, _: formulas.msn(a, b, PROTOTYPES, batches=2),
        "msn, entropy aside": lambda a, b, _: formulas.msn(a, b, PROTOTYPES, 0.0),
        "swav": lambda a, b, _: formulas.swav([a, b], []),
        "dino": dino,
        "ibot": ibot,
        "official vicreg": vicregs(1),
        "barlow": standardised,
        "official barlow": lambda a, b, _: formulas.barlow_twins(a, b, 0.1),
        "solo barlow": standardised,
        "solo simclr": simclr,
        "solo vicreg": vicregs(2),
        "solo vibcreg": lambda a, b, _: formulas.vibcreg(a, b),
        "solo nnclr": lambda a, b, _: formulas.info_nce(a, b, 0.1),
        "solo mocov3": lambda a, b, _: 0.4 * formulas.info_nce(a, b.detach(), 0.2),
        "clip": clip,
        "clip, local": clip,
        "clip, cached": clip,
        "siglip": lambda a, b, _: formulas.siglip(a, b, SCALE, -SCALE),
    }


def value_and_gradients(loss: Loss, a: Tensor, b: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
    """A gradient that there is not: zeros."""
    a, b = a.clone().requires_grad_(), b.clone().requires_grad_()
    value = loss(a, b, labels)
    found = torch.autograd.grad(value, (a, b), materialize_grads=True, allow_unused=True)
    return (value.detach(), *found)


# open_clip without gradients of what is gathered: local_loss, cache_labels.
OWN_GRADIENTS = [(False, False), (False, True), (True, False), (True, True)]


def clip_of_own(local_loss: bool, cached: bool, world: int, rank: int) -> list[tuple[Tensor, ...]]:
    """Twice, of batches of different sizes, with the scale's gradient."""
    loss = open_clip.ClipLoss(local_loss, False, cached, rank, world)
    found = []
    for sizes in ((3, 3), SIZES):
        a, b = (x.clone().requires_grad_() for x in batch(sizes, rank))
        scale = SCALE.clone().requires_grad_()
        value = loss(a, b, scale)
        found.append((value.detach(), *torch.autograd.grad(value, (a, b, scale))))
    return found


def work(rank: int, world: int) -> dict[str, Any]:
    a, b = batch(SIZES, rank)
    labels = LABELS.split(5)[rank]
    found: dict[str, Any] = {
        name: value_and_gradients(loss, a, b, labels)
        for name, loss in gathering(world, rank).items()
    }
    for how in OWN_GRADIENTS:
        found[f"own {how}"] = clip_of_own(*how, world, rank)
    bank = lightly.NTXentLoss(memory_bank_size=(30, 6), gather_distributed=True)
    bank(a.requires_grad_(), b)
    return found | {"bank": bank.memory_bank.bank[:10]}


@cache
def results() -> list[Any]:
    return in_processes(2, work)


def test_every_loss_has_a_formula() -> None:
    assert all_rows().keys() == gathering(2, 0).keys()


@pytest.mark.parametrize("name", sorted(all_rows()))
def test_mean_over_processes(name: str) -> None:
    a, b = batch((10,), 0)
    value, *exact = value_and_gradients(all_rows()[name], a, b, LABELS)
    assert any(x.abs().max() > 0 for x in exact)
    ranks = [result[name] for result in results()]
    torch.testing.assert_close(torch.stack([r[0] for r in ranks]).mean(), value)
    for i in (1, 2):
        torch.testing.assert_close(torch.cat([r[i] for r in ranks]) / 2, exact[i - 1])


@pytest.mark.parametrize(("local_loss", "cached"), OWN_GRADIENTS)
def test_clip_without_gradients_of_what_is_gathered(local_loss: bool, cached: bool) -> None:
    """The gradient of a process is its own rows', as queries alone where the loss is local."""
    for call, rows in enumerate((6, 10)):
        a, b = (x.clone().requires_grad_() for x in batch((rows,), 0))
        scale = SCALE.clone().requires_grad_()
        sides = [(a, b), (b, a)]
        if local_loss:
            sides = [(q, k.detach()) for q, k in sides]
        logits = [scale * q @ k.T for q, k in sides]
        exact = torch.stack([x.logsumexp(1) - x.diagonal() for x in logits]).mean()
        wanted = torch.autograd.grad(exact, (a, b, scale))
        ranks = [result[f"own {(local_loss, cached)}"][call] for result in results()]
        values, first, second, scales = (list(x) for x in zip(*ranks, strict=True))
        torch.testing.assert_close(torch.stack(values).mean(), exact.detach())
        if not local_loss:
            torch.testing.assert_close(values[0], values[1])
        # A local loss is the mean over its own rows, the other one over all.
        parts = 2 if local_loss else 1
        torch.testing.assert_close(torch.cat(first) / parts, wanted[0])
        torch.testing.assert_close(torch.cat(second) / parts, wanted[1])
        torch.testing.assert_close(torch.stack(scales).mean(), wanted[2])


def test_the_bank_takes_the_keys_of_all() -> None:
    _, b = batch((10,), 0)
    for result in results():
        torch.testing.assert_close(result["bank"], normalize(b).float())
