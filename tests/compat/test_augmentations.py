"""Augmentations of tsssl_fast.compat: numbers that the libraries printed after the same seed, and
what TS-TCC's published code draws."""

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tsssl_fast.compat import torch_audiomentations as audio
from tsssl_fast.compat import ts_tcc, tsaug

X = torch.arange(1.0, 13).reshape(2, 2, 3)
SERIES = np.sin(np.arange(8.0))
DICT: dict[str, Any] = {"output_type": "dict"}

# torch-audiomentations 0.12.0 after torch.manual_seed(1), tsaug 0.2.1 with seed=3.
AUDIO = [
    ("Gain", {"p": 1.0}, [0.38343, 0.76685, 1.15028, 1.53371, 1.91714, 2.30056,
                          6.70995, 7.66852, 8.62708, 9.58565, 10.54421, 11.50277]),
    ("Shift", {"p": 1.0, "rollover": False}, [0, 0, 1, 0, 0, 4, 0, 7, 8, 0, 10, 11]),
    ("PolarityInversion", {"mode": "per_channel"}, [1, 2, 3, -4, -5, -6, -7, -8, -9, 10, 11, 12]),
    ("TimeInversion", {}, [1, 2, 3, 4, 5, 6, 9, 8, 7, 12, 11, 10]),
    ("PeakNormalization", {"mode": "per_batch", "p": 1.0}, [x / 12 for x in range(1, 13)]),
]  # fmt: skip
TSAUG = [
    ("AddNoise", {}, [0.334155, 0.923021, 0.927325, -0.207022, -0.808625, -1.025201, -0.294873,
                      0.539849]),
    ("AddNoise", {"distr": "laplace", "kind": "multiplicative"},
     [0.0, 0.886772, 0.860049, 0.141429, -0.873447, -1.109767, -0.240811, 0.599125]),
    ("Convolve", {"size": 5}, [0.210368, 0.64806, 0.700296, 0.108684, -0.582852, -0.738517,
                               -0.215192, 0.422886]),
    ("Drift", {}, [0.0, 0.878834, 1.116298, 0.477449, -0.504041, -1.098653, -0.910355, -0.277124]),
    ("Dropout", {"p": 0.5}, [0.0, 0.841471, 0.909297, 0.909297, -0.756802, -0.958924, -0.279415,
                             -0.279415]),
    ("Pool", {"size": 3}, [*[0.583589] * 3, *[-0.524869] * 3, 0.188786, 0.188786]),
    ("Quantize", {"n_levels": 4}, [0.208714, 0.67577, 0.67577, 0.208714, -0.725397, -0.725397,
                                   -0.258341, 0.67577]),
    ("Reverse", {}, SERIES[::-1]),
    ("TimeWarp", {}, [0.0, 0.842204, 0.725373, -0.635113, -0.900235, -0.874737, -0.361165,
                      0.656987]),
    ("Crop", {"size": 3}, [0.909297, 0.14112, -0.756802]),
    ("Resize", {"size": 5}, [0.0, 0.892341, -0.307841, -0.789047, 0.656987]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "expected"), AUDIO, ids=[x[0] for x in AUDIO])
def test_audio_after_the_same_seed(name: str, options: Any, expected: Any) -> None:
    torch.manual_seed(1)
    transform = getattr(audio, name)(**options, **DICT)
    found = transform(X).samples
    torch.testing.assert_close(found.flatten(), torch.tensor(expected).float(), rtol=2e-5, atol=0)
    transform.freeze_parameters()
    assert torch.equal(transform(X).samples, found)
    transform.eval()
    assert transform(X).samples is X


@pytest.mark.parametrize(("name", "options", "expected"), TSAUG, ids=[x[0] for x in TSAUG])
def test_tsaug_with_the_same_seed(name: str, options: Any, expected: Any) -> None:
    augmenter = getattr(tsaug, name)(**options, seed=3)
    np.testing.assert_allclose(augmenter.augment(SERIES), expected, atol=1e-6)
    many = (augmenter * 2).augment(np.stack([SERIES, SERIES[::-1]])[..., None])
    assert many.shape == (4, len(expected), 1)


