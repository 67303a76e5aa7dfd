"""NT-Xent: every backend and instruction set against the definition, in values and gradients."""

from collections.abc import Iterable, Iterator

import numpy as np
import pytest
import torch
from checks import Draw, accept, accept_all, value_and_gradients
from conftest import THREADS
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tsssl_fast import functional, losses
from tsssl_fast.ops.contrastive import reference, spec

# (N, D): one pair, primes, fewer dimensions than lanes, more rows than one block.
SHAPES = [(1, 3), (2, 5), (3, 4), (7, 129), (13, 8), (37, 33), (61, 3), (131, 20)]
# On both sides of the fixed exponent shift's end (2 / tau between 58 and 100).
BACKENDS = ["reference", "cpp", "numba"]
TEMPERATURES = [1.0, 0.1, 0.034, 0.03, 0.02, 0.005, 1e-3]


def views(
    n: int, dim: int, noise: float = 0.5, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    z1 = torch.randn(n, dim, dtype=torch.float64)
    z2 = z1 + noise * torch.randn(n, dim, dtype=torch.float64)
    return z1.to(dtype), z2.to(dtype)


def orders(z1: Tensor, z2: Tensor, count: int = 6) -> Iterator[Draw]:
    """The batch with its columns in several orders: the same loss, rounded differently."""
    upstream = torch.randn(2 * len(z1), dtype=torch.float64)
    for _ in range(count):
        columns = torch.randperm(z1.shape[1])
        yield (z1[:, columns], z2[:, columns]), upstream


def check(draws: Iterable[Draw], temperature: float, kernel: str) -> None:
    accept_all(
        lambda a, b: functional.nt_xent(a, b, temperature, "none", backend=kernel),
        lambda a, b: reference.nt_xent(a, b, temperature),
        draws,
        spec.ERROR_FACTOR,
    )


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
    check(orders(*views(*shape)), temperature, kernel)


def test_what_is_kept_is_bounded() -> None:
    assert spec.kept_rows(1024, 8) == 1056
    assert spec.kept_rows(1026, 8) == 0
    assert spec.kept_rows(2048, 512) == 2064


@pytest.mark.parametrize("temperature", [1.0, 0.1, 0.005])
@pytest.mark.parametrize("n", [2, 3, 61])
def test_one_dimension(kernel: str, n: int, temperature: float) -> None:
    """Every unit row is 1 or -1: the loss is nearly exact and the gradient is zero."""
    z1, z2 = views(n, 1)
    loss, *gradients = value_and_gradients(
        lambda a, b: functional.nt_xent(a, b, temperature, "none", backend=kernel), (z1, z2)
    )
    truth = reference.nt_xent(z1.double(), z2.double(), temperature)
    accept("loss", [(loss, truth, reference.nt_xent(z1, z2, temperature))], spec.ERROR_FACTOR)
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
    loss = functional.nt_xent(z1, z2, temperature, backend=kernel)
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
        lambda a, b: functional.nt_xent(a, b, temperature, "none", backend=kernel), (z1, z2), g
    )
    plain = value_and_gradients(lambda a, b: reference.nt_xent(a, b, temperature), (z1, z2), g)
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
    check(orders(*views(*shape, noise=noise)), temperature, kernel)


def test_one_pair_has_no_negative(kernel: str) -> None:
    z1, z2 = views(1, 4)
    value, g1, g2 = value_and_gradients(
        lambda a, b: functional.nt_xent(a, b, backend=kernel), (z1, z2)
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
        lambda a, b: functional.nt_xent(a, b, temperature, backend=kernel), (z1, z2)
    )
    assert value.isfinite()
    assert not g1[4].any()
    assert not g2[7].any()
    assert g1[7].any()


def test_all_rows_zero(kernel: str) -> None:
    z = torch.zeros(3, 4)
    loss = functional.nt_xent(z, z, reduction="none", backend=kernel)
    torch.testing.assert_close(loss, torch.full((6,), 5.0).log())  # five candidates, all alike


@pytest.mark.parametrize("temperature", [0.1, 0.01])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_nan_and_infinity_reach_the_loss(kernel: str, bad: float, temperature: float) -> None:
    z1, z2 = views(40, 5)
    z1[17, 2] = bad
    check(orders(z1, z2), temperature, kernel)
    assert functional.nt_xent(z1, z2, temperature, backend=kernel).isnan()


