"""Preprocessing against numpy, row by row; both backends alike, to the bit."""

import numpy as np
import pytest
import torch
from cases.augment import same_bits, series, threads
from sklearn.impute import KNNImputer
from sklearn.preprocessing import StandardScaler

from tsssl_fast import preprocess
from tsssl_fast.ops.preprocess.reference.preprocess import TASKS as DEFINED
from tsssl_fast.ops.preprocess.spec import Task
from tsssl_fast.preprocess.dataset import ChannelTransform, uncorrelated_features

TASKS = {
    "constant": lambda x, **k: preprocess.fill_missing(x, method="constant", value=-1.5, **k),
    "forward": lambda x, **k: preprocess.fill_missing(x, method="forward", **k),
    "backward": lambda x, **k: preprocess.fill_missing(x, method="backward", **k),
    "both": preprocess.fill_missing,
    "linear": lambda x, **k: preprocess.fill_missing(x, method="linear", **k),
    "standardize": preprocess.standardize,
    "minmax": lambda x, **k: preprocess.minmax(x, low=-1.0, high=3.0, **k),
    "average": lambda x, **k: preprocess.moving_average(x, 5, **k),
    "average_repeat": lambda x, **k: preprocess.moving_average(x, 3, edge="repeat", **k),
    "exponential": lambda x, **k: preprocess.exponential_smoothing(x, 0.3, **k),
    "zscore": lambda x, **k: preprocess.clip_outliers(x, factor=1.0, **k),
    "iqr": lambda x, **k: preprocess.clip_outliers(x, method="iqr", factor=0.5, **k),
}

SHAPES = [(1, 1, 1), (2, 3, 2), (3, 2, 37), (2, 2, 301)]


def holed(*shape, dtype=torch.float64):
    """Series with NaN at the head, the tail, inside, and one row of NaN alone."""
    x = series(*shape, dtype=dtype)
    hole = series(*shape).flip(-1) > 0.8
    hole[0, 0, :2] = True
    hole[-1, -1] = True
    return torch.where(hole, torch.nan, x)


def rows(x):
    return x.flatten(0, 1).double().numpy()


@pytest.mark.parametrize("name", TASKS)
def test_kernel_equals_reference(name, compiled):
    for shape in SHAPES:
        for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
            infinite = series(*shape).to(dtype)
            infinite[0, 0, -1] = torch.inf
            for x in (series(*shape).to(dtype), holed(*shape).to(dtype), infinite):
                expected = TASKS[name](x, backend="reference")
                assert same_bits(TASKS[name](x, backend=compiled), expected), (shape, dtype)


@pytest.mark.parametrize("backend", ["cpp", "numba", "reference"])
@pytest.mark.parametrize("name", TASKS)
def test_padding_is_invisible(name, backend):
    x = holed(4, 2, 20)
    x[:, :, 5:] = torch.inf
    lengths = torch.tensor([1, 2, 5, 4])
    y = TASKS[name](x, lengths=lengths, backend=backend)
    for n, length in enumerate(lengths.tolist()):
        alone = TASKS[name](x[n : n + 1, :, :length], backend=backend)
        assert same_bits(y[n : n + 1, :, :length], alone)
        assert same_bits(y[n, :, length:], x[n, :, length:])


@pytest.mark.parametrize("name", TASKS)
def test_threads_strides_and_batch_do_not_matter(name):
    x = holed(40, 9, 128, dtype=torch.float32)
    with threads(1):
        expected = TASKS[name](x)
    for backend in ("cpp", "numba"):
        with threads(3):
            assert same_bits(TASKS[name](x, backend=backend), expected)
    assert same_bits(TASKS[name](x.transpose(0, 2).contiguous().transpose(0, 2)), expected)
    assert same_bits(TASKS[name](x[7:8]), expected[7:8])