def test_audio_modes_gradients_and_targets() -> None:
    x = torch.randn(4, 3, 6, requires_grad=True)
    for mode, units in (("per_batch", 1), ("per_example", 4), ("per_channel", 12)):
        for p_mode in audio.interface.MODES[: audio.interface.MODES.index(mode) + 1]:
            found = audio.Gain(mode=mode, p=1.0, p_mode=p_mode, **DICT)(x).samples
            assert len((found / x).flatten(0, 1).mean(1).mul(1e4).round().unique()) == units
    (found,) = torch.autograd.grad(found.sum(), x)
    assert (found > 0).all()
    targets = torch.arange(4 * 3 * 2.0).reshape(4, 3, 2, 1)
    y = audio.TimeInversion(p=1.0, **DICT)(x, sample_rate=3, targets=targets, target_rate=1)
    assert torch.equal(y.targets, targets.flip(2))
    assert (y.sample_rate, y["target_rate"]) == (3, 1)
    same = torch.arange(3.0).expand(2, 4, 3).mT
    shuffle = audio.ShuffleChannels(p=1.0, **DICT)
    y = shuffle(same, sample_rate=3, targets=same[..., None], target_rate=3)
    assert torch.equal(y.samples, y.targets[..., 0])
    assert torch.equal(y.samples.sort(1).values, same)


def test_audio_shift_moves_as_said() -> None:
    x = torch.arange(1.0, 7).expand(3, 2, 6)
    for unit, low, rate in (("samples", 2, None), ("fraction", 1 / 3, None), ("seconds", 0.5, 4)):
        for rollover, head in ((True, x[..., 4:]), (False, torch.zeros(3, 2, 2))):
            shift = audio.Shift(low, low, unit, rollover, p=1.0, **DICT)
            expected = torch.cat([head, x[..., :4]], dim=2)
            assert torch.equal(shift(x, sample_rate=rate).samples, expected)


def test_audio_compositions() -> None:
    flip, minus = audio.TimeInversion(p=1.0, **DICT), audio.PolarityInversion(p=1.0, **DICT)
    both = audio.Compose([flip, minus, nn.Softsign()], **DICT)
    torch.testing.assert_close(both(X).samples, nn.functional.softsign(-X.flip(2)))
    one = audio.OneOf([flip, minus], p=0.5, **DICT)
    seen = {tuple(one(X).samples.flatten().tolist()) for _ in range(60)}
    assert seen == {tuple(y.flatten().tolist()) for y in (X, -X, X.flip(2))}
    random.seed(0)
    some = audio.SomeOf((1, None), [flip, minus], p=0.5, **DICT)
    some.freeze_parameters()
    assert len({tuple(some(X).samples.flatten().tolist()) for _ in range(20)}) == 1
    some.unfreeze_parameters()
    assert len({tuple(some(X).samples.flatten().tolist()) for _ in range(60)}) == 4


def test_audio_warns_as_the_library() -> None:
    with pytest.warns(FutureWarning, match="output_type"):
        audio.Gain()
    with pytest.warns(DeprecationWarning, match="output_type"):
        audio.Compose([], output_type="tensor")


def test_audio_refuses_by_name() -> None:
    for name, instead in (("LowPassFilter", "Smooth"), ("AddColoredNoise", "RandomNoise")):
        with pytest.raises(NotImplementedError, match=f"{name}: not implemented; .*{instead}"):
            getattr(audio, name)
    for error, said, call in (
        (RuntimeError, "samples", lambda: audio.Gain(**DICT)(X[0])),
        (RuntimeError, "sample_rate", lambda: audio.Shift(shift_unit="seconds", **DICT)(X)),
        (ValueError, "max_gain_in_db", lambda: audio.Gain(6.0, 6.0, **DICT)),
        (ValueError, "shift_unit", lambda: audio.Shift(shift_unit="steps", **DICT)),
        (AssertionError, "p_mode", lambda: audio.Gain(p_mode="per_channel", **DICT)),
        (audio.ModeNotSupportedException, "mode", lambda: audio.ShuffleChannels("per_batch")),
        (ValueError, "p_mode", lambda: audio.Compose([], p_mode="per_example", **DICT)),
        (AssertionError, "num_transforms", lambda: audio.SomeOf(2, [nn.Identity()], **DICT)),
    ):
        with pytest.raises(error, match=said):
            call()
    shift = audio.Shift(p=1.0, **DICT)
    with (
        pytest.warns(UserWarning, match="targets: Shift"),
        pytest.raises(NotImplementedError, match=r"targets.*TimeShift"),
    ):
        shift(X, sample_rate=3, targets=X[..., None], target_rate=3)


