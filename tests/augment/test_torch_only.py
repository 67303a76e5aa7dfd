"""Mixing and spectral operations: what they return, what they keep, what they depend on."""

import pytest
import torch
from cases.augment import series

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
    y, index, weight = mix(x, 1, seed=1)
    same = index[0] == torch.arange(40)
    assert 5 < int(same.sum()) < 35
    assert torch.equal(y[0, same], x[same])
    assert (weight[0, same] == 1).all()


@pytest.mark.parametrize("mix", [augment.MixUp(), augment.CutMix()])
def test_one_sample_mixes_with_itself(mix):
    x = series(1, 2, 9)
    torch.testing.assert_close(mix(x, seed=0).x, x)


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
    same = augment.PhaseSurrogate(magnitude=0.0)(x, 1, seed=0)
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
        (lambda x: augment.PhaseSurrogate(magnitude=-0.1), "magnitude"),
        (lambda x: augment.MixUp(p=2), "p"),
        (lambda x: augment.MixUp()(x[0]), "x"),
        (lambda x: augment.CutMix(99)(x), "length"),
        (lambda x: augment.MixUp()(x, 0), "views"),
        (lambda x: augment.OverlappingCrops(0), "min_overlap"),
        (lambda x: augment.OverlappingCrops(9)(x), "x"),
        (lambda x: augment.MixUp()(x, sample_ids=torch.arange(9)), "sample_ids"),
        (lambda x: augment.MovingAverage(4), "width"),
        (lambda x: augment.MovingAverage((3, 6)), "width"),
        (lambda x: augment.MovingAverage(3, edge="wrap"), "edge"),
        (lambda x: augment.Compose([augment.CutMix(99)])(x), "length"),
    ],
)
def test_bad_input(make, name):
    with pytest.raises(ValueError, match=rf"^{name}: .*accepted"):
        make(series(2, 3, 8))


FILTERS = [augment.FrequencyMask(rate=0.3), augment.PhaseSurrogate(), augment.MovingAverage(5)]


@pytest.mark.parametrize("operation", [*FILTERS, augment.MixUp(), augment.CutMix()])
def test_operations_run_inside_a_pipeline(operation):
    x = series(6, 3, T)
    pipeline = augment.Compose([augment.Jitter(0.1), operation, augment.TimeFlip()])
    alone = operation(augment.Jitter(0.1)(x, 2, seed=4), seed=4)
    alone = alone.x if isinstance(alone, augment.Mixed) else alone
    y, params = pipeline(x, 2, seed=4, return_params=True)
    assert torch.equal(y, alone.flip(-1))
    assert torch.equal(params.apply(x), y)
    again = augment.Parameters.from_json(params.to_json())
    assert torch.equal(again.apply(x), y)
    assert type(operation).__name__ in str(params)
    assert torch.equal(params.apply_to(x), x.flip(-1).expand(y.shape))


@pytest.mark.parametrize("operation", [augment.MixUp((0.2, 0.9)), augment.CutMix()])
def test_a_pipeline_gives_source_and_weight(operation):
    x = series(6, 3, T)
    _, source, weight = operation(x, 2, seed=1)
    _, params = augment.Compose([operation])(x, 2, seed=1, return_params=True)
    assert torch.equal(params[0]["source"].long(), source)
    assert torch.equal(params[0]["weight"].float(), weight)


def test_groups_choose_among_kernels_and_plain_operations():
    x = series(60, 2, 30)
    group = augment.OneOf([augment.FrequencyMask(rate=0.5), augment.SignFlip()])
    y, params = augment.Compose([group])(x, 1, seed=0, return_params=True)
    assert (params.acts[..., 1:].sum(-1) == 1).all()
    flipped = params.acts[0, :, 2]
    assert torch.equal(y[0, flipped], -x[flipped])
    assert 15 < int(flipped.sum()) < 45
    assert not (y[0, ~flipped] == x[~flipped]).all(-1).all(-1).any()


