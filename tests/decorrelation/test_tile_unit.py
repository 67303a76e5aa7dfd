"""VICReg and Barlow Twins on the tensor unit, beyond what runs on every instruction set: sizes from
which the instructions are used, inputs of 16 bits, columns of every magnitude, thread counts."""

import pytest
import torch
from checks import accept
from torch import Tensor
from variants import ISAS

from tsssl_fast import functional
from tsssl_fast.backends import cpp as native
from tsssl_fast.ops.decorrelation import spec

LOSSES = {"vicreg": functional.vicreg_loss, "barlow_twins": functional.barlow_twins_loss}
# (n, dim): Gram matrices, and covariances (csrc/decorrelation/products.h).
SIZES = {torch.float32: ((770, 801), (801, 770)), torch.bfloat16: ((260, 530), (530, 260))}
SMALL = ((35, 49), (49, 35))  # the emulation is slow


def loss_and_gradients(loss, views: list[Tensor], **options) -> list[Tensor]:
    leaves = [v.clone().requires_grad_() for v in views]
    value = loss(*leaves, **options)
    return [value.detach(), *torch.autograd.grad(value, leaves)]


def two_views(n: int, dim: int, size: float = 1.0, mean: float = 1.5) -> list[Tensor]:
    z = torch.randn(n, dim) @ torch.randn(dim, dim) / dim**0.5 + mean
    return [z * size, (z + torch.randn(n, dim)) * size]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", SIZES)
@pytest.mark.parametrize("gram", [True, False])
def test_values_and_gradients(unit, name, dtype, gram):
    """float32's rule; gradients of 16-bit inputs may be off by half an ulp of their row's largest
    on average, of which the last rounding is a quarter."""
    torch.manual_seed(0)
    n, dim = (SIZES[dtype] if unit != "amx-emulated" else SMALL)[not gram]
    views = [v.to(dtype) for v in two_views(n, dim)]
    found = loss_and_gradients(LOSSES[name], views, backend="cpp")
    exact = loss_and_gradients(LOSSES[name], [v.double() for v in views], backend="reference")
    plain = loss_and_gradients(LOSSES[name], [v.float() for v in views], backend="reference")
    accept("loss", [(found[0].float(), exact[0], plain[0])], spec.ERROR_FACTOR)
    for ours, truth, theirs in list(zip(found, exact, plain, strict=True))[1:]:
        assert ours.dtype == dtype
        if dtype == torch.float32:
            accept("gradient", [(ours, truth, theirs)], spec.ERROR_FACTOR)
            continue
        ulp = torch.finfo(dtype).eps * truth.abs().amax(dim=1, keepdim=True)
        assert ((ours.double() - truth).abs() / ulp).mean() <= spec.GRADIENT_ULPS + 0.25


# bfloat16 views whose means are below half their deviations, below them, and above: inputs as they
# are, with one part of the second moments or two, and centred columns in parts.
@pytest.mark.parametrize("mean", [0.0, 0.3, 0.6, 3.0])
@pytest.mark.parametrize("covariance_alone", [True, False])
@pytest.mark.parametrize("shape", [(260, 530), (530, 530), (600, 260)])
def test_inputs_as_they_are(unit, shape, mean, covariance_alone):
    if unit == "amx-emulated" and (
        shape == (530, 530) or covariance_alone or mean not in (0.3, 0.6)
    ):
        pytest.skip("the emulation is slow: one size of each side, where inputs are as they are")
    torch.manual_seed(4)
    n, dim = shape
    weights = {"invariance_weight": 0.0, "variance_weight": 0.0} if covariance_alone else {}
    results = []
    for count in (2, 3) if unit != "amx-emulated" else (2,):
        views = [v.bfloat16() for v in two_views(n, dim, mean=mean)]
        views += [views[0] + 1] * (count - 2)
        found = loss_and_gradients(functional.vicreg_loss, views, backend="cpp", **weights)
        others = (
            loss_and_gradients(
                functional.vicreg_loss, [v.to(dtype) for v in views], backend="reference", **weights
            )
            for dtype in (torch.float64, torch.float32)
        )
        results.append((found, *others))
    accept("loss", [(f[0], t[0], p[0]) for f, t, p in results], spec.ERROR_FACTOR)
    for found, exact, _ in results:
        for ours, truth in zip(found[1:], exact[1:], strict=True):
            # The last rounding alone is off by a quarter of a number's own.
            ulp = 2.0 ** (truth.abs().log2().floor() - 7)
            allowed = (spec.GRADIENT_ULPS + 0.25) * ulp.mean()
            assert (ours.double() - truth).abs().mean() <= allowed


