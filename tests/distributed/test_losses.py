"""Losses across processes are those of one process with all rows: values and gradients."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from distributed.ranks import batch, in_processes
from torch import Tensor

from tsssl_fast import distributed, functional

SIZES = {2: (5, 7), 3: (6, 0, 5), 4: (4, 0, 1, 7)}
LABELS = torch.tensor([0, 1, 2, 0, 1, 0, 3, 0, 1, 2, 0, 1])
QUEUE = torch.randn(8, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def labelled(of: Any, **more: Any) -> Callable[..., Tensor]:
    def function(a: Tensor, b: Tensor, tau: Tensor, labels: Tensor) -> Tensor:
        loss: Tensor = of.sup_con_loss(
            torch.cat([a, b]), torch.cat([labels, labels]), temperature=tau, **more
        )
        return loss

    return function


def in_time(z: Tensor) -> Tensor:
    """(N, 6) as series of five steps: (N, 5, 2)."""
    return torch.stack([z[:, :5], z[:, 1:] * z[:, :5]], dim=2)


def cases(of: Any) -> dict[str, Callable[..., Tensor]]:
    """Of `functional` or of `distributed`: (a, b, temperature, labels) -> loss."""
    return {
        "nt_xent": lambda a, b, t, _: of.nt_xent_loss(a, b, temperature=t),
        "dot products": lambda a, b, t, _: of.nt_xent_loss(a, b, temperature=t, normalize=False),
        "dcl": lambda a, b, t, _: of.dcl_loss(a, b, temperature=t),
        "dclw": lambda a, b, t, _: of.dclw_loss(a, b, temperature=t, sigma=0.3),
        "info_nce": lambda a, b, t, _: of.info_nce_loss(a, b, temperature=t),
        "clip": lambda a, b, t, _: of.clip_loss(a, b, temperature=t),
        "moco": lambda a, b, t, _: of.moco_loss(a, b, QUEUE, temperature=t) + 0 * b.sum(),
        "siglip": lambda a, b, t, _: of.siglip_loss(a, b, logit_scale=1 / t, logit_bias=-t),
        "sup_con": labelled(of),
        "sup_con, all": labelled(of, mean_over="all"),
        "vicreg": lambda a, b, t, _: of.vicreg_loss(a / t, b / t, a, variance_weight=3.0),
        "hierarchical": lambda a, b, t, _: (
            of.hierarchical_contrastive_loss(in_time(a), in_time(b), alpha=0.3) + 0 * t
        ),
        "barlow": lambda a, b, t, _: of.barlow_twins_loss(a * t, b, convention="lightly"),
    }


def value_and_gradients(
    loss: Callable[..., Tensor], a: Tensor, b: Tensor, labels: Tensor
) -> tuple[Tensor, ...]:
    a, b = a.clone().requires_grad_(), b.clone().requires_grad_()
    tau = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    value = loss(a, b, tau, labels)
    return (value.detach(), *torch.autograd.grad(value, (a, b, tau)))


def work(rank: int, world: int) -> dict[str, Any]:
    sizes = SIZES[world]
    a, b = batch(sizes, rank)
    labels = LABELS[: sum(sizes)].split(list(sizes))[rank]
    found: dict[str, Any] = {
        name: value_and_gradients(loss, a, b, labels) for name, loss in cases(distributed).items()
    }
    if world == 2:
        found |= {"summed": summed(rank), "mismatched": mismatched(rank)}
    return found


@cache
def results_of(world: int) -> list[Any]:
    return in_processes(world, work)


@pytest.mark.parametrize("world", sorted(SIZES))
def test_values_and_gradients_are_those_of_one_process(world: int) -> None:
    """Uneven batches, one of no rows, one of one; the mean of gradients over processes."""
    found = results_of(world)
    (a, b), labels = batch((sum(SIZES[world]),), 0), LABELS[: sum(SIZES[world])]
    for name, loss in cases(functional).items():
        value, *exact = value_and_gradients(loss, a, b, labels)
        ranks = [results[name] for results in found]
        for result in ranks:
            torch.testing.assert_close(result[0], value, rtol=1e-12, atol=1e-13, msg=name)
        for i in (1, 2):
            rows = torch.cat([result[i] for result in ranks]) / world
            torch.testing.assert_close(rows, exact[i - 1], rtol=1e-11, atol=1e-13, msg=name)
        tau = torch.stack([result[3] for result in ranks]).mean()
        torch.testing.assert_close(tau, exact[2], rtol=1e-11, atol=1e-12, msg=name)


def summed(rank: int) -> Tensor:
    a, b = batch((3, 4, 1, 2), rank)
    a.requires_grad_()
    distributed.nt_xent_loss(a, b, ddp=False).backward()
    assert a.grad is not None
    return a.grad


def test_gradients_for_who_sums_them() -> None:
    """The batch of four processes, of which two are there."""
    a, b = (torch.cat(x) for x in zip(*(batch((3, 4, 1, 2), r) for r in (0, 1)), strict=True))
    a.requires_grad_()
    functional.nt_xent_loss(a, b).backward()
    torch.testing.assert_close(torch.cat([r["summed"] for r in results_of(2)]), a.grad)


def mismatched(rank: int) -> list[str]:
    """What is raised where processes disagree: on each, at once."""
    said = []
    a = torch.randn(3, 4 + rank)
    b = torch.randn(3, 4, dtype=(torch.float32, torch.float64)[rank])
    z = torch.randn(3, 4)
    calls: list[Callable[[], Any]] = [
        lambda: distributed.nt_xent_loss(a, a),
        lambda: distributed.vicreg_loss(b, b),
        lambda: distributed.clip_loss(z, z, temperature=0.1 + rank),
        lambda: distributed.gather_rows(z if rank else z[:, 0]),
        lambda: distributed.nt_xent_loss(z, z, process_group="all"),
        lambda: distributed.vicreg_loss(z, z, return_terms=True),
    ]
    for call in calls:
        try:
            call()
            said.append("nothing")
        except ValueError as error:
            said.append(str(error))
    return said


def test_processes_that_disagree_all_say_so() -> None:
    for result in results_of(2):
        said = result["mismatched"]
        assert "numbers a row by rank: [8, 10]" in said[0]
        assert "dtypes by rank: [torch.float32, torch.float64]" in said[1]
        assert "options by rank" in said[2]
        assert "dimensions by rank: [1, 2]" in said[3]
        assert "process_group: 'all'" in said[4]
        assert "return_terms" in said[5]


def test_without_processes() -> None:
    z = torch.randn(3, 4)
    with pytest.raises(ValueError, match=r"before torch\.distributed\.init"):
        distributed.nt_xent_loss(z, z)
    assert distributed.world_size() == 1
    assert distributed.rank() == 0
    assert distributed.gather_rows(z) is z
    assert distributed.sum_over_processes(z) is z