def test_fills():
    x = holed(3, 2, 37)
    t = np.arange(37)
    filled = {m: rows(preprocess.fill_missing(x, method=m)) for m in ("forward_backward", "linear")}
    forward, backward = (
        rows(preprocess.fill_missing(x, method=m)) for m in ("forward", "backward")
    )
    for i, row in enumerate(rows(x)):
        known = ~np.isnan(row)
        if not known.any():
            assert all(np.isnan(f[i]).all() for f in filled.values())
            continue
        np.testing.assert_allclose(
            filled["linear"][i], np.interp(t, t[known], row[known]), atol=1e-12
        )
        last = [row[: s + 1][known[: s + 1]] for s in t]
        following = [row[s:][known[s:]] for s in t]
        for s in t:
            if len(last[s]):
                assert forward[i, s] == last[s][-1] == filled["forward_backward"][i, s]
            else:
                assert np.isnan(forward[i, s])
                assert filled["forward_backward"][i, s] == following[s][0]
            if len(following[s]):
                assert backward[i, s] == following[s][0]


def test_standardize_and_minmax():
    x = holed(3, 2, 37)
    x[1, 0] = 4.0
    for before, z, m in zip(
        rows(x),
        rows(preprocess.standardize(x)),
        rows(preprocess.minmax(x, low=-1, high=3)),
        strict=True,
    ):
        if np.isnan(before).all():
            assert np.isnan(z).all()
        elif np.nanstd(before) == 0:
            np.testing.assert_array_equal(z, np.zeros(37))
            np.testing.assert_array_equal(m, np.full(37, -1.0))
        else:
            expected = (before - np.nanmean(before)) / np.nanstd(before)
            np.testing.assert_allclose(z, expected, atol=1e-12)
            share = (before - np.nanmin(before)) / (np.nanmax(before) - np.nanmin(before))
            np.testing.assert_allclose(m, -1 + 4 * share, atol=1e-12)


