"""Operations of biosignals and irregular series against numpy and scipy."""

import json
import math

import numpy as np
import pytest
import torch
from cases.augment import series
from scipy import signal, stats

from tsssl_fast import augment
from tsssl_fast.augment import presets

RATE, T = 100.0, 60
OPERATIONS = {
    "band_stop": augment.BandStop(RATE, centre=(5.0, 40.0), width=(4.0, 8.0)),
    "band_pass": augment.BandPass(RATE, low=(1.0, 5.0), high=(20.0, 45.0)),
    "frequency_shift": augment.FrequencyShift(RATE, shift=5.0),
    "baseline_wander": augment.BaselineWander(RATE),
    "powerline_hum": augment.PowerlineHum(RATE, magnitude=(0.1, 0.5)),
    "coloured_noise": augment.ColouredNoise(magnitude=(0.1, 0.5)),
    "tapered_mask": augment.TaperedMask(length=(0.1, 0.5)),
    "tapered_mask_steps": augment.TaperedMask(length=(5, 9), taper=0.5),
    "channel_swap": augment.ChannelSwap([(0, 3), (1, 2)]),
    "rereference": augment.Rereference(),
    "rereference_channel": augment.Rereference("channel"),
    "band_roll": augment.BandRoll(2),
    "renormalise": augment.Renormalise(),
    "observation_dropout": augment.ObservationDropout(0.3),
    "observation_dropout_steps": augment.ObservationDropout(0.3, per_channel=False),
    "jittered_stamps": augment.JitteredStamps((0.1, 0.5)),
}


def run(name, n=6, steps=T):
    """x (N, 4, T) and one view of it as float64 arrays, and the slots of the operation."""
    x = series(n, 4, steps).double()
    y, params = OPERATIONS[name](x, 1, seed=3, return_params=True)
    return x.numpy(), y[0].numpy(), {k: v[0].numpy() for k, v in params[0].items()}


def test_bands_are_numpys_fourier_transform():
    f = np.fft.rfftfreq(T, 1 / RATE)
    for name in ("band_stop", "band_pass"):
        x, y, slots = run(name)
        for n in range(6):
            if name == "band_stop":
                gone = np.abs(f - RATE * slots["centre"][n]) <= RATE * slots["width"][n] / 2
                gone &= f != 0
            else:
                gone = (f < RATE * slots["bottom"][n]) | (f > RATE * slots["top"][n])
            expected = np.fft.irfft(np.where(gone, 0, np.fft.rfft(x[n])), T)
            np.testing.assert_allclose(y[n], expected, atol=1e-12)
            assert 0 < gone.sum() < len(f)


@pytest.mark.parametrize("steps", [T, T + 1])
def test_frequency_shift_is_scipys_hilbert(steps):
    x, y, slots = run("frequency_shift", steps=steps)
    for n in range(6):
        shift = slots["shift"][n]
        assert abs(shift * RATE) <= 5
        expected = np.real(signal.hilbert(x[n]) * np.exp(2j * np.pi * shift * np.arange(steps)))
        np.testing.assert_allclose(y[n], expected, atol=1e-12)
    # A sine of 10 Hz becomes one of 15.
    t = torch.arange(200, dtype=torch.float64) / RATE
    wave = torch.sin(2 * math.pi * 10 * t)[None, None]
    moved = augment.FrequencyShift(RATE, shift=(5.0, 5.0))(wave, seed=0)[0, 0]
    np.testing.assert_allclose(moved, torch.sin(2 * math.pi * 15 * t), atol=1e-9)


@pytest.mark.parametrize("name", ["baseline_wander", "powerline_hum"])
def test_sines_are_added(name):
    x, y, slots = run(name)
    for n in range(6):
        turns = slots["values"][n][:, None] + slots["frequency"][n] * np.arange(T)
        wave = np.sin(2 * np.pi * turns)
        expected = x[n] + slots["magnitude"][n] * x[n].std(1, keepdims=True) * wave
        np.testing.assert_allclose(y[n], expected, atol=1e-9)
    hertz = slots["frequency"] * RATE
    assert (
        ((hertz >= 0.05) & (hertz <= 0.5)).all()
        if name == "baseline_wander"
        else (hertz == 50).all()
    )


