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


def several_views(z: Tensor, labels: Tensor | None, tau: Tensor) -> Tensor:
    """(N, V, D), (N,) -> (N, V): the mean over positives of -log softmax, dense."""
    n, views, _ = z.shape
    ids = (torch.arange(n) if labels is None else labels).repeat_interleave(views)
    u = normalize(z.reshape(n * views, -1))
    apart = ~torch.eye(n * views, dtype=torch.bool)
    logits = (u @ u.T / tau).masked_fill(~apart, -torch.inf)
    positive = (ids[:, None] == ids) & apart
    log_p = logits.log_softmax(1).masked_fill(~positive, 0)
    return (-log_p.sum(1) / positive.sum(1)).view(n, views)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("views", [3, 4])
def test_several_views(backend: str, views: int) -> None:
    z = numbers(N * views, D).view(N, views, D).requires_grad_()
    tau = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    how = {"reduction": "none", "backend": backend}
    same(
        functional.nt_xent_loss(*z.unbind(1), temperature=tau, **how).view(views, N).T,
        several_views(z, None, tau),
        *(z, tau),
    )
    labels = torch.arange(N) % 3
    found = functional.sup_con_loss(z, labels, temperature=tau, **how)
    same(found, several_views(z, labels, tau), z, tau)
    each = (numbers(N, views).abs() + 0.2).requires_grad_()
    found = functional.sup_con_loss(z, labels, temperature=each, **how)
    same(found, several_views(z, labels, each.view(-1, 1)), z, each)
    mean = losses.NTXentLoss(temperature=0.3, backend=backend)(*z.unbind(1))
    same(mean, several_views(z, None, tau).mean(), z)
    mean, stats = losses.SupConLoss(temperature=0.3)(z, labels, return_stats=True)
    same(mean, several_views(z, labels, tau).mean(), z)
    assert stats.log_sum_exp.shape == (N * views,)


@pytest.mark.parametrize("backend", BACKENDS)
def test_several_positives_of_a_queue(backend: str) -> None:
    """The mean over the positives of the loss with that one alone, of values and gradients."""
    q, k, queue = numbers(N, D).requires_grad_(), numbers(N * 3, D).view(N, 3, D), numbers(9, D)
    k.requires_grad_()
    valid = torch.arange(9) < 7
    each = (numbers(N).abs() + 0.2).requires_grad_()
    more = {"negatives": queue, "negatives_valid": valid, "temperature": each}
    u, v, n = normalize(q), normalize(k, dim=2), normalize(queue[:7])
    positive = torch.einsum("nd,npd->np", u, v) / each[:, None]
    below = torch.logaddexp(positive, (u @ n.T / each[:, None]).logsumexp(1, keepdim=True))
    expected = (below - positive).mean(1)
    for reduction, reduced in (
        ("none", expected),
        ("sum", expected.sum()),
        ("mean", expected.mean()),
    ):
        found = functional.info_nce_loss(q, k, reduction=reduction, backend=backend, **more)
        same(found, reduced, q, k, each)
    module = losses.MoCoLoss(D, 40, temperature=0.3, backend=backend).double()
    module.queue.push(queue)
    loss = module(q, k)
    single = [functional.moco_loss(q, x, queue, temperature=0.3) for x in k.unbind(1)]
    same(loss, torch.stack(single).mean(), q)
    module.flush()
    assert torch.equal(module.queue.features[9:36], k.detach().flatten(0, 1))
    assert int(module.queue.filled) == 36


def test_views_that_do_not_fit_are_told() -> None:
    z, labels = numbers(4, 2, 3), torch.arange(4)
    for call, said in (
        (lambda: functional.sup_con_loss(z, labels.repeat(2)), r"labels: shape \(8,\); .* \(4,\)"),
        (lambda: functional.sup_con_loss(z[:, :0], labels), r"z: shape \(4, 0, 3\); .* V, D >= 1"),
        (
            lambda: functional.sup_con_loss(z, labels, temperature=numbers(8)),
            r"temperature: shape \(8,\); accepted: \(4, 2\)",
        ),
        (lambda: functional.nt_xent_loss(*z, z[0, :1]), r"more\[2\]: shape \(1, 3\); accepted: "),
        (
            lambda: functional.moco_loss(z[:3, 0], z, z[0]),
            r"k: shape \(4, 2, 3\); accepted: \(3, P, 3\)",
        ),
        (lambda: functional.info_nce_loss(z[:, 0], z), r"k: shape \(4, 2, 3\); accepted: \(N, D\)"),
    ):
        with pytest.raises(ValueError, match=said):
            call()


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
    with pytest.raises(ValueError, match=r"negatives: 3 columns; accepted: \d+ as q"):
        functional.mix_hard_negatives(q, negatives[:, :3], hardest=2)


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
