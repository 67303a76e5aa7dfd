"""Losses across processes are those of one process with all rows: values and gradients."""

import copy
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
import torch
from distributed.mismatched import SAID, mismatched, refused
from distributed.ranks import batch, in_processes
from torch import Tensor
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from tsssl_fast import distributed, functional, losses
from tsssl_fast.encoders import padding
from tsssl_fast.functional import PairTemperature

SIZES = {1: (5,), 2: (5, 7), 3: (6, 0, 5), 4: (4, 0, 1, 7)}
LABELS = torch.tensor([0, 1, 2, 0, 1, 0, 3, 0, 1, 2, 0, 1])
LENGTHS = torch.tensor([5, 3, 1, 4, 5, 2, 5, 1, 3, 3, 4, 2])
FLAGS = torch.tensor([1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 1, 0]).bool()
ACCUMULATED = ("NTXentLoss", "VICRegLoss")
Case = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def queue(like: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(8, like.shape[1], generator=generator, dtype=torch.float64).to(like)


def in_time(z: Tensor) -> Tensor:
    """(N, C) as series of C - 1 steps: (N, C - 1, 2)."""
    return torch.stack([z[:, :-1], z[:, 1:] * z[:, :-1]], dim=2)


def cases(**among: Any) -> dict[str, Case]:
    """(a, b, temperature, rows' positions in the whole batch) -> loss; among: processes or none."""
    ring = {"ring": True, **among} if among else {}
    f = functional

    def supervised(mean_over: str) -> Case:
        return lambda a, b, t, i: f.sup_con_loss(
            torch.cat([a, b]), LABELS[i].repeat(2), temperature=t, mean_over=mean_over, **among
        )

    def learned_keys(a: Tensor, b: Tensor, t: Tensor, i: Tensor) -> Tensor:
        """The negatives are a parameter, as the temperature is."""
        more = {"temperature": 0.3, "negatives": queue(a) * t, **among}
        return f.info_nce_loss(a, b, **more)

    def sigmoid(ids: Tensor, **options: Any) -> Case:
        def loss(a: Tensor, b: Tensor, t: Tensor, i: Tensor) -> Tensor:
            flags = {"q_valid": FLAGS[i], "k_valid": FLAGS.flip(0)[i]}
            sides = {"q_ids": ids[i], "k_ids": ids[i], **flags}
            return f.siglip_loss(a, b, logit_scale=1 / t, logit_bias=-t, **sides, **options)

        return loss

    def levels(**options: Any) -> Case:
        return lambda a, b, t, i: f.hierarchical_contrastive_loss(
            in_time(a), in_time(b), temperature=t, alpha=0.3, lengths=LENGTHS[i], **options
        )

    return {
        "nt_xent": lambda a, b, t, _: f.nt_xent_loss(a, b, temperature=t, **among),
        "dot products, summed": lambda a, b, t, _: f.nt_xent_loss(
            a, b, temperature=t, normalize=False, reduction="sum", **among
        ),
        "a temperature each": lambda a, b, t, _: f.nt_xent_loss(
            a, b, temperature=t * torch.cat([a, b])[:, 0].abs().add(0.5), **among
        ),
        "by relation": lambda a, b, t, _: f.nt_xent_loss(
            a, b, temperature=PairTemperature(t, 0.2 + t), **among
        ),
        "dcl": lambda a, b, t, _: f.dcl_loss(a, b, temperature=t, **among),
        "dclw": lambda a, b, t, _: f.dclw_loss(a, b, temperature=t, sigma=0.3, **among),
        "info_nce": lambda a, b, t, _: f.info_nce_loss(a, b, temperature=t, **among),
        "clip": lambda a, b, t, _: f.clip_loss(a, b, temperature=t, **among),
        "clip, ring": lambda a, b, t, _: f.clip_loss(a, b, temperature=t, **ring),
        "moco": lambda a, b, t, _: (
            f.moco_loss(a, b, queue(a), temperature=t, **among) + 0 * b.sum()
        ),
        "learned keys": learned_keys,
        "siglip": lambda a, b, t, _: f.siglip_loss(a, b, logit_scale=1 / t, logit_bias=-t, **among),
        "siglip, ring": lambda a, b, t, _: f.siglip_loss(
            a, b, logit_scale=1 / t, logit_bias=-t, **ring
        ),
        "siglip, ids": sigmoid(LABELS, **among),
        "siglip, ids, ring": sigmoid(LABELS, **ring),
        "sup_con": supervised("with_positive"),
        "sup_con, all": supervised("all"),
        "nt_xent of three": lambda a, b, t, _: f.nt_xent_loss(a, b, a * b, temperature=t, **among),
        "dot products of three": lambda a, b, t, _: f.nt_xent_loss(
            a, b, a * b, temperature=PairTemperature(t, 0.2 + t), normalize=False, **among
        ),
        "nt_xent of three, a temperature each": lambda a, b, t, _: f.nt_xent_loss(
            *(a, b, a * b),
            temperature=t * torch.cat([a, b, a * b])[:, 0].abs().add(0.5),
            **among,
        ),
        "sup_con of views": lambda a, b, t, i: f.sup_con_loss(
            torch.stack([a, b], dim=1), LABELS[i], temperature=t, **among
        ),
        "sup_con of views, a temperature each": lambda a, b, t, i: f.sup_con_loss(
            torch.stack([a, b], dim=1),
            LABELS[i],
            temperature=t * torch.stack([a, b], dim=1)[..., 0].abs().add(0.5),
            mean_over="all",
            **among,
        ),
        "positives": lambda a, b, t, _: f.info_nce_loss(
            *(a, torch.stack([b, a * b], dim=1)),
            **{"temperature": t, "negatives": queue(a), "reduction": "sum", **among},
        ),
        "moco of positives": lambda a, b, t, _: (
            f.moco_loss(
                *(a, torch.stack([b, a * b], dim=1), queue(a)),
                temperature=t * a[:, 0].abs().add(0.5),
                **among,
            )
            + 0 * b.sum()
        ),
        "vibcreg of three": lambda a, b, t, _: (
            f.vicreg_loss(a, b, a * b, convention="vibcreg", **among) + 0 * t
        ),
        "vicreg": lambda a, b, t, _: (
            f.vicreg_loss(a, b, a * b, variance_weight=3.0, **among) + 0 * t
        ),
        "vicreg of steps": lambda a, b, t, _: (
            f.vicreg_loss(in_time(a), in_time(b), **among) + 0 * t
        ),
        "barlow of steps": lambda a, b, t, _: (
            f.barlow_twins_loss(in_time(a), in_time(b), **among) + 0 * t
        ),
        "barlow": lambda a, b, t, _: (
            f.barlow_twins_loss(a, b, convention="lightly", **among) + 0 * t
        ),
        "hierarchical": lambda a, b, t, _: (
            f.hierarchical_contrastive_loss(in_time(a), in_time(b), **among) + 0 * t
        ),
        "hierarchical, lengths": levels(**among),
    }


def value_and_gradients(loss: Case, a: Tensor, b: Tensor, rows: Tensor) -> tuple[Tensor, ...]:
    a, b = a.clone().requires_grad_(), b.clone().requires_grad_()
    tau = torch.tensor(0.25, dtype=a.dtype, requires_grad=True)  # the same in every dtype
    value = loss(a, b, tau, rows)
    return (value.detach(), *torch.autograd.grad(value, (a, b, tau)))


def rows_of(world: int, rank: int) -> Tensor:
    return torch.arange(sum(SIZES[world])).split(list(SIZES[world]))[rank]


def work(rank: int, world: int) -> dict[Any, Any]:
    """The four processes, and the first one, two and three of them as groups of their own."""
    found: dict[Any, Any] = {}
    for count, sizes in SIZES.items():
        group = "world" if count == world else dist.new_group(list(range(count)))
        if rank >= count:
            continue
        z, rows = batch(sizes, rank), rows_of(count, rank)
        for name, loss in cases(process_group=group).items():
            found[count, name] = value_and_gradients(loss, *z, rows)
        for name, loss in cases(process_group=group, ddp=False).items():
            found[count, name, "summed"] = value_and_gradients(loss, *z, rows)
    found |= {"queue": filled(rank), "norm": normalized(rank), "mismatched": mismatched(rank)}
    found |= {name: accumulated(rank, name) for name in ACCUMULATED}
    short = timedelta(seconds=2)
    pairs = [dist.new_group([0, 1], timeout=short) for _ in WAITED]
    if rank < 2:
        return found | {"waited": waited(rank, pairs)}
    return found | {"outside": refused(lambda: losses.NTXentLoss(process_group=pairs[0])(*z))}


@cache
def results() -> list[Any]:
    return in_processes(4, work)


@pytest.mark.parametrize("world", sorted(SIZES))
def test_values_and_gradients_are_those_of_one_process(world: int) -> None:
    """Uneven batches, one of no rows, one of one; the mean of gradients over processes, and with
    ddp=False their sum."""
    z, rows = batch((sum(SIZES[world]),), 0), torch.arange(sum(SIZES[world]))
    for name, loss in cases().items():
        value, *exact = value_and_gradients(loss, *z, rows)
        ranks = [result[world, name] for result in results()[:world]]
        for result in ranks:
            torch.testing.assert_close(result[0], value, rtol=1e-12, atol=1e-13, msg=name)
        for found, truth in zip(gradients(ranks), exact, strict=True):
            torch.testing.assert_close(found, truth, rtol=1e-12, atol=1e-12, msg=name)
        summed = [result[world, name, "summed"] for result in results()[:world]]
        for found, truth in zip(gradients(summed), exact, strict=True):
            torch.testing.assert_close(world * found, truth, rtol=1e-12, atol=1e-12, msg=name)


def gradients(ranks: list[tuple[Tensor, ...]]) -> list[Tensor]:
    """Of both views and of the temperature: the mean over processes, as DDP takes it."""
    rows = [torch.cat([result[i] for result in ranks]) / len(ranks) for i in (1, 2)]
    return [*rows, torch.stack([result[3] for result in ranks]).mean()]


def filled(rank: int) -> Tensor:
    """The queue of a MoCo loss after two batches."""
    group = dist.group.WORLD
    module = copy.deepcopy(losses.MoCoLoss(6, 32, process_group=group).double())
    assert module.process_group is group
    a, b = batch(SIZES[4], rank)
    for k in (a, b):
        module(a.clone().requires_grad_(), k).backward()
    features: Tensor = module.state_dict()["queue.features"]
    return features


def test_the_queue_takes_the_keys_of_every_process() -> None:
    expected = torch.cat([*batch((12,), 0), torch.zeros(8, 6)])
    for result in results():
        assert torch.equal(result["queue"], expected)


def two_steps(encoder: Any, loss: Any, a: Tensor, b: Tensor) -> list[Tensor]:
    """Gradients of two batches, accumulated: of the first without an exchange."""
    for last, views in enumerate(((a, b), (a * b, a + b))):
        alone = not last and isinstance(encoder, DistributedDataParallel)
        with encoder.no_sync() if alone else nullcontext():
            loss(*encoder(torch.cat(views)).tensor_split(2)).backward()
    return [p.grad for module in (encoder, loss) for p in module.parameters()]


def accumulated(rank: int | None, name: str) -> list[Tensor]:
    torch.manual_seed(0)
    layer = torch.nn.Linear(6, 4).double()
    if rank is None:
        return two_steps(layer, getattr(losses, name)(), *batch((12,), 0))
    module = getattr(losses, name)(process_group="world")
    return two_steps(DistributedDataParallel(layer), module, *batch(SIZES[4], rank))


@pytest.mark.parametrize("name", ACCUMULATED)
def test_accumulated_gradients_are_those_of_one_process(name: str) -> None:
    """With DistributedDataParallel.no_sync, and a process that has no rows."""
    expected = accumulated(None, name)
    for result in results():
        for found, exact in zip(result[name], expected, strict=True):
            torch.testing.assert_close(found, exact, rtol=1e-11, atol=1e-12)


def normalized(rank: int | None) -> list[Tensor]:
    """Of BatchNorm, plain and over padded series: result and gradients; its statistics. None: of
    all rows in one process."""
    norm: Any = torch.nn.BatchNorm2d(2).double()
    if rank is not None:
        parts = distributed.SyncBatchNorm.convert_sync_batchnorm(torch.nn.Sequential(norm))
        norm = parts[0]
    a, b = batch((12,), 0) if rank is None else batch(SIZES[4], rank)
    rows = slice(None) if rank is None else rows_of(4, rank)
    x = in_time(a).transpose(1, 2)[:, :, None].clone().requires_grad_()
    found = []
    for lengths in (None, LENGTHS[rows]):
        y = padding.normalized(norm, x, lengths)
        weight = in_time(b).transpose(1, 2)[:, :, None]
        if lengths is not None:
            weight = weight * padding.over(x, lengths)
        found += [y.detach(), *torch.autograd.grad((y**2 * weight).sum(), [x, *norm.parameters()])]
    return [*found, *norm.state_dict().values()]


def test_batch_norm_of_all_rows_with_and_without_padding() -> None:
    ranks, expected = [result["norm"] for result in results()], normalized(None)
    for i, value in enumerate(expected):
        parts = [rank[i] for rank in ranks]
        if i < 8 and i % 4 < 2:  # a result, or a gradient of rows
            parts = [torch.cat(parts)]
        elif i < 8:  # of a parameter
            parts = [torch.stack(parts).sum(0)]
        for part in parts:
            if i == 4:  # beyond the end of a series it is of no use
                steps = torch.arange(5) < LENGTHS[:, None]
                part, value = part.mT[:, 0][steps], value.mT[:, 0][steps]
            torch.testing.assert_close(part, value, rtol=1e-11, atol=1e-11)


WAITED = ("nt_xent_loss", "vicreg_loss", "barlow_twins_loss")


def waited(rank: int, groups: list[Any]) -> list[str]:
    """One process leaves its backward out. All losses come first: the other waits in each."""
    z = [x.requires_grad_() for x in batch(SIZES[2], rank)]
    calls = zip(WAITED, groups, strict=True)
    made = [getattr(functional, name)(*z, process_group=group) for name, group in calls]
    return [] if rank else [raised(loss.backward) for loss in made]


def raised(call: Callable[[], Any]) -> str:
    try:
        call()
    except RuntimeError as error:
        return str(error)
    return "nothing"


def test_a_backward_that_one_process_leaves_out_is_an_error() -> None:
    """After the group's timeout, not of the 60 seconds of the other."""
    for said in results()[0]["waited"]:
        assert "2000ms" in said


def test_processes_that_disagree_all_say_so() -> None:
    for rank, result in enumerate(results()):
        for said, expected in zip(result["mismatched"], SAID, strict=True):
            if isinstance(expected, tuple):
                expected = expected[rank == 1]
            assert said.startswith("ValueError")
            assert expected in said


def test_a_group_without_this_process() -> None:
    for result in results()[2:]:
        assert "without this process; accepted: a group with it" in result["outside"]


def test_without_processes() -> None:
    z = torch.randn(3, 4)
    for loss in (functional.nt_xent_loss, functional.vicreg_loss):
        with pytest.raises(ValueError, match=r"'world' before torch\.distributed\.init"):
            loss(z, z, process_group="world")
    for loss in (functional.clip_loss, functional.siglip_loss):
        with pytest.raises(ValueError, match="ring: True without process_group"):
            loss(z, z, ring=True)
    with pytest.raises(
        AttributeError, match=r"functional\.nt_xent_loss with process_group='world'"
    ):
        distributed.nt_xent_loss  # noqa: B018
    assert distributed.world_size() == 1
    assert distributed.rank() == 0
    assert distributed.gather_rows(z) is z
    assert distributed.sum_over_processes(z) is z
