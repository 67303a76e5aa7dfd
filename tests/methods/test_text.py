"""CLIP with texts: hashed n-grams, missing texts, prompts; and attention between sensors."""

import zlib

import pytest
import torch
from torch.nn.functional import normalize
from toy import Jitter, dataset

from tsssl_fast import encoders, functional
from tsssl_fast.encoders.text import ngrams
from tsssl_fast.methods import CLIP, Batch
from tsssl_fast.methods.clip import present, two_sensors
from tsssl_fast.training import Config, pretrain


def test_ngrams_are_hashed_into_a_table() -> None:
    assert ngrams("Up!") == ["<up>", "<up", "up>"]
    assert ngrams("a b") == ["<a>", "<b>"]
    torch.manual_seed(0)
    made = encoders.HashedNgrams(width=5, buckets=50).double()
    found = made(["Walking up", "", "up walking"])
    rows = [zlib.crc32(p.encode()) % 50 for p in ngrams("walking up")]
    torch.testing.assert_close(found[0], made.mix(made.table.weight[rows].mean(0)))
    torch.testing.assert_close(found[0], found[2])
    torch.testing.assert_close(found[1], made.mix(torch.zeros(5).double()))
    with pytest.raises(TypeError, match="texts: str; accepted: a sequence of str"):
        made("up")


def clip(texts):
    torch.manual_seed(0)
    encoder = encoders.build("resnet", 3, 40, widths=(4, 8))
    return CLIP.recipe(encoder, None, texts).eval()


def given(rows) -> Batch:
    rows = torch.tensor(rows)
    return Batch(dataset().x_train[rows], rows, 5)


def test_a_missing_text_is_the_batch_without_it() -> None:
    texts = ["one", "", "two", "three", "", "four one"]
    method = clip(texts)
    loss, _ = method.loss(given([0, 1, 2, 3, 4, 5]))
    without, _ = method.loss(given([0, 2, 3, 5]))
    assert loss.item() == pytest.approx(without.item(), abs=1e-6)
    x = given([0, 2, 3, 5]).x
    q = method.projector(method.encoder(x))
    k = method.other_projector(method.other_encoder([texts[i] for i in (0, 2, 3, 5)]))
    expected = functional.clip_loss(q, k, temperature=0.07)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    alone, _ = method.loss(given([0, 1]))
    assert alone == 0
    alone.backward()
    assert present(torch.tensor([[[1.0]], [[torch.nan]]])) == [0]
    with pytest.raises(ValueError, match=r"texts: 6; accepted: one for each series \(8\)"):
        method.loss(given([0, 7]))
    with pytest.raises(ValueError, match="texts: fewer than two"):
        clip(["", "a"])


def test_a_missing_sensor_is_the_batch_without_it() -> None:
    torch.manual_seed(0)
    encoder = encoders.build("resnet", 3, 40, widths=(4, 8))
    method = CLIP.recipe(encoder, None).eval()
    batch = given([0, 1, 2, 3])

    def broken(x, batch):
        first, second = two_sensors(x, batch)
        lost = (batch.sample_ids == 1)[:, None, None]
        return first, torch.where(lost, torch.nan, second)

    method.pair = broken
    loss, _ = method.loss(batch)
    method.pair = two_sensors
    assert loss.item() == pytest.approx(method.loss(given([0, 2, 3]))[0].item(), abs=1e-6)


def test_prompts_classify() -> None:
    method = clip(["a", "b"])
    x, prompts = given([0, 1, 2]).x, ["walking", "upstairs"]
    found = method.classify(x, prompts)
    q = normalize(method.projector(method.encoder(x)))
    k = normalize(method.other_projector(method.other_encoder(prompts)))
    torch.testing.assert_close(found, (q @ k.T / 0.07).softmax(1), rtol=1e-5, atol=1e-6)


def test_pretraining_with_texts(tmp_path) -> None:
    data = dataset()
    config = Config(method="clip", encoder="resnet", views="noise", epochs=2, batch_size=12)
    texts = [f"sine of frequency {int(y)}" for y in data.y_train]
    run = pretrain(data, config, tmp_path / "run", texts=texts, monitor=False)
    assert run.method.pair.texts == tuple(texts)
    with pytest.raises(ValueError, match="texts: 23 lines; accepted: one for each of the 24 train"):
        pretrain(data, config, tmp_path / "other", texts=texts[1:])
    with pytest.raises(ValueError, match="texts: given with method simclr; accepted: with method"):
        Config(method="simclr", encoder="resnet").build(3, 40, texts=texts)
    more = {"texts": texts[::-1], "resume": True, "monitor": False}
    with pytest.raises(ValueError, match="with other train series"):
        pretrain(data, config, tmp_path / "run", **more)


