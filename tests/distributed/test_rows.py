"""Across processes: the losses of a process's own rows, and the statistics of all rows."""

from functools import cache
from typing import Any

import pytest
import torch
from distributed.ranks import batch, in_processes
from distributed.test_losses import (
    FLAGS,
    LABELS,
    LENGTHS,
    SIZES,
    cases,
    gradients,
    in_time,
    queue,
    rows_of,
)
from torch import Tensor
from torch import distributed as dist

from tsssl_fast import functional

WORLDS = (1, 2, 3)
ONE_NUMBER = {"dot products, summed", "vicreg", "barlow", "hierarchical", "hierarchical, lengths"}
ONE_NUMBER |= {"vicreg of steps", "vibcreg of three", "barlow of steps"}
ROWS = sorted({*cases()} - ONE_NUMBER)
WEIGHT = torch.linspace(0.5, 2, 36, dtype=torch.float64).reshape(3, 12)  # of a row's loss


def rows(name: str, rank: int, world: int, **among: Any) -> tuple[Tensor, ...]:
    """Losses, (blocks, rows), and the gradients of their weighted sum."""
    at = rows_of(world, rank) if among else torch.arange(sum(SIZES[world]))
    a, b = batch(SIZES[world], rank) if among else batch((len(at),), 0)
    a, b = a.clone().requires_grad_(), b.clone().requires_grad_()
    tau = torch.tensor(0.3, dtype=a.dtype, requires_grad=True)
    if not among:
        name = name.replace(", ring", "")
    losses = cases(reduction="none", **(among or {"process_group": None}))[name](a, b, tau, at)
    blocks = 3 if name in THREE_BLOCKS else 2 if name in TWO_BLOCKS else 1
    losses = losses.mT if losses.dim() == 2 else losses.reshape(blocks, len(at))
    total = (losses * WEIGHT[: len(losses), at]).sum()
    return (losses.detach(), *torch.autograd.grad(total, (a, b, tau), allow_unused=True))


TWO_BLOCKS = {
    *("nt_xent", "a temperature each", "by relation", "dcl", "dclw", "clip", "clip, ring"),
    *("sup_con", "sup_con, all"),
}
THREE_BLOCKS = {
    *("nt_xent of three", "nt_xent of three, a temperature each", "dot products of three"),
}


def with_statistics(name: str, rank: int, world: int, **among: Any) -> Any:
    at = rows_of(world, rank) if among else torch.arange(sum(SIZES[world]))
    a, b = batch(SIZES[world], rank) if among else batch((len(at),), 0)
    loss, ring = STATISTICS[name]
    loss, stats = loss(a, b, at, return_stats=True, **among, **(ring if among else {}))
    return loss, list(stats)


def siglip(a: Tensor, b: Tensor, i: Tensor, **options: Any) -> Any:
    sides = {"q_ids": LABELS[i], "k_ids": LABELS[i], "q_valid": FLAGS[i], "k_valid": FLAGS[i]}
    return functional.siglip_loss(a, b, logit_scale=3.0, **sides, **options)


f, RING = functional, {"ring": True}
STATISTICS: dict[str, Any] = {
    "nt_xent": (lambda a, b, i, **k: f.nt_xent_loss(a, b, **k), {}),
    "dcl": (lambda a, b, i, **k: f.dcl_loss(a, b, reduction="sum", **k), {}),
    "dclw": (lambda a, b, i, **k: f.dclw_loss(a, b, normalize=False, **k), {}),
    "info_nce": (lambda a, b, i, **k: f.info_nce_loss(a, b, **k), {}),
    "clip": (lambda a, b, i, **k: f.clip_loss(a, b, **k), {}),
    "clip, ring": (lambda a, b, i, **k: f.clip_loss(a, b, **k), RING),
    "moco": (lambda a, b, i, **k: f.moco_loss(a, b, queue(a), **k), {}),
    "sup_con": (lambda a, b, i, **k: f.sup_con_loss(a + b, LABELS[i], **k), {}),
    "nt_xent of three": (lambda a, b, i, **k: f.nt_xent_loss(a, b, a * b, **k), {}),
    "sup_con of views": (
        lambda a, b, i, **k: f.sup_con_loss(torch.stack([a, b], dim=1), LABELS[i], **k),
        {},
    ),
    "positives": (
        lambda a, b, i, **k: f.info_nce_loss(
            a, torch.stack([b, a * b], dim=1), negatives=queue(a), **k
        ),
        {},
    ),
    "siglip": (siglip, {}),
    "siglip, ring": (siglip, RING),
    "hierarchical": (
        lambda a, b, i, **k: f.hierarchical_contrastive_loss(
            in_time(a), in_time(b), lengths=LENGTHS[i], **k
        ),
        {},
    ),
}


def work(rank: int, world: int) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for count in WORLDS:
        group = "world" if count == world else dist.new_group(list(range(count)))
        if rank >= count:
            continue
        for name in ROWS:
            found[count, name] = rows(name, rank, count, process_group=group)
        for name in STATISTICS:
            found[count, name, "all"] = with_statistics(name, rank, count, process_group=group)
    return found


@cache
def results() -> list[Any]:
    return in_processes(3, work)


@pytest.mark.parametrize("world", WORLDS)
def test_rows_losses_and_gradients_are_those_of_one_process(world: int) -> None:
    for name in ROWS:
        losses, *exact = rows(name, 0, world)
        ranks = [result[world, name] for result in results()[:world]]
        close = {"rtol": 1e-12, "atol": 1e-12, "msg": name}
        torch.testing.assert_close(torch.cat([r[0] for r in ranks], dim=1), losses, **close)
        for found, truth in zip(gradients(ranks), exact, strict=True):
            torch.testing.assert_close(found, truth, **close)


@pytest.mark.parametrize("world", WORLDS)
def test_statistics_are_those_of_one_process_on_each(world: int) -> None:
    for name in STATISTICS:
        loss, exact = with_statistics(name, 0, world)
        for result in results()[:world]:
            found_loss, found = result[world, name, "all"]
            torch.testing.assert_close(found_loss, loss, rtol=1e-12, atol=1e-13, msg=name)
            for value, truth in zip(found, exact, strict=True):
                assert value.shape == truth.shape, name
                torch.testing.assert_close(
                    value.double(), truth.double(), rtol=1e-12, atol=1e-12, equal_nan=True, msg=name
                )
