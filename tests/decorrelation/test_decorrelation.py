"""VICReg and Barlow Twins: every backend and instruction set against the definition."""

import itertools
import math
from collections.abc import Callable

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
from checks import accept, accept_all, value_and_gradients
from torch import Tensor
from variants import THREADS

from tsssl_fast import functional
from tsssl_fast.backends.precision import IEEE
from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.reference import vicreg as reference

# (N, D): two rows, one dimension, primes, both sides of 5 N = 4 D, more than one chunk of the
# depth, several blocks of panels, N = 8 D.
SHAPES = [
    *[(2, 1), (2, 5), (3, 1), (3, 300), (4, 5), (5, 4), (7, 129), (13, 8), (16, 16), (31, 37)],
    *[(37, 33), (61, 3), (48, 96), (64, 80), (64, 79), (101, 530), (131, 20), (331, 53), (296, 37)],
]


@pytest.mark.parametrize("correlation", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_vicreg_shapes(kernel: str, shape: tuple[int, int], correlation: bool) -> None:
    check_vicreg(kernel, [views(*shape) for _ in range(draws_of(*shape))], correlation)


@pytest.mark.parametrize(("center", "unbiased"), [(True, False), (True, True), (False, False)])
@pytest.mark.parametrize("shape", SHAPES)
def test_barlow_shapes(kernel: str, shape: tuple[int, int], center: bool, unbiased: bool) -> None:
    check_barlow(kernel, [views(*shape) for _ in range(draws_of(*shape))], center, unbiased)


@pytest.mark.parametrize("backend", ["cpp", "numba"])
@pytest.mark.parametrize("shape", [(1024, 2048), (1400, 700)])
def test_deep_products(backend: str, shape: tuple[int, int]) -> None:
    """The covariance term alone on white noise, where rounding has no other term to hide behind."""

    def definition(*z: Tensor) -> Tensor:
        return reference.vicreg(z, 1.0, 1e-4, False)[2]

    def penalty(*z: Tensor) -> Tensor:
        settings = spec.VICRegSettings(1.0, 1.0, 1.0, 0.0, 0.0, 1.0, gamma=1.0, eps=1e-4)
        return torch.ops.tsssl_fast.vicreg(*z, settings, spec.COVARIANCE, "", backend)[0]

    accept_all(penalty, definition, [([torch.randn(shape) for _ in "ab"], None)], spec.ERROR_FACTOR)


@pytest.mark.parametrize("shape", [(17, 40), (40, 17)])
@pytest.mark.parametrize("count", [3, 5])
def test_more_than_two_views(kernel: str, shape: tuple[int, int], count: int) -> None:
    check_vicreg(kernel, [views(*shape, count=count) for _ in range(draws_of(*shape))])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(7, 129), (61, 3)])
def test_half_precision_inputs_compute_in_float32(
    kernel: str, shape: tuple[int, int], dtype: torch.dtype
) -> None:
    z = [v.to(dtype) for v in views(*shape)]
    loss, *gradients = value_and_gradients(vicreg(kernel), z)
    assert loss.dtype == torch.float32
    assert all(g.dtype == dtype for g in gradients)
    draws = [[v.to(dtype) for v in views(*shape)] for _ in range(draws_of(*shape))]
    check_vicreg(kernel, draws)
    check_barlow(kernel, draws, True, False)


@pytest.mark.parametrize("correlation", [False, True])
@pytest.mark.parametrize("shape", [(5, 40), (30, 7), (64, 79), (101, 530)])
def test_float64(kernel: str, shape: tuple[int, int], correlation: bool) -> None:
    """Both are float64: side, order of sums and form of the gradient differ."""
    z = [v.double() for v in views(*shape)]
    actual = value_and_gradients(vicreg(kernel, correlation), z)
    truth = value_and_gradients(vicreg_definition(correlation), z)
    for a, t in zip(actual, truth, strict=True):
        assert (a - t).abs().max() <= 1e-13 * t.abs().max()
    actual = value_and_gradients(barlow(kernel, True, False), z)
    truth = value_and_gradients(barlow_definition(True, False), z)
    for a, t in zip(actual, truth, strict=True):
        assert (a - t).abs().max() <= 1e-12 * t.abs().max()


