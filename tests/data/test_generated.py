"""Generated series: a function of seed, length and number; draws with their kernel's covariance."""

import numpy as np
import pytest
import torch

from tsssl_fast.data import generated
from tsssl_fast.data.generated import events, graphs, kernels

GOLDEN = [
    [0.15589, 0.89044, -1.46347],
    [-0.47391, -0.47391, -0.47391],
    [-1.42777, -0.86409, 1.70345],
    [-0.76425, 0.59764, 0.50934],
]


def rng(seed=0):
    return np.random.Generator(np.random.Philox(seed))


def test_a_series_does_not_depend_on_what_is_asked_for_with_it():
    whole = generated(100, 64, seed=3)
    assert whole.shape == (100, 1, 64)
    assert whole.dtype == torch.float32
    for start, n in ((0, 1), (31, 2), (32, 32), (5, 90), (99, 1)):
        assert torch.equal(generated(n, 64, 3, start=start), whole[start : start + n])
    assert generated(0).shape == (0, 1, 256)
    assert not torch.equal(generated(32, 64, seed=4), whole[:32])
    assert not torch.equal(whole[:32], whole[32:64])


def test_it_is_the_series_that_the_encoder_was_trained_on():
    """To rounding, whatever the processor: another recipe needs another name of the weights."""
    found = generated(64, 256, seed=0)[[0, 7, 20, 63], 0, ::100]
    torch.testing.assert_close(found, torch.tensor(GOLDEN), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("length", [8, 33, 256])
def test_every_series_is_finite_and_standardised(length):
    x = generated(320, length, seed=1)[:, 0].double()
    assert torch.isfinite(x).all()
    # Noise of deviation 0.1 at most is added to deviation 1.
    assert x.mean(-1).abs().max() < 0.5 / length**0.5
    deviation = x.std(-1, correction=0)
    still = deviation < 0.3  # events between the steps of a short series, and their noise
    assert still.double().mean() <= (0.02 if length < 256 else 0.0)
    assert deviation[~still].min() > 0.8
    assert deviation.max() < 1.3


def test_a_seed_makes_many_kinds():
    x = generated(1280, 128, seed=0)[:, 0]
    moves = (x[:, 1:] - x[:, :-1]).std(-1)
    assert moves.quantile(0.1) < 0.3
    assert moves.quantile(0.9) > 0.9
    highest = x.amax(-1)
    assert highest.quantile(0.1) < 1.7
    assert highest.quantile(0.9) > 4.0


@pytest.mark.parametrize("name", kernels.ATOMS[:-1])
def test_draws_have_the_covariance_of_their_kernel(name):
    tau = np.arange(13) / 12
    row = kernels.stationary(name, tau, rng(1))
    x = kernels.draw(np.repeat(row[None], 40_000, 0), rng(2))
    found = x.T @ x / len(x)
    wanted = row[np.abs(np.subtract.outer(np.arange(12), np.arange(12)))]
    if np.fft.rfft(np.concatenate([row, row[-2:0:-1]])).real.min() < -1e-3 * row[0]:
        pytest.skip("not of a circulant of twice the length: approximated, as documented")
    # Five standard errors of a covariance of 40,000 draws.
    assert np.abs(found - wanted).max() < 5 * np.sqrt(2 / len(x)) * row[0]


def test_sums_and_products_of_kernels():
    """c_p of sum_p (u_s u_t)^p c_p against the same expression at every pair of steps."""
    tau = np.arange(9) / 8
    seen = set()
    for seed in range(200):
        found = kernels.kernel(tau, rng(seed))
        seen |= found.keys()
        assert all(c.shape == tau.shape for c in found.values())
        u = tau - 0.3
        apart = np.abs(np.subtract.outer(np.arange(9), np.arange(9)))
        k = sum(np.outer(u, u) ** p * c[apart] for p, c in found.items())
        assert np.linalg.eigvalsh(k).min() > -1e-9 * max(1.0, np.abs(k).max())
    assert seen == {0, 1, 2}


@pytest.mark.parametrize("name", events.SHAPES)
def test_shapes_of_events(name):
    z = np.array([-50.0, 0.0, 0.5, 50.0])
    far_before, at, near, far_after = events.shape(name, z, rng())
    assert far_before == 0 or abs(far_before) < 1e-9
    assert near != 0
    assert abs(at) <= 1
    assert far_after == (1.0 if name == "step" else pytest.approx(0.0, abs=1e-9))


def test_a_node_comes_late_by_so_many_steps():
    assert graphs.late(np.array([1.0, 2, 3, 4]), 2).tolist() == [1, 1, 1, 2]
    assert not graphs.standardized(np.full(9, 3.0)).any()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n": -1}, ValueError, "n: -1; accepted: a finite number >= 0"),
        ({"n": 2.0}, TypeError, "n: float; accepted: an integer"),
        ({"n": 1, "length": 7}, ValueError, "length: 7; accepted: a finite number >= 8"),
        (
            {"n": 1, "seed": 2**63},
            ValueError,
            r"seed: 9223372036854775808; accepted: at most 2\*\*62",
        ),
        ({"n": 1, "seed": True}, TypeError, "seed: bool; accepted: an integer"),
        ({"n": 1, "start": -3}, ValueError, "start: -3; accepted: a finite number >= 0"),
    ],
)
def test_what_is_no_number_of_series(arguments, error, message):
    with pytest.raises(error, match=message):
        generated(**arguments)
