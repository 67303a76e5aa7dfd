"""The operations beyond SimCLR-TS against plain numpy, with the parameters that were drawn."""

import dataclasses
import re

import numpy as np
import pytest
import torch
from cases.augment import ROTATION, same_bits, series

from tsssl_fast import augment

T = 50


def cases(transform, shape=(6, 3, T)):
    """(series, view, parameters by name, values) of every view and sample, in float64."""
    x = series(*shape).double()
    y, params = augment.Compose([transform])(x, 2, seed=0, return_params=True)
    given = params[0]
    assert given["acts"].all()
    for v in range(2):
        for n in range(shape[0]):
            named = {k: float(u[v, n]) for k, u in given.items() if k not in ("acts", "values")}
            yield x[n].numpy(), y[v, n].numpy(), named, given["values"][v, n].numpy()


def interpolated(x, position):
    return np.stack([np.interp(position, np.arange(x.shape[1]), row) for row in x])


def test_channel_flip():
    for x, y, _, _ in cases(augment.ChannelFlip()):
        np.testing.assert_array_equal(y, x[::-1])


def test_bidirectional_flip_is_the_printed_formula():
    upsilon, gamma = np.eye(T)[::-1], np.eye(3)[::-1]
    for x, y, _, _ in cases(augment.BidirectionalFlip()):
        np.testing.assert_array_equal(y, gamma @ x @ upsilon)


def test_channel_permutation():
    orders = set()
    for x, y, _, order in cases(augment.ChannelPermutation(), (60, 3, 5)):
        np.testing.assert_array_equal(y, x[order.astype(int)])
        orders.add(tuple(order))
    assert len(orders) == 6


def test_sign_flip_per_channel():
    for x, y, _, flags in cases(augment.SignFlip(per_channel=True)):
        np.testing.assert_array_equal(y, np.where(flags[:, None] != 0, -x, x))


@pytest.mark.parametrize("share", [0.4, (0.1, 1.0)])
def test_blockout_literal_is_equation_8(share):
    for x, y, named, _ in cases(augment.Blockout(share, form="literal"), (6, 9, T)):
        side = int(named["length"]) - 1  # lambda m; the ends are included
        assert named["channels"] == min(side + 1, 9)
        k, start = int(named["first_channel"]), int(named["start"])
        expected = x.copy()
        for i in range(9):
            for j in range(T):
                if k <= i <= k + side and start <= j <= start + side:
                    expected[i, j] = 0
        np.testing.assert_array_equal(y, expected)


def test_blockout_of_channels_with_mean():
    for x, y, named, _ in cases(augment.Blockout(0.3, fill="mean", channels=(1, 2))):
        first, start = int(named["first_channel"]), int(named["start"])
        rows = slice(first, first + int(named["channels"]))
        columns = slice(start, start + int(named["length"]))
        expected = x.copy()
        expected[rows, columns] = x[rows].mean(1, keepdims=True)
        np.testing.assert_allclose(y, expected, atol=1e-14)


def test_random_crop():
    for x, y, named, _ in cases(augment.RandomCrop((0.2, 0.9), fill=2.0)):
        keep = slice(int(named["start"]), int(named["start"] + named["length"]))
        expected = np.full_like(x, 2.0)
        expected[:, keep] = x[:, keep]
        np.testing.assert_array_equal(y, expected)


def test_channel_dropout():
    for x, y, _, flags in cases(augment.ChannelDropout(0.5, fill=3.0)):
        np.testing.assert_array_equal(y, np.where(flags[:, None] != 0, 3.0, x))


@pytest.mark.parametrize("per_channel", [False, True])
def test_scale(per_channel):
    for x, y, _, factors in cases(augment.Scale((0.5, 1.5), per_channel=per_channel)):
        np.testing.assert_array_equal(y, x * factors[:, None])
        assert (factors >= 0.5).all()
        assert (factors < 1.5).all()
        assert (np.unique(factors).size == 3) == per_channel


def test_scale_normal_has_mean_one_and_the_deviation_given():
    table = augment.Compose([augment.Scale(magnitude=0.1, per_channel=True)]).sample(
        4000, 3, 1, views=1, seed=0
    )
    factors = table[0]["values"].flatten()
    assert abs(factors.mean() - 1) < 0.004
    assert abs(factors.std() - 0.1) < 0.003


def test_time_scale():
    for x, y, named, _ in cases(augment.TimeScale((0.5, 2.0))):
        position = np.minimum(np.arange(T) * named["speed"], T - 1)
        np.testing.assert_allclose(y, interpolated(x, position), atol=1e-12)


def test_time_scale_with_zeros():
    for x, y, named, _ in cases(augment.TimeScale((0.5, 2.0), edge="zero")):
        position = np.arange(T) * named["speed"]
        expected = np.where(position > T - 1, 0, interpolated(x, np.minimum(position, T - 1)))
        np.testing.assert_allclose(y, expected, atol=1e-12)


