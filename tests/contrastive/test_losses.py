"""Named contrastive losses against their papers' formulas, the queue, and feature synthesis."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

import tsssl_fast
from tsssl_fast import functional, losses

BACKENDS = ["reference", "cpp", "numba"]
N, D = 9, 5


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def same(found: Tensor, expected: Tensor, *leaves: Tensor) -> None:
    torch.testing.assert_close(found, expected)
    got, want = (torch.autograd.grad(x.sum(), leaves, retain_graph=True) for x in (found, expected))
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize("backend", BACKENDS)
def test_info_nce_and_clip(backend: str) -> None:
    q, k = numbers(N, D).requires_grad_(), numbers(N, D).requires_grad_()
    a = normalize(q) @ normalize(k).T
    target = torch.arange(N)
    found = functional.info_nce_loss(q, k, temperature=0.2, reduction="none", backend=backend)
    same(found, cross_entropy(a / 0.2, target, reduction="none"), q, k)
    module = losses.CLIPLoss(temperature=0.3, backend=backend).double()
    scale = module.log_scale.exp()
    expected = (cross_entropy(scale * a, target) + cross_entropy(scale * a.T, target)) / 2
    same(module(q, k), expected, q, k, module.log_scale)


def test_clip_scale_is_clamped() -> None:
    q, k = numbers(N, D), numbers(N, D)
    module = losses.CLIPLoss(temperature=1e-3).double()
    expected = functional.clip_loss(q, k, temperature=0.01)
    torch.testing.assert_close(module(q, k), expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_info_nce_with_a_queue(backend: str) -> None:
    q, k, queue = numbers(N, D).requires_grad_(), numbers(N, D), numbers(12, D)
    valid = torch.arange(12) < 7
    positive = (normalize(q) * normalize(k)).sum(1, keepdim=True)
    a = torch.cat([positive, normalize(q) @ normalize(queue[valid]).T], dim=1) / 0.2
    expected = cross_entropy(a, torch.zeros(N, dtype=torch.int64))
    found = functional.info_nce_loss(
        q, k, temperature=0.2, negatives=queue, negatives_valid=valid, backend=backend
    )
    same(found, expected, q)
    empty = functional.info_nce_loss(
        q, k, negatives=queue, negatives_valid=torch.zeros(12, dtype=torch.bool), backend=backend
    )
    assert empty == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_decoupled(backend: str) -> None:
    z1, z2 = numbers(N, D).requires_grad_(), numbers(N, D).requires_grad_()
    z = normalize(torch.cat([z1, z2]))
    rows = torch.arange(2 * N)
    s = z @ z.T
    positive = s[rows, rows.roll(N)]
    hidden = (rows[:, None] == rows) | (rows[:, None] == rows.roll(N))
    below = (s / 0.2).masked_fill(hidden, -torch.inf).logsumexp(1)
    same(
        functional.dcl_loss(z1, z2, temperature=0.2, reduction="none", backend=backend),
        below - positive / 0.2,
        z1,
        z2,
    )
    weight = (2 - N * (positive[:N] / 0.4).softmax(0)).detach().repeat(2)
    found = functional.dclw_loss(
        z1, z2, temperature=0.2, sigma=0.4, reduction="none", backend=backend
    )
    same(found, below - weight * positive / 0.2, z1, z2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_supcon_of_two_views_per_class_is_nt_xent(backend: str) -> None:
    z1, z2 = numbers(N, D), numbers(N, D)
    labels = torch.arange(N).repeat(2) * 2**40  # ids beyond 32 bits
    found = losses.SupConLoss(temperature=0.2, backend=backend)(torch.cat([z1, z2]), labels)
    torch.testing.assert_close(
        found, functional.nt_xent_loss(z1, z2, temperature=0.2, backend=backend)
    )


def test_queue_wraps_and_keeps_everything() -> None:
    queue = losses.FeatureQueue(2, 5, dtype=torch.float64)
    rows = torch.arange(24.0, dtype=torch.float64).reshape(12, 2)
    assert not queue.valid().any()
    queue.push(rows[:3])
    assert queue.valid().tolist() == [True] * 3 + [False] * 2
    queue.push(rows[3:7])  # wraps
    assert {tuple(r) for r in queue.features.tolist()} == {tuple(r) for r in rows[2:7].tolist()}
    assert queue.valid().all()
    copy = losses.FeatureQueue(2, 5, dtype=torch.float64)
    copy.load_state_dict(queue.state_dict())
    for target in (queue, copy):
        target.push(rows[7:8])
    assert torch.equal(queue.features, copy.features)
    queue.push(rows)  # longer than the queue: the newest stay
    assert {tuple(r) for r in queue.features.tolist()} == {tuple(r) for r in rows[7:].tolist()}
    assert queue.features.dtype == torch.float64
    with pytest.raises(ValueError, match="features: shape"):
        queue.push(torch.randn(2, 3))


def test_moco_reads_the_queue_that_its_loss_saw() -> None:
    module = losses.MoCoLoss(D, 16, temperature=0.2).double()
    batches = [(numbers(6, D).requires_grad_(), numbers(6, D)) for _ in range(4)]
    seen: list[Tensor] = []
    for q, k in batches:
        loss = module(q, k)
        loss.backward()  # the queue moves on only afterwards
        if seen:
            plain = functional.info_nce_loss(q, k, temperature=0.2, negatives=torch.cat(seen)[-16:])
            torch.testing.assert_close(loss, plain)
        else:
            assert loss == 0
        seen.append(k)
    assert int(module.state_dict()["queue.filled"]) == 16
    before = module.queue.features.clone()
    module.eval()
    module(*batches[0])
    assert torch.equal(module.state_dict()["queue.features"], before)


def test_synthetic_features() -> None:
    generator = torch.Generator().manual_seed(3)
    q, negatives = normalize(numbers(N, D)), normalize(numbers(20, D))
    made = functional.mix_hard_negatives(
        q, negatives, hardest=4, mixed=3, with_query=2, generator=generator
    )
    assert made.shape == (N, 5, D)
    torch.testing.assert_close(made.norm(dim=2), torch.ones(N, 5, dtype=torch.float64))
    loss = functional.contrastive_loss(q, q_ids=torch.arange(N) // 2, query_keys=made)
    assert isinstance(loss, Tensor)
    assert loss.isfinite()
    k = normalize(numbers(N, D))
    q2, k2 = functional.extrapolate_positives(q, k, generator=generator)
    torch.testing.assert_close(q2 + k2, q + k)
    assert ((q2 * k2).sum(1) <= (q * k).sum(1) + 1e-12).all()  # harder
    mixed = functional.interpolate_negatives(negatives, generator=generator)
    assert mixed.shape == negatives.shape
    assert mixed.norm(dim=1).max() <= 1 + 1e-12
    with pytest.raises(ValueError, match="hardest"):
        functional.mix_hard_negatives(q, negatives, hardest=21)


@pytest.mark.parametrize("backend", BACKENDS)
def test_torch_func_grad(backend: str) -> None:
    z1, z2 = numbers(N, D), numbers(N, D)

    def loss(a: Tensor) -> Tensor:
        return functional.nt_xent_loss(a, z2, backend=backend) + functional.sup_con_loss(
            a, torch.arange(N) % 2, backend=backend
        )

    found = torch.func.grad(loss)(z1)
    z1.requires_grad_()
    torch.testing.assert_close(found, torch.autograd.grad(loss(z1), z1)[0])


def test_public_names() -> None:
    for package in (losses, functional):
        for name in package.__all__:
            assert getattr(package, name).__doc__, name
    assert math.isclose(tsssl_fast.functional.PairTemperature(0.1, 0.2).negative, 0.2)
