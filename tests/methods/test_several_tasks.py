"""Labels beside self-supervision, two teachers, masked features, InstDisc, D-SLA and others."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize, softplus
from toy import Jitter, dataset

from tsssl_fast import encoders, functional
from tsssl_fast.encoders.patch_transformer import positions
from tsssl_fast.masking import random_mask
from tsssl_fast.methods import (
    DSLA,
    METHODS,
    Batch,
    DualMeanTeacher,
    GumbelQuantizer,
    MaskedFeatures,
    MultiTask,
    SimCLR,
    generator_loss,
)
from tsssl_fast.methods.dsla import perturbed
from tsssl_fast.methods.mixed_autoencoder import mix_patches
from tsssl_fast.methods.multi_task import labelled_loss
from tsssl_fast.methods.scatsimclr import jigsaw
from tsssl_fast.methods.tokens import hidden_patches


class Mean(nn.Module):
    out_features = 6
    channels = 3

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 6)

    def forward(self, x):
        return self.linear(x.mean(-1))


def batch(n: int = 8, seed: int = 5) -> Batch:
    data = dataset()
    return Batch(data.x_train[:n].double(), torch.arange(n), seed, data.y_train[:n])


def views(given: Batch):
    return Jitter()(given.x, seed=given.seed, sample_ids=given.sample_ids)


def test_generator_losses() -> None:
    logits = torch.tensor([-0.4, 0.7, -2.0, 0.2]).double()
    assert generator_loss(logits, "minimax").item() == pytest.approx(-0.635317, abs=1e-6)
    assert generator_loss(logits).item() == pytest.approx(softplus(-logits).mean().item())
    with pytest.raises(ValueError, match="form: 'wasserstein'; accepted: non-saturating, minimax"):
        generator_loss(logits, "wasserstein")
    torch.manual_seed(0)
    encoder, given = encoders.build("resnet", 3, 40, widths=(4,)), batch()
    method = METHODS["ssgan"](encoder, None, minimax=1).double()
    assert method.form == "minimax"
    _, logs = method.loss(given)
    assert torch.isfinite(logs["generator"])


def test_labels_of_some_rows_and_of_several_kinds() -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, -1, 2, -1, 1])
    rows = [0, 2, 4]
    expected = cross_entropy(logits[rows], labels[rows])
    assert labelled_loss(logits, labels).item() == pytest.approx(expected.item(), rel=1e-12)
    nothing = labelled_loss(logits, torch.full((5,), -1))
    assert nothing == 0
    nothing.backward()
    assert not logits.grad.any()
    several = torch.rand(5, 3, dtype=torch.float64).round()
    several[1, 2] = several[3, 0] = torch.nan
    terms = []
    for i in range(5):
        for k in range(3):
            if not several[i, k].isnan():
                p = 1 / (1 + math.exp(-logits[i, k].item()))
                terms.append(-math.log(p if several[i, k] else 1 - p))
    found = labelled_loss(logits, several)
    assert found.item() == pytest.approx(sum(terms) / len(terms), rel=1e-12)
    with pytest.raises(ValueError, match=r"labels: torch.float64 \(5, 2\); accepted: int64 \(5,\)"):
        labelled_loss(logits, several[:, :2])


def test_multi_task_is_the_sum() -> None:
    torch.manual_seed(0)
    ssl = METHODS["moco_v3"](Mean(), Jitter())
    method, given = MultiTask.recipe(ssl, 3, weight=0.3).double(), batch()
    given = given._replace(labels=torch.where(given.sample_ids < 4, given.labels, -1))
    loss, logs = method.loss(given)
    supervised = cross_entropy(method.classifier(ssl.encoder(given.x[:4])), given.labels[:4])
    expected = supervised + 0.3 * ssl.loss(given)[0]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
    assert logs["labelled"] == 0.5
    before = ssl.momentum_encoder.module.linear.weight.clone()
    with torch.no_grad():
        ssl.encoder.linear.weight.add_(1)
    method.after_step()
    assert not torch.equal(before, ssl.momentum_encoder.module.linear.weight)
    with pytest.raises(ValueError, match=r"batch\.labels: None"):
        method.loss(given._replace(labels=None))


def test_several_labels_a_row_are_learnt() -> None:
    """Mean average precision on a set whose two labels are two frequencies in a sum."""
    source = torch.Generator().manual_seed(0)
    labels = torch.rand(160, 2, generator=source).round()
    time = torch.linspace(0, 6.3, 40)
    waves = torch.stack([(3 * time).sin(), (8 * time).cos()])
    x = (labels @ waves)[:, None] + 0.3 * torch.randn(160, 1, 40, generator=source)
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(40, 16), nn.ReLU())
    encoder.out_features = 16
    method = MultiTask.recipe(SimCLR.recipe(encoder, Jitter()), 2, weight=0.1)
    optimizer = torch.optim.AdamW(method.parameters(), lr=1e-2)
    for step in range(40):
        given = Batch(x[:80], torch.arange(80), step, labels[:80])
        optimizer.zero_grad()
        method.loss(given)[0].backward()
        optimizer.step()
    scores = method.classifier(encoder(x[80:])).detach()
    precision = []
    for k in range(2):
        ranked = labels[80:, k][scores[:, k].argsort(descending=True)]
        at = ranked.cumsum(0) / torch.arange(1, 81)
        precision.append(float((at * ranked).sum() / ranked.sum()))
    assert sum(precision) / 2 >= 0.9, precision


def test_two_teachers_label_what_they_agree_on() -> None:
    torch.manual_seed(0)
    method = DualMeanTeacher(
        (Mean(), Mean()), (nn.Linear(6, 3), nn.Linear(6, 3)), None, confidence=0.4, weight=0.5
    ).double()
    given = batch(24)
    given = given._replace(labels=torch.where(given.sample_ids < 6, given.labels, -1))
    p = [s(given.x).softmax(1) for s in method.students]
    method.confidence = torch.minimum(p[0].amax(1), p[1].amax(1))[6:].median().item()
    loss, logs = method.loss(given)
    expected, pseudo = 0.0, {}
    for i in range(6, 24):
        (a, ca), (b, cb) = (q[i].max(0) for q in p)
        if ca == cb and min(a, b) >= method.confidence:
            pseudo[i] = int(ca)
    assert 0 < len(pseudo) < 18
    for q in p:
        expected -= sum(math.log(q[i, given.labels[i]]) for i in range(6)) / 6 / 2
        expected -= 0.5 * sum(math.log(q[i, y]) for i, y in pseudo.items()) / len(pseudo) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    assert logs["agreed"].item() == pytest.approx(len(pseudo) / 24)
    with torch.no_grad():
        method.students[1][1].weight.add_(1)
    before = method.teachers[1].module[1].weight.clone()
    method.after_step()
    assert not torch.equal(before, method.teachers[1].module[1].weight)


def test_masked_features() -> None:
    torch.manual_seed(0)
    encoder = encoders.build("resnet", 3, 40, widths=(4, 8))
    method, given = MaskedFeatures.recipe(encoder, 3, weight=0.5).double(), batch()
    method.confidence = 0.35
    given = given._replace(labels=torch.where(given.sample_ids < 4, given.labels, -1))
    loss, _ = method.loss(given)
    h = encoder.features(given.x).steps

    def pooled(steps):
        return method.classifier(torch.cat([steps.mean(1), steps.amax(1)], 1))

    hidden = random_mask(h.shape[:2], 0.5, seed=5, sample_ids=given.sample_ids)
    filled = torch.where(hidden[..., None], method.token, h) + positions(h.shape[1], h)
    p = pooled(h).softmax(1)
    wanted = [
        int(y) if y >= 0 else (int(q.argmax()) if q.max() >= 0.35 else -1)
        for y, q in zip(given.labels, p, strict=True)
    ]
    rows = [i for i, y in enumerate(wanted) if y >= 0]
    again = cross_entropy(pooled(method.rebuilder(filled))[rows], torch.tensor(wanted)[rows])
    expected = cross_entropy(pooled(h)[:4], given.labels[:4]) + 0.5 * again
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)


def test_instance_discrimination() -> None:
    torch.manual_seed(0)
    method = METHODS["instance_discrimination"](Mean(), Jitter(), series=40, temperature=0.3)
    method.double()
    memory: dict[int, torch.Tensor] = {}
    for step in range(3):
        given = batch(8, seed=step)
        given = given._replace(sample_ids=given.sample_ids + 3 * step)
        loss, _ = method.loss(given)
        z = normalize(method.projector(method.encoder(views(given)[0]))).detach()
        ids = given.sample_ids.tolist()
        own = {i: memory.get(i, u) for i, u in zip(ids, z, strict=True)}
        every = memory | own
        expected = 0.0
        for i, u in zip(ids, z, strict=True):
            below = sum(math.exp(float(u @ m) / 0.3) for m in every.values())
            expected -= math.log(math.exp(float(u @ own[i]) / 0.3) / below) / 8
        assert loss.item() == pytest.approx(expected, rel=1e-9)
        for i, u in zip(ids, z, strict=True):
            memory[i] = normalize((u + own[i]) / 2, dim=0)
    assert method.seen.sum() == 14
    with pytest.raises(ValueError, match=r"batch.sample_ids: 47; accepted: below the 40 series"):
        method.loss(given._replace(sample_ids=torch.arange(40, 48)))


def test_exemplar() -> None:
    torch.manual_seed(0)
    method, given = METHODS["exemplar"](Mean(), Jitter(), series=10).double(), batch()
    loss, _ = method.loss(given)
    logits = method.classifier(method.encoder(views(given)[0]))
    assert loss.item() == pytest.approx(cross_entropy(logits, torch.arange(8)).item(), rel=1e-10)
    with pytest.raises(ValueError, match="accepted: below the 10 series"):
        method.loss(given._replace(sample_ids=torch.arange(8, 16)))


def test_dsla_is_its_formula() -> None:
    torch.manual_seed(0)
    method, given = DSLA.recipe(Mean(), None, copies=2, weight=0.3, margin=0.5).double(), batch()
    loss, _ = method.loss(given)
    kind, strength, noise = method.draw(given)
    h = [method.encoder(given.x)]
    for k in range(2):
        h.append(method.encoder(perturbed(given.x, kind[k], strength[k], noise[k])))
    told, apart, pairs = 0.0, [], []
    for i in range(8):
        scores = torch.cat([method.score(f[i]) for f in h])
        told -= float(scores.log_softmax(0)[0]) / 8
        d = [max(1e-6, float((f[i] - h[0][i]).norm())) for f in h[1:]]
        other = float((h[0][i] - h[0][i - 1]).norm())
        apart += [max(0.0, 0.5 + x - other) for x in d]
        ratio = [x / float(s) for x, s in zip(d, strength[:, i], strict=True)]
        pairs += [(a - b) ** 2 for a in ratio for b in ratio]
    expected = told + 0.3 * sum(pairs) / len(pairs) + sum(apart) / len(apart)
    assert loss.item() == pytest.approx(expected, rel=1e-8)


def test_perturbations_are_as_strong_as_they_say() -> None:
    torch.manual_seed(0)
    x, noise = torch.randn(4, 2, 40, dtype=torch.float64), torch.randn(4, 2, 40).double()
    kind = torch.arange(4)
    torch.testing.assert_close(perturbed(x, kind, torch.zeros(4).double(), noise), x)
    y = perturbed(x, kind, torch.full((4,), 0.5).double(), noise)
    torch.testing.assert_close(
        y[0], x[0] + 0.5 * x[0].std(1, keepdim=True, correction=0) * noise[0]
    )
    inside = torch.stack([x[1, :, t - 4 : t + 5].mean(1) for t in range(4, 36)], 1)
    torch.testing.assert_close(y[1, :, 4:36], 0.5 * x[1, :, 4:36] + 0.5 * inside)
    torch.testing.assert_close(y[2], x[2].roll(5, -1))
    torch.testing.assert_close(y[3], 0.75 * x[3])


def test_scatsimclr_is_its_formula() -> None:
    torch.manual_seed(0)
    method, given = METHODS["scatsimclr"](Mean(), Jitter(), weight=0.4).double(), batch()
    assert len({tuple(order) for order in method.orders.tolist()}) == 24
    loss, _ = method.loss(given)
    x = views(given).flatten(0, 1)
    k = torch.randint(24, (16,), generator=torch.Generator().manual_seed(5))
    puzzled = x.clone()
    for i in range(16):
        for place, piece in enumerate(method.orders[k[i]].tolist()):
            puzzled[i, :, 10 * place : 10 * place + 10] = x[i, :, 10 * piece : 10 * piece + 10]
    assert torch.equal(jigsaw(x, method.orders[k], 4), puzzled)
    z = method.projector(method.encoder(x)).chunk(2)
    pretext = cross_entropy(method.classifier(method.encoder(puzzled)), k)
    expected = functional.nt_xent_loss(*z, temperature=0.2) + 0.4 * pretext
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)


def test_the_gumbel_quantizer_chooses_words() -> None:
    torch.manual_seed(0)
    made, x = GumbelQuantizer(5, 7, 3).double(), torch.randn(9, 5, dtype=torch.float64)
    made.eval()
    found = made(x)
    logits = made.choose(x)
    assert torch.equal(found.codes, logits.argmax(1))
    torch.testing.assert_close(found.words, made.codebook[found.codes])
    use = logits.softmax(1).mean(0).tolist()
    entropy = -sum(p * math.log(p) for p in use)
    assert found.perplexity.item() == pytest.approx(math.exp(entropy), rel=1e-10)
    made.train()
    noisy = made(x, torch.Generator().manual_seed(1))
    u = torch.rand(9, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    shifted = logits - (-u.log()).log()
    assert torch.equal(noisy.codes, shifted.argmax(1))
    weight = torch.randn(9, 3, dtype=torch.float64)
    (got,) = torch.autograd.grad((noisy.words * weight).sum(), made.choose.bias)
    soft = ((made.choose(x) - (-u.log()).log()).softmax(1) @ made.codebook.detach() * weight).sum()
    torch.testing.assert_close(got, torch.autograd.grad(soft, made.choose.bias)[0])


def transformer(width: int = 8):
    torch.manual_seed(0)
    return encoders.build("patch_transformer", 3, 40, patch=5, width=width, depth=2)


def test_w2v_bert_is_its_formula() -> None:
    method, given = METHODS["w2v_bert"](transformer(), None, words=6, weight=0.5).double(), batch()
    method.eval()
    loss, logs = method.loss(given)
    patches = method.encoder.patches(given.x)
    hidden = hidden_patches(given, 8, 0.5)[0]
    q = method.quantizer(patches[hidden])
    tokens = method.encoder.embed(patches, hidden, method.token)
    u = method.encoder.blocks[0](tokens)
    upper = method.encoder.blocks[1:](u)[hidden]
    own, words = normalize(method.project(u[hidden])), normalize(q.words)
    series, contrast = hidden.nonzero()[:, 0].tolist(), 0.0
    for i, n in enumerate(series):
        a = {j: float(own[i] @ words[j]) / 0.1 for j, m in enumerate(series) if m == n}
        contrast -= math.log(math.exp(a[i]) / sum(map(math.exp, a.values()))) / len(series)
    named = cross_entropy(method.classifier(upper), q.codes)
    spare = (6 - float(q.perplexity)) / 6
    assert logs["contrast"].item() == pytest.approx(contrast, rel=1e-9)
    expected = contrast + 0.5 * named.item() + 0.1 * spare
    assert loss.item() == pytest.approx(expected, rel=1e-9)


def test_cross_modal_masked_is_its_formula() -> None:
    method, given = METHODS["cross_modal_masked"](transformer(), None, ratio=0.5).double(), batch()
    loss, logs = method.loss(given)
    first = torch.tensor([1.0, 0, 0]).double()[:, None]
    both = given.x * first, given.x * (1 - first)
    hidden, errors, means = hidden_patches(given, 8, 0.5, views=2), 0.0, []
    for a, x, away in zip(method.autoencoders, both, hidden, strict=True):
        patches = a.encoder.patches(x)
        errors += a.reconstruct(patches, away)[0].item()
        seen = (~away).nonzero()[:, 1].view(8, 4)
        h = a.encoder.embed(patches).gather(1, seen[..., None].expand(-1, -1, 8))
        layers = []
        for layer in list(a.encoder.blocks)[:-1]:
            h = layer(h)
            layers.append(h.mean(1))
        means.append(layers)
    pairs = [functional.clip_loss(p, q, temperature=0.2) for p, q in zip(*means, strict=True)]
    contrast = sum(pairs).item() / 2
    assert logs["contrast"].item() == pytest.approx(contrast, rel=1e-9)
    assert loss.item() == pytest.approx(errors + 0.1 * contrast, rel=1e-9)


def test_mixed_patches_appear_once() -> None:
    patches = torch.arange(8 * 5 * 2).view(8, 5, 2).double()
    mixed, source = mix_patches(patches, 4, torch.Generator().manual_seed(0))
    for i in range(8):
        for place in range(5):
            assert source[i, place] // 4 == i // 4
            assert torch.equal(mixed[i, place], patches[source[i, place], place])
    assert sorted(mixed.flatten().tolist()) == patches.flatten().tolist()
    with pytest.raises(ValueError, match="group: 3; accepted: 2 or more, a divisor of the 8"):
        mix_patches(patches, 3, torch.Generator())


def test_mixed_autoencoder_is_its_formula() -> None:
    method, given = METHODS["mixed_autoencoder"](transformer(), None, weight=0.3).double(), batch(9)
    loss, logs = method.loss(given)
    patches = method.encoder.patches(given.x[:8])
    mixed, origin = mix_patches(patches, 4, torch.Generator().manual_seed(5))
    h = method.encoder.blocks(method.encoder.embed(mixed))
    error, terms = 0.0, []
    for i in range(8):
        row = i // 4 * 4 + 5 % 4
        y = torch.stack(
            [method.narrow(h[row, p]) if origin[row, p] == i else method.token for p in range(8)]
        )
        rebuilt = method.head(method.decoder((y + positions(8, y))[None]))[0]
        error += float((rebuilt - patches[i]).square().mean()) / 8
        u, sources = normalize(method.project(h[i])), origin[i].tolist()
        for p in range(8):
            e = {o: math.exp(float(u[p] @ u[o]) / 0.25) for o in range(8) if o != p}
            same = [o for o in e if sources[o] == sources[p]]
            others = len(same) < len(e)
            value = sum(-math.log(e[o] / sum(e.values())) for o in same)
            terms.append(value / len(same) if same and others else 0.0)
    assert logs["reconstruction"].item() == pytest.approx(error, rel=1e-9)
    assert logs["homologous"].item() == pytest.approx(sum(terms) / len(terms), rel=1e-9)
    assert loss.item() == pytest.approx(error + 0.3 * sum(terms) / len(terms), rel=1e-9)


def test_s4l_by_name() -> None:
    torch.manual_seed(0)
    method, given = METHODS["s4l"](Mean(), Jitter(), classes=3, weight=0.5).double(), batch()
    given = given._replace(labels=torch.where(given.sample_ids < 4, given.labels, -1))
    loss, _ = method.loss(given)
    x = views(given)[0]
    supervised = cross_entropy(method.classifier(method.encoder(x))[:4], given.labels[:4])
    expected = supervised + 0.5 * method.method.loss(given)[0]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
    with pytest.raises(ValueError, match="labels: 3; accepted: below the 3 classes"):
        method.loss(given._replace(labels=given.labels.clamp_min(0) + 1))
