"""The Triton pipeline in Triton's interpreter: bit-equal to `reference` and to `cpp`."""

import pytest
import torch
from cases.augment import OPERATIONS, ROTATION, same_bits, series
from checks import accept

from tsssl_fast import augment
from tsssl_fast.augment import presets
from tsssl_fast.backends import cpp as native
from tsssl_fast.common import random
from tsssl_fast.ops.augment import cpp, reference, spec, triton
from tsssl_fast.ops.augment.reference import augment as reference_augment
from tsssl_fast.ops.augment.spec import Source
from tsssl_fast.ops.augment.triton import augment as triton_augment

# Two samples of which one is padded, six channels for the triples, several tiles of steps.
SHAPE = (2, 6, 37)
LENGTHS = torch.tensor([37, 29])
IDS = torch.tensor([7, 2**40 + 3])
SEED = random.seed_tensor(2**63 + 11, epoch=3)

PIPELINES = {
    **{name: augment.Compose([operation]) for name, operation in OPERATIONS.items()},
    "rotation": augment.Compose([ROTATION]),
}
PRESETS = {
    "simclr_ts": presets.simclr_ts(),
    "simclr_ts_literal": presets.simclr_ts(literal=True),
    "ts_tcc": presets.ts_tcc(),
    "um2017": presets.um2017(triples=((0, 1, 2), (3, 4, 5))),
    "nothing": augment.Compose([]),
}
BACKENDS = {
    "reference": reference.BACKEND,
    "triton": triton.BACKEND,
    **({"cpp": cpp.BACKEND} if native.C is not None else {}),
}


def run(backend, pipeline, x, views=2, ids=IDS, lengths=LENGTHS, parameters=None):
    kernel = BACKENDS[backend].kernels["augment"]
    return kernel(x, Source(pipeline._program, SEED, ids, lengths, parameters), views)


def table(backend, pipeline, shape, views=2, ids=IDS, lengths=LENGTHS):
    kernel = BACKENDS[backend].kernels["augment_sample"]
    return kernel(Source(pipeline._program, SEED, ids, lengths), views, shape)


def gradient(backend, pipeline, grad, sum_views, ids=IDS, lengths=LENGTHS, parameters=None):
    kernel = BACKENDS[backend].kernels["augment_backward"]
    return kernel(grad, Source(pipeline._program, SEED, ids, lengths, parameters), sum_views)


def test_a_key_in_memory_is_folded_by_the_kernel(monkeypatch):
    """As on a device, where nobody may read it; all of 64 bits."""
    pipeline, x = PRESETS["simclr_ts"], series(*SHAPE)
    grad = series(2, *SHAPE)
    expected = run("triton", pipeline, x), gradient("triton", pipeline, grad, True)
    drawn = table("triton", pipeline, SHAPE)
    read = []
    monkeypatch.setattr(triton_augment, "_key", lambda seed: read.append(seed) or seed)
    assert same_bits(run("triton", pipeline, x), expected[0])
    assert same_bits(gradient("triton", pipeline, grad, True), expected[1])
    assert torch.equal(table("triton", pipeline, SHAPE), drawn)
    assert len(read) == 3
    numbers = torch.tensor([-(2**63) + 5, 2**40 + 3, -7, 2**33])
    kernel = BACKENDS["triton"].kernels["augment"]
    source = Source(pipeline._program, numbers, IDS, LENGTHS)
    given = kernel(x, source, 2)
    reference_kernel = BACKENDS["reference"].kernels["augment"]
    assert same_bits(given, reference_kernel(x, source, 2))


def check_bits(pipeline, x, **settings):
    found = run("triton", pipeline, x, **settings)
    for other in BACKENDS.keys() - {"triton"}:
        assert same_bits(found, run(other, pipeline, x, **settings)), other
    # Zeros of either sign compare equal above.
    expected = run("reference", pipeline, x, **settings)
    assert torch.equal(torch.signbit(found), torch.signbit(expected))


def check_gradient(pipeline, shape, dtype, sum_views=True, **settings):
    """As in augment/test_augment.py: against float64, by what autograd reaches in the reference."""
    upstream = series(2, *shape, dtype=dtype)
    found = gradient("triton", pipeline, upstream, sum_views, **settings)

    def autograd(dtype):
        x = series(*shape, dtype=dtype).expand(2, *shape).clone().requires_grad_()
        ids, lengths = settings.get("ids", IDS), settings.get("lengths", LENGTHS)
        source = Source(pipeline._program, SEED, ids, lengths, settings.get("parameters"))
        y = reference_augment.augment(x, source, 2)
        if not y.requires_grad:
            y = x * 1.0
        (g,) = torch.autograd.grad(y, x, upstream.to(dtype))
        return g.sum(0) if sum_views else g

    truth = autograd(torch.float64)
    if dtype == torch.float64:
        bound = spec.FLOAT64_ULPS * torch.finfo(dtype).eps * truth.abs().max()
        assert (found - truth).abs().max() <= bound
    else:
        accept("gradient", [(found, truth, autograd(dtype))], spec.ERROR_FACTOR)


