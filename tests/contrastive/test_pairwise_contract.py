"""Sigmoid and triplet loss beside their numbers: layouts, threads, backends, torch, bad input."""

from typing import Any

import pytest
import torch
from cases.pairwise import (
    check_sigmoid,
    check_triplet,
    ids,
    keys_of,
    sigmoid,
    sigmoid_draws,
    triplet_draws,
)
from checks import value_and_gradients
from torch import Tensor
from variants import THREADS

import tsssl_fast
from tsssl_fast import functional
from tsssl_fast.backends import dispatch
from tsssl_fast.ops import contrastive
from tsssl_fast.ops.contrastive.reference import every_backend, sides

LAYOUTS = {
    "transposed": lambda x: x.T.contiguous().T,
    "every other row": lambda x: x.repeat_interleave(2, 0)[::2],
    "every other column": lambda x: x.repeat_interleave(2, 1)[:, ::2],
    "wide rows": lambda x: torch.cat([x, x], 1)[:, : x.shape[1]],
    "expanded": lambda x: x[:1].expand(len(x), -1),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_give_the_same_bits(kernel: str, layout: str) -> None:
    q, k = (LAYOUTS[layout](torch.randn(11, 6)) for _ in range(2))
    upstream = torch.randn(1).expand(11)
    number = (torch.tensor(5.0), torch.tensor(-1.0))
    for function, leaves in (
        (sigmoid(kernel, {}), (q, k, *number)),
        (
            lambda z: functional.triplet_loss(
                z, ids(11), margin=0.5, reduction="none", backend=kernel
            ),
            (q,),
        ),
    ):
        runs = []
        for given in (leaves, [x.contiguous() for x in leaves]):
            copies = [x.detach().requires_grad_() for x in given]
            loss = function(*copies)
            runs.append((loss, *torch.autograd.grad(loss, copies, upstream)))
        assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(5, 5, 3), (100, 70, 17), (700, 700, 24)])
def test_same_bits_for_any_number_of_threads(
    shape: tuple[int, int, int], dtype: torch.dtype
) -> None:
    m, p, dim = shape
    leaves = [torch.randn(size, dtype=dtype) for size in ((m, dim), (p, dim), (), ())]
    upstream = torch.randn(m, dtype=dtype)
    results = []
    for threads in THREADS:
        torch.set_num_threads(threads)
        results.append(
            (
                *value_and_gradients(sigmoid("cpp", keys_of(m, p)), leaves, upstream),
                *value_and_gradients(
                    lambda z: functional.triplet_loss(
                        z, ids(m), margin=0.5, reduction="none", backend="cpp"
                    ),
                    leaves[:1],
                    upstream,
                ),
            )
        )
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("which", range(4))
def test_only_one_input_requires_a_gradient(kernel: str, which: int) -> None:
    leaves = [torch.randn(8, 5), torch.randn(8, 5), torch.tensor(3.0), torch.tensor(-1.0)]
    every = value_and_gradients(sigmoid(kernel, {}), leaves)
    leaves[which].requires_grad_()
    sigmoid(kernel, {})(*leaves).sum().backward()
    assert torch.equal(leaves[which].grad, every[1 + which])


