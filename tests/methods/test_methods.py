"""Methods are their formulas, in anybody's loop, copied and pickled."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize
from toy import Jitter, dataset

from tsssl_fast import encoders
from tsssl_fast.losses import NTXentLoss
from tsssl_fast.methods import METHODS, NEEDS_TOKENS, Batch, SimCLR, Supervised


def batch(n=8, seed=5):
    data = dataset()
    return Batch(data.x_train[:n], torch.arange(n), seed, data.y_train[:n])


class Mean(nn.Module):
    """An encoder of one's own: the mean over time, then a linear map."""

    out_features = 6

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 6)

    def forward(self, x):
        return self.linear(x.mean(-1))


def test_simclr_is_its_formula():
    torch.manual_seed(0)
    method = SimCLR(Mean(), nn.Linear(6, 4), Jitter(), NTXentLoss(temperature=0.3)).double()
    given = batch()
    given = given._replace(x=given.x.double())
    loss, logs = method.loss(given)

    v1, v2 = Jitter()(given.x, seed=5, sample_ids=given.sample_ids)
    z = torch.cat([method.projector(method.encoder(v)) for v in (v1, v2)])
    u = normalize(z)
    logits = (u @ u.T / 0.3).masked_fill(torch.eye(16, dtype=torch.bool), -torch.inf)
    expected = cross_entropy(logits, (torch.arange(16) + 8) % 16)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    assert logs["alignment"].item() == pytest.approx((u[:8] * u[8:]).sum(1).mean().item(), rel=1e-6)
    assert not logs["alignment"].requires_grad

    parameters = list(method.parameters())
    got = torch.autograd.grad(loss, parameters)
    for g, e in zip(got, torch.autograd.grad(expected, parameters), strict=True):
        assert g.numpy() == pytest.approx(e.numpy(), abs=1e-10)


def expected_vicreg(z1, z2):
    def variance(z):
        return (1 - (z.var(0) + 1e-4).sqrt()).clamp(min=0).mean()

    def covariance(z):
        c = torch.cov(z.T)
        return (c.square().sum() - c.diagonal().square().sum()) / z.shape[1]

    spread = (variance(z1) + variance(z2)) / 2
    return 25 * (z1 - z2).square().mean() + 25 * spread + covariance(z1) + covariance(z2)


def expected_barlow_twins(z1, z2):
    def standardised(z):  # as batch normalisation does
        return (z - z.mean(0)) / (z.var(0, correction=0) + 1e-5).sqrt()

    c = standardised(z1).T @ standardised(z2) / len(z1)
    on = (1 - c.diagonal()).square().sum()
    return on + 0.02 * (c.square().sum() - c.diagonal().square().sum())


@pytest.mark.parametrize(
    ("name", "expected"), [("vicreg", expected_vicreg), ("barlow_twins", expected_barlow_twins)]
)
def test_decorrelation_methods_are_their_formulas(name, expected):
    torch.manual_seed(0)
    method = METHODS[name](Mean(), Jitter(), width=5).double()
    given = batch(16)
    given = given._replace(x=given.x.double())
    loss, _ = method.loss(given)
    views = Jitter()(given.x, seed=5, sample_ids=given.sample_ids).flatten(0, 1)
    z1, z2 = method.projector(method.encoder(views)).chunk(2)
    assert loss.item() == pytest.approx(expected(z1, z2).item(), rel=1e-9)


def test_simsiam_is_its_formula_and_stops_the_targets_gradient():
    torch.manual_seed(0)
    method = METHODS["simsiam"](Mean(), Jitter(), width=8, bottleneck=4).double()
    given = batch(16)
    given = given._replace(x=given.x.double())
    loss, logs = method.loss(given)
    views = Jitter()(given.x, seed=5, sample_ids=given.sample_ids).flatten(0, 1)
    z = method.projector(method.encoder(views))
    p, target = normalize(method.predictor(z)), normalize(z).detach()
    expected = -((p[:16] * target[16:]).sum(1) + (p[16:] * target[:16]).sum(1)).mean() / 2
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
    parameters = list(method.parameters())
    got = torch.autograd.grad(loss, parameters)
    for g, e in zip(got, torch.autograd.grad(expected, parameters), strict=True):
        assert g.numpy() == pytest.approx(e.numpy(), abs=1e-10)
    assert 0 < logs["spread"] < 1


