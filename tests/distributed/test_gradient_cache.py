"""cached_backward: gradients of the whole batch from an encoder that sees it in chunks."""

from typing import Any

import pytest
import torch
from distributed.ranks import batch, in_processes
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tsssl_fast import distributed, functional, losses


def encoder(dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 5)
    ).double()


def gradients(module: nn.Module) -> list[Tensor]:
    found = [p.grad for p in module.parameters()]
    return [g for g in found if g is not None]


@pytest.mark.parametrize("chunk_size", [1, 4, 12, 50])
def test_chunks_make_the_gradients_of_the_batch(chunk_size: int) -> None:
    a, b = batch((12,), 0)
    whole, chunked = encoder(), encoder()
    loss = losses.NTXentLoss(learnable_temperature=True).double()
    same = losses.NTXentLoss(learnable_temperature=True).double()
    exact = loss(whole(a), whole(b))
    exact.backward()
    x = a.clone().requires_grad_()
    found = distributed.cached_backward(chunked, [x, b], same, chunk_size=chunk_size)
    torch.testing.assert_close(found, exact.detach())
    for ours, theirs in zip(
        gradients(chunked) + gradients(same), gradients(whole) + gradients(loss), strict=True
    ):
        torch.testing.assert_close(ours, theirs)
    assert x.grad is not None


def test_dropout_is_the_same_both_times() -> None:
    """Its masks are drawn chunk by chunk, as by a loop over chunks with all graphs kept."""
    a, b = batch((9,), 0)
    loop, chunked = encoder(0.5), encoder(0.5)
    torch.manual_seed(7)
    z = [torch.cat([loop(x) for x in view.split(4)]) for view in (a, b)]
    functional.nt_xent_loss(*z).backward()
    after = torch.rand(3)
    torch.manual_seed(7)
    distributed.cached_backward(chunked, [a, b], functional.nt_xent_loss, chunk_size=4)
    assert torch.equal(torch.rand(3), after)
    for ours, theirs in zip(gradients(chunked), gradients(loop), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_scaled_gradients_and_a_loss_that_is_not() -> None:
    a, b = batch((6,), 0)
    plain, scaled = encoder(), encoder()
    exact = distributed.cached_backward(plain, [a, b], functional.vicreg_loss, chunk_size=4)
    found = distributed.cached_backward(
        scaled, [a, b], functional.vicreg_loss, chunk_size=4, scale=lambda x: 64 * x
    )
    assert torch.equal(found, exact)
    for ours, theirs in zip(gradients(scaled), gradients(plain), strict=True):
        torch.testing.assert_close(ours, 64 * theirs)


def test_errors() -> None:
    a, b = batch((6,), 0)
    for views, size, said in (([a, b], 0, "chunk_size"), ([], 2, "views"), ([a[:0]], 2, "z1")):
        with pytest.raises((TypeError, ValueError), match=said):
            distributed.cached_backward(
                encoder(), views, lambda z: functional.nt_xent_loss(z, z), chunk_size=size
            )


@pytest.mark.parametrize("overflows", [False, True])
def test_a_step_of_a_scaler(overflows: bool) -> None:
    a, b = batch((6,), 0)
    if overflows:
        a[0, 0] = torch.inf
    module = encoder()
    before = [p.detach().clone() for p in module.parameters()]
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    options = {"chunk_size": 4, "scale": scaler.scale}
    distributed.cached_backward(module, [a, b], functional.nt_xent_loss, **options)
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == (2.0**9 if overflows else 2.0**10)
    assert torch.equal(before[0], next(module.parameters())) == overflows


def against_a_queue(module: nn.Module, chunk_size: int | None) -> list[Tensor]:
    """Gradients of two batches, accumulated, and MoCo's queue after them."""
    loss, teacher = losses.MoCoLoss(5, 32).double(), encoder()
    for views in (batch((12,), 0), batch((12,), 0)[::-1]):
        q, keys = views[0], teacher(views[1]).detach()
        if chunk_size is None:
            loss(module(q), keys).backward()
        else:
            distributed.cached_backward(
                module, [q], lambda z, k=keys: loss(z, k), chunk_size=chunk_size
            )
    return [*gradients(module), loss.state_dict()["queue.features"]]


def test_a_queue_takes_every_key_once() -> None:
    expected = against_a_queue(encoder(), None)
    assert expected[-1][:24].abs().sum(1).all()
    torch.testing.assert_close(against_a_queue(encoder(), 5), expected)


def work(rank: int, world: int) -> list[Tensor]:
    a, b = batch((5, 0, 7), rank)
    module: Any = DistributedDataParallel(encoder())
    loss = losses.NTXentLoss(process_group="world")
    distributed.cached_backward(module, [a, b], loss, chunk_size=2 + rank)
    return gradients(module)


def test_processes_with_uneven_batches_in_uneven_chunks() -> None:
    """One of them without rows."""
    a, b = batch((12,), 0)
    whole = encoder()
    functional.nt_xent_loss(whole(a), whole(b)).backward()
    for found in in_processes(3, work):
        for ours, theirs in zip(found, gradients(whole), strict=True):
            torch.testing.assert_close(ours, theirs)