@pytest.mark.parametrize("name", PIPELINES)
def test_every_operation(name):
    pipeline = PIPELINES[name]
    assert torch.equal(table("triton", pipeline, SHAPE), table("reference", pipeline, SHAPE))
    check_bits(pipeline, series(*SHAPE))
    check_gradient(pipeline, SHAPE, torch.float32)


# Where float64 has arithmetic of its own; parameters are float64 in every test.
@pytest.mark.parametrize(
    "name",
    [
        *("random_noise_normal", "jitter_uniform", "magnitude_warp", "magnitude_spline"),
        *("time_warp", "smooth_passes", "drift", "quantize", "rotation", "scale_normal"),
    ],
)
def test_float64(name):
    check_bits(PIPELINES[name], series(*SHAPE, dtype=torch.float64))
    check_gradient(PIPELINES[name], SHAPE, torch.float64)


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name):
    check_bits(PRESETS[name], series(*SHAPE))
    check_gradient(PRESETS[name], SHAPE, torch.float32, sum_views=False)


@pytest.mark.parametrize("shape", [(1, 3, 1), (1, 3, 2), (2, 17, 3), (1, 3, 521)])
def test_shapes(shape):
    """One step, two steps, more channels than a tile, more steps than a tile."""
    x = series(*shape)
    given = {"ids": None, "lengths": None}
    check_bits(presets.simclr_ts(p=1.0), x, **given)
    check_gradient(presets.simclr_ts(p=1.0), shape, torch.float32, **given)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_16_bit_series_are_rounded_once(dtype):
    check_bits(presets.simclr_ts(), series(*SHAPE).to(dtype))
    grad = series(2, *SHAPE).to(dtype)
    for sum_views in (True, False):
        found = gradient("triton", presets.simclr_ts(), grad, sum_views)
        expected = gradient("reference", presets.simclr_ts(), grad, sum_views)
        torch.testing.assert_close(found, expected, rtol=2**-7, atol=2**-7)


def test_strides_and_series_per_view():
    """(N, T, C) in memory, and (views, N, C, T) input."""
    pipeline = PIPELINES["time_shift"]
    check_bits(pipeline, series(2, 37, 6).transpose(1, 2))
    check_bits(pipeline, series(2, *SHAPE))
    grad = series(2, 2, 37, 6).transpose(2, 3)
    expected = gradient("triton", pipeline, grad.contiguous(), True)
    assert torch.equal(gradient("triton", pipeline, grad, True), expected)


def test_nan_stays_in_its_channel_and_infinity_is_kept():
    x = series(*SHAPE)
    x[0, 1, 5], x[1, 2, 3] = torch.nan, torch.inf
    for name in ("crop_resize", "quantize", "random_noise_normal", "blockout_channels", "smooth"):
        check_bits(PIPELINES[name], x)


@pytest.mark.parametrize("name", ["simclr_ts", "um2017"])
def test_replayed_parameters(name):
    pipeline = PRESETS[name]
    x = series(*SHAPE)
    given = table("reference", pipeline, SHAPE)
    assert same_bits(run("triton", pipeline, x, parameters=given), run("triton", pipeline, x))
    check_gradient(pipeline, SHAPE, torch.float32, parameters=given)


@pytest.mark.parametrize("channels", [1, 5])
def test_gradient_of_a_map_that_goes_back_in_time(channels):
    """Replayed speeds may be negative; neighbours then get gradients out of order."""
    pipeline, shape = augment.Compose([augment.TimeWarp(knots=3)]), (2, channels, 37)
    given = table("reference", pipeline, shape)
    given[..., 4] = -3.0
    x = series(*shape)
    found = run("triton", pipeline, x, parameters=given)
    assert same_bits(found, run("reference", pipeline, x, parameters=given))
    check_gradient(pipeline, shape, torch.float32, parameters=given)


def test_dispatch():
    """Asked for by name it runs, forward and backward; by itself the interpreter never does."""
    x = series(*SHAPE).requires_grad_()
    y = presets.simclr_ts()(x, 2, seed=3, backend="triton")
    expected = presets.simclr_ts()(x, 2, seed=3, backend="reference")
    assert same_bits(y.detach(), expected.detach())
    (g,) = torch.autograd.grad(y.sum(), x)
    (h,) = torch.autograd.grad(expected.sum(), x)
    torch.testing.assert_close(g, h)
    assert "triton" not in str(triton.BACKEND.reasons("augment", (x,)))


def test_a_draw_out_of_place_is_seen():
    """The comparison can fail: another epoch draws other bits."""
    x = series(*SHAPE)
    kernel = BACKENDS["triton"].kernels["augment"]
    program = PRESETS["simclr_ts"]._program
    other = kernel(x, Source(program, random.seed_tensor(2**63 + 11, epoch=4), IDS, LENGTHS), 2)
    assert not same_bits(other, run("reference", PRESETS["simclr_ts"], x))