@pytest.mark.parametrize("backend", ["cpp", "numba", "reference"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("unit", [2.0**-99, 2.0**99])  # 1.6e-30, 6.3e29; exact, so that bits stay
def test_standardize_knows_no_unit(unit, dtype, backend):
    x = holed(3, 2, 37, dtype=dtype)
    z = preprocess.standardize(x, backend=backend)
    assert same_bits(preprocess.standardize(x * unit, backend=backend), z)
    constant = torch.full((2, 1, 37), 0.1, dtype=dtype) * unit
    constant[1, 0, 5] = torch.nan
    z = preprocess.standardize(constant, backend=backend)
    assert z[1, 0].isnan().tolist() == [step == 5 for step in range(37)]
    assert torch.count_nonzero(z.nan_to_num()) == 0
    # What moves by less than `least_std` of its level does not; what moves by more has std 1.
    level = unit * (1 + 1e-9 * series(1, 1, 64).double())
    moved = preprocess.standardize(level, backend=backend)
    assert moved.std(correction=0).item() == pytest.approx(1)
    for least, moves in ((1e-10, True), (1e-8, False)):
        z = preprocess.standardize(level, least_std=least, backend=backend)
        assert bool(torch.count_nonzero(z)) == moves


@pytest.mark.parametrize("window", [1, 3, 9, 101])
def test_moving_average(window):
    x = series(2, 2, 37).double()
    half = window // 2
    for before, shrunk, repeated in zip(
        rows(x),
        rows(preprocess.moving_average(x, window)),
        rows(preprocess.moving_average(x, window, edge="repeat")),
        strict=True,
    ):
        expected = [before[max(t - half, 0) : t + half + 1].mean() for t in range(37)]
        np.testing.assert_allclose(shrunk, expected, atol=1e-13)
        padded = np.pad(before, half, mode="edge")
        expected = np.convolve(padded, np.ones(window) / window, mode="valid")
        np.testing.assert_allclose(repeated, expected, atol=1e-13)


def test_exponential_smoothing():
    x = series(2, 2, 37).double()
    for before, after in zip(rows(x), rows(preprocess.exponential_smoothing(x, 0.3)), strict=True):
        level, expected = before[0], []
        for value in before:
            level = 0.3 * value + 0.7 * level
            expected.append(level)
        np.testing.assert_allclose(after, expected, atol=1e-13)
    assert torch.equal(preprocess.exponential_smoothing(x, 1.0), x)


def test_clip_outliers():
    x = holed(3, 2, 301)
    z = rows(preprocess.clip_outliers(x, factor=1.2))
    q = rows(preprocess.clip_outliers(x, method="iqr", factor=0.3))
    for before, by_std, by_quartile in zip(rows(x)[:-1], z, q, strict=False):
        mean, std = np.nanmean(before), np.nanstd(before)
        expected = before.clip(mean - 1.2 * std, mean + 1.2 * std)
        np.testing.assert_allclose(by_std, expected, atol=1e-12)
        low, high = np.nanquantile(before, [0.25, 0.75])
        expected = before.clip(low - 0.3 * (high - low), high + 0.3 * (high - low))
        np.testing.assert_allclose(by_quartile, expected, atol=1e-12)
        assert not np.array_equal(by_std, before, equal_nan=True)


def test_opcheck_and_every_task_is_defined():
    assert set(DEFINED) == set(Task)
    x = series(2, 3, 9)
    for backend in ("cpp", "numba", "reference"):
        torch.library.opcheck(
            torch.ops.tsssl_fast.preprocess.default,
            (x, int(Task.STANDARDIZE), 0.0, 0.0, torch.tensor([9, 4]), backend),
        )


def test_a_scaler_is_fitted_on_the_training_set():
    train, test = series(20, 3, 30) * 5 + 2, series(6, 3, 30).flip(-1)
    scaler = ChannelTransform(StandardScaler()).fit(train)
    y = scaler.transform(train)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y.mean((0, 2)), torch.zeros(3), rtol=0, atol=1e-5)
    mean, std = train.mean((0, 2)), train.std((0, 2), correction=0)
    expected = (test - mean[:, None]) / std[:, None]
    torch.testing.assert_close(scaler.transform(test), expected, rtol=1e-5, atol=1e-5)


def test_knn_imputation_fills_a_channel_from_the_others():
    x = series(10, 1, 40).double()
    x = torch.cat([x, 2 * x], dim=1)
    missing = x.clone()
    missing[3, 1, 5:9] = torch.nan
    y = ChannelTransform(KNNImputer(n_neighbors=1)).fit(x).transform(missing)
    torch.testing.assert_close(y, x)


def test_uncorrelated_features():
    a, b = series(50, 1, 2)[:, 0].unbind(1)
    features = torch.stack([a, -2 * a + 1e-3 * b, b, torch.ones(50)], dim=1)
    assert uncorrelated_features(features).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda x: preprocess.fill_missing(x, method="median"), ValueError, "method"),
        (
            lambda x: preprocess.fill_missing(x, method="constant", value=float("nan")),
            ValueError,
            "value",
        ),
        (lambda x: preprocess.standardize(x, least_std=-1.0), ValueError, "least_std"),
        (lambda x: preprocess.minmax(x, low=1.0, high=0.0), ValueError, "low"),
        (lambda x: preprocess.moving_average(x, 4), ValueError, "window"),
        (lambda x: preprocess.moving_average(x, 2.5), TypeError, "window"),
        (lambda x: preprocess.moving_average(x, 3, edge="wrap"), ValueError, "edge"),
        (lambda x: preprocess.exponential_smoothing(x, 0.0), ValueError, "alpha"),
        (lambda x: preprocess.clip_outliers(x, method="mad"), ValueError, "method"),
        (lambda x: preprocess.clip_outliers(x, factor=0), ValueError, "factor"),
        (lambda x: preprocess.standardize(x[0]), ValueError, "x"),
        (lambda x: preprocess.standardize(x.long()), TypeError, "x"),
        (lambda x: preprocess.standardize(x, lengths=torch.tensor([1, 5])), ValueError, "lengths"),
        (lambda x: preprocess.standardize(x, lengths=torch.ones(2)), TypeError, "lengths"),
        (lambda x: preprocess.standardize(x, backend="gpu"), ValueError, "backend"),
        (lambda x: ChannelTransform(StandardScaler()).transform(x), ValueError, "x"),
        (lambda x: uncorrelated_features(x[:1, :, 0]), ValueError, "features"),
        (lambda x: uncorrelated_features(x[:, :, 0], threshold=0.0), ValueError, "threshold"),
    ],
)
def test_calls_reject(call, error, name):
    with pytest.raises(error, match=rf"^{name}[:=].*accepted"):
        call(series(2, 3, 4))
