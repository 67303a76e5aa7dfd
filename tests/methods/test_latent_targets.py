"""data2vec, iBOT, BEiT v2, CAE, SdAE, MMC and SparK are their formulas, in float64."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, layer_norm, normalize
from toy import Jitter, dataset

from tsssl_fast import encoders, masking
from tsssl_fast.encoders.patch_transformer import positions
from tsssl_fast.methods import METHODS, Batch, similarity_map
from tsssl_fast.methods.tokens import hidden_patches

N = 6


def batch() -> Batch:
    return Batch(dataset().x_train[:N].double(), torch.arange(N), 5)


def made(name: str, **options):
    torch.manual_seed(0)
    encoder = encoders.build("patch_transformer", 3, 40, patch=5, width=8, depth=2)
    method = METHODS[name](encoder, Jitter(), **options).double()
    if hasattr(method, "teacher"):  # apart from the student
        for p in method.teacher.module.parameters():
            p.mul_(1.05)
    return method


def view(given: Batch, which: int = 0):
    return Jitter()(given.x, seed=given.seed, sample_ids=given.sample_ids)[which]


def tokens(encoder, patches, hidden, token):
    embedded = torch.where(hidden[..., None], token, encoder.embedding(patches))
    return embedded + positions(patches.shape[1], embedded)


def masked(method, given: Batch, views: int = 1):
    patches = method.encoder.patches(view(given))
    return patches, hidden_patches(given, patches.shape[1], method.ratio, views)[0]


def test_data2vec() -> None:
    method, given = made("data2vec", layers=2), batch()
    loss, _ = method.loss(given)
    patches, hidden = masked(method, given)
    teacher = method.teacher.module
    h, layers = teacher.embedding(patches) + positions(8, patches.new_zeros(1, 8)), []
    for layer in list(teacher.blocks)[:2]:
        h = layer(h)
        layers.append(layer_norm(h, (8,)))
    target = layer_norm((layers[0] + layers[1]) / 2, (8,))
    y = method.head(method.encoder.blocks(tokens(method.encoder, patches, hidden, method.token)))
    terms = []
    for n, place in hidden.nonzero().tolist():
        for d in (y[n, place] - target[n, place]).abs().tolist():
            terms.append(d * d / 2 if d < 1 else d - 0.5)
    assert loss.item() == pytest.approx(sum(terms) / len(terms), rel=1e-10)
    loss.backward()
    assert all(p.grad is None for p in method.teacher.parameters())
    with pytest.raises(ValueError, match="layers: 3; accepted: 1 to the encoder's 2"):
        made("data2vec", layers=3)


def test_ibot() -> None:
    method, given = made("ibot", clusters=5), batch()
    centre = torch.linspace(-1, 1, 5).double()
    method.of_tokens.centre.copy_(centre)
    loss, _ = method.loss(given)
    method.of_tokens.centre.copy_(centre)
    x = Jitter()(given.x, seed=5, sample_ids=given.sample_ids)
    patches = method.encoder.patches(x.flatten(0, 1))
    hidden = hidden_patches(given, 8, method.ratio, views=2).flatten(0, 1)
    h = method.encoder.blocks(tokens(method.encoder, patches, hidden, method.token))
    teacher = method.teacher.module
    whole = teacher.blocks(teacher.embed(patches))
    head, teacher_head = method.head, method.teacher_head.module
    expected, count = 0.0, 0
    for n, place in hidden.nonzero().tolist():
        q = ((teacher_head(whole[n, place]) - centre) / 0.04).softmax(0)
        expected -= (q @ (head(h[n, place]) / 0.1).log_softmax(0)).item()
        count += 1
    expected /= count
    p = (head(h.mean(1)) / 0.1).log_softmax(1).chunk(2)
    q = (teacher_head(whole.mean(1)) / 0.04).softmax(1).chunk(2)
    expected -= float(((q[1] * p[0]).sum(1) + (q[0] * p[1]).sum(1)).mean() / 2)
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    before = method.teacher_head.module[0].weight.clone()
    with torch.no_grad():
        method.head[0].weight.add_(1)
    method.after_step()
    assert not torch.equal(before, method.teacher_head.module[0].weight)


def test_beit_v2() -> None:
    method, given = made("beit_v2", codes=4), batch()
    loss, _ = method.loss(given)
    method.eval()
    patches, hidden = masked(method, given)
    teacher = method.teacher.module
    u = normalize(teacher.blocks(teacher.embed(patches)), dim=2)
    again, _ = method.loss(given)
    codes = (u @ method.codebook.T).argmax(2)
    h = method.encoder.blocks(tokens(method.encoder, patches, hidden, method.token))
    expected = cross_entropy(method.classifier(h)[hidden], codes[hidden])
    assert again.item() == pytest.approx(expected.item(), rel=1e-10)
    assert torch.isfinite(loss)
    torch.testing.assert_close(method.codebook.norm(dim=1), torch.ones(4).double())
    before = method.codebook.clone()
    method.loss(given._replace(x=given.x.flip(0)))  # evaluation moves nothing
    assert torch.equal(before, method.codebook)
    method.train()
    method.loss(given._replace(x=2 * given.x + 1))
    assert not torch.equal(before, method.codebook)


def test_sdae() -> None:
    method, given = made("sdae", ratio=0.5), batch()
    loss, _ = method.loss(given)
    patches, hidden = masked(method, given)
    teacher, encoder = method.teacher.module, method.encoder
    expected, count = 0.0, 0
    for n in range(N):
        seen, away = (~hidden[n]).nonzero()[:, 0], hidden[n].nonzero()[:, 0]
        visible = encoder.blocks(encoder.embed(patches[n : n + 1])[:, seen])
        y = method.token.expand(1, 8, -1).clone()
        y[:, seen] = method.narrow(visible)
        predicted = method.head(method.decoder(y + positions(8, y)))[0, away]
        target = layer_norm(teacher.blocks(teacher.embed(patches[n : n + 1])[:, away])[0], (8,))
        expected += float((predicted - target).square().sum())
        count += target.numel()
    assert loss.item() == pytest.approx(expected / count, rel=1e-9)


def test_cae() -> None:
    method, given = made("cae", weight=0.7), batch()
    loss, logs = method.loss(given)
    patches, hidden = masked(method, given)
    encoder, error, apart = method.encoder, 0.0, 0.0
    for n in range(N):
        seen, away = (~hidden[n]).nonzero()[:, 0], hidden[n].nonzero()[:, 0]
        whole = encoder.embed(patches[n : n + 1])
        visible = encoder.blocks(whole[:, seen])
        target = encoder.blocks(whole[:, away])
        at = positions(8, whole)[away]
        found, _ = method.attention((method.query + at)[None], visible, visible)
        guess = found + method.regressor(found)
        rebuilt = method.head(method.decoder(guess + at))[0]
        error += float((rebuilt - patches[n, away]).square().mean()) / N
        apart += float((guess - target).square().mean()) / N
    assert loss.item() == pytest.approx(error + 0.7 * apart, rel=1e-9)
    assert logs["alignment"].item() == pytest.approx(apart, rel=1e-9)


def test_mmc_and_its_similarity_map() -> None:
    method, given = made("mmc", distil=0.5, contrast=0.25), batch()
    loss, _ = method.loss(given)
    patches, hidden = masked(method, given)
    h = method.encoder.blocks(tokens(method.encoder, patches, hidden, method.token))
    teacher = method.teacher.module
    t = teacher.blocks(teacher.embed(patches))
    rebuilding, distilled, count = 0.0, 0.0, int(hidden.sum())
    for n, place in hidden.nonzero().tolist():
        difference = method.head(h[n, place]) - patches[n, place]
        rebuilding += float(difference.square().mean()) / count
        own = normalize(method.predict(h[n, place]), dim=0)
        distilled -= float(own @ normalize(t[n, place], dim=0)) / count
    q = normalize(method.projector(torch.cat([h.mean(1), h.amax(1)], 1)))
    method.teacher_projector.module.train()
    k = normalize(method.teacher_projector(torch.cat([t.mean(1), t.amax(1)], 1)))
    contrast = cross_entropy(q @ k.T / 0.2, torch.arange(N))
    expected = rebuilding + 0.5 * distilled + 0.25 * contrast.item()
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    places = torch.arange(N)
    found = similarity_map(t, places)
    for n in range(N):
        for place in range(8):
            cosine = normalize(t[n, place], dim=0) @ normalize(t[n, places[n]], dim=0)
            assert found[n, place].item() == pytest.approx(cosine.item(), abs=1e-12)
    assert torch.equal(similarity_map(t, places, 0.3), found > 0.3)
    with pytest.raises(ValueError, match=r"shapes \(6, 8, 8\), \(5,\)"):
        similarity_map(t, places[:5])


@pytest.mark.parametrize("name", ["resnet", "inception"])
def test_spark_does_not_see_hidden_steps(name: str) -> None:
    torch.manual_seed(0)
    options = {"widths": (4, 8)} if name == "resnet" else {"filters": 2, "stride": 2}
    encoder = encoders.build(name, 3, 40, **options)
    method = METHODS["spark"](encoder, None, ratio=0.5, size=8).double()
    given = batch()
    seen = []
    method.densified = lambda x, hidden, made=method.densified: (
        seen.append((x, hidden, made(x, hidden))),
        seen[-1][2],
    )[1]
    loss, _ = method.loss(given)
    x, hidden, d = seen[0]
    assert hidden[0, 0].view(5, 8).all(1).sum() == 3
    changed = torch.where(hidden, torch.randn_like(x), x)
    torch.testing.assert_close(type(method).densified(method, changed, hidden), d)
    assert not torch.equal(type(method).densified(method, x + 1, hidden), d)
    rebuilt = nn.functional.interpolate(method.head(d), 40, mode="linear")
    expected = (rebuilt - x)[hidden].square().mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
    # Without the masks at every layer the network fills hidden places from their neighbours.
    h = encoder.feature_map(masking.fill(x, hidden.contiguous()))[:, :, 0]
    steps = nn.functional.interpolate(hidden[:, :1].double(), h.shape[-1]).bool()
    assert h[steps.expand_as(h)].abs().max() > 0
    assert torch.equal(
        d[steps.expand_as(d)].view(-1), method.token[:, None].expand_as(d)[steps.expand_as(d)]
    )
    assert not any(module._forward_hooks for module in encoder.modules())
