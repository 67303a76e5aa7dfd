import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize
from toy import Jitter, dataset

from tsssl_fast import encoders
from tsssl_fast.losses import NTXentLoss
from tsssl_fast.methods import METHODS, Batch, SimCLR, Supervised


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
    method = SimCLR(Mean(), nn.Linear(6, 4), Jitter(), NTXentLoss(0.3)).double()
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


def test_bf16_is_for_the_encoder_alone():
    seen = {}

    class Spy(Mean):
        def forward(self, x):
            z = super().forward(x)
            seen["encoder"] = z.dtype
            return z

    def views(x, *, seed, sample_ids):
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

    def views(x, *, seed, sample_ids):
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
    method = SimCLR.recipe(Mean(), lambda x, seed, sample_ids: x)
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


@pytest.mark.parametrize("name", METHODS)
def test_methods_train_in_anybodys_loop(name):
    torch.manual_seed(0)
    method = METHODS[name](encoders.build("resnet", 3, 40, widths=(8, 16)), Jitter())
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


@pytest.mark.parametrize("name", encoders.ENCODERS)
def test_encoders_are_the_conv1d_network(name, monkeypatch):
    """conv2d with H = 1 and channels_last is a question of speed alone."""
    torch.manual_seed(0)
    encoder = encoders.build(name, 2, 50).double().eval()
    x = torch.randn(3, 2, 50, dtype=torch.float64)
    expected = encoder(x)

    def by_conv1d(x, w, bias, stride, padding, dilation, groups):
        y = nn.functional.conv1d(
            x.squeeze(2), w.squeeze(2), bias, stride[1], padding[1], dilation[1], groups
        )
        return y.unsqueeze(2)

    monkeypatch.setattr(nn.functional, "conv2d", by_conv1d)
    assert torch.allclose(encoder(x), expected, atol=1e-12)


def test_auto_follows_the_length():
    assert encoders.resolve("auto", 315) == "inception"
    assert encoders.resolve("auto", 128) == "resnet"
    assert encoders.resolve("resnet", 315) == "resnet"
    with pytest.raises(ValueError, match="encoder: 'lstm'; accepted: auto, resnet, inception"):
        encoders.build("lstm", 3, 100)
