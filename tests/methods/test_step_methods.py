"""TS2Vec, TS-TCC, TF-C: their formulas in loops of float64, and that something is learnt."""

import math

import pytest
import torch
from time_methods import Mean, Steps, batch, gains, views_of
from torch import nn
from torch.nn.functional import normalize
from toy import Jitter

from tsssl_fast import encoders, masking
from tsssl_fast.augment import OverlappingCrops
from tsssl_fast.methods import METHODS, TFC, TSTCC, Batch, TS2Vec


def nt_xent(z1, z2, tau: float, unit: bool) -> float:
    """The mean over the rows of both views; z1, z2: (N, D)."""
    z = torch.cat([z1, z2])
    z = normalize(z) if unit else z
    rows, total = z.tolist(), 0.0
    for i, row in enumerate(rows):
        logits = [sum(a * b for a, b in zip(row, other, strict=True)) / tau for other in rows]
        others = [a for j, a in enumerate(logits) if j != i]
        total += math.log(sum(math.exp(a) for a in others)) - logits[(i + len(z1)) % len(z)]
    return total / len(rows)


def pyramid(z1, z2, alpha: float) -> float:
    """The mean over levels of the contrasts of series and of steps, by loops."""
    levels = []
    while True:
        steps = z1.shape[1]
        total = alpha * sum(nt_xent(z1[:, t], z2[:, t], 1.0, False) for t in range(steps)) / steps
        if steps > 1:
            of_steps = [nt_xent(a, b, 1.0, False) for a, b in zip(z1, z2, strict=True)]
            total += (1 - alpha) * sum(of_steps) / len(of_steps)
        levels.append(total)
        if steps == 1:
            return sum(levels) / len(levels)
        z1, z2 = (z[:, : steps // 2 * 2].unflatten(1, (-1, 2)).amax(2) for z in (z1, z2))


@pytest.mark.parametrize("stride", [1, 3])
def test_ts2vec_is_its_formula(stride: int) -> None:
    torch.manual_seed(0)
    encoder, given = Steps(stride).double(), batch(4)
    method = TS2Vec(encoder, None, ratio=0.3, alpha=0.4).double()
    for seed in range(4):
        given = given._replace(seed=seed)
        grid = OverlappingCrops()(
            given.x[:, :1, : 40 // stride], seed=seed, sample_ids=given.sample_ids
        )
        sizes, found = (grid.first.shape[2], grid.second.shape[2]), []
        for view, size in enumerate(sizes):
            hidden = masking.random_mask(
                (4, size * stride), 0.3, views=2, seed=seed, sample_ids=given.sample_ids
            )[view]
            rows = []
            for n in range(4):
                begin = int(grid.start[n, view]) * stride
                crop = given.x[n, :, begin : begin + size * stride].clone()
                crop[:, hidden[n]] = 0
                assert crop.shape[1] == size * stride
                rows.append(crop)
            found.append(encoder.features(torch.stack(rows)).steps)
        common = grid.overlap
        expected = pyramid(found[0][:, -common:], found[1][:, :common], 0.4)
        loss, _ = method.loss(given)
        assert loss.item() == pytest.approx(expected, rel=1e-9)
    loss.backward()
    assert all(p.grad.any() for p in method.parameters())


def test_ts2vec_sees_no_padding_and_leaves_out_what_has_ended() -> None:
    torch.manual_seed(0)
    method = TS2Vec(Steps(2), None).double()
    x = batch(6).x
    lengths = torch.tensor([40, 33, 21, 12, 7, 40])
    for seed in range(12):
        losses = []
        for fill in (0.0, 1e6, math.nan):
            padded = torch.where(torch.arange(40) < lengths[:, None, None], x, fill)
            given = Batch(padded, torch.arange(6), seed, lengths=lengths)
            losses.append(method.loss(given)[0])
        assert torch.isfinite(losses[0])
        assert losses[0] == losses[1] == losses[2]
        whole = given._replace(x=x, lengths=torch.full((6,), 40))
        assert method.loss(whole)[0].item() == pytest.approx(
            method.loss(whole._replace(lengths=None))[0].item(), rel=1e-12
        )
    ended = given._replace(lengths=torch.full((6,), 1))
    assert any(method.loss(ended._replace(seed=s))[0] == 0 for s in range(5))


@pytest.mark.parametrize("name", ["causal", "resnet"])
def test_ts2vec_embeds_steps_and_series(name: str) -> None:
    torch.manual_seed(0)
    encoder = encoders.build(name, 2, 64, **({"depth": 3} if name == "causal" else {}))
    method = TS2Vec(encoder).double().eval()
    x = torch.randn(3, 2, 64, dtype=torch.float64)
    steps = method.embed_steps(x)
    assert torch.equal(steps, encoder.features(x).steps)
    assert torch.equal(method.embed_series(x), steps.amax(1))
    lengths = torch.tensor([64, 9, 30])
    alone = [method.embed_series(x[i : i + 1, :, :n]) for i, n in enumerate(lengths)]
    torch.testing.assert_close(method.embed_series(x, lengths), torch.cat(alone))
    assert method.embed_steps(x, length=16, past=8).shape == steps.shape
    if name == "causal":  # which sees 4 (2^3 - 1) past steps: windows with as many are exact
        torch.testing.assert_close(method.embed_steps(x, length=5, past=28), steps)
        assert not torch.allclose(method.embed_steps(x, length=5), steps)
    else:
        with pytest.raises(ValueError, match=r"length: 5; accepted: a multiple of .* stride 8"):
            method.embed_steps(x, length=5)


def test_ts_tcc_is_its_formula() -> None:
    torch.manual_seed(0)
    method = METHODS["ts_tcc"](Steps(2), Jitter(), steps=3, weight=0.6, temperature=0.4).double()
    given = batch(5)
    loss, logs = method.loss(given)
    x = views_of(given).flatten(0, 1)
    z = normalize(method.encoder.features(x).steps, dim=2)
    t = int(torch.randint(20 - 3, (), generator=torch.Generator().manual_seed(5)))
    c = method.context(z[:, : t + 1])
    temporal = 0.0
    for k in range(1, 4):
        guess = method.predictors[k - 1](c)
        for view in (0, 5):
            future = z[5 - view : 10 - view, t + k].tolist()
            for i, row in enumerate(guess[view : view + 5].tolist()):
                logits = [sum(a * b for a, b in zip(row, key, strict=True)) for key in future]
                nll = math.log(sum(math.exp(a) for a in logits)) - logits[i]
                temporal += nll / 5 / 3
    contextual = nt_xent(*method.projector(c).chunk(2), 0.4, True)
    assert logs["temporal"].item() == pytest.approx(temporal, rel=1e-9)
    assert loss.item() == pytest.approx(temporal + 0.6 * contextual, rel=1e-9)
    loss.backward()
    for name, parameter in method.named_parameters():
        assert parameter.grad.any(), name


def test_ts_tcc_predicts_less_where_series_are_short() -> None:
    torch.manual_seed(0)
    method, given = METHODS["ts_tcc"](Steps(2), Jitter(), steps=8).double().eval(), batch(5)
    of_five = given._replace(x=given.x[..., :10])
    same = METHODS["ts_tcc"](Steps(2), Jitter(), steps=4).double().eval()
    same.load_state_dict(method.state_dict(), strict=False)
    assert method.loss(of_five)[0] == same.loss(of_five)[0]
    lengths = torch.full((5,), 10)
    lengths[2] = 40
    padded = given._replace(x=given.x.index_fill(2, torch.arange(39, 40), 1e6), lengths=lengths)
    method.views = same.views = lambda x, views, seed, sample_ids, lengths=None: x.expand(
        2, *x.shape
    )
    plain = method.loss(given._replace(x=given.x[..., :10]))[0]
    torch.testing.assert_close(method.loss(padded)[0], plain)
    with pytest.raises(ValueError, match=r"batch\.x: a series of 1 step of the encoder, whose str"):
        method.loss(given._replace(x=given.x[..., :2]))


def test_tf_c_is_its_formula() -> None:
    torch.manual_seed(0)
    method = METHODS["tf_c"](Mean(), Jitter(), share=0.3, margin=0.2, temperature=0.5).double()
    with torch.no_grad():
        method.spectral_encoder.linear.weight.mul_(1.3)
    given = batch(6)
    loss, logs = method.loss(given)
    spectrum = torch.zeros(6, 3, 21, dtype=torch.float64)
    for k in range(21):
        angle = 2 * math.pi * k * torch.arange(40, dtype=torch.float64) / 40
        real, imag = (given.x * angle.cos()).sum(2), (given.x * angle.sin()).sum(2)
        spectrum[:, :, k] = (real.square() + imag.square()).sqrt() / math.sqrt(40)
    removed, raised = masking.random_mask(
        (6, 21), 0.1, views=2, seed=5, sample_ids=given.sample_ids
    )
    changed = spectrum.clone()
    for n in range(6):
        for c in range(3):
            for k in range(21):
                if raised[n, k]:
                    changed[n, c, k] = max(changed[n, c, k], 0.1 * spectrum[n, c].max())
                elif removed[n, k]:
                    changed[n, c, k] = 0
    assert (changed == 0).any()
    assert (changed > spectrum).any()
    h_t = method.encoder(torch.cat([given.x, views_of(given)[0]]))
    h_f = method.spectral_encoder(torch.cat([spectrum, changed]))
    contrast = nt_xent(*h_t.chunk(2), 0.5, True) + nt_xent(*h_f.chunk(2), 0.5, True)
    (z_t, aug_t), (z_f, aug_f) = (
        head(h).chunk(2) for head, h in ((method.projector, h_t), (method.spectral_projector, h_f))
    )
    near = nt_xent(z_t, z_f, 0.5, True)
    parted = [nt_xent(*p, 0.5, True) for p in ((z_t, aug_f), (aug_t, z_f), (aug_t, aug_f))]
    consistency = sum(max(0.0, near - p + 0.2) for p in parted) / 3
    assert logs["consistency"].item() == pytest.approx(consistency, rel=1e-9)
    assert loss.item() == pytest.approx(0.3 * contrast + 0.7 * consistency, rel=1e-9)
    loss.backward()
    for name, parameter in method.named_parameters():
        assert parameter.grad.any(), name
    assert method.eval().embed_both(given.x).shape == (6, 256)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ts2vec", {"plain": True, "nuisance": 0.3, "epochs": 40}),
        ("ts_tcc", {}),
        ("tf_c", {}),
    ],
)
def test_a_linear_probe_finds_more_than_in_the_random_encoder(name: str, options: dict) -> None:
    random, trained = gains(name, **options)
    assert trained > random + 0.05, (random, trained)


def test_bad_arguments() -> None:
    given, head = batch(), (nn.Linear(6, 4), Jitter())
    tcc = (nn.Identity(), 3, 4, 4)
    for make, message in (
        (lambda: TS2Vec(Steps(), ratio=1.0), "ratio: 1.0"),
        (lambda: TS2Vec(Steps(), alpha=2.0).double().loss(given), "alpha: 2.0"),
        (lambda: TS2Vec(Steps()).loss(batch(1)), r"batch\.x: 1 series; accepted: 2"),
        (lambda: TS2Vec(Steps(32)).double().loss(given), r"batch\.x: 40 steps; accepted: 64 or"),
        (lambda: TS2Vec(Steps()).embed_steps(given.x, length=0), "length: 0"),
        (lambda: TS2Vec(Steps()).embed_steps(given.x, past=-1), "past: -1"),
        (lambda: TSTCC(Steps(), *head, nn.Identity(), 0, 4, 4), "steps: 0"),
        (lambda: TSTCC(Steps(), *head, *tcc, weight=-1), "weight: -1"),
        (lambda: TSTCC(Steps(), *head, *tcc, temperature=0), "temperature: 0"),
        (lambda: TFC(Mean(), *head, *head, share=1.5), "share: 1.5"),
        (lambda: TFC(Mean(), *head, *head, ratio=-0.1), "ratio: -0.1"),
        (lambda: TFC(Mean(), *head, *head, strength=-1), "strength: -1"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
    with pytest.raises(TypeError, match="encoder: Mean; accepted: a TimeEncoder, which has feat"):
        TS2Vec(Mean())