def test_pipelines_per_view_may_mix():
    x = series(5, 2, 20)
    weak, strong = augment.Compose([augment.Scale()]), augment.Compose([augment.MixUp()])
    y = augment.PerView([weak, strong])(x, seed=3)
    assert torch.equal(y[0], weak(x, 2, seed=3)[0])
    assert torch.equal(y[1], strong(x, 2, seed=3)[1])


@pytest.mark.parametrize("operation", FILTERS)
def test_filters_end_where_a_series_ends(operation):
    x, lengths = series(4, 2, 31), torch.tensor([31, 12, 1, 20])
    y = augment.Compose([operation])(x, 2, seed=2, lengths=lengths)
    for n, length in enumerate(lengths.tolist()):
        assert torch.equal(y[:, n, :, length:], x[n, :, length:].expand(2, 2, 31 - length))
        alone = operation(x[n : n + 1, :, :length], 2, seed=2, sample_ids=torch.tensor([n]))
        torch.testing.assert_close(y[:, n, :, :length], alone[:, 0])


@pytest.mark.parametrize("operation", [augment.MixUp(), augment.CutMix((8, 12))])
def test_mixing_leaves_what_the_partner_does_not_have(operation):
    x, lengths = series(6, 2, 31), torch.tensor([31, 12, 15, 20, 31, 13])
    y, params = augment.Compose([operation])(x, 1, seed=2, lengths=lengths, return_params=True)
    source = params[0]["source"][0].long()
    for n in range(6):
        both = int(torch.minimum(lengths[n], lengths[source[n]]))
        assert torch.equal(y[0, n, :, both:], x[n, :, both:])
        assert not torch.equal(y[0, n, :, :both], x[n, :, :both])


@pytest.mark.parametrize("edge", ["repeat", "zero", "reflect"])
@pytest.mark.parametrize("width", [3, 7, 21])
def test_moving_average_is_a_box(edge, width):
    x, half = series(3, 2, 25).double(), width // 2
    mode = {"repeat": "replicate", "zero": "constant", "reflect": "reflect"}[edge]
    padded = torch.nn.functional.pad(x, (half, half), mode=mode)
    y = augment.MovingAverage(width, edge)(x, 1, seed=0)[0]
    torch.testing.assert_close(y, padded.unfold(-1, width, 1).mean(-1))


def test_width_is_drawn_per_sample_and_a_series_may_be_shorter():
    x = series(200, 1, 4)
    _, params = augment.Compose([augment.MovingAverage((3, 9))])(x, 1, seed=0, return_params=True)
    assert params[0]["width"].unique().tolist() == [3, 5, 7, 9]
    for steps in (1, 2, 4):
        ones = torch.ones(2, 1, steps)
        for edge in ("repeat", "reflect"):
            assert (augment.MovingAverage(9, edge)(ones, 1, seed=0) == 1).all()
        y = augment.MovingAverage(9, "zero")(ones, 1, seed=0)
        torch.testing.assert_close(y[0], ones * steps / 9)


@pytest.mark.parametrize("operation", [*FILTERS, augment.MixUp(), augment.CutMix()])
def test_gradients_inside_a_pipeline(operation):
    pipeline = augment.Compose([augment.Smooth(), operation, augment.CropResize()])
    x = series(3, 2, 9).double().requires_grad_()
    torch.autograd.gradcheck(lambda x: pipeline(x, 2, seed=0), x)
    half = x.detach().bfloat16()
    expected = pipeline(half.float(), 2, seed=0).bfloat16()
    assert torch.equal(pipeline(half, 2, seed=0), expected)


def test_operations_of_kernels_draw_the_same_beside_plain_ones():
    x = series(4, 3, 30)
    with_plain = augment.Compose([augment.Jitter(), augment.FrequencyMask(p=0.0), augment.Drift()])
    without = augment.Compose([augment.Jitter(), augment.Drift()])
    assert torch.equal(with_plain(x, 2, seed=5), without(x, 2, seed=5))