def test_coloured_noise_has_its_size_and_slope():
    for exponent in (0.0, 1.0, 2.0):
        x = torch.randn(64, 1, 1024, dtype=torch.float64)
        noisy = augment.ColouredNoise(0.5, exponent)(x, seed=2)
        noise = (noisy - x).numpy()
        size = 0.5 * x.numpy().std(2)
        np.testing.assert_allclose(noise.std(2), size, rtol=1e-9)
        np.testing.assert_allclose(noise.mean(2), 0, atol=1e-12)
        power = (np.abs(np.fft.rfft(noise))[:, 0, 1:-1] ** 2 / size**2).mean(0)
        slope = np.polyfit(np.log(np.arange(1, 512)), np.log(power), 1)[0]
        assert slope == pytest.approx(-exponent, abs=0.1)
    flat = augment.ColouredNoise(0.5)(torch.ones(2, 1, 9), seed=0)
    assert torch.equal(flat, torch.ones(2, 1, 9))


def test_tapered_mask_is_a_loop():
    for name, taper in (("tapered_mask", 0.25), ("tapered_mask_steps", 0.5)):
        x, y, slots = run(name)
        for n in range(6):
            length, start = int(slots["length"][n]), int(slots["start"][n])
            ramp = math.floor(taper * (length - 1))
            left = np.ones(T)
            for k in range(length):
                depth = min(k + 1, length - k)
                left[start + k] = (1 + math.cos(math.pi * min(1, depth / (ramp + 1)))) / 2
            np.testing.assert_allclose(y[n], x[n] * left, atol=1e-14)
            assert left.min() == 0
    hard = augment.TaperedMask(length=10, taper=0.0)(series(5, 2, T), seed=1)
    assert ((hard == 0).sum(-1) == 10).all()


def test_channels_swap_roll_and_get_another_reference():
    x, y, _ = run("channel_swap")
    assert np.array_equal(y, x[:, [3, 2, 1, 0]])
    x, y, _ = run("rereference")
    np.testing.assert_allclose(y, x - x.mean(1, keepdims=True), atol=1e-15)
    x, y, slots = run("rereference_channel", n=200)
    for n, channel in enumerate(slots["channel"].astype(int)):
        assert np.array_equal(y[n], x[n] - x[n, channel])
    assert stats.chisquare(np.bincount(slots["channel"].astype(int))).pvalue > 0.01
    x, y, slots = run("band_roll", n=60)
    for n, shift in enumerate(slots["shift"].astype(int)):
        rings = [np.roll(x[n, ring : ring + 2], shift, axis=0) for ring in (0, 2)]
        assert np.array_equal(y[n], np.concatenate(rings))
    assert set(slots["shift"]) == {-1, 0, 1}


def test_labels_follow_the_channels():
    labels = torch.arange(4)[:, None].expand(6, 4, T)
    for name in ("channel_swap", "band_roll"):
        x = series(6, 4, T)
        _, params = OPERATIONS[name](x, 1, seed=3, return_params=True)
        moved = params.apply_to(labels)[0].numpy()
        own = OPERATIONS[name](labels.double(), seed=3).numpy()
        assert np.array_equal(moved, own)


def test_renormalise():
    x, y, _ = run("renormalise")
    np.testing.assert_allclose(y, stats.zscore(x, axis=2), atol=1e-12)
    flat = augment.Renormalise()(torch.full((1, 1, 7), 3.0), seed=0)
    assert torch.equal(flat, torch.zeros(1, 1, 7))