@pytest.mark.parametrize("correlation", [False, True])
@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("shape", [(40, 51), (30, 300), (48, 48), (200, 25)])
def test_hard_inputs(kernel: str, shape: tuple[int, int], name: str, correlation: bool) -> None:
    n, d = shape
    first = [HARD[name](n, d) for _ in range(draws_of(*shape))]
    draws = [[z, z + 0.1 * z.std() * torch.randn(n, d)] for z in first]
    check_vicreg(kernel, draws, correlation)


@pytest.mark.parametrize("shape", [(32, 40), (30, 300), (48, 48), (200, 25)])
def test_converged_barlow(kernel: str, shape: tuple[int, int]) -> None:
    first = [3 * orthogonal(*shape) for _ in range(draws_of(*shape))]
    draws = [[z, z + 1e-3 * torch.randn(shape)] for z in first]
    check_barlow(kernel, draws, True, False)


@pytest.mark.parametrize("norm_eps", [spec.NORM_EPS, 1e-3])
@pytest.mark.parametrize("shape", [(9, 40), (40, 9)])
def test_least_norm_of_a_column(kernel: str, shape: tuple[int, int], norm_eps: float) -> None:
    """It is not the variance's eps: columns of norm 1e-5 to 1 on both sides of the former."""
    scale = torch.logspace(-5, 0, shape[1])
    draws = [[scale * z for z in views(*shape)] for _ in range(draws_of(*shape))]
    check_vicreg(kernel, draws, True, norm_eps)
    z = [x.double() for x in draws[0]]
    actual = value_and_gradients(vicreg(kernel, True, norm_eps), z)
    truth = value_and_gradients(vicreg_definition(True, norm_eps), z)
    torch.testing.assert_close(actual, truth, rtol=1e-9, atol=1e-9)
    floor, no_floor = (vicreg_definition(True, eps)(*z) for eps in (1e-3, spec.NORM_EPS))
    assert floor < 0.9 * no_floor  # the two settings are told apart


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(8, 20), (20, 8)])
def test_constant_batch(kernel: str, shape: tuple[int, int], dtype: torch.dtype) -> None:
    z = [torch.full(shape, 0.1, dtype=dtype), torch.full(shape, 0.3, dtype=dtype)]
    for correlation in (False, True):
        loss, *gradients = value_and_gradients(vicreg(kernel, correlation), z)
        hinge = 2 * shape[1] * (1 - math.sqrt(1e-4))
        apart = (z[0].float() - z[1].float()).square().sum().item()
        assert loss.item() == pytest.approx(WEIGHTS[0] * apart + WEIGHTS[1] * hinge, rel=1e-5)
        for g in gradients:
            assert g.isfinite().all()
    loss, *gradients = value_and_gradients(barlow(kernel, True, False), z)
    assert loss.item() == shape[1]
    assert all((g == 0).all() for g in gradients)


@pytest.mark.parametrize("shape", [(9, 40), (40, 9)])
def test_a_nan_row_gives_nan(kernel: str, shape: tuple[int, int]) -> None:
    z = views(*shape)
    z[0][3, 2] = torch.nan
    for function in (vicreg(kernel), barlow(kernel, True, False)):
        loss, first, _ = value_and_gradients(function, z)
        assert loss.isnan()
        assert first[:, 2].isnan().all()


@pytest.mark.parametrize("shape", [(17, 40), (40, 17)])
def test_strided_inputs(kernel: str, shape: tuple[int, int]) -> None:
    n, d = shape
    base = views(2 * n, 2 * d)
    strided = [base[0][::2, :d], base[1][:n, ::2]]
    transposed = [v.T.contiguous().T for v in strided]
    plain = [v.contiguous() for v in strided]
    for function in (vicreg(kernel), vicreg(kernel, True), barlow(kernel, True, False)):
        expected = value_and_gradients(function, plain)
        for inputs in (strided, transposed):
            for a, b in zip(value_and_gradients(function, inputs), expected, strict=True):
                if kernel != "reference":
                    assert torch.equal(a, b)
                torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(160, 300), (301, 170), (64, 2100), (2100, 64)])
