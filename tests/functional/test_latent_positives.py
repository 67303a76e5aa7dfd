"""Positives along the great circle to a prototype, and adversarial directions."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, normalize

from tsssl_fast import functional


def units(*shape: int) -> Tensor:
    return normalize(torch.randn(*shape, dtype=torch.float64), dim=-1)


def test_slerp_is_the_formula() -> None:
    torch.manual_seed(0)
    a, b = units(5, 3), units(5, 3)
    found = functional.slerp(a, b, 0.3)
    for i in range(5):
        w = math.acos(float(a[i] @ b[i]))
        expected = (math.sin(0.7 * w) * a[i] + math.sin(0.3 * w) * b[i]) / math.sin(w)
        torch.testing.assert_close(found[i], expected, rtol=0, atol=1e-12)
    share = torch.tensor([0.0, 1.0, 0.5, 0.5, 0.0]).double()
    ends = functional.slerp(a, b, share)
    torch.testing.assert_close(ends[:2], torch.stack([a[0], b[1]]))
    torch.testing.assert_close(functional.slerp(a, a, 0.4), a)
    assert torch.autograd.gradcheck(
        lambda x, y: functional.slerp(x, y, 0.3), (a.requires_grad_(), b.requires_grad_())
    )


def test_the_limit_is_where_the_nearest_prototype_changes() -> None:
    torch.manual_seed(0)
    z, prototypes = units(1000, 8), units(6, 8)
    towards = torch.randint(6, (1000,))
    limit = functional.slerp_limit(z, prototypes, towards)
    assert ((limit > 0) & (limit <= 1)).all()

    def nearest(t: Tensor) -> Tensor:
        return (functional.slerp(z, prototypes[towards], t) @ prototypes.T).argmax(1)

    own = (z @ prototypes.T).argmax(1)
    assert torch.equal(nearest(0.99 * limit), own)
    early = limit < 0.99
    assert 100 < early.sum() < 1000
    assert (nearest(1.01 * limit) != own)[early].all()
    assert (limit[towards == own] == 1).all()


def test_latent_positives() -> None:
    torch.manual_seed(0)
    z, prototypes = 3 * units(200, 8), 2 * units(6, 8)
    found = functional.latent_positives(z.requires_grad_(), prototypes)
    assert not found.requires_grad
    assert (found.norm(dim=1) - 1).abs().max() < 1e-6
    nearest = [(x @ normalize(prototypes).T).argmax(1) for x in (found, z)]
    assert torch.equal(*nearest)
    generator = torch.Generator().manual_seed(1)
    towards = torch.zeros(200).long()
    hard = functional.latent_positives(
        z, prototypes, hardness=1.0, towards=towards, generator=generator
    )
    assert torch.equal((hard @ normalize(prototypes).T).argmax(1), nearest[1])
    with pytest.raises(ValueError, match=r"hardness: 1\.5; accepted: above 0, at most 1"):
        functional.latent_positives(z, prototypes, hardness=1.5)
    with pytest.raises(ValueError, match="prototypes: shape"):
        functional.latent_positives(z, prototypes[:1])
    with pytest.raises(TypeError, match="towards: dtype"):
        functional.slerp_limit(z, prototypes, torch.rand(200))


class Classifier(nn.Module):
    """Two logits of a linear map that stretches one direction of 12 much."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 2).double()
        with torch.no_grad():
            self.linear.weight[1] = -self.linear.weight[0]
            self.linear.weight[:, 3] *= 20

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(1))


def test_the_virtual_adversarial_direction() -> None:
    torch.manual_seed(0)
    model, x = Classifier(), torch.randn(6, 3, 4, dtype=torch.float64)
    r = functional.virtual_adversarial_direction(model, x, 0.5, iterations=2)
    torch.testing.assert_close(r.flatten(1).norm(dim=1), torch.full((6,), 0.5).double())
    # Of two logits KL grows along the difference of their weights.
    steepest = normalize(model.linear.weight[0] - model.linear.weight[1], dim=0).detach()
    along = (r.flatten(1) @ steepest).abs() / 0.5
    assert (along > 0.999).all()
    generator = torch.Generator().manual_seed(3)
    loss = functional.virtual_adversarial_loss(model, x, 0.5, generator=generator)
    r = functional.virtual_adversarial_direction(model, x, 0.5, generator=generator.manual_seed(3))
    p, moved = (model(y).softmax(1).tolist() for y in (x, x + r))
    expected = sum(
        a * math.log(a / b)
        for row, other in zip(p, moved, strict=True)
        for a, b in zip(row, other, strict=True)
    )
    assert loss.item() == pytest.approx(expected / 6, rel=1e-10)
    # f(x) is a constant.
    direct = kl_div(
        model(x + r).log_softmax(1), model(x).softmax(1).detach(), reduction="batchmean"
    )
    weight = model.linear.weight
    torch.testing.assert_close(
        torch.autograd.grad(loss, weight)[0], torch.autograd.grad(direct, weight)[0]
    )


def test_a_radius_per_channel() -> None:
    torch.manual_seed(0)
    model, x = Classifier(), torch.randn(6, 3, 4, dtype=torch.float64)
    radius = torch.tensor([[0.1], [1.0], [0.0]]).double()
    r = functional.virtual_adversarial_direction(model, x, radius)
    assert not r[:, 2].any()
    share = (r[:, :2] / radius[:2]).flatten(1).norm(dim=1)
    assert (share <= math.sqrt(12) + 1e-9).all()
    with pytest.raises(ValueError, match="radius: shape"):
        functional.virtual_adversarial_direction(model, x, torch.ones(5))


def test_projected_gradient_stays_inside_and_finds_the_corner() -> None:
    torch.manual_seed(0)
    model, x = Classifier(), torch.randn(6, 3, 4, dtype=torch.float64)
    y, radius = torch.arange(6) % 2, torch.tensor([[0.1], [0.2], [0.3]]).double()
    found = functional.projected_gradient(lambda v: cross_entropy(model(v), y), x, radius)
    assert ((found - x).abs() <= radius + 1e-12).all()
    assert not found.requires_grad
    # Of a linear model the worst point is a corner of the box.
    sign = (model.linear.weight[1 - y] - model.linear.weight[y]).sign().view_as(x)
    torch.testing.assert_close(found, (x + radius * sign).detach())
    assert cross_entropy(model(found), y) > cross_entropy(model(x), y)
    with pytest.raises(ValueError, match="radius: -1"):
        functional.projected_gradient(lambda v: v.sum(), x, -1)
