"""NT-Xent: every backend and instruction set against the definition, in values and gradients."""

import numpy as np
import pytest
import torch
from cases.contrastive import TEMPERATURES, check, orders, views
from checks import accept, value_and_gradients
from torch import Tensor

from tsssl_fast import functional
from tsssl_fast.backends import cpp as native
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.reference import nt_xent

# (N, D): one pair, primes, fewer dimensions than lanes, more rows than one block, more rows than
# form their gradients block by block, more dimensions than are summed in one go.
SHAPES = [
    *((1, 3), (2, 5), (3, 4), (7, 129), (13, 8), (37, 33), (61, 3), (131, 20), (277, 9)),
    (20, 1030),
]


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_and_temperatures(kernel: str, shape: tuple[int, int], temperature: float) -> None:
    count = 6 + 64 // shape[0]  # of small batches more: one pair of rows decides the error of each
    check((d for _ in range(count) for d in orders(*views(*shape), 2)), temperature, kernel)


@pytest.mark.parametrize("temperature", [0.5, 0.1, 0.01])
@pytest.mark.parametrize("shape", [(1, 3), (7, 129), (61, 33), (130, 8)])
def test_exponentials_computed_again(
    kernel: str, shape: tuple[int, int], temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for larger batches: the backward finds nothing kept."""
    monkeypatch.setattr(spec, "kept_rows", lambda rows, dim: 0)
    monkeypatch.setattr(native.C, "nt_xent_saved_side", lambda rows, dim: 0)
    check(orders(*views(*shape)), temperature, kernel)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("temperature", [0.5, 0.1, 0.01])
@pytest.mark.parametrize("shape", [(1, 3), (7, 129), (61, 33), (130, 8)])
def test_gradient_computed_in_the_forward(
    compiled: str, shape: tuple[int, int], temperature: float, reduction: str
) -> None:
    """The same as row by row, for any upstream gradient; a second backward gives it again."""
    z = views(*shape, dtype=torch.float64)
    leaves = [x.requires_grad_() for x in z]
    loss = functional.nt_xent_loss(
        *leaves, temperature=temperature, reduction=reduction, backend=compiled
    )
    rows = functional.nt_xent_loss(
        *leaves, temperature=temperature, reduction="none", backend=compiled
    )
    expected = torch.autograd.grad(getattr(rows, reduction)() * -3, leaves)
    for _ in range(2):
        found = torch.autograd.grad(loss * -3, leaves, retain_graph=True)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_what_is_kept_is_bounded() -> None:
    assert spec.kept_rows(1024, 8) == 1055
    assert spec.kept_rows(1026, 8) == 0
    assert spec.kept_rows(2048, 512) == 2079


@pytest.mark.parametrize("temperature", [1.0, 0.1, 0.005])
@pytest.mark.parametrize("n", [2, 3, 61])
def test_one_dimension(kernel: str, n: int, temperature: float) -> None:
    """Every unit row is 1 or -1: the loss is nearly exact and the gradient is zero."""
    z1, z2 = views(n, 1)
    loss, *gradients = value_and_gradients(
        lambda a, b: functional.nt_xent_loss(
            a, b, temperature=temperature, reduction="none", backend=kernel
        ),
        (z1, z2),
    )
    truth = nt_xent.nt_xent(z1.double(), z2.double(), temperature)
    accept("loss", [(loss, truth, nt_xent.nt_xent(z1, z2, temperature))], spec.ERROR_FACTOR)
    # Its terms are up to 2 / (tau |z|) each and cancel.
    for gradient, z in zip(gradients, (z1, z2), strict=True):
        assert (gradient.abs() <= 4 * 1.2e-7 * 2 / (temperature * z.abs())).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 3), (7, 129), (61, 3)])
@pytest.mark.parametrize("temperature", [0.1, 0.01])
def test_half_precision_inputs_compute_in_float32(
    kernel: str, shape: tuple[int, int], temperature: float, dtype: torch.dtype
) -> None:
    z1, z2 = views(*shape, dtype=dtype)
    z1.requires_grad_()
    loss = functional.nt_xent_loss(z1, z2, temperature=temperature, backend=kernel)
    loss.backward()
    assert loss.dtype == torch.float32
    assert z1.grad is not None
    assert z1.grad.dtype == dtype
    check(orders(z1, z2), temperature, kernel)


def extended(z1: Tensor, z2: Tensor, temperature: float, g: Tensor) -> tuple[Tensor, ...]:
    """Loss and gradients in numpy's long double, from the closed form of the gradient."""
    z = np.concatenate([z1.numpy(), z2.numpy()]).astype(np.longdouble)
    weight = g.numpy().astype(np.longdouble)
    norm = np.sqrt((z * z).sum(axis=1, keepdims=True))
    u = z / norm
    m, tau = len(z), np.longdouble(temperature)
    other = np.roll(np.arange(m), m // 2)
    a = u @ u.T / tau
    np.fill_diagonal(a, -np.inf)
    top = a.max(axis=1, keepdims=True)
    p = np.exp(a - top)
    loss = np.log(p.sum(axis=1)) + top[:, 0] - a[np.arange(m), other]
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(m), other] -= 1
    w = weight[:, None] * p
    du = (w + w.T) @ u / tau
    dz = (du - (du * u).sum(axis=1, keepdims=True) * u) / norm
    return loss, dz[: m // 2], dz[m // 2 :]


@pytest.mark.parametrize("shape", [(2, 5), (7, 129), (31, 16), (37, 33)])
@pytest.mark.parametrize("temperature", [0.5, 0.1, 0.003, 0.0028, 1e-3])
def test_float64_against_extended_precision(
    kernel: str, shape: tuple[int, int], temperature: float
) -> None:
    z1, z2 = views(*shape, dtype=torch.float64)
    g = torch.randn(2 * len(z1), dtype=torch.float64)
    truth = extended(z1, z2, temperature, g)
    actual = value_and_gradients(
        lambda a, b: functional.nt_xent_loss(
            a, b, temperature=temperature, reduction="none", backend=kernel
        ),
        (z1, z2),
        g,
    )
    plain = value_and_gradients(lambda a, b: nt_xent.nt_xent(a, b, temperature), (z1, z2), g)
    for name, a, t, p in zip(("loss", "grad z1", "grad z2"), actual, truth, plain, strict=True):
        errors = [float(np.abs(x.numpy().astype(np.longdouble) - t).max()) for x in (a, p)]
        unit = float(np.abs(t).max()) * torch.finfo(torch.float64).eps
        assert errors[0] <= spec.ERROR_FACTOR * errors[1] + unit, f"{name}: {errors}, ulp {unit}"


@pytest.mark.parametrize("noise", [1e-2, 1e-3, 0.0])
@pytest.mark.parametrize("temperature", [0.5, 0.1, 0.03, 0.005])
@pytest.mark.parametrize("shape", [(16, 64), (128, 16)])
def test_converged_batch_keeps_its_digits(
    kernel: str, noise: float, temperature: float, shape: tuple[int, int]
) -> None:
    # Of several batches: one alone gave plain torch an error of 20 to 55 ulp in gradients, on an
    # AMD EPYC (Zen 3).
    batches = (views(*shape, noise=noise) for _ in range(4))
    check((d for z in batches for d in orders(*z, 2)), temperature, kernel)


def test_one_pair_has_no_negative(kernel: str) -> None:
    z1, z2 = views(1, 4)
    value, g1, g2 = value_and_gradients(
        lambda a, b: functional.nt_xent_loss(a, b, backend=kernel), (z1, z2)
    )
    assert value == 0
    assert not g1.any()
    assert not g2.any()


@pytest.mark.parametrize("temperature", [0.1, 0.01])
def test_zero_row_gives_finite_loss_and_zero_gradient(kernel: str, temperature: float) -> None:
    z1, z2 = views(9, 5)
    z1[4] = 0
    z2[7] = 1e-13  # norm below spec.TINY_NORM
    check(orders(z1, z2), temperature, kernel)
    value, g1, g2 = value_and_gradients(
        lambda a, b: functional.nt_xent_loss(a, b, temperature=temperature, backend=kernel),
        (z1, z2),
    )
    assert value.isfinite()
    assert not g1[4].any()
    assert not g2[7].any()
    assert g1[7].any()


def test_all_rows_zero(kernel: str) -> None:
    z = torch.zeros(3, 4)
    loss = functional.nt_xent_loss(z, z, reduction="none", backend=kernel)
    torch.testing.assert_close(loss, torch.full((6,), 5.0).log())  # five candidates, all alike


@pytest.mark.parametrize("temperature", [0.1, 0.01])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_nan_and_infinity_reach_the_loss(kernel: str, bad: float, temperature: float) -> None:
    z1, z2 = views(40, 5)
    z1[17, 2] = bad
    check(orders(z1, z2), temperature, kernel)
    assert functional.nt_xent_loss(z1, z2, temperature=temperature, backend=kernel).isnan()


@pytest.mark.parametrize("gain", [1.0, 65536.0])
@pytest.mark.parametrize("temperature", [0.1, 0.034, 0.024, 0.01])
def test_opposite_views(kernel: str, temperature: float, gain: float) -> None:
    """Every similarity of the first row is -1: the smallest sums, under a scaled-up loss."""
    z = torch.randn(1, 16)
    z1, z2 = -z.repeat(9, 1), -z.repeat(9, 1)
    z1[0] = z[0]
    loss, *gradients = value_and_gradients(
        lambda a, b: (
            functional.nt_xent_loss(a, b, temperature=temperature, reduction="sum", backend=kernel)
            * gain
        ),
        (z1, z2),
    )
    truth = nt_xent.nt_xent(z1.double(), z2.double(), temperature).sum() * gain
    torch.testing.assert_close(loss.double(), truth, rtol=1e-5, atol=0)
    # All rows are parallel, so the gradient is zero; its terms are at most 2N / (tau |z|).
    bound = gain * 18 / (temperature * z.norm().item())
    for gradient in gradients:
        assert gradient.abs().max() <= 1e-6 * bound


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_norms_far_from_one(kernel: str, scale: float) -> None:
    z1, z2 = views(13, 7)
    check(orders(z1 * scale, z2), 0.1, kernel)


@pytest.mark.parametrize("gain", [2.0**-20, 2.0**16])
def test_upstream_gradients_of_any_size(kernel: str, gain: float) -> None:
    """A power of two, as automatic mixed precision scales by, multiplies the gradient exactly."""
    z = views(13, 7)
    g = torch.randn(26)
    runs = [
        value_and_gradients(
            lambda a, b: functional.nt_xent_loss(a, b, reduction="none", backend=kernel),
            z,
            g * weight,
        )
        for weight in (gain, 1.0)
    ]
    for scaled, plain in zip(runs[0][1:], runs[1][1:], strict=True):
        assert torch.equal(scaled / gain, plain)