def test_bit_equal_for_any_thread_count(shape: tuple[int, int], compiled: str) -> None:
    z = views(*shape)
    for function in (vicreg(compiled), vicreg(compiled, True), barlow(compiled, True, False)):
        results = []
        for threads in THREADS:
            torch.set_num_threads(threads)
            results.append(value_and_gradients(function, z))
        for other in results[1:]:
            assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_single_terms(kernel: str) -> None:
    z = views(33, 50, count=1)
    cases = [
        (
            lambda x: functional.covariance_penalty(x, backend=kernel),
            lambda x: reference.vicreg([x], 1.0, 1e-4, False)[2] / 50,
        ),
        (
            lambda x: functional.covariance_penalty(x, correlation=True, backend=kernel),
            lambda x: reference.vicreg([x], 1.0, 1e-4, True)[2] / 50**2,
        ),
        (
            lambda x: functional.variance_penalty(x, gamma=0.8, eps=1e-3, backend=kernel),
            lambda x: reference.vicreg([x], 0.8, 1e-3, False)[1] / 50,
        ),
    ]
    for function, definition in cases:
        accept_all(function, definition, [(z, None)], spec.ERROR_FACTOR)
    pair = views(33, 50, count=3)
    for reduction, scale in (("mean", 3 * 33 * 50), ("sum_dim", 3 * 33)):
        accept_all(
            lambda *x, r=reduction: functional.invariance_penalty(*x, reduction=r, backend=kernel),
            lambda *x, s=scale: reference.vicreg(x, 1.0, 1e-4, False)[0] / s,
            [(pair, None)],
            spec.ERROR_FACTOR,
        )
    assert functional.invariance_penalty(z[0][:1], z[0][1:2], backend=kernel) > 0


def test_terms_carry_their_own_gradients(kernel: str) -> None:
    z = [v.requires_grad_() for v in views(20, 30)]
    result = functional.vicreg_loss(*z, return_terms=True, backend=kernel)
    terms = (result.invariance, result.variance, result.covariance)
    combined = sum(w * t for w, t in zip((25, 25, 1), terms, strict=True))
    assert result.loss.item() == pytest.approx(combined.item(), rel=1e-6)
    own = torch.autograd.grad(combined, z, retain_graph=True)
    whole = torch.autograd.grad(result.loss, z)
    for a, b in zip(own, whole, strict=True):
        torch.testing.assert_close(a, b)
    pair = functional.barlow_twins_loss(*z, lambd=0.3, return_terms=True, backend=kernel)
    own = torch.autograd.grad(pair.on_diagonal + 0.3 * pair.off_diagonal, z, retain_graph=True)
    for a, b in zip(own, torch.autograd.grad(pair.loss, z), strict=True):
        torch.testing.assert_close(a, b)


def test_zero_weights_skip_their_term(kernel: str) -> None:
    z = views(10, 12)
    z[0][0, 0] = 1e30  # the covariance overflows float32, and is not wanted
    loss, *gradients = value_and_gradients(
        lambda *x: functional.vicreg_loss(
            *x, variance_weight=0, covariance_weight=0, backend=kernel
        ),
        [v.double() for v in z],
    )
    expected = 25 * torch.nn.functional.mse_loss(z[0].double(), z[1].double())
    assert loss.item() == pytest.approx(expected.item())
    assert all(g.isfinite().all() for g in gradients)


def test_leading_dimensions_are_samples(kernel: str) -> None:
    """(N, T, D), contiguous and not, as the rows they are: every bit, gradients in their shape."""
    rows = views(24, 5, count=3)
    shaped = [rows[0].view(4, 6, 5), rows[1].view(6, 4, 5).transpose(0, 1), rows[2].view(4, 6, 5)]
    shaped = [x.view(4, 3, 2, 5) if x.is_contiguous() else x.unflatten(1, (3, 2)) for x in shaped]
    calls = [
        lambda *z: functional.vicreg_loss(*z, backend=kernel),
        lambda *z: functional.vicreg_loss(*z, return_stats=True, backend=kernel).loss,
        lambda *z: functional.vicreg_loss(*z[:2], backend=kernel),
        lambda *z: functional.barlow_twins_loss(*z[1:], backend=kernel),
        lambda *z: functional.invariance_penalty(*z, backend=kernel),
        lambda *z: functional.variance_penalty(z[1], backend=kernel),
        lambda *z: functional.covariance_penalty(z[1], backend=kernel),
    ]
    for call in calls:
        found = gradients_of(call, shaped)
        expected = gradients_of(call, [x.reshape(24, 5) for x in shaped])
        for x, a, b in zip([torch.ones(()), *shaped], found, expected, strict=True):
            assert a.shape == x.shape
            assert torch.equal(a.reshape(b.shape), b)


