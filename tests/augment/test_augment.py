"""Every operation against a plain numpy transcription of its formula; gradients; arguments."""

import numpy as np
import pytest
import torch
from cases.augment import OPERATIONS, SHAPES, series

from tsssl_fast import augment
from tsssl_fast.common import random
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.reference import arithmetic
from tsssl_fast.ops.augment.reference import augment as reference


def parameters(transform, x, views=1, seed=0):
    """(views, N, slots) of a single operation."""
    program = augment.Compose([transform])._program
    return torch.ops.tsssl_fast.augment_sample(
        program, random.seed_tensor(seed), views, tuple(x.shape), None, None, ""
    )


def views_and_slots(transform, shape=(6, 3, 50), dtype=torch.float64):
    x = series(*shape).to(dtype)
    y = transform(x, 2, seed=0)
    table = parameters(transform, x, 2)
    pairs = []
    for v in range(2):
        for n in range(shape[0]):
            assert table[v, n, 0] == 1
            pairs.append((x[n].numpy(), y[v, n].numpy(), table[v, n].numpy()))
    return pairs


def test_time_flip():
    for x, y, _ in views_and_slots(augment.TimeFlip()):
        np.testing.assert_array_equal(y, x[:, ::-1])


def test_sign_flip():
    for x, y, _ in views_and_slots(augment.SignFlip()):
        np.testing.assert_array_equal(y, -x)


@pytest.mark.parametrize("length", [0.2, (0.01, 1.0), 7, (1, 50)])
def test_blockout(length):
    for x, y, (_, steps, start, *_) in views_and_slots(augment.Blockout(length, fill=3.0)):
        expected = x.copy()
        expected[:, int(start) : int(start + steps)] = 3.0
        np.testing.assert_array_equal(y, expected)
        assert steps >= 1
        assert start + steps <= 50


def test_blockout_reaches_every_start_and_length():
    x = torch.ones(4000, 1, 20)
    table = parameters(augment.Blockout((1, 3)), x)[0]
    assert set(table[:, 1].tolist()) == {1, 2, 3}
    assert set(table[table[:, 1] == 2][:, 2].tolist()) == set(range(19))
    assert (augment.Blockout(1.0)(x, 1, seed=0) == 0).all()


@pytest.mark.parametrize("distribution", ["uniform", "normal"])
def test_random_noise_is_scaled_by_channel_std(distribution):
    x = series(3, 2, 4000).double() * torch.tensor([1.0, 50.0])[:, None]
    noise = augment.RandomNoise(0.1, distribution)(x, 1, seed=0)[0] - x
    r = noise / (0.1 * x.std(-1, correction=0, keepdim=True))
    expected = 1.0 if distribution == "normal" else 3**-0.5
    assert r.mean(-1).abs().max() < 0.08
    torch.testing.assert_close(r.std(-1), torch.full((3, 2), expected).double(), rtol=0.05, atol=0)
    if distribution == "uniform":
        assert r.abs().max() <= 1.0 + 1e-12
    assert np.corrcoef(r.flatten(0, 1).numpy())[np.triu_indices(6, 1)].max() < 0.08


def test_crop_resize():
    for x, y, (_, length, start) in views_and_slots(augment.CropResize((0.2, 1.0))):
        position = start + np.arange(50) * (length - 1) / 49
        for c in range(3):
            np.testing.assert_allclose(y[c], np.interp(position, np.arange(50), x[c]), atol=1e-13)
        assert start >= 0
        assert position[-1] <= 49 + 1e-9


@pytest.mark.parametrize("form", ["1+sin", "literal"])
def test_magnitude_warp(form):
    transform = augment.MagnitudeWarp((0.05, 0.3), (0.5, 4.0), form)
    for x, y, (_, amplitude, periods, *theta) in views_and_slots(transform):
        wave = np.sin(2 * np.pi * (periods * np.arange(50) / 50 + np.array(theta)[:, None]))
        factor = 1 + amplitude * wave if form == "1+sin" else amplitude * (1 + wave)
        np.testing.assert_allclose(y, x * factor, rtol=0, atol=1e-7)