@pytest.mark.parametrize("gain", [1.0, 65536.0])
@pytest.mark.parametrize("temperature", [0.1, 0.034, 0.024, 0.01])
def test_opposite_views(kernel: str, temperature: float, gain: float) -> None:
    """Every similarity of the first row is -1: the smallest sums, under a scaled-up loss."""
    z = torch.randn(1, 16)
    z1, z2 = -z.repeat(9, 1), -z.repeat(9, 1)
    z1[0] = z[0]
    loss, *gradients = value_and_gradients(
        lambda a, b: functional.nt_xent(a, b, temperature, "sum", backend=kernel) * gain, (z1, z2)
    )
    truth = reference.nt_xent(z1.double(), z2.double(), temperature).sum() * gain
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
            lambda a, b: functional.nt_xent(a, b, reduction="none", backend=kernel), z, g * weight
        )
        for weight in (gain, 1.0)
    ]
    for scaled, plain in zip(runs[0][1:], runs[1][1:], strict=True):
        assert torch.equal(scaled / gain, plain)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_reductions(kernel: str, reduction: str) -> None:
    z1, z2 = views(6, 5)

    def reduced(rows: Tensor) -> Tensor:
        return {"none": rows, "sum": rows.sum(), "mean": rows.mean()}[reduction]

    accept_all(
        lambda a, b: functional.nt_xent(a, b, 0.2, reduction, backend=kernel),
        lambda a, b: reduced(reference.nt_xent(a, b, 0.2)),
        [((z1, z2), None)],
        spec.ERROR_FACTOR,
    )


LAYOUTS = {
    "transposed": lambda x: x.T.contiguous().T,
    "every other row": lambda x: x.repeat_interleave(2, 0)[::2],
    "every other column": lambda x: x.repeat_interleave(2, 1)[:, ::2],
    "offset": lambda x: torch.cat([x[:1], x])[1:],
    "wide rows": lambda x: torch.cat([x, x], 1)[:, : x.shape[1]],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_give_the_same_bits(kernel: str, layout: str) -> None:
    z1, z2 = views(11, 6)
    g = torch.randn(22)

    def run(arrange: bool) -> tuple[Tensor, ...]:
        def function(a: Tensor, b: Tensor) -> Tensor:
            if arrange:
                a, b = LAYOUTS[layout](a), LAYOUTS[layout](b)
            return functional.nt_xent(a, b, reduction="none", backend=kernel)

        return value_and_gradients(function, (z1, z2), g)

    for arranged, plain in zip(run(True), run(False), strict=True):
        assert torch.equal(arranged, plain)


def test_expanded_inputs_and_upstream(kernel: str) -> None:
    row = torch.randn(1, 6)
    a, b = row.expand(5, 6), torch.randn(5, 1).expand(5, 6)
    loss = functional.nt_xent(a, b, reduction="none", backend=kernel)
    plain = functional.nt_xent(a.contiguous(), b.contiguous(), reduction="none", backend=kernel)
    assert torch.equal(loss, plain)
    x = row.clone().requires_grad_()
    functional.nt_xent(x.expand(5, 6), b, backend=kernel).backward()
    y = row.clone().requires_grad_()
    functional.nt_xent(y.repeat(5, 1), b, backend=kernel).backward()
    torch.testing.assert_close(x.grad, y.grad)


@pytest.mark.parametrize("which", [0, 1])
def test_only_one_input_requires_a_gradient(kernel: str, which: int) -> None:
    z = list(views(8, 5))
    both = value_and_gradients(lambda a, b: functional.nt_xent(a, b, backend=kernel), z)
    z[which].requires_grad_()
    functional.nt_xent(*z, backend=kernel).backward()
    assert torch.equal(z[which].grad, both[1 + which])
    assert z[1 - which].grad is None


@pytest.mark.parametrize("temperature", [0.1, 0.01])
@pytest.mark.parametrize("shape", [(5, 3), (100, 17), (700, 24)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("backend", ["cpp", "numba"])
def test_same_bits_for_any_number_of_threads(
    backend: str, shape: tuple[int, int], temperature: float, dtype: torch.dtype
) -> None:
    z = views(*shape, dtype=dtype)
    g = torch.randn(2 * shape[0], dtype=dtype)

    def run(threads: int) -> tuple[Tensor, ...]:
        torch.set_num_threads(threads)
        return value_and_gradients(
            lambda a, b: functional.nt_xent(a, b, temperature, "none", backend=backend), z, g
        )

    first = run(THREADS[0])
    for threads in THREADS[1:]:
        for a, b in zip(run(threads), first, strict=True):
            assert torch.equal(a, b), f"{threads} threads"


@pytest.mark.parametrize("temperature", [0.1, 0.01])
def test_forward_on_one_backend_backward_on_another(temperature: float) -> None:
    z1, z2 = views(150, 9, dtype=torch.float64)
    g, lengths = torch.randn(300, dtype=torch.float64), torch.tensor([30, 7, 30, 12, 29])
    groups = (z1.view(5, 30, 9), z2.view(5, 30, 9))
    found = []
    for forward in BACKENDS:
        _, saved, kept = torch.ops.tsssl_fast.nt_xent(z1, z2, temperature, "none", True, forward)
        _, many = torch.ops.tsssl_fast.grouped_nt_xent(*groups, lengths, temperature, True, forward)
        for backward in BACKENDS:
            one = torch.ops.tsssl_fast.nt_xent_backward(
                g, z1, z2, saved, kept, temperature, "none", backward
            )
            rest = torch.ops.tsssl_fast.grouped_nt_xent_backward(
                g.view(5, 60), *groups, many, lengths, temperature, True, backward
            )
            found.append((*one, *rest))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0])


def test_two_runs_give_the_same_bits(kernel: str) -> None:
    z = views(150, 9)
    runs = [
        value_and_gradients(lambda a, b: functional.nt_xent(a, b, backend=kernel), z)
        for _ in range(2)
    ]
    for a, b in zip(*runs, strict=True):
        assert torch.equal(a, b)


BATCHES = st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32))
TAUS = st.sampled_from(TEMPERATURES[:-1])


