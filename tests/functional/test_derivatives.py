"""torch.func, forward mode and second derivatives of every loss.

The kernels have first derivatives; what they lack the definition in plain torch takes over.
"""

import logging
from collections.abc import Callable

import pytest
import torch
from loss_calls import CALLS, Call, modules
from torch import Tensor
from torch.autograd import forward_ad, gradcheck, gradgradcheck

import tsssl_fast
from tsssl_fast import functional
from tsssl_fast.backends import dispatch

MODULES = {name: call for name, (_, call) in modules().items()}
EVERY = {**CALLS, **MODULES}


def split(call: Call) -> tuple[Callable[..., Tensor], list[Tensor]]:
    """The loss of the inputs that it has a gradient in, and these; float64."""
    given = call.inputs()
    at = [i for i in range(len(given)) if i not in call.constant]

    def loss(*tensors: Tensor) -> Tensor:
        x = list(given)
        for i, tensor in zip(at, tensors, strict=True):
            x[i] = tensor
        return call.loss(*x)

    return loss, [given[i] for i in at]


def plain(loss: Callable[..., Tensor], inputs: list[Tensor]) -> tuple[Tensor, ...]:
    leaves = [x.clone().requires_grad_() for x in inputs]
    return torch.autograd.grad(loss(*leaves), leaves)


@pytest.mark.parametrize("name", EVERY)
def test_grad(name: str) -> None:
    loss, inputs = split(EVERY[name])
    at = tuple(range(len(inputs)))
    torch.testing.assert_close(torch.func.grad(loss, at)(*inputs), plain(loss, inputs))


@pytest.mark.parametrize("name", EVERY)
def test_forward_mode(name: str) -> None:
    loss, inputs = split(EVERY[name])
    tangents = [torch.randn_like(x) for x in inputs]
    expected = sum((g * t).sum() for g, t in zip(plain(loss, inputs), tangents, strict=True))
    _, found = torch.func.jvp(loss, tuple(inputs), tuple(tangents))
    torch.testing.assert_close(found, expected)
    with forward_ad.dual_level():
        duals = [forward_ad.make_dual(x, t) for x, t in zip(inputs, tangents, strict=True)]
        found = forward_ad.unpack_dual(loss(*duals)).tangent
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", EVERY)
def test_vmap(name: str) -> None:
    """Of losses, and of their gradients."""
    loss, inputs = split(EVERY[name])
    stacked = [torch.stack([x, 1.5 * x, 0.5 * x]) for x in inputs]
    each = list(zip(*stacked, strict=True))
    torch.testing.assert_close(torch.vmap(loss)(*stacked), torch.stack([loss(*x) for x in each]))
    at = tuple(range(len(inputs)))
    found = torch.vmap(torch.func.grad(loss, at))(*stacked)
    expected = [torch.stack(x) for x in zip(*(plain(loss, list(x)) for x in each), strict=True)]
    torch.testing.assert_close(list(found), expected)


@pytest.mark.parametrize("name", ["vicreg", "barlow_twins", "nt_xent"])
def test_compiled_vmap(name: str) -> None:
    loss = getattr(functional, f"{name}_loss")
    z = [torch.randn(3, 8, 5, dtype=torch.float64) for _ in range(2)]
    for function in (torch.vmap(loss), torch.vmap(torch.func.grad(loss))):
        torch.compiler.reset()  # else the graphs of all losses count as one function's
        compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(*z), function(*z))
        with torch.autocast("cpu", torch.bfloat16):  # products keep their dtype
            torch.testing.assert_close(compiled(*z), function(*z))


@pytest.mark.parametrize("name", EVERY)
def test_second_derivatives(name: str) -> None:
    loss, inputs = split(EVERY[name])
    leaves = [x.clone().requires_grad_() for x in inputs]
    if EVERY[name].weighted:
        pytest.skip("differences see how the weights change; test_hessian compares both modes")
    assert gradcheck(loss, leaves, atol=1e-7)
    assert gradgradcheck(loss, leaves, atol=1e-6, fast_mode=True)


@pytest.mark.parametrize("name", EVERY)
def test_hessian(name: str) -> None:
    """Forward over reverse equals reverse over reverse, with and without torch.func."""
    loss, inputs = split(EVERY[name])
    found = torch.func.hessian(loss)(*inputs)
    twice = torch.func.jacrev(torch.func.grad(loss))(*inputs)
    torch.testing.assert_close(found, twice)
    expected = torch.autograd.functional.hessian(lambda x: loss(x, *inputs[1:]), inputs[0])
    torch.testing.assert_close(found, expected)
    assert found.abs().sum() > 0 or not EVERY[name].second


@pytest.mark.parametrize("rows", [1, 4])
def test_finite_where_a_loss_has_converged(rows: int) -> None:
    """Rows without negatives, and those whose loss is below the smallest float32."""
    z = torch.eye(4)[:rows]
    for reduction in ("mean", "sum"):

        def loss(x: Tensor, reduction: str = reduction) -> Tensor:
            return functional.nt_xent_loss(x, z, temperature=0.005, reduction=reduction)

        assert torch.func.hessian(loss)(z).isfinite().all()
        assert torch.autograd.functional.hessian(loss, z).isfinite().all()


def test_told_once(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_told", set())
    z1, z2 = torch.randn(2, 4, 3).unbind()
    with caplog.at_level(logging.WARNING, "tsssl_fast"):
        torch.func.grad(functional.vicreg_loss)(z1, z2)
        assert not caplog.records
        for _ in range(2):
            torch.func.jvp(functional.vicreg_loss, (z1, z2), (z1, z2))
            torch.autograd.functional.hvp(lambda z: functional.vicreg_loss(z, z2), z1, z1)
    assert [r.getMessage() for r in caplog.records] == [
        "vicreg: the definition in plain torch: no kernel has vmap, jvp",
        "vicreg_backward: the definition in plain torch: no kernel has second derivatives",
    ]


def test_a_backend_asked_for_by_name_says_so() -> None:
    z1, z2 = torch.randn(2, 4, 3, dtype=torch.float64).unbind()
    jvp = (functional.nt_xent_loss, (z1, z2), (z1, z2))
    expected = torch.func.jvp(*jvp)
    with tsssl_fast.use_backend("reference"):
        torch.testing.assert_close(torch.func.jvp(*jvp), expected)
    for name in ("cpp", "numba"):
        with tsssl_fast.use_backend(name):
            refused = pytest.raises(
                tsssl_fast.BackendUnavailableError,
                match=f"nt_xent: backend '{name}' .* no vmap, jvp",
            )
            with refused:
                torch.func.jvp(*jvp)
            leaf = z1.clone().requires_grad_()
            loss = functional.nt_xent_loss(leaf, z2)
            (gradient,) = torch.autograd.grad(loss, leaf, create_graph=True)
        with pytest.raises(tsssl_fast.BackendUnavailableError, match="no second derivatives"):
            gradient.sum().backward()


def test_inner_gradient_of_a_training_step() -> None:
    """torch.func.grad inside, backward outside: a penalty on the gradient."""
    z1, z2 = torch.randn(2, 4, 3, dtype=torch.float64).unbind()
    leaf = z1.clone().requires_grad_()
    torch.func.grad(functional.nt_xent_loss)(leaf, z2).square().sum().backward()
    hessian = torch.func.hessian(functional.nt_xent_loss)(z1, z2)
    gradient = torch.func.grad(functional.nt_xent_loss)(z1, z2)
    expected = 2 * torch.einsum("ijkl,ij->kl", hessian, gradient)
    torch.testing.assert_close(leaf.grad, expected)