def test_row_blocks_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks, the last one shorter."""
    monkeypatch.setattr(sides, "BLOCK_ELEMENTS", 200)
    check_sigmoid("reference", sigmoid_draws(61, 40, 7, 9.0, -3.0), **keys_of(61, 40))
    check_triplet("reference", triplet_draws(61, 7), ids(61), 0.5)


def test_a_backend_without_these_kernels_runs_row_blocks() -> None:
    bare = dispatch.Backend("numba", {}, lambda op, tensors: [], frozenset({"cpu"}))
    completed = contrastive._complete(bare).kernels
    assert every_backend.KERNELS.items() <= completed.items()
    own = contrastive._complete(bare.extended({"triplet": print})).kernels
    assert own["triplet"] is print
    for name in every_backend.KERNELS:
        for backend in dispatch.families()["contrastive"]:
            assert name in backend.kernels
            assert (backend.kernels[name] is every_backend.KERNELS[name]) == (backend.name != "cpp")


def test_forward_on_one_backend_backward_on_another() -> None:
    q, k = torch.randn(9, 4, dtype=torch.float64), torch.randn(9, 4, dtype=torch.float64)
    numbers = (torch.tensor(3.0), torch.tensor(-1.0))
    grad, ops, found = torch.randn(9, dtype=torch.float64), torch.ops.tsssl_fast, []
    for forward in ("reference", "cpp"):
        arrays = (None, None, None, None, True)
        _, *norms = ops.sigmoid_pairs(q, k, *numbers, *arrays, "ieee", forward)
        _, *saved = ops.triplet(q, ids(9), None, 0.5, True, "ieee", forward)
        for backward in ("reference", "cpp"):
            found.append(
                (
                    *ops.sigmoid_pairs_backward(
                        *(grad, q, k, *numbers, *norms, True, *arrays, backward)
                    ),
                    ops.triplet_backward(grad, q, ids(9), None, *saved, 0.5, True, backward),
                )
            )
    for other in found[1:]:
        torch.testing.assert_close(other, found[0])


def _both(q: Tensor, kernel: str) -> Tensor:
    return functional.siglip_loss(q * 2, q + 1, backend=kernel) + functional.triplet_loss(
        q, ids(len(q)), margin=0.5, backend=kernel
    )


@pytest.mark.clean_memory
@pytest.mark.parametrize("backend", ["reference", "cpp"])
def test_compiled_graph_is_whole(backend: str) -> None:
    q = torch.randn(7, 4, requires_grad=True)
    (expected,) = torch.autograd.grad(_both(q, backend), q)
    compiled = torch.compile(_both, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(torch.autograd.grad(compiled(q, backend), q)[0], expected)


def test_functional_gradient_and_no_second(kernel: str) -> None:
    q = torch.randn(7, 4, requires_grad=True)
    (expected,) = torch.autograd.grad(_both(q, kernel), q)
    torch.testing.assert_close(torch.func.grad(lambda x: _both(x, kernel))(q.detach()), expected)
    (gradient,) = torch.autograd.grad(_both(q, kernel), q, create_graph=True)
    if kernel == "reference":
        return gradient.sum().backward()
    with pytest.raises(tsssl_fast.BackendUnavailableError, match="second derivatives"):
        gradient.sum().backward()


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_reductions(reduction: str) -> None:
    z = torch.randn(9, 4)
    for loss in (
        lambda r: functional.siglip_loss(z, z, logit_scale=5.0, logit_bias=-1.0, reduction=r),
        lambda r: functional.triplet_loss(z, ids(9), margin=0.5, reduction=r),
    ):
        rows = loss("none")
        expected = {"none": rows, "sum": rows.sum(), "mean": rows.mean()}[reduction]
        torch.testing.assert_close(loss(reduction), expected)


def test_autocast_and_forced_backend() -> None:
    layer = torch.nn.Linear(5, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16), tsssl_fast.use_backend("cpp"):
        z = layer(torch.randn(6, 5))
        loss = functional.siglip_loss(z, z) + functional.triplet_loss(z, ids(6) % 2)
    loss.backward()
    assert z.dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    assert layer.weight.grad.isfinite().all()


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"k": torch.randn(4, 4)}, ValueError, "k: shape"),
    ({"k": torch.randn(3, 5)}, ValueError, "k: 5 columns"),
    ({"logit_scale": float("inf")}, ValueError, "logit_scale: inf"),
    ({"logit_scale": "ten"}, TypeError, "logit_scale: str"),
    ({"logit_bias": torch.ones(2)}, ValueError, "logit_bias: shape"),
    ({"logit_bias": torch.tensor(1)}, TypeError, "logit_bias: dtype"),
    ({"q_ids": torch.arange(3)}, ValueError, "k_ids: None"),
    ({"q_valid": torch.ones(3)}, TypeError, "q_valid: dtype"),
    ({"reduction": "max"}, ValueError, "reduction"),
    ({"backend": "cuda"}, ValueError, "backend"),
]
BAD_TRIPLET: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"labels": None}, TypeError, "labels: None"),
    ({"labels": torch.rand(3)}, TypeError, "labels: dtype"),
    ({"labels": torch.arange(4)}, ValueError, "labels: shape"),
    ({"margin": -0.1}, ValueError, "margin"),
    ({"valid": torch.ones(3)}, TypeError, "valid: dtype"),
    ({"valid": torch.ones(2, dtype=torch.bool)}, ValueError, "valid: shape"),
    ({"z": torch.randn(3)}, ValueError, "z: shape"),
    ({"reduction": "max"}, ValueError, "reduction"),
]


@pytest.mark.parametrize(("given", "error", "word"), BAD)
def test_bad_input_of_the_sigmoid_loss(
    given: dict[str, Any], error: type[Exception], word: str
) -> None:
    with pytest.raises(error, match=word):
        functional.siglip_loss(**{"q": torch.randn(3, 4), "k": torch.randn(3, 4)} | given)


@pytest.mark.parametrize(("given", "error", "word"), BAD_TRIPLET)
def test_bad_input_of_the_triplet_loss(
    given: dict[str, Any], error: type[Exception], word: str
) -> None:
    with pytest.raises(error, match=word):
        functional.triplet_loss(**{"z": torch.randn(3, 4), "labels": torch.arange(3)} | given)