def drawn(batch: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    torch.manual_seed(batch[2])
    return views(*batch[:2], dtype=torch.float64)


def nt_xent_f64(z1: Tensor, z2: Tensor, temperature: float) -> tuple[Tensor, ...]:
    return value_and_gradients(
        lambda a, b: functional.nt_xent(a, b, temperature, "none", backend="cpp"),
        (z1, z2),
        torch.ones(2 * len(z1), dtype=torch.float64),
    )


def same(actual: Tensor, expected: Tensor) -> None:
    scale = expected.abs().max().item() if expected.numel() else 0.0
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-11 * max(scale, 1.0))


@given(BATCHES, TAUS)
def test_reordering_the_batch_reorders_the_result(
    batch: tuple[int, int, int], temperature: float
) -> None:
    z1, z2 = drawn(batch)
    order = torch.randperm(len(z1))
    loss, g1, g2 = nt_xent_f64(z1, z2, temperature)
    loss_p, g1_p, g2_p = nt_xent_f64(z1[order], z2[order], temperature)
    same(loss_p, loss.view(2, -1)[:, order].flatten())
    same(g1_p, g1[order])
    same(g2_p, g2[order])


@given(BATCHES, TAUS)
def test_exchanging_the_views_exchanges_the_results(
    batch: tuple[int, int, int], temperature: float
) -> None:
    z1, z2 = drawn(batch)
    loss, g1, g2 = nt_xent_f64(z1, z2, temperature)
    loss_x, g1_x, g2_x = nt_xent_f64(z2, z1, temperature)
    same(loss_x, loss.roll(len(z1)))
    same(g1_x, g2)
    same(g2_x, g1)


@given(BATCHES, TAUS, st.floats(1e-3, 1e3))
def test_scaling_a_row_leaves_the_loss_and_divides_its_gradient(
    batch: tuple[int, int, int], temperature: float, scale: float
) -> None:
    z1, z2 = drawn(batch)
    loss, g1, _ = nt_xent_f64(z1, z2, temperature)
    scaled = z1.clone()
    scaled[0] *= scale
    loss_s, g1_s, _ = nt_xent_f64(scaled, z2, temperature)
    same(loss_s, loss)
    same(g1_s[0] * scale, g1[0])


@given(BATCHES, TAUS)
def test_gradient_is_orthogonal_to_its_embedding(
    batch: tuple[int, int, int], temperature: float
) -> None:
    z1, z2 = drawn(batch)
    _, g1, g2 = nt_xent_f64(z1, z2, temperature)
    size = (g1.norm(dim=1) * z1.norm(dim=1)).max().clamp_min(1.0)
    assert ((g1 * z1).sum(dim=1).abs() <= 1e-12 * size / temperature).all()
    assert ((g2 * z2).sum(dim=1).abs() <= 1e-12 * size / temperature).all()


def test_module_is_the_function() -> None:
    z1, z2 = views(6, 4)
    module = losses.NTXentLoss(0.3, "sum")
    assert torch.equal(module(z1, z2), functional.nt_xent(z1, z2, 0.3, "sum"))
    assert "temperature=0.3" in repr(module)
    assert not list(module.parameters())


def test_large_batch(kernel: str) -> None:
    """Several blocks, the last one incomplete; the truth comes from the definition in float64."""
    check(orders(*views(521, 19), count=2), 0.1, kernel)


def test_accept_rejects_a_wrong_kernel() -> None:
    """The rule itself can fail: one element off by 1e-5 is found."""
    z1, z2 = views(8, 5)
    truth = reference.nt_xent(z1.double(), z2.double(), 0.1)
    plain = reference.nt_xent(z1, z2, 0.1)
    wrong = plain.clone()
    wrong[3] += 1e-5 * wrong.abs().max()
    with pytest.raises(AssertionError, match="loss: error"):
        accept("loss", [(wrong, truth, plain)], spec.ERROR_FACTOR)
    wrong[3] = torch.nan
    with pytest.raises(AssertionError, match="loss: NaN"):
        accept("loss", [(wrong, truth, plain)], spec.ERROR_FACTOR)
