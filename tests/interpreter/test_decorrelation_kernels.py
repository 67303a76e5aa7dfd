"""The Triton kernels of VICReg and Barlow Twins in Triton's interpreter, against float64.

Blocks are 16 wide there: the shapes have several of them, edges, and depths that are shared among
programs.
"""

import math

import pytest
import torch
from cases.decorrelation import (
    HARD,
    WEIGHTS,
    barlow,
    barlow_definition,
    check_barlow,
    check_vicreg,
    draws_of,
    orthogonal,
    vicreg,
    vicreg_definition,
    views,
)
from checks import value_and_gradients

from tsssl_fast import functional
from tsssl_fast.backends.precision import IEEE
from tsssl_fast.ops import decorrelation
from tsssl_fast.ops.decorrelation import spec

KERNELS = {b.name: b.kernels for b in decorrelation.BACKENDS}


def draws(n, d, count=2):
    """Fewer than on the other backends: the interpreter takes a second for each."""
    return [views(n, d, count) for _ in range(min(3, draws_of(n, d)))]


# Both sides, a depth of several shares, one row or column beyond a block, one block.
@pytest.mark.parametrize(
    ("shape", "correlation"),
    [
        *[((5, 7), True), ((7, 5), False), ((17, 40), False), ((18, 130), True)],
        *[((33, 17), False), ((20, 9), True)],
    ],
)
def test_vicreg(shape, correlation):
    check_vicreg("triton", draws(*shape), correlation)


@pytest.mark.parametrize(
    ("shape", "center", "unbiased"),
    [
        *[((5, 7), True, False), ((7, 5), True, True), ((17, 40), False, False)],
        *[((33, 17), True, False), ((18, 130), True, True), ((130, 3), False, True)],
    ],
)
def test_barlow_twins(shape, center, unbiased):
    check_barlow("triton", draws(*shape), center, unbiased)


@pytest.mark.parametrize("shape", [(2, 5), (2, 1), (3, 1)])
def test_few_rows(shape):
    z = [v.double() for v in views(*shape)]
    for function, definition in (
        (vicreg("triton"), vicreg_definition()),
        (barlow("triton", True, False), barlow_definition(True, False)),
    ):
        actual, truth = value_and_gradients(function, z), value_and_gradients(definition, z)
        for a, t in zip(actual, truth, strict=True):
            assert (a - t).abs().max() <= 1e-12 * truth[0].abs()


@pytest.mark.parametrize("shape", [(17, 40), (20, 9)])
def test_float64(shape):
    z = [v.double() for v in views(*shape)]
    for function, definition in (
        (vicreg("triton", True), vicreg_definition(True)),
        (vicreg("triton"), vicreg_definition()),
        (barlow("triton", True, False), barlow_definition(True, False)),
    ):
        actual, truth = value_and_gradients(function, z), value_and_gradients(definition, z)
        for a, t in zip(actual, truth, strict=True):
            assert (a - t).abs().max() <= 1e-12 * t.abs().max()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(7, 29), (29, 7)])
def test_16_bit_inputs(shape, dtype):
    given = [[v.to(dtype) for v in z] for z in draws(*shape)]
    check_vicreg("triton", given)
    check_barlow("triton", given, True, False)


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("shape", [(18, 51), (40, 9)])
def test_hard_inputs(shape, name):
    """What float32 loses on the n side is taken again in float64."""
    n, d = shape
    first = [HARD[name](n, d) for _ in range(2)]
    given = [[z, z + 0.1 * z.std() * torch.randn(n, d)] for z in first]
    check_vicreg("triton", given)


@pytest.mark.parametrize("shape", [(18, 51), (40, 9)])
def test_converged_barlow(shape):
    first = [3 * orthogonal(*shape) for _ in range(2)]
    check_barlow("triton", [[z, z + 1e-3 * torch.randn(shape)] for z in first], True, False)


