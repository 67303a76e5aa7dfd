"""Log-sum-exp over keys without gradient: values, and the gradient computed in the forward."""

from collections.abc import Iterator

import pytest
import torch
from checks import Draw, accept_all
from torch import Tensor
from variants import THREADS

from tsssl_fast import BackendUnavailableError, functional
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.operators.keys import key_logsumexp
from tsssl_fast.ops.contrastive.reference import pairs

# Queries, keys, dimension: one key, ragged blocks, several pieces of keys, several query blocks,
# more columns than are summed in one go.
SHAPES = [(1, 1, 1), (7, 9, 5), (5, 241, 33), (13, 2900, 16), (250, 300, 8), (5, 50, 700)]


def definition(q: Tensor, k: Tensor, beta: float, normalize: bool, valid: Tensor | None) -> Tensor:
    rules = pairs.PLAIN._replace(normalize=normalize, k_valid=valid)
    scale = torch.full((), beta, dtype=torch.float64)
    return pairs.pair_logsumexp(q, k.to(q.dtype), scale, rules)[0]


def check(
    kernel: str,
    shape: tuple[int, int, int],
    beta: float,
    normalize: bool = True,
    dtype: torch.dtype = torch.float32,
) -> None:
    rows, keys, dim = shape
    k = torch.randn(keys, dim, dtype=torch.float64).to(dtype)
    valid = torch.rand(keys) > 0.2
    valid[0] = True
    k[~valid] = torch.nan

    def draws() -> Iterator[Draw]:
        for _ in range(12):
            q = torch.randn(rows, dim, dtype=torch.float64).to(dtype)
            yield (q,), torch.randn(rows, dtype=torch.float64)

    accept_all(
        lambda q: key_logsumexp(q, k, None, valid, beta, normalize, backend=kernel),
        lambda q: definition(q, k, beta, normalize, valid),
        draws(),
        spec.ERROR_FACTOR,
    )


@pytest.mark.parametrize("beta", [2.0, 10.0, 29.0, 31.0, 1000.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients(kernel: str, shape: tuple[int, int, int], beta: float) -> None:
    check(kernel, shape, beta)


@pytest.mark.parametrize("shape", SHAPES[1:4])
def test_float64(kernel: str, shape: tuple[int, int, int]) -> None:
    q = torch.randn(shape[0], shape[2], dtype=torch.float64, requires_grad=True)
    k = torch.randn(shape[1], shape[2], dtype=torch.float64)
    found = key_logsumexp(q, k, None, None, 10.0, True, backend=kernel)
    torch.testing.assert_close(found, definition(q, k, 10.0, True, None), rtol=1e-13, atol=1e-13)
    if shape[1] < 300:
        assert torch.autograd.gradcheck(
            lambda x: key_logsumexp(x, k, None, None, 10.0, True, backend=kernel), (q,)
        )


def test_dot_products(kernel: str) -> None:
    check(kernel, (7, 50, 5), 0.7, normalize=False)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_compute_in_float32(kernel: str, dtype: torch.dtype) -> None:
    q, k = torch.randn(6, 8).to(dtype).requires_grad_(), torch.randn(40, 8).to(dtype)
    found = key_logsumexp(q, k, None, None, 10.0, True, backend=kernel)
    wide = q.detach().float().requires_grad_()
    same = key_logsumexp(wide, k.float(), None, None, 10.0, True, backend=kernel)
    assert found.dtype == torch.float32
    assert torch.equal(found, same)
    found.sum().backward()
    same.sum().backward()
    assert q.grad is not None
    assert wide.grad is not None
    assert torch.equal(q.grad, wide.grad.to(dtype))


@pytest.mark.parametrize("beta", [10.0, 100.0])
def test_rows_without_a_pair(kernel: str, beta: float) -> None:
    q, k = torch.randn(4, 3, requires_grad=True), torch.randn(5, 3)
    q_valid = torch.tensor([True, False, True, True])
    found = key_logsumexp(q, k, q_valid, None, beta, True, backend=kernel)
    assert found.isneginf().tolist() == [False, True, False, False]
    found[q_valid].sum().backward()
    assert q.grad is not None
    assert q.grad.isfinite().all()
    assert not q.grad[1].any()
    none = torch.zeros(5, dtype=torch.bool)
    assert key_logsumexp(q, k, None, none, beta, True, backend=kernel).isneginf().all()


def test_a_nan_key_reaches_every_row_and_a_nan_row_only_itself(kernel: str) -> None:
    q, k = torch.randn(4, 3), torch.randn(5, 3)
    q[2, 1] = torch.nan
    assert key_logsumexp(q, k, None, None, 10.0, True, backend=kernel).isnan().tolist() == [
        *[False, False, True, False]
    ]
    k[3, 0] = torch.nan
    assert key_logsumexp(q, k, None, None, 10.0, True, backend=kernel).isnan().all()


def test_any_number_of_threads_gives_the_same_bits() -> None:
    q, k = torch.randn(300, 16), torch.randn(5000, 16)
    results = []
    for threads in THREADS:
        torch.set_num_threads(threads)
        leaf = q.clone().requires_grad_()
        loss = key_logsumexp(leaf, k, None, None, 10.0, True)
        loss.sum().backward()
        results.append((loss.detach(), leaf.grad))
    for loss, gradient in results[1:]:
        assert torch.equal(loss, results[0][0])
        assert gradient is not None
        assert torch.equal(gradient, results[0][1])


@pytest.mark.parametrize("temperature", [0.1, 0.01])
def test_queue_with_and_without_gradient_to_its_keys(kernel: str, temperature: float) -> None:
    """The same loss and query gradient on either path."""
    q, k, queue = (torch.randn(n, 6, dtype=torch.float64) for n in (5, 5, 30))
    results = []
    for learned in (False, True):
        leaf = q.clone().requires_grad_()
        negatives = queue.clone().requires_grad_(learned)
        loss = functional.info_nce_loss(
            leaf, k, temperature=temperature, negatives=negatives, backend=kernel
        )
        loss.backward()
        results.append((loss.detach(), leaf.grad))
    torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-12)


def test_second_derivative_of_a_kernel_is_refused(kernel: str) -> None:
    """The gradient is computed in the forward: a second one may not miss its part."""
    q, k = torch.randn(4, 3, requires_grad=True), torch.randn(5, 3)
    found = key_logsumexp(q, k, None, None, 10.0, True, backend=kernel)
    (gradient,) = torch.autograd.grad(found.sum(), q, create_graph=True)
    if kernel == "reference":
        return gradient.sum().backward()
    with pytest.raises(BackendUnavailableError, match="second derivatives"):
        gradient.sum().backward()