def test_moco_is_its_formula_with_a_queue_of_past_keys():
    torch.manual_seed(0)
    method = METHODS["moco"](Mean(), Jitter(), temperature=0.3, momentum=0.9, queue=12).double()
    method.momentum_encoder.module.linear.weight.mul_(1.1)
    past, past_ids = torch.empty(0, 128).double(), torch.empty(0, dtype=torch.int64)
    for step in range(4):
        # Series 2 and 3 come again: their own earlier keys are no negatives of theirs.
        given = batch(8, seed=step)
        ids = given.sample_ids if step % 2 else torch.tensor([8, 9, 2, 3, 10, 11, 12, 13])
        given = given._replace(x=given.x.double(), sample_ids=ids)
        v1, v2 = Jitter()(given.x, seed=step, sample_ids=ids)
        q = normalize(method.projector(method.encoder(v1)))
        k = normalize(method.momentum_projector(method.momentum_encoder(v2))).detach()
        logits = q @ torch.cat([k, past]).T / 0.3
        own = torch.cat([torch.zeros(8, 8).bool(), ids[:, None] == past_ids], dim=1)
        expected = cross_entropy(logits.masked_fill(own, -torch.inf), torch.arange(8))
        loss, _ = method.loss(given)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
        past, past_ids = torch.cat([past, k])[-12:], torch.cat([past_ids, ids])[-12:]
    assert own.any()
    loss.backward()
    assert all(p.grad is None for p in method.momentum_encoder.parameters())
    assert all(p.grad is not None for p in method.encoder.parameters())


def test_mocos_teacher_follows():
    torch.manual_seed(0)
    method = METHODS["moco"](Mean(), Jitter(), momentum=0.75)
    before = method.momentum_encoder.module.linear.weight.clone()
    assert torch.equal(before, method.encoder.linear.weight)
    with torch.no_grad():
        method.encoder.linear.weight.add_(1)
    method.after_step()
    assert torch.allclose(method.momentum_encoder.module.linear.weight, before + 0.25)
    with pytest.raises(ValueError, match="momentum: 1"):
        METHODS["moco"](Mean(), Jitter(), momentum=1)


def test_supcon_is_its_formula():
    torch.manual_seed(0)
    method = METHODS["supcon"](Mean(), Jitter(), temperature=0.3).double()
    given = batch(8)
    given = given._replace(x=given.x.double())
    views = Jitter()(given.x, seed=5, sample_ids=given.sample_ids).flatten(0, 1)
    u, y = normalize(method.projector(method.encoder(views))), given.labels.repeat(2)
    self = torch.eye(16, dtype=torch.bool)
    log_p = (u @ u.T / 0.3).masked_fill(self, -torch.inf).log_softmax(1)
    positive = (y[:, None] == y) & ~self
    expected = -(log_p.masked_fill(~positive, 0).sum(1) / positive.sum(1)).mean()
    loss, _ = method.loss(given)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
    with pytest.raises(ValueError, match=r"batch\.labels: None"):
        method.loss(given._replace(labels=None))


def test_simclr_and_supcon_of_four_views_are_their_formulas():
    torch.manual_seed(0)
    given = batch(8)
    given = given._replace(x=given.x.double())
    for name, labels in (("simclr", torch.arange(8)), ("supcon", given.labels)):
        method = METHODS[name](Mean(), Jitter(), temperature=0.3, n_views=4).double()
        views = Jitter()(given.x, 4, seed=5, sample_ids=given.sample_ids).flatten(0, 1)
        u, y = normalize(method.projector(method.encoder(views))), labels.repeat(4)
        self = torch.eye(32, dtype=torch.bool)
        log_p = (u @ u.T / 0.3).masked_fill(self, -torch.inf).log_softmax(1)
        positive = (y[:, None] == y) & ~self
        expected = -(log_p.masked_fill(~positive, 0).sum(1) / positive.sum(1)).mean()
        loss, logs = method.loss(given)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
        same = torch.arange(8).repeat(4)
        pairs = (same[:, None] == same) & ~self
        assert logs["alignment"].item() == pytest.approx((u @ u.T)[pairs].mean().item(), rel=1e-5)