def test_tsaug_masks_pipes_and_probability() -> None:
    x, mask = np.random.default_rng(0).normal(size=(50, 30, 2)), np.zeros((50, 30), dtype=int)
    mask[:, 10:] = 1
    pipe = tsaug.Crop(20, resize=30, seed=1) + (tsaug.Reverse() @ 0.5 + tsaug.TimeWarp() * 2)
    new, moved = pipe.augment(x, mask)
    assert (new.shape, moved.shape) == ((100, 30, 2), (100, 30))
    assert set(np.unique(moved)) <= {0, 1}
    x = np.arange(8.0).reshape(1, 8).repeat(400, 0)
    turned = (tsaug.Reverse(seed=0) @ 0.3).augment(x)[:, 0] == 7
    assert 90 < turned.sum() < 150
    warped = tsaug.TimeWarp(max_speed_ratio=4.0, seed=2).augment(x)
    assert (np.diff(warped, axis=1) > 0).all()
    assert np.allclose(warped[:, [0, -1]], x[:, [0, -1]])
    same = tsaug.TimeWarp(max_speed_ratio=1, seed=2).augment(x)
    np.testing.assert_allclose(same, x, atol=1e-12)


def test_tsaug_refuses_by_name() -> None:
    for error, said, call in (
        (NotImplementedError, "how='kmeans'", lambda: tsaug.Quantize(how="kmeans")),
        (NotImplementedError, "summary", (tsaug.Reverse() + tsaug.Reverse()).summary),
        (ValueError, "size", lambda: tsaug.Crop(9).augment(SERIES)),
        (ValueError, "resize", lambda: tsaug.Crop((2, 5)).augment(SERIES)),
        (RuntimeError, "prob", lambda: tsaug.Crop(3, prob=0.5, repeats=2).augment(SERIES)),
        (TypeError, "prob", lambda: tsaug.Reverse(prob=0.0)),
        (TypeError, "X", lambda: tsaug.Reverse().augment([1.0, 2.0])),
        (ValueError, "Y", lambda: tsaug.Reverse().augment(SERIES, SERIES[:3])),
        (ValueError, "p: 2", lambda: tsaug.Dropout(p=2)),
    ):
        with pytest.raises(error, match=said):
            call()


def test_ts_tcc_draws_what_its_code_draws() -> None:
    x = torch.randn(200, 3, 40)
    ratios = SimpleNamespace(jitter_scale_ratio=1.1, max_seg=8, jitter_ratio=0.8)
    np.random.seed(0)  # noqa: NPY002
    weak, strong = ts_tcc.DataTransform(x, SimpleNamespace(augmentation=ratios))
    assert (type(weak), weak.dtype, strong.dtype) == (np.ndarray, np.float64, torch.float64)
    np.random.seed(0)  # noqa: NPY002
    again = ts_tcc.DataTransform(x.numpy(), SimpleNamespace(augmentation=ratios))
    assert np.array_equal(again[0], weak)
    assert torch.equal(again[1], strong)
    factor = weak / x.double().numpy()
    np.testing.assert_allclose(factor, factor[:, :1].repeat(3, 1), rtol=1e-9)
    assert abs(factor[:, 0].mean() - 2) < 0.05
    assert abs(factor[:, 0].std() - 1.1) < 0.05
    noise = ts_tcc.jitter(x, 0.8) - x
    assert abs(float(noise.std()) - 0.8) < 0.02


@pytest.mark.parametrize("seg_mode", ["random", "equal"])
def test_ts_tcc_permutes_channel_0(seg_mode: str) -> None:
    x = torch.randn(300, 2, 12)
    y = ts_tcc.permutation(x, 5, seg_mode)
    assert y.dtype == x.dtype
    whole = (y == x).all(dim=(1, 2))
    assert 50 < whole.sum() < 130  # of one segment, a quarter, or in order
    moved = y[~whole]
    assert torch.equal(moved[:, 0], moved[:, 1])
    assert torch.equal(moved[:, 0].sort(1).values, x[~whole, 0].sort(1).values)
    with pytest.raises(ValueError, match="max_segments: 1"):
        ts_tcc.permutation(x, 1)