def test_two_sensors_look_at_each_other() -> None:
    torch.manual_seed(0)
    parts = [encoders.build("resnet", c, 40, widths=(4, 8)) for c in (1, 2)]
    made = encoders.CrossAttention(*parts, heads=2).double().eval()
    x = dataset().x_train[:5].double()
    a, b = parts[0].features(x[:, :1]).steps, parts[1].features(x[:, 1:]).steps
    found = []
    for own, other, attention, norm in (
        (a, b, made.attentions[0], made.norms[0]),
        (b, a, made.attentions[1], made.norms[1]),
    ):
        w, bias = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
        q, k, v = (
            (s @ m.T + c).unflatten(2, (2, 4)).transpose(1, 2)
            for s, m, c in zip((own, other, other), w, bias, strict=True)
        )
        seen = ((q @ k.mT / 2).softmax(-1) @ v).transpose(1, 2).flatten(2)
        y = norm(own + attention.out_proj(seen))
        found.append(torch.cat([y.mean(1), y.amax(1)], 1))
    torch.testing.assert_close(made(x), torch.cat(found, 1))
    assert made(x).shape == (5, made.out_features)
    method = CLIP.recipe(made.float(), Jitter(), ["a", "b", "c", "d", "e"])
    assert torch.isfinite(method.loss(Batch(x.float(), torch.arange(5), 0))[0])
    with pytest.raises(ValueError, match=r"x: shape \(5, 2, 40\); accepted: \(N, 3, T\)"):
        made(x[:, :2].float())
    with pytest.raises(ValueError, match="8 and 8 features a step; accepted: the same, a multiple"):
        encoders.CrossAttention(*parts, heads=3)


def test_sigmoid_weighting_is_a_loop() -> None:
    torch.manual_seed(0)
    made, x = encoders.SigmoidWeighting(4).double(), torch.randn(2, 5, 4, dtype=torch.float64)
    q, k, v = made.query(x), made.key(x), made.value(x)
    found = made(x)
    for n in range(2):
        for i in range(5):
            share = (k[n] @ q[n, i] / 2).softmax(0)
            weight = sum(share[j] * v[n, j] for j in range(5)).sigmoid()
            torch.testing.assert_close(found[n, i], weight * x[n, i], rtol=1e-12, atol=1e-12)


def test_scattering_paths_are_loops() -> None:
    torch.manual_seed(0)
    made = encoders.Scattering(2, octaves=3, width=4).double().eval()
    x = torch.randn(1, 2, 20, dtype=torch.float64)
    found = made.paths(x)
    assert found.shape == (1, 2 * (1 + 3 + 3), 20)

    def moduli(series, octave):
        re, im = made.get_buffer(f"wavelet_{octave}")[:, 0].double()
        reach, out = len(re) // 2, []
        for t in range(20):
            at = [min(19, max(0, t + i)) for i in range(-reach, reach + 1)]
            a, b = (
                sum(float(p) * float(series[s]) for p, s in zip(w, at, strict=True))
                for w in (re, im)
            )
            out.append((a * a + b * b + 1e-12) ** 0.5)
        return out

    for c in range(2):
        expected, order = [x[0, c].tolist()], x[0, c].tolist()
        for a in range(3):
            first = moduli(order, a)
            expected.append(first)
            expected += [moduli(first, b) for b in range(a + 1, 3)]
        got = found[0].view(7, 2, 20)[:, c]
        torch.testing.assert_close(
            got, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-9
        )
    assert abs(made.get_buffer("wavelet_2").sum()) < 1e-3
    for channels in (1, 3, 9):
        trainable, resnet = (
            sum(p.numel() for p in encoders.build(name, channels, 40).parameters())
            for name in ("scattering", "resnet")
        )
        assert trainable < 0.25 * resnet
    with pytest.raises(ValueError, match="kernel: 4; accepted: an odd number"):
        encoders.Scattering(2, kernel=4)
