"""NT-Xent beside its numbers: reductions, layouts, threads, backends, symmetries, the module."""

import pytest
import torch
from cases.contrastive import TEMPERATURES, check, orders, views
from checks import accept, accept_all, value_and_gradients
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from variants import THREADS

from tsssl_fast import functional, losses
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.reference import nt_xent

BACKENDS = ["reference", "cpp", "numba"]


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_reductions(kernel: str, reduction: str) -> None:
    z1, z2 = views(6, 5)

    def reduced(rows: Tensor) -> Tensor:
        return {"none": rows, "sum": rows.sum(), "mean": rows.mean()}[reduction]

    accept_all(
        lambda a, b: functional.nt_xent_loss(
            a, b, temperature=0.2, reduction=reduction, backend=kernel
        ),
        lambda a, b: reduced(nt_xent.nt_xent(a, b, 0.2)),
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
            return functional.nt_xent_loss(a, b, reduction="none", backend=kernel)

        return value_and_gradients(function, (z1, z2), g)

    for arranged, plain in zip(run(True), run(False), strict=True):
        assert torch.equal(arranged, plain)


def test_expanded_inputs_and_upstream(kernel: str) -> None:
    row = torch.randn(1, 6)
    a, b = row.expand(5, 6), torch.randn(5, 1).expand(5, 6)
    loss = functional.nt_xent_loss(a, b, reduction="none", backend=kernel)
    plain = functional.nt_xent_loss(
        a.contiguous(), b.contiguous(), reduction="none", backend=kernel
    )
    assert torch.equal(loss, plain)
    x = row.clone().requires_grad_()
    functional.nt_xent_loss(x.expand(5, 6), b, backend=kernel).backward()
    y = row.clone().requires_grad_()
    functional.nt_xent_loss(y.repeat(5, 1), b, backend=kernel).backward()
    torch.testing.assert_close(x.grad, y.grad)


@pytest.mark.parametrize("which", [0, 1])
def test_only_one_input_requires_a_gradient(kernel: str, which: int) -> None:
    z = list(views(8, 5))
    both = value_and_gradients(lambda a, b: functional.nt_xent_loss(a, b, backend=kernel), z)
    z[which].requires_grad_()
    functional.nt_xent_loss(*z, backend=kernel).backward()
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
            lambda a, b: functional.nt_xent_loss(
                a, b, temperature=temperature, reduction="none", backend=backend
            ),
            z,
            g,
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
        _, *kept = torch.ops.tsssl_fast.nt_xent(z1, z2, temperature, "none", True, "ieee", forward)
        _, *many = torch.ops.tsssl_fast.grouped_nt_xent(
            *groups, lengths, temperature, True, "ieee", forward
        )
        for backward in BACKENDS:
            one = torch.ops.tsssl_fast.nt_xent_backward(
                g, z1, z2, *kept, temperature, "none", backward
            )
            rest = torch.ops.tsssl_fast.grouped_nt_xent_backward(
                g.view(5, 60), *groups, *many, lengths, temperature, True, backward
            )
            found.append((*one, *rest))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0])


def test_two_runs_give_the_same_bits(kernel: str) -> None:
    z = views(150, 9)
    runs = [
        value_and_gradients(lambda a, b: functional.nt_xent_loss(a, b, backend=kernel), z)
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
        lambda a, b: functional.nt_xent_loss(
            a, b, temperature=temperature, reduction="none", backend="cpp"
        ),
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
    module = losses.NTXentLoss(temperature=0.3, reduction="sum")
    assert torch.equal(
        module(z1, z2), functional.nt_xent_loss(z1, z2, temperature=0.3, reduction="sum")
    )
    assert "temperature=0.3" in repr(module)
    assert not list(module.parameters())


def test_large_batch(kernel: str) -> None:
    """Several blocks, the last one incomplete; the truth comes from the definition in float64."""
    check(orders(*views(521, 19), count=2), 0.1, kernel)


def test_accept_rejects_a_wrong_kernel() -> None:
    """The rule itself can fail: one element off by 1e-5 is found."""
    z1, z2 = views(8, 5)
    truth = nt_xent.nt_xent(z1.double(), z2.double(), 0.1)
    plain = nt_xent.nt_xent(z1, z2, 0.1)
    wrong = plain.clone()
    wrong[3] += 1e-5 * wrong.abs().max()
    with pytest.raises(AssertionError, match="loss: error"):
        accept("loss", [(wrong, truth, plain)], spec.ERROR_FACTOR)
    wrong[3] = torch.nan
    with pytest.raises(AssertionError, match="loss: NaN"):
        accept("loss", [(wrong, truth, plain)], spec.ERROR_FACTOR)
