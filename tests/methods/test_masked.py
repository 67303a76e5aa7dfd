"""Masked, two-modality, generative and test-time methods against their formulas."""

import pytest
import torch
from methods.test_methods import Mean, batch
from torch import nn
from torch.nn.functional import cross_entropy, normalize, softplus
from toy import Jitter

from tsssl_fast import encoders, masking
from tsssl_fast.encoders.patch_transformer import positions, transformer
from tsssl_fast.methods import (
    CLIP,
    METHODS,
    NEEDS_TOKENS,
    SSGAN,
    BEiT,
    ContrastiveMasked,
    ContrastiveReconstruction,
    MaskedAutoencoder,
    MaskedReconstruction,
    TestTimeTraining,
)
from tsssl_fast.methods.clip import label_text, two_sensors
from tsssl_fast.methods.ssgan import Generator


def tokens_encoder(dtype=torch.float64):
    torch.manual_seed(0)
    return encoders.PatchTransformer(3, patch=5, width=8, depth=1, heads=2).to(dtype)


def wide(n=8):
    given = batch(n)
    return given._replace(x=given.x.double())


def hidden(n, ratio, views=None):
    """As the methods draw it from the seed of `batch`, for 40 steps in patches of 5."""
    return masking.random_mask((n, 8), ratio, seed=5, sample_ids=torch.arange(n), views=views)


def expected_reconstruction(method, x, mask):
    """Series by series and patch by patch; the loss and the features of the visible patches."""
    encoder, errors, features = method.encoder, [], []
    for row, m in zip(x, mask, strict=True):
        patches = torch.stack([row[:, 5 * i : 5 * i + 5].flatten() for i in range(8)])
        tokens = encoder.embedding(patches) + positions(8, torch.empty(8, dtype=row.dtype))
        h = encoder.blocks(tokens[~m][None])[0]
        y = method.token.expand(8, -1).clone()
        y[~m] = method.narrow(h)
        y = method.decoder((y + positions(8, y))[None])[0]
        errors.append((method.head(y)[m] - patches[m]).square().flatten())
        features.append(h)
    return torch.cat(errors).mean(), torch.stack(features)


def test_masked_autoencoder_is_its_formula():
    method = MaskedAutoencoder(tokens_encoder(), transformer(6, 1, 2).double(), 6, ratio=0.7)
    method = method.double()
    given = wide()
    loss, _ = method.loss(given)
    expected, _ = expected_reconstruction(method, given.x, hidden(8, 0.7))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
    parameters = list(method.parameters())
    got = torch.autograd.grad(loss, parameters)
    for g, e in zip(got, torch.autograd.grad(expected, parameters), strict=True):
        assert g.numpy() == pytest.approx(e.numpy(), abs=1e-10)


def test_the_autoencoders_encoder_does_not_see_what_is_hidden():
    method = MaskedAutoencoder.recipe(tokens_encoder(torch.float32), None)
    seen = []
    method.encoder.blocks.register_forward_pre_hook(lambda m, x: seen.append(x[0].shape))
    method.loss(batch(8))
    assert seen == [(8, 2, 8)]  # a quarter of 8 patches


def test_contrastive_masked_is_the_sum_of_its_parts():
    method = ContrastiveMasked.recipe(tokens_encoder(), None, 0.6, 0.3, weight=0.5).double()
    given = wide()
    loss, logs = method.loss(given)
    parts = [
        expected_reconstruction(method.autoencoder, given.x, m) for m in hidden(8, 0.6, views=2)
    ]
    h = torch.cat([features for _, features in parts])
    u = normalize(method.projector(torch.cat([h.mean(1), h.amax(1)], 1)))
    logits = (u @ u.T / 0.3).masked_fill(torch.eye(16, dtype=torch.bool), -torch.inf)
    contrast = cross_entropy(logits, (torch.arange(16) + 8) % 16)
    expected = parts[0][0] + parts[1][0] + 0.5 * contrast
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
    assert logs["reconstruction"].item() == pytest.approx((loss - 0.5 * contrast).item() / 2)


