"""precision="bf16" of NT-Xent: what it rounds, how far that is from the definition, and where it
runs. A processor without AVX512_BF16 runs only the refusals."""

from collections.abc import Callable, Iterable, Iterator

import pytest
import torch
from cases.contrastive import views
from checks import accept, value_and_gradients
from torch import Tensor
from variants import THREADS

import tsssl_fast
from tsssl_fast import functional, losses
from tsssl_fast.backends import cpp as _native
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.reference import nt_xent as reference

LACKING = _native.module().why_not_bf16()
needs_bf16 = pytest.mark.skipif(bool(LACKING), reason=LACKING)
TEMPERATURES = [1.0, 0.1, 0.034]
# Odd and even D, fewer dimensions than lanes, more rows than one block.
SHAPES = [(2, 5), (3, 4), (7, 129), (13, 8), (37, 33), (61, 3), (131, 20)]


def nt_xent(temperature: float, reduction: str = "none") -> Callable[[Tensor, Tensor], Tensor]:
    return lambda a, b: functional.nt_xent_loss(
        a, b, temperature=temperature, reduction=reduction, precision="bf16"
    )


def rounded_definition(
    z1: Tensor, z2: Tensor, temperature: float, upstream: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss and gradient in `dtype` from the rows that the kernel rounds, and how far rounding
    dL/da to bfloat16 may move each element of the gradient."""
    z = torch.cat([z1, z2]).double()
    norm = z.norm(dim=1, keepdim=True)
    scale = torch.where(norm <= spec.TINY_NORM, 0.0, 1 / norm)
    u = z * scale
    r = u.float().bfloat16().to(dtype)
    u, scale, upstream = u.to(dtype), scale.to(dtype), upstream.to(dtype)
    rows = torch.arange(len(z))
    other = rows.roll(len(z1))
    a = r @ r.T / temperature
    a[rows, rows] = a[rows, other] = -torch.inf
    x = a.logsumexp(dim=1) - (u * u[other]).sum(dim=1) / temperature
    loss = torch.logaddexp(x, x.new_zeros(()))
    slope = upstream * x.sigmoid()
    w = slope[:, None] * a.softmax(dim=1)
    w = w + w.T
    du = (w @ r - (slope + slope[other])[:, None] * u[other]) / temperature
    slack = spec.BF16_UNIT * (w.abs() @ r.abs()) / temperature
    gradient = (du - u * (u * du).sum(dim=1, keepdim=True)) * scale
    slack = (slack + u.abs() * (u.abs() * slack).sum(dim=1, keepdim=True)) * scale
    return loss, gradient, slack


def check(draws: Iterable[tuple[Tensor, Tensor]], temperature: float) -> None:
    results = []
    for z1, z2 in draws:
        upstream = torch.randn(2 * len(z1), dtype=torch.float64)
        loss, *gradients = value_and_gradients(nt_xent(temperature), (z1, z2), upstream)
        truth, gradient, slack = rounded_definition(z1, z2, temperature, upstream, torch.float64)
        plain, single, _ = rounded_definition(z1, z2, temperature, upstream, torch.float32)
        results.append((loss, truth, plain))
        beyond = ((torch.cat(gradients) - gradient).abs() - slack).max()
        largest = gradient.abs().max()
        noise = (single - gradient).abs().max() + torch.finfo(torch.float32).eps * largest
        # One draw's float32 error is a matter of luck; a wrong pair is off by far more.
        assert beyond <= 8 * noise, f"gradient: {beyond:.2e} beyond rounding, float32 {noise:.2e}"
    accept("loss", results, spec.ERROR_FACTOR)


@needs_bf16
@pytest.mark.parametrize("noise", [0.5, 0.01])
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("shape", SHAPES)
def test_rounds_rows_and_pulls_and_nothing_else(
    shape: tuple[int, int], temperature: float, noise: float
) -> None:
    """The float32 rule against the definition on rounded rows; for the gradient, on top of it, what
    rounding dL/da allows."""
    check((views(*shape, noise=noise) for _ in range(12 + 128 // shape[0])), temperature)


@needs_bf16
def test_more_rows_than_one_block() -> None:
    check([views(521, 19)], 0.1)


@needs_bf16
@pytest.mark.parametrize("noise", [5.0, 0.5, 0.01])
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("shape", [(1, 3), *SHAPES])
def test_error_is_what_is_stated(shape: tuple[int, int], temperature: float, noise: float) -> None:
    z1, z2 = views(*shape, noise=noise)
    upstream = torch.randn(2 * len(z1), dtype=torch.float64)
    loss, *gradients = value_and_gradients(nt_xent(temperature), (z1, z2), upstream)
    truth, *true = value_and_gradients(
        lambda a, b: reference.nt_xent(a, b, temperature), (z1.double(), z2.double()), upstream
    )
    assert (loss - truth).abs().max() <= spec.bf16_loss_error(temperature)
    error = (torch.cat(gradients) - torch.cat(true)).abs().max()
    assert error <= spec.bf16_gradient_error(temperature) * torch.cat(true).abs().max()


@needs_bf16
def test_one_pair_has_no_negative() -> None:
    value, g1, g2 = value_and_gradients(nt_xent(0.1, "mean"), views(1, 4))
    assert value == 0
    assert not g1.any()
    assert not g2.any()


@needs_bf16
def test_zero_rows() -> None:
    z1, z2 = views(9, 5)
    z1[4] = 0
    z2[7] = 1e-13  # norm below spec.TINY_NORM
    check([(z1, z2)], 0.1)
    _, g1, g2 = value_and_gradients(nt_xent(0.1, "mean"), (z1, z2))
    assert not g1[4].any()
    assert not g2[7].any()
    assert g1[7].any()


@needs_bf16
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_nan_and_infinity_reach_the_loss_and_the_gradient(bad: float) -> None:
    z1, z2 = views(40, 5)
    z1[17, 2] = bad
    loss, g1, g2 = value_and_gradients(nt_xent(0.1), (z1, z2))
    assert loss.isnan().all()  # its similarity is in every denominator
    assert g1.isnan().all()
    assert g2.isnan().all()


@needs_bf16
@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_norms_far_from_one(scale: float) -> None:
    z1, z2 = views(13, 7)
    check([(z1 * scale, z2)], 0.1)


@needs_bf16
def test_small_upstream_gradients_are_not_flushed() -> None:
    """A power of two multiplies the gradient exactly."""
    z = views(13, 7)
    g = torch.randn(26)
    scaled = value_and_gradients(nt_xent(0.1), z, g * 2.0**-20)
    plain = value_and_gradients(nt_xent(0.1), z, g)
    for a, b in zip(scaled[1:], plain[1:], strict=True):
        torch.testing.assert_close(a * 2.0**20, b, rtol=1e-6, atol=0)


@needs_bf16
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_reductions(reduction: str) -> None:
    z = views(37, 5)
    rows = value_and_gradients(nt_xent(0.1), z)
    value, *gradients = value_and_gradients(nt_xent(0.1, reduction), z)
    count = 74 if reduction == "mean" else 1
    torch.testing.assert_close(value, rows[0].double().sum().float() / count)
    for a, b in zip(gradients, rows[1:], strict=True):
        torch.testing.assert_close(a, b / count, rtol=1e-2, atol=1e-2 * a.abs().max().item())


@needs_bf16
def test_layouts_give_the_same_bits() -> None:
    z1, z2 = views(13, 6)
    expected = value_and_gradients(nt_xent(0.1), (z1, z2))
    wide = torch.zeros(13, 12)
    wide[:, ::2] = z1
    found = value_and_gradients(nt_xent(0.1), (wide[:, ::2], z2.T.contiguous().T))
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)


@needs_bf16
@pytest.mark.parametrize("shape", [(5, 3), (100, 17), (700, 24)])
def test_same_bits_for_any_number_of_threads(shape: tuple[int, int]) -> None:
    z = views(*shape)
    found = []
    for threads in THREADS:
        torch.set_num_threads(threads)
        found.append(value_and_gradients(nt_xent(0.1), z))
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert torch.equal(a, b)


@needs_bf16
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_inputs(dtype: torch.dtype) -> None:
    z1, z2 = views(13, 8, dtype=dtype)
    loss, g1, _ = value_and_gradients(nt_xent(0.1), (z1, z2))
    expected, exact, _ = value_and_gradients(nt_xent(0.1), (z1.float(), z2.float()))
    assert g1.dtype == dtype
    assert torch.equal(loss, expected)
    assert torch.equal(g1, exact.to(dtype))


@needs_bf16
@pytest.mark.clean_memory
def test_compiled_graph_is_whole() -> None:
    def loss(a: Tensor, b: Tensor) -> Tensor:
        return functional.nt_xent_loss(a * 2, b, temperature=0.2, precision="bf16") * 3

    z1, z2 = torch.randn(6, 4, requires_grad=True), torch.randn(6, 4)
    expected = torch.autograd.grad(loss(z1, z2), z1)[0]
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    assert torch.equal(torch.autograd.grad(compiled(z1, z2), z1)[0], expected)


@needs_bf16
def test_torch_func_grad_and_second_derivative() -> None:
    z1, z2 = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3)
    loss = nt_xent(0.1, "mean")
    (gradient,) = torch.autograd.grad(loss(z1, z2), z1, create_graph=True)
    assert torch.equal(torch.func.grad(loss)(z1.detach(), z2), gradient)
    with pytest.raises(NotImplementedError, match="nt_xent_bf16: second derivatives"):
        gradient.sum().backward()


@needs_bf16
def test_module_is_the_function() -> None:
    z = views(6, 4)
    module = losses.NTXentLoss(temperature=0.2, precision="bf16")
    assert torch.equal(module(*z), nt_xent(0.2, "mean")(*z))
    assert "precision='bf16'" in repr(module)


def test_float32_is_the_default() -> None:
    z = views(6, 4)
    assert torch.equal(
        functional.nt_xent_loss(*z, precision="float32"), functional.nt_xent_loss(*z)
    )


@pytest.mark.parametrize("precision", ["float16", "BF16", ""])
def test_unknown_precision(precision: str) -> None:
    words = f"precision: '{precision}'; accepted: float32, bf16"
    with pytest.raises(ValueError, match=words):
        functional.nt_xent_loss(*views(3, 2), precision=precision)
    with pytest.raises(ValueError, match=words):
        losses.NTXentLoss(precision=precision)


@pytest.mark.parametrize("precision", spec.PRECISIONS)
def test_float64_is_not_cast(precision: str) -> None:
    with pytest.raises(TypeError, match=r"z1: dtype torch.float64 with precision=.*accepted: "):
        functional.nt_xent_loss(*views(3, 2, dtype=torch.float64), precision=precision)


def test_temperature_below_the_fixed_shift() -> None:
    words = r"temperature: 0.03 with precision='bf16'; accepted: a number > 0.03333"
    with pytest.raises(ValueError, match=words):
        functional.nt_xent_loss(*views(3, 2), temperature=0.03, precision="bf16")
    with pytest.raises(ValueError, match=words):
        losses.NTXentLoss(temperature=0.03, precision="bf16")


@pytest.fixture
def baseline() -> Iterator[None]:
    native = _native.module()
    native.set_isa("baseline")
    yield
    native.set_isa("")


@pytest.mark.usefixtures("baseline")
@pytest.mark.parametrize("backend", [None, "cpp", "reference"])
def test_what_is_missing_is_an_error(backend: str | None) -> None:
    words = "nt_xent_bf16 is not implemented" if backend == "reference" else "needed: avx512|AVX512"
    with pytest.raises(tsssl_fast.BackendUnavailableError, match=words):
        functional.nt_xent_loss(*views(3, 2), precision="bf16", backend=backend)