def test_time_warp():
    for x, y, (_, strength, *speed) in views_and_slots(augment.TimeWarp(0.8, knots=3)):
        assert len(speed) == 5
        assert max(abs(s - 1) for s in speed) <= strength
        # The integral of a piecewise linear speed, on a grid that holds the knots.
        fine = np.linspace(0, 49, 4 * 49 * 20 + 1)
        v = np.interp(fine, np.linspace(0, 49, 5), speed)
        tau = np.concatenate([[0], np.cumsum((v[1:] + v[:-1]) / 2)])
        tau = np.interp(np.arange(50), fine, tau / tau[-1] * 49)
        assert (np.diff(tau) > 0).all()
        for c in range(3):
            np.testing.assert_allclose(y[c], np.interp(tau, np.arange(50), x[c]), atol=1e-9)


@pytest.mark.parametrize("passes", [1, 3])
def test_smooth(passes):
    for x, y, (_, s) in views_and_slots(augment.Smooth((0.0, 1.0), passes=passes)):
        for c in range(3):
            expected = x[c]
            for _ in range(passes):
                padded = np.pad(expected, 1, mode="edge")
                expected = np.convolve(padded, [s / 2, 1 - s, s / 2], mode="valid")
            np.testing.assert_allclose(y[c], expected, atol=1e-13)


def test_probability_is_that_of_the_coin():
    x = torch.ones(20000, 1, 1)
    for p, tolerance in ((0.0, 0.0), (0.3, 0.015), (1.0, 0.0)):
        share = (augment.SignFlip(p=p)(x, 1, seed=0) < 0).double().mean()
        assert abs(share - p) <= tolerance


def test_coins_of_different_operations_are_independent():
    table = torch.ops.tsssl_fast.augment_sample(
        augment.Compose([augment.TimeFlip(p=0.5), augment.SignFlip(p=0.5)])._program,
        *(random.seed_tensor(0), 2, (10000, 1, 4), None, None, ""),
    )
    flags = table.permute(0, 2, 1).flatten(0, 1).numpy()
    assert abs(np.corrcoef(flags)[np.triu_indices(4, 1)]).max() < 0.04


def test_elementary_functions_against_numpy():
    phase = torch.cat([torch.arange(0, 1 << 32, 49157), torch.arange(9) << 29 & 0xFFFFFFFF])
    k = torch.cat([torch.arange(1, 1 << 24, 251), torch.tensor([(1 << 24) - 1, 1 << 24])])
    for dtype, bound in ((torch.float32, 1.5e-7), (torch.float64, 4e-16)):
        sin, cos = arithmetic.sincos_turns(phase, dtype)
        angle = 2 * np.pi * phase.double().numpy() / 2**32
        assert np.abs(sin.double().numpy() - np.sin(angle)).max() < max(bound, 9e-16)
        assert np.abs(cos.double().numpy() - np.cos(angle)).max() < max(bound, 9e-16)
        log = arithmetic.log_fraction(k, dtype).double().numpy()
        exact = np.log(k.double().numpy() / 2**24)
        assert (np.abs(log - exact) <= 2 * bound * np.abs(exact)).all()


def autograd_through_the_definition(transform, x, upstream):
    x = x.detach().requires_grad_()
    program = augment.Compose([transform])._program
    y = reference.augment(x, spec.Source(program, random.seed_tensor(11)), 3)
    return torch.autograd.grad(y, x, upstream)[0]