def test_beit_guesses_the_words_of_hidden_patches():
    method = BEiT(tokens_encoder(), codes=6, ratio=0.4).double()
    given = wide()
    loss, logs = method.loss(given)
    patches = method.encoder.patches(given.x)
    codes = torch.cdist(patches, method.codebook[None].expand(8, -1, -1)).argmin(-1)
    mask = hidden(8, 0.4)
    tokens = method.encoder.embedding(patches)
    tokens[mask] = method.token
    logits = method.classifier(method.encoder.blocks(tokens + positions(8, tokens)))
    expected = cross_entropy(logits[mask], codes[mask])
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
    assert logs["code_accuracy"] == (logits[mask].argmax(1) == codes[mask]).float().mean()
    # Every word was met, and the codebook stays what it was, across a checkpoint too.
    assert len(codes.unique()) == 6
    before = method.codebook.clone()
    method.loss(wide()._replace(x=10 + given.x))
    assert torch.equal(method.codebook, before)
    copy = BEiT(tokens_encoder(), codes=6, ratio=0.4).double()
    copy.load_state_dict(method.state_dict())
    assert torch.equal(copy.loss(given)[0], loss)
    with pytest.raises(ValueError, match="clusters: 65; accepted: 1 to the 64 rows"):
        BEiT(tokens_encoder(), codes=65).double().loss(wide())


@pytest.mark.parametrize("name", encoders.ENCODERS)
def test_masked_reconstruction_is_its_formula(name):
    torch.manual_seed(0)
    encoder = encoders.build(name, 3, 40).double()
    method = MaskedReconstruction.recipe(encoder, None, ratio=0.4, size=4).double().eval()
    given = wide()
    mask = masking.random_mask(
        (8, 3, 40),
        0.4,
        mode="geometric",
        size=4,
        per_channel=True,
        seed=5,
        sample_ids=given.sample_ids,
    )
    seen = torch.where(mask, 0.0, given.x)
    h = encoder.feature_map(seen).squeeze(2)
    steps = torch.einsum("oi,nil->nlo", method.head.linear.weight[..., 0], h)
    steps = steps + method.head.linear.bias
    rows = steps.unflatten(2, (3, 8)).permute(0, 2, 1, 3).flatten(2)
    rebuilt = nn.functional.interpolate(rows, 40, mode="linear")
    expected = (rebuilt - given.x)[mask].square().mean()
    assert method.loss(given)[0].item() == pytest.approx(expected.item(), rel=1e-9)


def test_contrastive_reconstruction_is_its_formula():
    torch.manual_seed(0)
    encoder = encoders.build("resnet", 3, 40, widths=(4, 6))
    options = {"temperature": 0.3, "ratio": 0.4, "size": 4, "weight": 1.7}
    method = ContrastiveReconstruction.recipe(encoder, Jitter(), **options).double()
    given = wide()
    loss, logs = method.loss(given)
    views = Jitter()(given.x, seed=5, sample_ids=given.sample_ids).flatten(0, 1)
    masks = masking.random_mask(
        (8, 3, 40),
        0.4,
        mode="geometric",
        size=4,
        per_channel=True,
        views=2,
        seed=5,
        sample_ids=given.sample_ids,
    )
    assert not torch.equal(masks[0], masks[1])
    mask = masks.flatten(0, 1)
    h = encoder.feature_map(torch.where(mask, 0.0, views)).squeeze(2)
    rebuilt = nn.functional.interpolate(method.head(h), 40, mode="linear")
    reconstruction = (rebuilt - views)[mask].square().mean()
    z = normalize(method.projector(torch.cat([h.mean(-1), h.amax(-1)], dim=1)))
    logits = (z @ z.T / 0.3).fill_diagonal_(-torch.inf)
    expected = cross_entropy(logits, torch.arange(16).roll(8)) + 1.7 * reconstruction
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
    assert logs["reconstruction"].item() == pytest.approx(reconstruction.item(), rel=1e-9)
    parameters = list(method.parameters())
    got = torch.autograd.grad(loss, parameters)
    for g, e in zip(got, torch.autograd.grad(expected, parameters), strict=True):
        assert g.numpy() == pytest.approx(e.numpy(), abs=1e-9)


