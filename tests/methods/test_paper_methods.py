"""MoCo v3, NNCLR, SimMTM, ColloSSL, CLAN, VoCo, adversarial training, views from a generator."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize
from toy import Jitter, dataset, sines

from tsssl_fast import encoders, evaluate, functional, losses
from tsssl_fast.methods import (
    METHODS,
    AdversarialTraining,
    Batch,
    GeneratedViews,
    SimCLR,
    base_crops,
)
from tsssl_fast.methods.ssgan import Generator


def batch(n: int = 8, seed: int = 5) -> Batch:
    data = dataset()
    return Batch(data.x_train[:n].double(), torch.arange(n), seed, data.y_train[:n])


class Mean(nn.Module):
    """The mean over time, then a linear map; its feature map is the map of every step."""

    out_features = 6
    channels = 3

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 6)

    def forward(self, x):
        return self.linear(x.mean(-1))

    def feature_map(self, x):
        return self.linear(x.mT).mT[:, :3, None]


def made(name: str, **options):
    torch.manual_seed(0)
    return METHODS[name](Mean(), Jitter(), **options).double()


def views(given: Batch):
    return Jitter()(given.x, seed=given.seed, sample_ids=given.sample_ids)


def test_moco_v3_is_its_formula() -> None:
    method, given = made("moco_v3", temperature=0.3), batch()
    method.momentum_encoder.module.linear.weight.mul_(1.1)
    loss, _ = method.loss(given)
    x = views(given).flatten(0, 1)
    q = normalize(method.predictor(method.projector(method.encoder(x))))
    k = normalize(method.momentum_projector(method.momentum_encoder(x)))
    (q1, q2), (k1, k2) = q.chunk(2), k.chunk(2)
    target = torch.arange(8)
    expected = cross_entropy(q1 @ k2.T / 0.3, target) + cross_entropy(q2 @ k1.T / 0.3, target)
    assert loss.item() == pytest.approx(expected.item() / 2, rel=1e-10)
    loss.backward()
    assert all(p.grad is None for p in method.momentum_encoder.parameters())
    before = method.momentum_encoder.module.linear.weight.clone()
    method.after_step()
    assert not torch.equal(before, method.momentum_encoder.module.linear.weight)


def test_nnclr_is_its_formula() -> None:
    method = made("nnclr", temperature=0.3, queue=12)
    past = torch.empty(0, 128).double()
    for step in range(3):
        given = batch(seed=step)
        loss, _ = method.loss(given)
        z = method.projector(method.encoder(views(given).flatten(0, 1)))
        (z1, z2), (p1, p2) = z.chunk(2), normalize(method.predictor(z)).chunk(2)
        expected = 0.0
        for a, b in ((z1, p2), (z2, p1)):
            near = a if not len(past) else past[(normalize(a) @ normalize(past).T).argmax(1)]
            expected += cross_entropy(normalize(near) @ b.T / 0.3, torch.arange(8)).item() / 2
        assert loss.item() == pytest.approx(expected, rel=1e-6)
        past = torch.cat([past, z1.detach()])[-12:]


def test_simmtm_is_its_formula() -> None:
    method, given = made("simmtm", copies=2, weight=0.4), batch()
    seen = []
    feature_map = method.encoder.feature_map
    method.encoder.feature_map = lambda x: (seen.append(x), feature_map(x))[1]
    method.head = nn.Conv1d(3, 3, 1).double()
    loss, logs = method.loss(given)
    x = seen[0]
    assert torch.equal(x[:8], views(given)[0])
    for copy in x[8:].chunk(2):
        hidden = copy != x[:8]
        assert hidden.double().mean(2).sub(0.5).abs().max() < 0.01
    h = feature_map(x)[:, :, 0]
    z = normalize(method.projector(torch.cat([h.mean(2), h.amax(2)], 1)))
    share = (z @ z.T / 0.1).fill_diagonal_(-torch.inf).softmax(1)
    rebuilt = method.head((share @ h.flatten(1)).view_as(h))
    rebuilding = (rebuilt - x[:8].repeat(3, 1, 1)).square().mean()
    contrast = functional.sup_con_loss(z, torch.arange(8).repeat(3), temperature=0.1)
    assert loss.item() == pytest.approx((rebuilding + 0.4 * contrast).item(), rel=1e-9)
    assert logs["reconstruction"].item() == pytest.approx(rebuilding.item(), rel=1e-9)


def test_collossl_is_its_formula() -> None:
    method, given = made("collossl"), batch()
    loss, _ = method.loss(given)
    x = views(given)[0]
    alone = torch.zeros(3, *x.shape, dtype=x.dtype)
    for device in range(3):
        alone[device, :, device] = x[:, device]
    z = method.projector(method.encoder(alone.flatten(0, 1))).chunk(3)
    turn = int(torch.randint(1, 8, (), generator=torch.Generator().manual_seed(5)))
    expected = 0.0
    for anchor in range(3):
        apart = {
            g: functional.maximum_mean_discrepancy(x[:, anchor], x[:, g]).item()
            for g in range(3)
            if g != anchor
        }
        near, far = sorted(apart, key=apart.__getitem__)
        expected += functional.collossl_loss(
            z[anchor], z[near][None], z[far].roll(turn, 0)[None], temperature=0.2
        ).item()
    assert loss.item() == pytest.approx(expected / 3, rel=1e-9)
    with pytest.raises(ValueError, match="devices: 4; accepted: a divisor of 3 channels"):
        made("collossl", devices=4).loss(given)
    with pytest.raises(ValueError, match="devices: 2"):
        made("collossl", devices=2)


def test_clan_is_its_formula() -> None:
    method, given = made("clan", temperature=0.3), batch()
    loss, _ = method.loss(given)
    z, aug = (method.projector(method.encoder(x)) for x in (given.x, views(given)[0]))
    # The projector's batch statistics are of both together.
    both = method.projector(method.encoder(torch.cat([given.x, views(given)[0]])))
    assert z.shape == aug.shape
    expected = functional.clan_loss(*both.chunk(2), temperature=0.3)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-10)


def test_clan_tells_other_series_from_normal_ones() -> None:
    """Means of three seeds, with series in another order of steps as negatives: 0.92 and 0.98."""
    (x, y), (other_x, other_y) = (sines(96, 3, 40, 3, seed=s) for s in (0, 1))
    normal, found = x[y == 0], {"before": 0.0, "after": 0.0}
    for seed in range(3):
        torch.manual_seed(seed)
        order = torch.randperm(40)
        encoder = encoders.build("resnet", 3, 40, widths=(8, 16))
        method = METHODS["clan"](encoder, lambda v, seed, sample_ids, order=order: v[..., order])
        optimizer = torch.optim.AdamW(method.parameters(), lr=3e-3)
        for step in range(41):
            if step in (0, 40):
                encoder.eval()
                with torch.no_grad():
                    scores = evaluate.novelty_scores(encoder(normal), encoder(other_x))
                encoder.train()
                found["after" if step else "before"] += evaluate.auroc(scores, other_y != 0) / 3
            loss, _ = method.loss(Batch(normal, torch.arange(len(normal)), step))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert found["after"] > found["before"] + 0.02, found
    assert found["after"] > 0.95, found


def test_base_crops_and_overlaps_are_loops() -> None:
    x = torch.arange(2 * 3 * 11, dtype=torch.float64).view(2, 3, 11)
    starts = torch.tensor([0, 4])
    crops, bases, overlaps = base_crops(x, 3, starts)
    for n in range(2):
        steps = set(range(int(starts[n]), int(starts[n]) + 3))
        assert torch.equal(crops[n], x[n, :, sorted(steps)])
        for s in range(3):
            inside = set(range(3 * s, 3 * s + 3))
            assert torch.equal(bases[n, s], x[n, :, sorted(inside)])
            assert overlaps[n, s].item() == pytest.approx(len(steps & inside) / 3)
    with pytest.raises(ValueError, match=r"starts: .* in 0 to 6"):
        base_crops(x, 3, starts + 3)
    with pytest.raises(ValueError, match="count: 12; accepted: 2 to the 11"):
        base_crops(x, 12, starts)


def test_voco_is_its_formula() -> None:
    method, given = made("voco"), batch()
    loss, _ = method.loss(given)
    source = torch.Generator().manual_seed(5)
    starts = torch.randint(31, (8,), generator=source)
    crops, bases, overlaps = base_crops(views(given)[0], 4, starts)
    every = torch.cat([crops, bases.flatten(0, 1)])
    every = nn.functional.interpolate(every, 40, mode="linear")
    z = method.projector(method.encoder(every))
    expected = functional.voco_loss(z[:8], z[8:].view(8, 4, -1), overlaps)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)


def test_adversarial_training_is_on_the_series_that_confuse() -> None:
    torch.manual_seed(0)
    method, given = AdversarialTraining.recipe(Mean(), 3, radius=0.1).double(), batch(24)
    norm = nn.BatchNorm1d(6).double()
    method.encoder.linear = nn.Sequential(method.encoder.linear, norm)
    loss, logs = method.loss(given)
    assert method.training
    assert norm.num_batches_tracked == 1
    method.radius = 1e-9
    plain, _ = method.loss(given)
    assert loss > plain
    loss.backward()
    assert all(p.grad.any() for p in method.parameters())
    assert 0 <= logs["robust_accuracy"] <= 1
    with pytest.raises(ValueError, match=r"batch\.labels: None; adversarial training needs labels"):
        method.loss(given._replace(labels=None))


def test_generated_views() -> None:
    torch.manual_seed(0)
    made_views = GeneratedViews(Generator(3, noise=5, width=4), sigma=0.2)
    x, ids = torch.zeros(4, 3, 20), torch.tensor([7, 2, 9, 4])
    seen = []
    made_views.generator.start.register_forward_hook(lambda m, i, o: seen.append(i[0]))
    made_views.train()
    found = made_views(x, 3, seed=1, sample_ids=ids)
    assert found.shape == (3, 4, 3, 20)
    assert not found.requires_grad
    z = seen[0].view(3, 4, 5)
    assert ((z[1:] - z[0]) / 0.2).std().sub(1).abs() < 0.4
    # A function of seed and sample alone.
    again = made_views(x[:2], 2, seed=1, sample_ids=ids[1:3])
    torch.testing.assert_close(again, found[:2, 1:3])
    assert torch.equal(
        made_views(x, seed=1, sample_ids=ids), made_views(x, 1, seed=1, sample_ids=ids)[0]
    )
    assert not torch.equal(found, made_views(x, 3, seed=2, sample_ids=ids))
    method = SimCLR.recipe(encoders.build("resnet", 3, 20, widths=(4,)), made_views)
    given = Batch(x, ids, 3)
    loss, _ = method.loss(given)
    assert torch.isfinite(loss)
    with pytest.raises(ValueError, match="sigma: 0"):
        GeneratedViews(made_views.generator, sigma=0)


def test_quality_weights_are_a_query_weight() -> None:
    torch.manual_seed(0)
    inside, outside, q, k = torch.randn(5), torch.randn(5), torch.randn(5, 3), torch.randn(5, 3)
    weight = functional.quality_weights(inside, outside, temperature=0.5)
    e = [(2 * (a - b)).exp().item() for a, b in zip(inside, outside, strict=True)]
    assert weight.tolist() == pytest.approx([5 * x / sum(e) for x in e], rel=1e-5)
    ids = torch.arange(5)
    rows = losses.InfoNCELoss(reduction="none")(q, k)
    loss = functional.contrastive_loss(q, k, q_ids=ids, k_ids=ids, query_weight=weight)
    torch.testing.assert_close(loss, (weight * rows).mean())