@pytest.mark.parametrize("shape", [(260, 530), (530, 530)])
def test_a_constant_column_beside_inputs_as_they_are(unit, shape):
    if unit == "amx-emulated" and shape == (530, 530):
        pytest.skip("the emulation is slow: one size")
    torch.manual_seed(5)
    views = two_views(*shape, mean=0.0)
    for v in views:
        v[:, 7] = 11.0
    views = [v.bfloat16() for v in views]
    alone = {"invariance_weight": 0.0, "variance_weight": 0.0}
    found = loss_and_gradients(functional.vicreg_loss, views, backend="cpp", **alone)
    exact = loss_and_gradients(
        functional.vicreg_loss, [v.double() for v in views], backend="reference", **alone
    )
    for ours, truth in zip(found[1:], exact[1:], strict=True):
        ulp = 2.0 ** (truth.abs().log2().floor() - 7)
        off = (ours.double() - truth)[:, 7].abs().mean()
        assert off <= (spec.GRADIENT_ULPS + 0.25) * ulp.mean()


@pytest.mark.parametrize("size", [1e-30, 1e-15, 1e9, 1e15, 1e30])
@pytest.mark.parametrize("gram", [True, False])
def test_columns_of_every_magnitude(unit, size, gram):
    """One column far from the others, in both directions: finite, and as without a unit."""
    torch.manual_seed(1)
    n, dim = (SIZES[torch.float32] if unit != "amx-emulated" else SMALL)[not gram]
    views = two_views(n, dim)
    for v in views:
        v[:, 3] *= size
    found = loss_and_gradients(functional.barlow_twins_loss, views, backend="cpp")
    exact = loss_and_gradients(
        functional.barlow_twins_loss, [v.double() for v in views], backend="reference"
    )
    plain = loss_and_gradients(functional.barlow_twins_loss, views, backend="reference")
    for ours, truth, theirs in zip(found, exact, plain, strict=True):
        column = ours.ndim > 0  # gradients by column: they are as far apart as the inputs
        for c in (3, slice(4, None)) if column else (...,):
            a, b, d = ours[..., c], truth[..., c], theirs[..., c]
            scale = b.abs().max().clamp_min(1e-37)
            allowed = 2 * (d - b).abs().mean() / scale + 1e-6
            assert allowed.isfinite()
            assert (a - b).abs().mean() / scale <= allowed


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
def test_numbers_that_can_not_be_scaled(unit, value):
    """As without a unit, to the bit."""
    torch.manual_seed(2)
    views = two_views(*(SIZES[torch.float32] if unit != "amx-emulated" else SMALL)[0])
    views[0][5, 7] = value
    found = loss_and_gradients(functional.vicreg_loss, views, backend="cpp")
    vectors = [isa for isa in ("baseline", "avx2", "avx512") if ISAS.get(isa)][-1]
    native.module().set_isa(vectors)
    other = loss_and_gradients(functional.vicreg_loss, views, backend="cpp")
    native.module().set_isa(unit)
    for ours, theirs in zip(found, other, strict=True):
        assert torch.equal(ours.isnan(), theirs.isnan())
        assert torch.equal(ours.nan_to_num(), theirs.nan_to_num())


@pytest.mark.parametrize("name", LOSSES)
def test_threads(unit, name):
    """The same bits by any number of threads."""
    torch.manual_seed(3)
    sizes = SIZES[torch.float32] if unit != "amx-emulated" else SMALL
    before = torch.get_num_threads()
    try:
        for n, dim in sizes:
            views, results = two_views(n, dim), []
            for threads in (1, 2, 3):
                torch.set_num_threads(threads)
                results.append(loss_and_gradients(LOSSES[name], views, backend="cpp"))
            for other in results[1:]:
                assert all(map(torch.equal, results[0], other))
    finally:
        torch.set_num_threads(before)
