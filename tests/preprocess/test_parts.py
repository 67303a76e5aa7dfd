"""Trailing windows, removal of series, seasonal decomposition, wavelets: against loops, pandas."""

import numpy as np
import pandas as pd
import pytest
import torch

from tsssl_fast import preprocess
from tsssl_fast.preprocess.dataset import inlying_series


def test_a_trailing_window_is_pandas_rolling() -> None:
    x = torch.arange(1.0, 8)[None, None]
    assert preprocess.moving_average(x, 5, align="trailing")[0, 0, 4] == 3.0
    torch.manual_seed(0)
    x = torch.randn(2, 3, 20, dtype=torch.float64)
    for window, least in ((4, 1), (5, 5), (30, 2), (1, None)):
        found = preprocess.moving_average(x, window, align="trailing", min_periods=least)
        for n in range(2):
            table = pd.DataFrame(x[n].T.numpy())
            expected = table.rolling(window, min_periods=least or 1).mean().to_numpy().T
            np.testing.assert_allclose(found[n].numpy(), expected, atol=1e-12)
    lengths = torch.tensor([7, 20])
    found = preprocess.moving_average(x, 4, align="trailing", lengths=lengths)
    assert torch.equal(found[0, :, 7:], x[0, :, 7:])
    later = x.clone()
    later[..., 10:] += 1
    ahead = preprocess.moving_average(later, 4, align="trailing")
    assert torch.equal(ahead[..., :10], preprocess.moving_average(x, 4, align="trailing")[..., :10])


def test_series_with_outliers_are_found() -> None:
    torch.manual_seed(0)
    x = torch.randn(40, 2, 30).double()
    x[3, 1, 5], x[7, 0, 0], x[9, 0, 1] = 50.0, -40.0, torch.nan
    for method, factor in (("zscore", 6.0), ("iqr", 4.0)):
        keep = inlying_series(x, method=method, factor=factor)
        assert (~keep).nonzero()[:, 0].tolist() == [3, 7]
    table = x.transpose(1, 2).reshape(-1, 2).numpy()
    border = np.nanmean(table, 0) + 3 * np.nanstd(table, 0), np.nanmean(table, 0)
    high = (np.abs(x.numpy() - border[1][:, None]) > (border[0] - border[1])[:, None]).any((1, 2))
    assert inlying_series(x).tolist() == (~high).tolist()
    assert not inlying_series(100 + x[:5], reference=x).any()
    with pytest.raises(ValueError, match="reference: 1 channels; accepted: 2"):
        inlying_series(x, reference=x[:, :1])


@pytest.mark.parametrize("period", [12, 7])
def test_the_season_of_a_sine(period: int) -> None:
    torch.manual_seed(0)
    t = torch.arange(120.0)
    sine = torch.sin(2 * torch.pi * t / period)
    x = (sine + 0.05 * t + 0.1 * torch.randn(2, 1, 120)).float()
    parts = preprocess.seasonal_decompose(x, period)
    assert (sum(parts) - x).abs().max() < 1e-6 * x.abs().max()
    for row in parts.seasonal[:, 0]:
        assert torch.corrcoef(torch.stack([row, sine]))[0, 1] > 0.99
    assert (parts.trend[:, 0] - 0.05 * t).abs().max() < 0.25
    # As the classical definition has it, in plain loops.
    y, half = x[0, 0].double().tolist(), period // 2
    weights = [0.5, *[1.0] * (period - 1), 0.5] if period % 2 == 0 else [1.0] * period
    trend = {
        i: sum(w * y[i - half + j] for j, w in enumerate(weights)) / period
        for i in range(half, 120 - half)
    }
    assert parts.trend[0, 0, 50].item() == pytest.approx(trend[50], abs=1e-5)
    phases = [np.mean([y[i] - trend[i] for i in trend if i % period == p]) for p in range(period)]
    expected = [phases[i % period] - np.mean(phases) for i in range(120)]
    assert parts.seasonal[0, 0].tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", preprocess.WAVELETS)
def test_wavelets_go_there_and_back(kind: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 64)
    parts = preprocess.wavelet(x, kind=kind, levels=3)
    assert [p.shape[2] for p in parts] == [8, 8, 16, 32]
    assert (preprocess.inverse_wavelet(parts, kind=kind) - x).abs().max() < 1e-6
    wide = preprocess.wavelet(x.double(), kind=kind, levels=3)
    assert (preprocess.inverse_wavelet(wide, kind=kind) - x.double()).abs().max() < 1e-12
    assert sum(p.square().sum() for p in wide).item() == pytest.approx(x.double().square().sum())
    # A constant has no detail; of db2 neither has a slope, but at the seam.
    flat = preprocess.wavelet(torch.ones(1, 1, 16), kind=kind)
    assert flat[1].abs().max() < 1e-6
    if kind == "db2":
        slope = preprocess.wavelet(torch.arange(16.0)[None, None], kind=kind)
        assert slope[1][..., :-1].abs().max() < 1e-5
    else:
        a = x[0, 0].tolist()
        half = preprocess.wavelet(x, kind=kind)
        for i in range(32):
            assert half[0][0, 0, i].item() == pytest.approx((a[2 * i] + a[2 * i + 1]) / 2**0.5)
            detail = (a[2 * i] - a[2 * i + 1]) / 2**0.5
            assert half[1][0, 0, i].item() == pytest.approx(detail, abs=1e-6)


BAD = {
    "align: 'left'": lambda x: preprocess.moving_average(x, 3, align="left"),
    "min_periods: 2 with align='centred'": lambda x: preprocess.moving_average(x, 3, min_periods=2),
    "min_periods: 4": lambda x: preprocess.moving_average(x, 3, align="trailing", min_periods=4),
    "edge: 'repeat' with": lambda x: preprocess.moving_average(
        x, 3, align="trailing", edge="repeat"
    ),
    "period: 11; accepted: 2 to 10": lambda x: preprocess.seasonal_decompose(x, 11),
    "levels: 3 of 20 steps": lambda x: preprocess.wavelet(x, levels=3),
    "kind: 'db9'": lambda x: preprocess.wavelet(x, kind="db9"),
    "parts: ": lambda x: preprocess.inverse_wavelet([x, x[..., :5]]),
    "factor: 0": lambda x: inlying_series(x, factor=0),
}


@pytest.mark.parametrize("words", BAD)
def test_errors_name_the_argument(words: str) -> None:
    with pytest.raises(ValueError, match=words):
        BAD[words](torch.randn(2, 1, 20))