def check_gradient(name, backend, shape):
    for dtype in (torch.float32, torch.float64):
        x, upstream = series(*shape).to(dtype), series(3, *shape).flip(-1).to(dtype)
        z = x.clone().requires_grad_()
        y = OPERATIONS[name](z, 3, seed=11, backend=backend)
        (given,) = torch.autograd.grad(y, z, upstream)
        exact = autograd_through_the_definition(OPERATIONS[name], x.double(), upstream.double())
        plain = autograd_through_the_definition(OPERATIONS[name], x, upstream)
        ulp = torch.finfo(dtype).eps * exact.abs().max()
        allowed = spec.FLOAT64_ULPS * ulp
        if dtype == torch.float32:
            allowed = spec.ERROR_FACTOR * (plain - exact).abs().max() + ulp
        assert (given - exact).abs().max() <= allowed, (shape, dtype)


@pytest.mark.parametrize("name", OPERATIONS)
def test_gradient_of_the_reference_operator(name):
    for shape in SHAPES:
        check_gradient(name, "reference", shape)


@pytest.mark.parametrize("name", OPERATIONS)
def test_gradient_of_the_kernel(name, compiled):
    for shape in SHAPES:
        check_gradient(name, compiled, shape)


@pytest.mark.parametrize("backend", ["cpp", "numba", "reference"])
def test_gradient_against_finite_differences(backend):
    # Without those whose statistics or rounding count as constants.
    constants = ("random_noise", "drift", "blockout_channels", "quantize", "some_of")
    transforms = [t for n, t in OPERATIONS.items() if not n.startswith(constants)]
    pipeline = augment.Compose([augment.SomeOf(transforms, count=4)])
    x = series(2, 2, 9, dtype=torch.float64).requires_grad_()
    torch.autograd.gradcheck(lambda x: pipeline(x, 2, seed=1, backend=backend), x)


@pytest.mark.parametrize("name", OPERATIONS)
def test_backward_does_not_depend_on_the_forward_s_backend(name):
    """What is saved is the program and the seed: every backend's backward takes it."""
    program, seed = augment.Compose([OPERATIONS[name]])._program, random.seed_tensor(11)
    grad = series(2, 3, 3, 37, dtype=torch.float64)
    given = [
        torch.ops.tsssl_fast.augment_backward(grad, True, program, seed, None, None, None, backend)
        for backend in ("reference", "cpp", "numba")
    ]
    for other in given[1:]:
        torch.testing.assert_close(other, given[0], rtol=0, atol=1e-14 * given[0].abs().max())


def test_gradient_of_noise_treats_its_scale_as_constant():
    x = series(2, 2, 9).requires_grad_()
    (g,) = torch.autograd.grad(augment.RandomNoise()(x, 2, seed=1).sum(), x)
    assert (g == 2).all()


def test_gradient_dtype_and_non_contiguous_upstream():
    x = series(3, 2, 9).to(torch.bfloat16).requires_grad_()
    y = augment.Smooth()(x, 2, seed=1)
    upstream = series(2, 3, 9, 2).to(torch.bfloat16).transpose(-1, -2)
    (g,) = torch.autograd.grad(y, x, upstream)
    (h,) = torch.autograd.grad(augment.Smooth()(x, 2, seed=1), x, upstream.contiguous())
    assert g.dtype == torch.bfloat16
    assert torch.equal(g, h)


def test_nan_stays_in_its_sample():
    x = series(3, 2, 40)
    x[1, 0, 5] = torch.nan
    y = augment.presets.simclr_ts(p=1.0)(x, 2, seed=0)
    clean = augment.presets.simclr_ts(p=1.0)(series(3, 2, 40), 2, seed=0)
    assert torch.equal(y[:, [0, 2]], clean[:, [0, 2]])
    assert torch.equal(y[:, 1, 1], clean[:, 1, 1])


def test_constant_series_get_no_noise():
    x = torch.full((2, 3, 33), 0.1)
    assert torch.equal(augment.RandomNoise()(x, 1, seed=0)[0], x)


