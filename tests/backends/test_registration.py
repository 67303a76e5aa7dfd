"""Every operator as torch sees it: schema, fake kernel, autograd, compile, autocast."""

import contextlib

import pytest
import torch
from samples import USES, record
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

import tsssl_fast
from tsssl_fast import functional
from tsssl_fast.backends import dispatch, registration
from tsssl_fast.ops.contrastive.reference import nt_xent

BACKENDS = sorted({b.name for backends in dispatch.families().values() for b in backends})


def test_every_registered_operator_is_used() -> None:
    used = set()
    for use in USES:
        for backend in BACKENDS:
            with contextlib.suppress(tsssl_fast.BackendUnavailableError):
                used |= record(use, backend).keys()
    assert used == set(registration.OPERATORS)


@pytest.mark.parametrize("use", USES)
def test_operators_carry_their_names_in_the_profiler(use: str) -> None:
    """And compute the same there."""

    def call() -> Tensor | None:
        torch.manual_seed(0)
        result = USES[use]()
        if result is not None and result.requires_grad:
            result.sum().backward()
        return result

    expected, names = call(), {f"tsssl_fast::{name}" for name in record(use, "reference")}
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        found = call()
    assert names <= {event.key for event in profiled.key_averages()}
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.clean_memory
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("use", USES)
def test_opcheck(use: str, backend: str, on_device: torch.device) -> None:
    try:
        recorded = record(use, backend)
    except tsssl_fast.BackendUnavailableError as error:
        pytest.skip(str(error))
    for op, arguments in recorded.values():
        *inputs, _ = arguments
        torch.library.opcheck(op, (*inputs, backend))


@pytest.mark.parametrize("backend", ["reference", "cpp", "numba"])
@pytest.mark.parametrize("temperature", [0.5, 0.1])
@pytest.mark.parametrize("shape", [(1, 3), (4, 3)])
def test_gradcheck(backend: str, temperature: float, shape: tuple[int, int]) -> None:
    z1, z2 = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(
        lambda a, b: functional.nt_xent_loss(
            a, b, temperature=temperature, reduction="none", backend=backend
        ),
        (z1, z2),
    )


@pytest.mark.clean_memory
@pytest.mark.parametrize("backend", ["reference", "cpp", "numba"])
def test_compiled_graph_is_whole(backend: str) -> None:
    def loss(a: Tensor, b: Tensor) -> Tensor:
        return functional.nt_xent_loss(a * 2, b, temperature=0.2, backend=backend) * 3

    z1, z2 = torch.randn(6, 4, requires_grad=True), torch.randn(6, 4)
    expected = torch.autograd.grad(loss(z1, z2), z1)[0]
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(torch.autograd.grad(compiled(z1, z2), z1)[0], expected)


def test_definition_has_functional_and_second_derivatives() -> None:
    """Plain torch: every transform of torch.func, and derivatives of any order."""
    z1, z2 = (torch.randn(4, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    gradient = torch.func.grad(lambda a, b: nt_xent.nt_xent(a, b, 0.5).mean())(z1, z2)
    functional.nt_xent_loss(z1, z2, temperature=0.5).backward()
    torch.testing.assert_close(gradient, z1.grad)
    assert torch.autograd.gradgradcheck(lambda a, b: nt_xent.nt_xent(a, b, 0.5), (z1, z2))


def test_autocast_computes_in_float32() -> None:
    layer = torch.nn.Linear(5, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z1, z2 = layer(torch.randn(6, 5)), layer(torch.randn(6, 5))
        loss = functional.nt_xent_loss(z1, z2)
    loss.backward()
    assert z1.dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    assert torch.equal(loss, functional.nt_xent_loss(z1.float(), z2.float()))
    assert layer.weight.grad.isfinite().all()


@pytest.mark.parametrize("backend", ["cpp", "numba"])
def test_second_derivative_is_refused_in_words(backend: str) -> None:
    z1, z2 = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3)
    loss = functional.nt_xent_loss(z1, z2, backend=backend)
    (gradient,) = torch.autograd.grad(loss, z1, create_graph=True)
    refused = "nt_xent_backward: backend '.*' was asked for .* second derivatives"
    with pytest.raises(tsssl_fast.BackendUnavailableError, match=refused):
        gradient.sum().backward()


def test_the_backward_runs_where_the_forward_ran() -> None:
    z1, z2 = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3)
    with tsssl_fast.use_backend("reference"):
        loss = functional.nt_xent_loss(z1, z2)
    calls = []
    original = dispatch.select

    def spy(op: str, tensors: object, backend: str = "") -> object:
        calls.append((op, backend))
        return original(op, tensors, backend)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dispatch, "select", spy)
        loss.backward()
    assert calls == [("nt_xent_backward", "reference")]


def test_no_gradient_reaches_what_is_saved() -> None:
    z1, z2 = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3)
    _, *saved = torch.ops.tsssl_fast.nt_xent(z1, z2, 0.1, "mean", True, "", "")
    assert len(saved) == 4
    assert not any(x.requires_grad for x in saved)