def test_clip_is_its_formula_and_learns_its_scale():
    torch.manual_seed(0)
    method = CLIP(Mean(), nn.Linear(4, 5), nn.Linear(6, 3), nn.Linear(5, 3)).double()
    given = wide()._replace(other=torch.randn(8, 4, dtype=torch.float64))
    loss, logs = method.loss(given)
    q = normalize(method.projector(method.encoder(given.x)))
    k = normalize(method.other_projector(method.other_encoder(given.other)))
    logits = q @ k.T * method.log_scale.exp()
    rows = torch.arange(8)
    expected = (cross_entropy(logits, rows) + cross_entropy(logits.T, rows)) / 2
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
    assert logs["scale"] == pytest.approx(1 / 0.07)
    parameters = list(method.parameters())
    got = torch.autograd.grad(loss, parameters)
    for g, e in zip(got, torch.autograd.grad(expected, parameters), strict=True):
        assert g.numpy() == pytest.approx(e.numpy(), abs=1e-9)
    with torch.no_grad():
        method.log_scale.fill_(10.0)
    method.after_step()  # the parameter itself is held back, so its gradient lives on
    loss, logs = method.loss(given)
    assert logs["scale"].item() == pytest.approx(100)
    assert torch.autograd.grad(loss, method.log_scale)[0] != 0
    with pytest.raises(ValueError, match=r"batch\.other: None; CLIP needs"):
        method.loss(wide())


def test_clip_with_label_text_and_with_two_sensors():
    class Letters(nn.Module):
        def forward(self, texts):
            return torch.tensor([[float(len(t)), float(ord(t[0]))] for t in texts])

    given = batch(8)
    texts = ["walking", "running", "badminton"]
    method = CLIP(Mean(), Letters(), nn.Linear(6, 3), nn.Linear(2, 3), pair=label_text(texts))
    loss, _ = method.loss(given)
    _, seen = label_text(texts)(given.x, given)
    assert seen == [texts[label] for label in given.labels]
    assert torch.isfinite(loss)
    with pytest.raises(ValueError, match=r"batch\.labels: None; label texts need labels"):
        method.loss(given._replace(labels=None))
    x = torch.randn(2, 3, 5)
    first, second = two_sensors(x, given)
    assert torch.equal(first + second, x)
    assert (first[:, 1:] == 0).all()
    assert (second[:, :1] == 0).all()
    with pytest.raises(ValueError, match=r"batch\.x: 1 channel; accepted: 2 or more"):
        two_sensors(x[:, :1], given)


def gan():
    torch.manual_seed(0)
    generator = Generator(3, noise=4, width=6)
    return SSGAN(Mean(), generator, nn.Linear(6, 1), nn.Linear(6, 4), alpha=0.3, beta=0.7).double()


def test_ssgan_is_equations_18_to_20_with_the_papers_signs():
    method, given = gan(), wide()
    loss, logs = method.loss(given)
    source = torch.Generator().manual_seed(5)
    z = torch.randn(8, 4, generator=source).double()
    r = torch.randint(4, (8,), generator=source)
    fake = method.generator(z, 40)

    def turned(x):
        views = torch.stack([x, x.flip(-1), -x, x.roll(20, -1)])
        return views[r, torch.arange(8)]

    def judged(x):
        return method.judge(method.encoder(x))

    def told(x):
        return cross_entropy(method.classifier(method.encoder(turned(x))), r)

    d_term = softplus(-judged(given.x)).mean() + softplus(judged(fake.detach())).mean()
    loss_d = d_term + 0.7 * told(given.x)
    loss_g = softplus(-judged(fake)).mean() + 0.3 * told(fake)
    assert logs["discriminator"].item() == pytest.approx(loss_d.item(), rel=1e-9)
    assert logs["generator"].item() == pytest.approx(loss_g.item(), rel=1e-9)
    assert loss.item() == pytest.approx((loss_d + loss_g).item(), rel=1e-9)

    # Each player descends its own equation alone.
    for part, own in (
        ((method.encoder, method.judge, method.classifier), loss_d),
        ((method.generator,), loss_g),
    ):
        parameters = [p for module in part for p in module.parameters()]
        got = torch.autograd.grad(loss, parameters, retain_graph=True)
        expected = torch.autograd.grad(own, parameters, retain_graph=True)
        for g, e in zip(got, expected, strict=True):
            assert g.numpy() == pytest.approx(e.numpy(), abs=1e-10)
    assert all(p.requires_grad for p in method.parameters())


def test_the_generators_turn_leaves_the_discriminators_statistics():
    torch.manual_seed(0)
    method = SSGAN.recipe(encoders.build("resnet", 3, 40, widths=(8, 16)), None)
    norm = method.encoder.stem[1]
    seen = []
    norm.register_forward_hook(lambda m, x, y: seen.append(m.running_mean.clone()))
    method.loss(batch(8))
    assert len(seen) == 3
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[1], seen[2])
    assert norm.track_running_stats