@pytest.mark.parametrize("shape", [(9, 20), (20, 9)])
def test_three_views(shape):
    check_vicreg("triton", draws(*shape, count=3))


@pytest.mark.parametrize("shape", [(8, 20), (20, 8)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_constant_batch(shape, dtype):
    z = [torch.full(shape, 0.1, dtype=dtype), torch.full(shape, 0.3, dtype=dtype)]
    loss, *gradients = value_and_gradients(vicreg("triton", True), z)
    hinge = 2 * shape[1] * (1 - math.sqrt(1e-4))
    apart = (z[0].float() - z[1].float()).square().sum().item()
    assert loss.item() == pytest.approx(WEIGHTS[0] * apart + WEIGHTS[1] * hinge, rel=1e-5)
    assert all(g.isfinite().all() for g in gradients)
    loss, *gradients = value_and_gradients(barlow("triton", True, False), z)
    assert loss.item() == shape[1]
    assert all((g == 0).all() for g in gradients)


@pytest.mark.parametrize("shape", [(9, 40), (40, 9)])
def test_a_nan_row_gives_nan(shape):
    z = views(*shape)
    z[0][3, 2] = torch.nan
    for function in (vicreg("triton"), barlow("triton", True, False)):
        loss, first, _ = value_and_gradients(function, z)
        assert loss.isnan()
        assert first[:, 2].isnan().all()


@pytest.mark.parametrize("shape", [(9, 20), (20, 9)])
def test_strides_change_no_bit(shape):
    n, d = shape
    base = views(2 * n, 2 * d)
    strided = [base[0][::2, :d], base[1][:n, ::2].T.contiguous().T]
    for function in (vicreg("triton"), barlow("triton", True, False)):
        expected = value_and_gradients(function, [v.contiguous() for v in strided])
        found = value_and_gradients(function, strided)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_single_terms():
    z = views(18, 20, count=1)
    assert functional.covariance_penalty(*z, backend="triton").item() == pytest.approx(
        functional.covariance_penalty(*z, backend="reference").item(), rel=1e-5
    )
    a, b = (
        functional.invariance_penalty(z[0], 2 * z[0], backend=k) for k in ("triton", "reference")
    )
    assert a.item() == pytest.approx(b.item(), rel=1e-6)
    a, b = (functional.variance_penalty(z[0], backend=k) for k in ("triton", "reference"))
    assert a.item() == pytest.approx(b.item(), rel=1e-6)


@pytest.mark.parametrize("shape", [(12, 30), (30, 12)])
@pytest.mark.parametrize("other", ["reference", "cpp"])
def test_forward_and_backward_on_different_backends(shape, other):
    z = views(*shape)
    scales = [25 / (shape[0] * shape[1]), 25 / (2 * shape[1]), 1 / shape[1]]
    cases = {
        "vicreg": (z, (spec.VICRegSettings(*scales, 1.0, 1.0, 1.0, 1.0, 1e-4), spec.ALL_TERMS)),
        "barlow_twins": (z, (spec.BarlowTwinsSettings(1.0, 1.0, 1.0, 0.0051, 1e-5), spec.CENTER)),
    }
    for op, case in cases.items():
        expected = _gradients(op, other, other, *case)
        for first, second in ((other, "triton"), ("triton", other)):
            for a, b in zip(_gradients(op, first, second, *case), expected, strict=True):
                torch.testing.assert_close(a, b)


def _gradients(op, forward, backward, z, options):
    _, _, *saved = KERNELS[forward][op](z, *options, IEEE)
    one = torch.ones(())
    return KERNELS[backward][f"{op}_backward"](one, None, z, *saved, *options, IEEE)


@pytest.mark.parametrize("shape", [(18, 130), (130, 18)])
def test_every_run_gives_the_same_bits(shape):
    z = views(*shape)
    for function in (vicreg("triton"), barlow("triton", True, False)):
        first, second = value_and_gradients(function, z), value_and_gradients(function, z)
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