def test_vicreg_of_three_views_is_its_formula():
    torch.manual_seed(0)
    method = METHODS["vicreg"](Mean(), Jitter(), width=5, n_views=3).double()
    given = batch(16)
    given = given._replace(x=given.x.double())
    views = Jitter()(given.x, 3, seed=5, sample_ids=given.sample_ids).flatten(0, 1)
    z1, z2, z3 = method.projector(method.encoder(views)).chunk(3)
    pairs = (expected_vicreg(*pair) for pair in ((z1, z2), (z1, z3), (z2, z3)))
    loss, _ = method.loss(given)
    assert loss.item() == pytest.approx((sum(pairs) / 3).item(), rel=1e-9)


def test_moco_of_three_views_is_the_mean_over_two_keys():
    torch.manual_seed(0)
    method = METHODS["moco"](Mean(), Jitter(), temperature=0.3, queue=20, n_views=3).double()
    past, past_ids = torch.empty(0, 128).double(), torch.empty(0, dtype=torch.int64)
    for step, ids in enumerate((torch.arange(8), torch.arange(4, 12))):
        given = batch(8, seed=step)
        given = given._replace(x=given.x.double(), sample_ids=ids)
        views = Jitter()(given.x, 3, seed=step, sample_ids=ids)
        q = normalize(method.projector(method.encoder(views[0])))
        # One batch of both views: batch normalisation is of all of them.
        keys = method.momentum_projector(method.momentum_encoder(views[1:].flatten(0, 1)))
        k1, k2 = normalize(keys).detach().chunk(2)
        others = torch.cat([k1, k2, past])
        own = ids[:, None] == torch.cat([ids, ids, past_ids])
        below = (q @ others.T / 0.3).masked_fill(own, -torch.inf)
        expected = 0
        for k in (k1, k2):
            logits = torch.cat([(q * k).sum(1, keepdim=True) / 0.3, below], dim=1)
            expected = expected + cross_entropy(logits, torch.zeros(8, dtype=torch.int64)) / 2
        loss, _ = method.loss(given)
        # The queue is float32.
        assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
        past, past_ids = torch.cat([past, k1, k2])[-20:], torch.cat([past_ids, ids, ids])[-20:]
    assert own[:, 16:].any()


@pytest.mark.parametrize("name", ["simclr", "vicreg", "supcon", "moco"])
def test_one_view_is_refused(name):
    with pytest.raises(ValueError, match="n_views: 1; accepted: a finite number >= 2"):
        METHODS[name](Mean(), Jitter(), n_views=1)


def test_transform_prediction_shows_each_series_its_transform():
    seen = []

    class Identity(nn.Module):
        out_features = 120

        def forward(self, x):
            seen.append(x)
            return x.flatten(1)

    def views(x, views=None, *, seed, sample_ids):
        return x[None]

    method = METHODS["transform_prediction"](Identity(), views)
    given = batch(24)
    loss, logs = method.loss(given)
    k = torch.randint(4, (24,), generator=torch.Generator().manual_seed(5))
    assert k.bincount(minlength=4).min() > 0
    swapped = torch.cat([given.x[..., 20:], given.x[..., :20]], dim=-1)
    expected = torch.stack([given.x, given.x.flip(-1), -given.x, swapped])[k, torch.arange(24)]
    assert torch.equal(seen[0], expected)
    logits = method.classifier(expected.flatten(1))
    assert loss.item() == pytest.approx(cross_entropy(logits, k).item(), rel=1e-6)
    assert logs["transform_accuracy"] == (logits.argmax(1) == k).float().mean()


def test_bf16_is_for_the_encoder_alone():
    seen = {}

    class Spy(Mean):
        def forward(self, x):
            z = super().forward(x)
            seen["encoder"] = z.dtype
            return z

    def views(x, views=None, *, seed, sample_ids):
        seen["views"] = x.dtype
        return torch.stack([x, x + 1])

    method = METHODS["vicreg"](Spy(), views, width=8)
    method.projector.register_forward_hook(lambda m, i, z: seen.update(projector=z.dtype))
    method.bf16 = True
    loss, _ = method.loss(batch())
    assert loss.dtype == torch.float32
    expected = {"views": torch.float32, "encoder": torch.bfloat16, "projector": torch.float32}
    assert seen == expected