def gradients_of(function: Callable[..., Tensor], inputs: list[Tensor]) -> list[Tensor]:
    z = [x.clone().requires_grad_() for x in inputs]
    loss = function(*z)
    found = torch.autograd.grad(loss, z, materialize_grads=True)
    return [loss.detach(), *found]


def test_shapes_that_are_no_samples_are_told() -> None:
    a, b = torch.randn(2, 3, 4), torch.randn(3, 2, 4)
    for loss in (functional.vicreg_loss, functional.barlow_twins_loss):
        with pytest.raises(ValueError, match=r"z2: shape \(3, 2, 4\); accepted: \(2, 3, 4\) as z1"):
            loss(a, b)
        with pytest.raises(ValueError, match=r"z1: shape \(4,\); accepted: \(N, D\) or"):
            loss(a[0, 0], b[0, 0])
        with pytest.raises(ValueError, match=r"z1: shape \(1, 1, 4\); .* N >= 2"):
            loss(a[:1, :1], a[:1, :1])
        for empty in (a[:, :0], a[..., :0]):
            with pytest.raises(ValueError, match=r"z1: shape \(2, .*; accepted: .* D >= 1"):
                loss(empty, empty)


def test_forward_and_backward_on_different_backends() -> None:
    for shape in ((12, 30), (30, 12)):
        z = [v.requires_grad_() for v in views(*shape)]
        given, one = [v.detach() for v in z], torch.ones(())
        expected = torch.autograd.grad(functional.vicreg_loss(*z, backend="reference"), z)
        names = [b.name for b in _backends()]
        for first, second in itertools.permutations(names, 2):
            kernel = {b.name: b for b in _backends()}
            factors = 25 / z[0].numel(), 25 / (2 * shape[1]), 1 / shape[1]
            settings = spec.VICRegSettings(*factors, 1.0, 1.0, 1.0, gamma=1.0, eps=1e-4)
            options = (settings, spec.ALL_TERMS, IEEE)
            _, _, *saved = kernel[first].kernels["vicreg"](given, *options)
            found = kernel[second].kernels["vicreg_backward"](one, None, given, *saved, *options)
            for a, b in zip(found, expected, strict=True):
                torch.testing.assert_close(a, b)
        expected = torch.autograd.grad(functional.barlow_twins_loss(*z, backend="reference"), z)
        options = (spec.BarlowTwinsSettings(1.0, 1.0, 1.0, 0.0051, 1e-5), spec.CENTER, IEEE)
        for first, second in itertools.permutations(names, 2):
            kernel = {b.name: b for b in _backends()}
            _, _, *saved = kernel[first].kernels["barlow_twins"](given, *options)
            backward = kernel[second].kernels["barlow_twins_backward"]
            found = backward(one, None, given, *saved, *options)
            for a, b in zip(found, expected, strict=True):
                torch.testing.assert_close(a, b)


def _backends() -> tuple:
    from tsssl_fast.ops import decorrelation

    return tuple(b for b in decorrelation.BACKENDS if "cpu" in b.devices)


def test_accept_can_fail() -> None:
    z = views(20, 30)
    wrong = value_and_gradients(lambda *x: 1.001 * vicreg("cpp")(*x), z)
    truth = value_and_gradients(vicreg_definition(), [v.double() for v in z])
    plain = value_and_gradients(vicreg_definition(), z)
    for a, t, p in zip(wrong, truth, plain, strict=True):
        with pytest.raises(AssertionError):
            accept("wrong by 1e-3", [(a, t, p)], spec.ERROR_FACTOR)