def test_test_time_training_takes_plain_steps_on_its_batch():
    torch.manual_seed(0)
    method = TestTimeTraining.recipe(tokens_encoder(torch.float32), None, steps=20, test_lr=0.05)
    given = batch(4)
    before = {name: p.clone() for name, p in method.named_parameters()}
    adapted = method.adapt(given.x, seed=3)
    assert all(torch.equal(before[name], p) for name, p in method.named_parameters())
    assert method.training
    assert not adapted.training
    # What the encoder learned on the batch lowers the loss on masks it has not seen.
    fresh = TestTimeTraining.recipe(adapted, None)
    fresh.method.load_state_dict(
        {k: v for k, v in method.method.state_dict().items() if not k.startswith("encoder.")},
        strict=False,
    )
    assert fresh.loss(given)[0] < method.loss(given)[0]
    features = method.features(given.x, seed=3)
    assert torch.equal(features, adapted(given.x))
    assert not torch.equal(features, method.encoder(given.x))
    none = TestTimeTraining(method.method, steps=0)
    untouched = method.encoder.eval()(given.x)  # evaluation takes torch's fused layers
    assert torch.allclose(none.features(given.x), untouched, atol=1e-6)


@pytest.mark.parametrize("mae", [1, 0])
def test_test_time_training_of_one_series(mae):
    torch.manual_seed(0)
    encoder = tokens_encoder(torch.float32) if mae else encoders.build("resnet", 3, 40)
    method = TestTimeTraining.recipe(encoder, None, mae=mae)
    features = method.features(batch(1).x)
    assert features.shape == (1, encoder.out_features)
    assert torch.isfinite(features).all()


def build(name, **options):
    encoder = encoders.build("resnet", 3, 40, widths=(8, 16))
    if name in NEEDS_TOKENS:
        encoder = encoders.build("patch_transformer", 3, 40, width=16, depth=1)
    return METHODS[name](encoder, Jitter(), **options)


@pytest.mark.parametrize("name", METHODS)
def test_a_batch_of_one_works_or_is_refused(name):
    torch.manual_seed(0)
    method, one = build(name), batch(1)
    if name in ("beit", "beit_v2"):
        method = build(name, codes=4)
    if name in ("transform_prediction", "s4l") or method.min_batch == 1:
        loss, _ = method.loss(one)
        loss.backward()
        assert torch.isfinite(loss)
        return
    with pytest.raises(
        ValueError, match=rf"batch\.x: 1 series; accepted: {method.min_batch} or more"
    ):
        method.loss(one)


@pytest.mark.parametrize(
    "name",
    [
        *("masked_autoencoder", "beit", "contrastive_masked"),
        *("masked_reconstruction", "contrastive_reconstruction"),
    ],
)
def test_ratios_that_hide_nothing_or_everything_are_refused(name):
    for ratio in (-0.5, 0, 1, 1.5):
        with pytest.raises(ValueError, match=f"ratio: {ratio}; accepted"):
            build(name, ratio=ratio)
    for ratio, count in ((0.001, 0), (0.999, "14|40")):
        with pytest.raises(
            ValueError, match=rf"ratio: {ratio}, hides ({count}) of the .* accepted"
        ):
            build(name, ratio=ratio).loss(batch(8))


def test_what_has_no_tokens_is_refused():
    for name in sorted(NEEDS_TOKENS):
        with pytest.raises(TypeError, match="encoder: ResNet; accepted: PatchTransformer"):
            METHODS[name](encoders.build("resnet", 3, 40), Jitter())
    for name in ("contrastive_masked", "contrastive_reconstruction"):
        with pytest.raises(ValueError, match="weight: -1; accepted"):
            build(name, weight=-1)
    with pytest.raises(ValueError, match="steps: -1; accepted"):
        build("test_time_training", steps=-1)


def test_the_causal_encoder_looks_back_only():
    torch.manual_seed(0)
    encoder = encoders.Causal(2, width=8, depth=3, features=6).eval()
    x = torch.randn(1, 2, 60)
    later = x.clone()
    later[..., 30:] += 1
    before, after = encoder.feature_map(x), encoder.feature_map(later)
    assert torch.equal(before[..., :30], after[..., :30])
    assert not torch.equal(before[..., 30], after[..., 30])
    # 4 (2^3 - 1) = 28 steps back and no further.
    earlier = x.clone()
    earlier[..., 10] += 1
    changed = (encoder.feature_map(earlier) != before).any(1)[0, 0].nonzero()[:, 0]
    assert changed.min() == 10
    assert changed.max() == 38