def test_every_part_of_simclr_can_be_replaced():
    given = batch()

    def views(x, views=None, *, seed, sample_ids):
        assert seed == 5
        assert sample_ids.tolist() == list(range(8))
        return torch.stack([x, x.flip(-1)])

    class Apart(nn.Module):
        def forward(self, z1, z2):
            return (z1 - z2).square().sum()

    # The mean over time does not see the direction of time.
    loss, _ = SimCLR(Mean(), nn.Identity(), views, Apart()).loss(given)
    assert loss.item() == pytest.approx(0, abs=1e-10)


def test_views_of_a_wrong_shape_are_refused():
    method = SimCLR.recipe(Mean(), lambda x, views, seed, sample_ids: x)
    with pytest.raises(ValueError, match=r"views: returned shape \(8, 3, 40\); accepted: \(2, 8"):
        method.loss(batch())


def test_supervised_is_cross_entropy_over_all_views():
    torch.manual_seed(0)
    encoder, given = Mean(), batch()
    method = Supervised(encoder, nn.Linear(6, 3), Jitter())
    loss, logs = method.loss(given)
    views = Jitter()(given.x, seed=5, sample_ids=given.sample_ids)
    logits = [method.classifier(encoder(v)) for v in views]
    expected = sum(cross_entropy(z, given.labels) for z in logits) / 2
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    accuracy = sum((z.argmax(1) == given.labels).float().mean() for z in logits) / 2
    assert logs["train_accuracy"].item() == pytest.approx(accuracy.item())
    plain, _ = Supervised(encoder, method.classifier).loss(given)
    direct = cross_entropy(method.classifier(encoder(given.x)), given.labels)
    assert plain.item() == pytest.approx(direct.item(), rel=1e-6)
    with pytest.raises(ValueError, match=r"batch\.labels: None"):
        method.loss(given._replace(labels=None))


def small(name):
    torch.manual_seed(0)
    encoder = encoders.build("resnet", 3, 40, widths=(8, 16))
    if name in NEEDS_TOKENS:
        encoder = encoders.build("patch_transformer", 3, 40, width=16, depth=1)
    return METHODS[name](encoder, Jitter())


@pytest.mark.parametrize("name", METHODS)
def test_methods_train_in_anybodys_loop(name):
    method = small(name)
    optimizer = torch.optim.SGD(method.parameters(), lr=0.01)
    given = batch(16)
    loss, logs = method.loss(given)
    assert loss.shape == ()
    assert all(not value.requires_grad and value.shape == () for value in logs.values())
    loss.backward()
    # Every trained weight of the encoder takes part.
    assert all(p.grad is not None and p.grad.any() for p in method.encoder.parameters())
    optimizer.step()
    method.after_step()


@pytest.mark.parametrize("name", METHODS)
def test_copies_and_pickles_train_alike(name):
    """After a step, with what is in queues and centres by then."""
    method = small(name)
    given = batch(16)
    method.loss(given)[0].backward()
    method.after_step()
    state = {name: value.clone() for name, value in method.state_dict().items()}
    losses = []
    copies = [copy.deepcopy(method), method]
    if name == "ssgan":  # torch does not pickle its spectral norm, and says what to do instead
        with pytest.raises(RuntimeError, match="only supported through state_dict"):
            pickle.dumps(method)
    else:
        copies.insert(0, pickle.loads(pickle.dumps(method)))
    for one in copies:
        torch.testing.assert_close(dict(one.state_dict()), state, rtol=0, atol=0)
        torch.manual_seed(1)
        losses.append(one.loss(given._replace(seed=6))[0])
    assert all(loss == losses[-1] for loss in losses)


@pytest.mark.parametrize("name", encoders.ENCODERS)
@pytest.mark.parametrize(("channels", "length"), [(1, 1), (2, 7), (3, 40), (6, 315)])
def test_encoders_take_any_length(name, channels, length):
    torch.manual_seed(0)
    encoder = encoders.build(name, channels, length)
    x = torch.randn(3, channels, length)
    z = encoder(x)
    assert z.shape == (3, encoder.out_features)
    assert torch.isfinite(z).all()
    z.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in encoder.parameters())
    encoder.eval()
    # Non-contiguous input, another length, one series.
    assert torch.allclose(encoder(x.mT.contiguous().mT), encoder(x), atol=1e-6)
    assert encoder(torch.randn(1, channels, length + 5)).shape == (1, encoder.out_features)