@pytest.mark.parametrize("edge", ["wrap", "repeat", "zero"])
@pytest.mark.parametrize("shift", [0.5, (-60, 60), 3])
def test_time_shift(edge, shift):
    for x, y, named, _ in cases(augment.TimeShift(shift, edge)):
        source = np.arange(T) - int(named["shift"])
        if edge == "wrap":
            expected = np.roll(x, int(named["shift"]), axis=1)
        else:
            expected = x[:, source.clip(0, T - 1)]
            if edge == "zero":
                expected = np.where((source < 0) | (source >= T), 0, expected)
        np.testing.assert_array_equal(y, expected)


def test_time_shift_of_one_value_goes_both_ways():
    shifts = augment.Compose([augment.TimeShift(2)]).sample(400, 1, 9, seed=0)[0]["shift"]
    assert set(shifts.flatten().tolist()) == {-2, -1, 0, 1, 2}


def test_segment_permutation():
    for x, y, named, order in cases(augment.SegmentPermutation((1, 7))):
        count = int(named["segments"])
        parts = [x[:, k * T // count : (k + 1) * T // count] for k in range(count)]
        place = order[:count].astype(int)
        assert sorted(place) == list(range(count))
        np.testing.assert_array_equal(y, np.concatenate([parts[k] for k in place.argsort()], 1))


def test_window_slice_is_a_crop():
    for x, y, named, _ in cases(augment.WindowSlice(0.9)):
        position = named["start"] + np.arange(T) * (0.9 * T - 1) / (T - 1)
        np.testing.assert_allclose(y, interpolated(x, position), atol=1e-12)


def test_window_warp():
    factors = set()
    for x, y, named, _ in cases(augment.WindowWarp((0.1, 0.4), (0.5, 2.0)), (9, 2, T)):
        start, width, factor = named["start"], named["length"], named["factor"]
        whole = T - width + width * factor
        stretched = [0, start, start + width * factor, whole]
        u = np.arange(T) * (whole - 1) / (T - 1)
        position = np.interp(u, stretched, [0, start, start + width, T]).clip(0, T - 1)
        np.testing.assert_allclose(y, interpolated(x, position), atol=1e-11)
        factors.add(factor)
    assert factors == {0.5, 2.0}


def catmull_rom(knots, t):
    padded = np.concatenate([knots[:1], knots, knots[-1:]])
    w = t * (len(knots) - 1) / (T - 1)
    k = np.minimum(w.astype(int), len(knots) - 2)
    f = w - k
    p = [padded[k + i] for i in range(4)]
    m1, m2 = (p[2] - p[0]) / 2, (p[3] - p[1]) / 2
    hermite = (2 * f**3 - 3 * f**2 + 1, f**3 - 2 * f**2 + f, -2 * f**3 + 3 * f**2, f**3 - f**2)
    return hermite[0] * p[1] + hermite[1] * m1 + hermite[2] * p[2] + hermite[3] * m2


def test_magnitude_spline_and_drift_follow_their_curves():
    t = np.arange(T)
    for x, y, named, knots in cases(augment.MagnitudeSpline(0.3, knots=3)):
        curve = np.stack([catmull_rom(k, t) for k in knots.reshape(3, 5)])
        np.testing.assert_allclose(y, x * (1 + named["magnitude"] * curve), atol=1e-12)
    for x, y, named, knots in cases(augment.Drift((0.1, 0.5), knots=0)):
        curve = np.stack([catmull_rom(k, t) for k in knots.reshape(3, 2)])
        expected = x + named["magnitude"] * x.std(1, keepdims=True) * curve
        np.testing.assert_allclose(y, expected, atol=1e-12)


def test_jitter_is_absolute():
    x = series(20, 3, 500).double() * 100
    noise = augment.Jitter(0.05)(x, 1, seed=0)[0] - x
    assert abs(noise.std() - 0.05) < 0.001
    assert abs(noise.mean()) < 0.001
    kurtosis = ((noise / 0.05) ** 4).mean()
    assert abs(kurtosis - 3) < 0.15


def test_rotation_is_orthogonal_and_shared_by_triples():
    x = series(5, 6, 20).double()
    y, params = augment.Compose([ROTATION])(x, 1, seed=0, return_params=True)
    w, i, j, k = (params[0][name][0].numpy() for name in "wxyz")
    for n in range(5):
        m = np.array(
            [
                [1 - 2 * (j[n] ** 2 + k[n] ** 2), 2 * (i[n] * j[n] - k[n] * w[n]),
                 2 * (i[n] * k[n] + j[n] * w[n])],
                [2 * (i[n] * j[n] + k[n] * w[n]), 1 - 2 * (i[n] ** 2 + k[n] ** 2),
                 2 * (j[n] * k[n] - i[n] * w[n])],
                [2 * (i[n] * k[n] - j[n] * w[n]), 2 * (j[n] * k[n] + i[n] * w[n]),
                 1 - 2 * (i[n] ** 2 + j[n] ** 2)],
            ]
        )  # fmt: skip
        np.testing.assert_allclose(m @ m.T, np.eye(3), atol=1e-14)
        assert np.linalg.det(m) > 0
        for triple in ([2, 0, 1], [5, 3, 4]):
            np.testing.assert_allclose(y[0, n, triple], m @ x[n, triple].numpy(), atol=1e-13)


def test_rotations_cover_the_sphere():
    quaternion = augment.Compose([ROTATION]).sample(4000, 6, 1, views=1, seed=0)[0]
    z = torch.stack([quaternion[name][0] for name in "wxyz"])
    assert (z.square().mean(1) - 0.25).abs().max() < 0.015
    assert z.mean(1).abs().max() < 0.03


def test_rotation_kernel_equals_reference_and_its_gradient_turns_back(compiled):
    for dtype in (torch.float32, torch.float64):
        x = series(3, 6, 21).to(dtype).requires_grad_()
        y = ROTATION(x, 2, seed=1, backend=compiled)
        assert same_bits(y, ROTATION(x, 2, seed=1, backend="reference"))
        # Orthogonal: the adjoint applied to a view gives the series back.
        (back,) = torch.autograd.grad(y, x, y)
        torch.testing.assert_close(back, 2 * x, rtol=0, atol=8 * torch.finfo(dtype).eps * 4)


@pytest.mark.parametrize("span", [None, 4.0])
def test_time_dropout_rate_and_span(span):
    x = torch.ones(40, 2, 1000)
    y = augment.TimeDropout(0.3, span=span, per_channel=True)(x, 1, seed=0)[0]
    masked = y == 0
    assert abs(masked.double().mean() - 0.3) < 0.015
    starts = (masked[..., 1:] & ~masked[..., :-1]).sum()
    length = masked[..., 1:].sum() / starts
    assert abs(length - (span or 1 / 0.7)) < 0.25
    assert not torch.equal(masked[:, 0], masked[:, 1])
    shared = augment.TimeDropout(0.3, span=span)(x, 1, seed=0)[0]
    assert torch.equal(shared[:, 0], shared[:, 1])


@pytest.mark.parametrize("per_channel", [False, True])
def test_offset(per_channel):
    drawn = []
    for x, y, named, values in cases(augment.Offset((-2.0, 3.0), per_channel=per_channel)):
        offsets = values[:, None] if per_channel else np.full((3, 1), named["offset"])
        np.testing.assert_array_equal(y, x + offsets)
        drawn += offsets[:, 0].tolist() if per_channel else [named["offset"]]
    assert -2 <= min(drawn) < 0 < max(drawn) < 3
    assert len(set(drawn)) == len(drawn)


def test_quantize():
    for x, y, named, _ in cases(augment.Quantize((2, 9))):
        for before, after in zip(x, y, strict=True):
            grid = np.linspace(before.min(), before.max(), int(named["levels"]))
            nearest = grid[np.abs(before[:, None] - grid).argmin(1)]
            np.testing.assert_allclose(after, nearest, atol=1e-12)


def test_smooth_with_zero_edges_is_the_documents_box():
    x = series(4, 3, T).double()
    y = augment.Smooth(2 / 3, edge="zero")(x, 1, seed=0)[0]
    for n in range(4):
        for c in range(3):
            box = np.convolve(x[n, c], np.ones(3) / 3, mode="same")
            np.testing.assert_allclose(y[n, c], box, atol=1e-14)


def test_docstrings_say_what_every_argument_is():
    named = [getattr(augment, name) for name in augment.__all__]
    classes = [c for c in named if isinstance(c, type) and issubclass(c, augment.Transform)]
    assert len(classes) > 30
    for cls in classes:
        assert cls.__doc__
        for field in dataclasses.fields(cls.Config):
            # The probability is Transform's.
            assert field.name == "p" or f"{field.name}:" in cls.__doc__, (cls, field.name)


def test_docstrings_have_formula_source_units_and_the_literal_variant():
    named = [getattr(augment, name) for name in augment.__all__]
    classes = [c for c in named if isinstance(c, type) and issubclass(c, augment.Transform)]
    groups = [c for c in classes if issubclass(c, augment.groups.Chooser)]
    operations = [c for c in classes if c is not augment.Transform and c not in groups]
    operations.append(augment.OverlappingCrops)
    assert len(operations) > 28
    for cls in operations:
        text = cls.__doc__
        assert re.search(r"x~(_i)?(\[.*?\])? = \S", text), (cls, "formula")
        assert re.search(r"Source: \w", text), (cls, "source")
        assert re.search(r"Units: *\n? *\w", text), (cls, "units")
        # Defaults come first, the literal form where there is one is named and explained.
        has_form = any(field.name == "form" for field in dataclasses.fields(cls.Config))
        assert ('form="literal"' in text or '"literal" for' in text) == has_form, cls


def test_time_shift_as_integers_and_shares_agree():
    x = series(20, 2, T)
    for edge in ("wrap", "repeat", "zero"):
        share, steps = (
            augment.TimeShift((0.1, 0.1), edge=edge),
            augment.TimeShift((5, 5), edge=edge),
        )
        assert torch.equal(share(x, 1, seed=0), steps(x, 1, seed=0))