def test_empty_pipeline_copies():
    x = series(2, 3, 4)
    y = augment.Compose([])(x, 3, seed=0)
    assert torch.equal(y, x.expand(3, 2, 3, 4))
    assert y.data_ptr() != x.data_ptr()


BAD_ARGUMENTS = [
    (augment.TimeFlip, {"p": 1.5}, "p"),
    (augment.TimeFlip, {"p": float("nan")}, "p"),
    (augment.Blockout, {"length": 0.0}, "length"),
    (augment.Blockout, {"length": 1.5}, "length"),
    (augment.Blockout, {"length": 0}, "length"),
    (augment.Blockout, {"length": (0.5, 0.2)}, "length"),
    (augment.Blockout, {"fill": float("inf")}, "fill"),
    (augment.RandomNoise, {"magnitude": -0.1}, "magnitude"),
    (augment.RandomNoise, {"distribution": "cauchy"}, "distribution"),
    (augment.CropResize, {"length": (0.0, 1.0)}, "length"),
    (augment.CropResize, {"length": (0.2, 0.4, 0.6)}, "length"),
    (augment.MagnitudeWarp, {"magnitude": (-1.0, 1.0)}, "magnitude"),
    (augment.MagnitudeWarp, {"form": "cos"}, "form"),
    (augment.TimeWarp, {"magnitude": 1.0}, "magnitude"),
    (augment.TimeWarp, {"knots": 63}, "knots"),
    (augment.Smooth, {"magnitude": 1.1}, "magnitude"),
    (augment.Smooth, {"passes": 0}, "passes"),
]


@pytest.mark.parametrize(("make", "arguments", "name"), BAD_ARGUMENTS)
def test_constructors_reject(make, arguments, name):
    with pytest.raises(ValueError, match=rf"^{name}: .*accepted"):
        make(**arguments)


@pytest.mark.parametrize("value", ["0.5", True, None])
def test_constructors_reject_types(value):
    with pytest.raises(TypeError, match=r"^p: .*accepted"):
        augment.TimeFlip(p=value)


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ({"x": torch.zeros(4)}, ValueError, "x"),
        ({"x": torch.zeros(3, 4)}, ValueError, "sample_id"),
        ({"x": torch.zeros(0, 3, 4)}, ValueError, "x"),
        ({"x": torch.zeros(2, 3, 4, dtype=torch.int64)}, TypeError, "x"),
        ({"x": np.zeros((2, 3, 4), dtype=np.int64)}, TypeError, "x"),
        ({"x": [[[0.0]]]}, TypeError, "x"),
        ({"views": 0}, ValueError, "views"),
        ({"views": 40000}, ValueError, "views"),
        ({"views": 2.0}, TypeError, "views"),
        ({"sample_ids": torch.arange(3)}, ValueError, "sample_ids"),
        ({"sample_ids": torch.zeros(2)}, TypeError, "sample_ids"),
        ({"backend": "cuda"}, ValueError, "backend"),
        ({"seed": "x"}, TypeError, "seed"),
    ],
)
def test_calls_reject(arguments, error, name):
    arguments = {"x": torch.zeros(2, 3, 4), "seed": 0, **arguments}
    with pytest.raises(error, match=rf"^{name}"):
        augment.presets.simclr_ts()(**arguments)


def test_calls_reject_a_block_longer_than_the_series():
    with pytest.raises(ValueError, match=r"^length: 9 steps; accepted: at most T = 4"):
        augment.Blockout(length=9)(torch.zeros(2, 3, 4))


def test_compose_rejects_what_is_no_transform():
    with pytest.raises(TypeError, match=r"^transforms\[1\]: str"):
        augment.Compose([augment.TimeFlip(), "TimeFlip"])
    with pytest.raises(TypeError, match=r"^transforms\[0\]: the class TimeFlip"):
        augment.Compose([augment.TimeFlip])
    with pytest.raises(TypeError, match=r"^transforms\[0\]: PerView"):
        augment.Compose([augment.presets.ts_tcc()])