def test_observations_vanish_at_their_rate():
    x = series(200, 4, T).double()
    y = OPERATIONS["observation_dropout"](x, 1, seed=3)[0]
    gone = y.isnan()
    assert torch.equal(y[~gone], x[~gone])
    assert stats.binomtest(int(gone.sum()), gone.numel(), 0.3).pvalue > 0.01
    assert not torch.equal(gone[:, 0], gone[:, 1])
    gone = OPERATIONS["observation_dropout_steps"](x, seed=3).isnan()
    assert torch.equal(gone, gone[:, :1].expand_as(gone))


def test_jittered_stamps_read_between_steps():
    ramp = torch.arange(T, dtype=torch.float64).expand(50, 4, T)
    y, params = OPERATIONS["jittered_stamps"](ramp, 1, seed=3, return_params=True)
    moved = (y[0] - ramp)[..., 1:-1]
    size = params[0]["magnitude"][0][:, None, None]
    assert (moved.abs() <= size).all()
    assert stats.kstest((moved / size)[:, 0].flatten().numpy(), "uniform", (-1, 2)).pvalue > 0.01
    assert torch.equal(y[0, :, 0], y[0, :, 3])
    assert (y[0].diff(dim=-1) >= 0).all()
    x = series(50, 4, T).double()
    z = OPERATIONS["jittered_stamps"](x, seed=3).numpy()
    for n in range(50):
        for c in range(4):
            expected = np.interp(y[0, n, c].numpy(), np.arange(T), x[n, c].numpy())
            np.testing.assert_allclose(z[n, c], expected, atol=1e-12)


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_contract_of_every_operation(name):
    """A function of the sample, replayed, by lengths, in a group, its derivative, 16 bits."""
    operation, x = OPERATIONS[name], series(6, 4, T)
    batch, params = operation(x, 2, seed=5, epoch=1, return_params=True)
    close = {"rtol": 0, "atol": 1e-5, "equal_nan": True}
    for i in (0, 4):
        one = operation(x[i], 2, seed=5, epoch=1, sample_id=i)
        torch.testing.assert_close(one, batch[:, i], **close)
    torch.testing.assert_close(params.apply(x), batch, rtol=0, atol=0, equal_nan=True)
    again = augment.Parameters.from_json(json.dumps(params.to_dict()))
    torch.testing.assert_close(again.apply(x), batch, rtol=0, atol=0, equal_nan=True)
    lengths = torch.tensor([60, 7, 1, 30, 60, 13])  # 7, 1: shorter than a window of 9 steps
    padded = operation(x, seed=5, lengths=lengths)
    for i, length in enumerate(lengths.tolist()):
        assert torch.equal(padded[i, :, length:], x[i, :, length:])
        if name == "tapered_mask_steps" and length < 9:
            continue
        alone = operation(x[i, :, :length], seed=5, sample_id=i)
        torch.testing.assert_close(padded[i, :, :length], alone, **close)
    group = augment.OneOf([operation, augment.Identity()], p=0.9)
    mixed, drawn = group(x, 4, seed=5, return_params=True)
    stays = ~drawn.acts[..., 1]
    assert torch.equal(mixed[stays], x.expand(4, *x.shape)[stays])
    if "dropout" not in name:
        given = x[:2, :, :9].double().requires_grad_()
        relative = ("wander", "hum", "noise", "renormalise")
        if not any(word in name for word in relative):  # their deviation counts as constant
            assert torch.autograd.gradcheck(lambda v: operation(v, seed=1), given)
    half = operation(x.bfloat16(), seed=5)
    assert half.dtype == torch.bfloat16
    wide = operation(x.bfloat16().float(), seed=5)
    torch.testing.assert_close(half, wide.bfloat16(), rtol=0, atol=0, equal_nan=True)


