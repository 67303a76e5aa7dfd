"""Mixing and spectral operations: what they return, what they keep, what they depend on."""

import pytest
import torch
from augment_cases import series

from tsssl_fast import augment

T = 41


def test_mixup_mixes_with_the_index_and_weight_it_returns():
    x = series(7, 3, T)
    y, index, weight = augment.MixUp((0.2, 0.9))(x, 2, seed=0)
    for v in range(2):
        assert sorted(index[v].tolist()) == list(range(7))
        assert (index[v] != torch.arange(7)).all()
        for n in range(7):
            w = weight[v, n]
            assert 0.2 <= w < 0.9
            torch.testing.assert_close(y[v, n], w * x[n] + (1 - w) * x[index[v, n]])


def test_cutmix_takes_a_window_of_the_index_it_returns():
    x = series(7, 3, T)
    y, index, weight = augment.CutMix((3, 9))(x, 2, seed=0)
    for v in range(2):
        for n in range(7):
            other = (y[v, n] == x[index[v, n]]).all(0)
            assert ((y[v, n] == x[n]).all(0) | other).all()
            length = int(other.sum())
            assert 3 <= length <= 9
            assert int(other.nonzero()[-1] - other.nonzero()[0]) == length - 1
            torch.testing.assert_close(weight[v, n], torch.tensor(1 - length / T))


@pytest.mark.parametrize("mix", [augment.MixUp(p=0.5), augment.CutMix(p=0.5)])
def test_unmixed_samples_stay_and_say_so(mix):
    x = series(40, 2, 9)
    y, index, weight = mix(x, seed=1)
    same = index[0] == torch.arange(40)
    assert 5 < int(same.sum()) < 35
    assert torch.equal(y[0, same], x[same])
    assert (weight[0, same] == 1).all()


@pytest.mark.parametrize("mix", [augment.MixUp(), augment.CutMix()])
def test_one_sample_mixes_with_itself(mix):
    x = series(1, 2, 9)
    torch.testing.assert_close(mix(x, seed=0).x[0], x)


def test_mixing_takes_views_of_a_pipeline_and_gives_gradients():
    x = series(4, 2, 12).double().requires_grad_()
    views = augment.presets.simclr_ts()(x, 2, seed=0)
    y, _, _ = augment.MixUp()(views, seed=0)
    assert y.shape == (2, 4, 2, 12)
    torch.autograd.gradcheck(lambda x: augment.MixUp()(x, 2, seed=0).x, x)
    torch.autograd.gradcheck(lambda x: augment.CutMix()(x, 2, seed=0).x, x)


@pytest.mark.parametrize("steps", [40, 41])
@pytest.mark.parametrize("per_channel", [False, True])
def test_phase_surrogate_keeps_the_power_spectrum(steps, per_channel):
    x = series(5, 3, steps).double()
    y = augment.PhaseSurrogate(per_channel=per_channel)(x, 2, seed=0)
    before, after = torch.fft.rfft(x), torch.fft.rfft(y)
    torch.testing.assert_close(after.abs(), before.abs().expand(after.shape))
    torch.testing.assert_close(y.mean(-1), x.mean(-1).expand(2, 5, 3))
    turned = (after / before)[..., 1:-1]
    assert torch.allclose(turned[:, :, 0], turned[:, :, 1]) != per_channel
    assert (turned - 1).abs().mean() > 0.5
    same = augment.PhaseSurrogate(strength=0.0)(x, 1, seed=0)
    torch.testing.assert_close(same[0], x)


def test_frequency_mask_removes_the_share_it_says():
    x = series(40, 2, 201).double()
    y = augment.FrequencyMask(rate=0.3)(x, 1, seed=0)[0]
    before, after = torch.fft.rfft(x), torch.fft.rfft(y)
    removed = after.abs() < 1e-9
    torch.testing.assert_close(after[~removed], before[~removed])
    assert not removed[..., 0].any()
    assert abs(removed[..., 1:].double().mean() - 0.3) < 0.03
    assert torch.equal(removed[:, 0], removed[:, 1])


@pytest.mark.parametrize("operation", [augment.FrequencyMask(p=0.5), augment.PhaseSurrogate(p=0.5)])
def test_spectral_operations_depend_on_the_sample_alone(operation):
    x, ids = series(9, 2, 30), torch.arange(9) + 100
    whole = operation(x, 2, seed=3, sample_ids=ids)
    part = operation(x[[4, 1]], 2, seed=3, sample_ids=ids[[4, 1]])
    torch.testing.assert_close(part, whole[:, [4, 1]])
    assert not torch.equal(whole, operation(x, 2, seed=3, epoch=1, sample_ids=ids))
    assert operation(x.to(torch.bfloat16), 2, seed=3).dtype == torch.bfloat16


def test_overlapping_crops_share_what_they_say():
    x, crops = series(8, 2, 30), augment.presets.ts2vec_crops()
    starts, lengths = set(), set()
    for step in range(40):
        first, second, overlap, start = crops(x, seed=0, step=step)
        assert 2 <= overlap <= 30
        assert torch.equal(first[..., -overlap:], second[..., :overlap])
        for n in range(8):
            for part, begin in ((first, start[n, 0]), (second, start[n, 1])):
                assert torch.equal(part[n], x[n, :, begin : begin + part.shape[-1]])
        starts.add(len(start[:, 0].unique()))
        lengths.add((first.shape[-1], second.shape[-1], overlap))
    assert max(starts) > 3
    assert len(lengths) > 20
    part = crops(x[5:], seed=0, step=1, sample_ids=torch.arange(5, 8))
    assert torch.equal(part.first, crops(x, seed=0, step=1).first[5:])


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda x: augment.MixUp((0.5, 1.5)), "weight"),
        (lambda x: augment.CutMix(0.0), "length"),
        (lambda x: augment.FrequencyMask(rate=1.5), "rate"),
        (lambda x: augment.PhaseSurrogate(strength=-0.1), "strength"),
        (lambda x: augment.MixUp(p=2), "p"),
        (lambda x: augment.MixUp()(x[0]), "x"),
        (lambda x: augment.CutMix(99)(x), "length"),
        (lambda x: augment.MixUp()(x, 0), "views"),
        (lambda x: augment.OverlappingCrops(0), "min_overlap"),
        (lambda x: augment.OverlappingCrops(9)(x), "x"),
        (lambda x: augment.MixUp()(x, sample_ids=torch.arange(9)), "sample_ids"),
    ],
)
def test_bad_input(make, name):
    with pytest.raises(ValueError, match=rf"^{name}: .*accepted"):
        make(series(2, 3, 8))