def test_segments_come_from_series_of_the_class():
    labels = torch.tensor([0, 1, 0, -1, 1, 0, 2])
    x = torch.arange(7.0)[:, None, None].expand(7, 2, 11) + torch.arange(11) / 100
    recombine = augment.SegmentRecombination(3)
    counts = torch.zeros(7, 7)
    for seed in range(300):
        y = recombine(x, labels, seed=seed)
        rows = y.floor().long()
        torch.testing.assert_close(y - rows, x - x.floor(), rtol=0, atol=1e-5)  # at their places
        assert torch.equal(rows[:, 0], rows[:, 1])
        for k in range(3):
            piece = rows[:, 0, k * 11 // 3 : (k + 1) * 11 // 3]
            assert (piece == piece[:, :1]).all()
            counts[torch.arange(7), piece[:, 0]] += 1
    same = (labels[:, None] == labels) & (labels[:, None] >= 0) | torch.eye(7, dtype=torch.bool)
    assert not counts[~same].any()
    for row in (0, 1, 2, 4, 5):
        assert stats.chisquare(counts[row][same[row]].numpy()).pvalue > 0.001
    ids = torch.tensor([9, 4, 7, 1, 2, 3, 8])
    assert not torch.equal(
        recombine(x, labels, seed=0, sample_ids=ids), recombine(x, labels, seed=0)
    )
    for arguments, error, message in (
        ((x, labels.float()), TypeError, "labels: torch.float32; accepted: an int64"),
        ((x, labels[:3]), ValueError, r"labels: shape \(3,\); accepted: \(7,\), as x"),
        ((x[..., :2], labels), ValueError, "segments: 3; accepted: up to the 2 steps"),
    ):
        with pytest.raises(error, match=message):
            recombine(*arguments, seed=0)


def test_presets_run_and_lack_what_the_rate_can_not_carry():
    x = series(4, 8, 200)
    for pipeline in (
        presets.eeg(250.0, pairs=[(0, 1), (2, 3)]),
        presets.eeg(64.0),
        presets.ecg(500.0, mains=60.0),
        presets.ecg(50.0),
        presets.emg(2000.0, size=8),
        presets.emg(200.0),
    ):
        y = pipeline(x, 2, seed=1)
        assert torch.isfinite(y).all()
        assert not torch.equal(y[0], y[1])
    names = [type(t).__name__ for t in presets.ecg(50.0)]
    assert "PowerlineHum" not in names
    assert "PowerlineHum" in [type(t).__name__ for t in presets.ecg(500.0)]
    y = presets.irregular(0.5)(x, 2, seed=1)
    assert 0.4 < y.isnan().float().mean() < 0.6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: augment.BandStop(0.0), "rate: 0"),
        (lambda: augment.BandStop(50.0), r"centre: 40 Hz; accepted: up to half of rate = 50, 25 H"),
        (lambda: augment.BandStop(RATE, width=0.0), "width: 0"),
        (lambda: augment.BandPass(RATE, low=(1.0, 30.0), high=(20.0, 40.0)), r"high: .* above low"),
        (lambda: augment.BandPass(RATE, high=60.0), "high: 60 Hz"),
        (lambda: augment.FrequencyShift(RATE, shift=60.0), "shift: 60"),
        (lambda: augment.PowerlineHum(60.0), "frequency: 50 Hz; accepted: up to half of rate"),
        (lambda: augment.ColouredNoise(exponent=5.0), "exponent: 5"),
        (lambda: augment.TaperedMask(taper=0.6), "taper: 0.6"),
        (lambda: augment.ChannelSwap([(0, 0)]), r"pairs: \[\(0, 0\)\]; accepted: every channel"),
        (lambda: augment.ChannelSwap([(0,)]), "pairs: .* 1 to 15 pairs"),
        (lambda: augment.ChannelSwap([]), "pairs: .* 1 to 15 pairs"),
        (
            lambda: augment.ChannelSwap([(0, 9)])(series(1, 4, 9)),
            "pairs: channel 9; accepted",
        ),
        (lambda: augment.Rereference("ear"), "reference: 'ear'"),
        (lambda: augment.BandRoll(4, shift=3), "shift: 3"),
        (lambda: augment.BandRoll(3)(series(1, 4, 9)), "size: 3; accepted: a divisor of C = 4"),
        (lambda: augment.JitteredStamps(0.7), "magnitude: 0.7"),
        (lambda: augment.SegmentRecombination(1), "segments: 1"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
