"""Grouped problems and the hierarchical loss: against single problems and TS2Vec's formula."""

from typing import Any

import pytest
import torch
from checks import accept_all
from torch import Tensor
from torch.nn.functional import log_softmax, max_pool1d
from variants import THREADS

from tsssl_fast import BackendUnavailableError, functional, losses
from tsssl_fast.functional import grouped_nt_xent_loss, hierarchical_contrastive_loss, nt_xent_loss
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.reference import grouped

BACKENDS = ["reference", "cpp", "numba"]


def contrast(z1: Tensor, z2: Tensor) -> Tensor:
    """Mean cross-entropy of the other view among all other rows, dot products: (G, L, D) views."""
    n = z1.shape[1]
    if n == 1:
        return z1.new_zeros(())
    z = torch.cat([z1, z2], dim=1)
    a = (z @ z.transpose(1, 2)).masked_fill(torch.eye(2 * n, dtype=torch.bool), -torch.inf)
    rows = torch.arange(2 * n)
    return -log_softmax(a, dim=2)[:, rows, rows.roll(n)].mean()


def published(z1: Tensor, z2: Tensor, alpha: float) -> Tensor:
    """TS2Vec, equations 1 to 3 and the pooling of its section 3.2, for full-length series."""
    total, levels = z1.new_zeros(()), 0
    while True:
        levels += 1
        total = total + alpha * contrast(z1.transpose(0, 1), z2.transpose(0, 1))
        if z1.shape[1] == 1:
            return total / levels
        total = total + (1 - alpha) * contrast(z1, z2)
        z1, z2 = (max_pool1d(z.transpose(1, 2), 2).transpose(1, 2) for z in (z1, z2))


def views(*shape: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    z1 = 0.7 * torch.randn(shape, dtype=dtype)
    return z1, z1 + 0.2 * torch.randn(shape, dtype=dtype)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("shape", [(1, 1, 2), (3, 1, 2), (1, 6, 3), (3, 13, 4), (4, 16, 5)])
def test_published_formula(backend: str, alpha: float, shape: tuple[int, int, int]) -> None:
    z1, z2 = (z.requires_grad_() for z in views(*shape))
    found = hierarchical_contrastive_loss(z1, z2, alpha=alpha, backend=backend)
    expected = published(z1, z2, alpha) + 0 * (z1.sum() + z2.sum())  # one series: a constant
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, (z1, z2)), torch.autograd.grad(expected, (z1, z2))
    )


@pytest.mark.parametrize("shape", [(3, 13, 4), (5, 32, 17)])
def test_float32(kernel: str, shape: tuple[int, int, int]) -> None:
    accept_all(
        lambda a, b: hierarchical_contrastive_loss(a, b, backend=kernel),
        lambda a, b: published(a, b, 0.5),
        ((views(*shape, dtype=torch.float32), None) for _ in range(12)),
        spec.ERROR_FACTOR,
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_equal_steps_pool_to_the_earlier(backend: str) -> None:
    z1, z2 = (z[:, [0, 0, 1, 1, 2, 3]].requires_grad_() for z in views(3, 4, 5))
    found = hierarchical_contrastive_loss(z1, z2, backend=backend)
    torch.testing.assert_close(
        torch.autograd.grad(found, (z1, z2)),
        torch.autograd.grad(published(z1, z2, 0.5), (z1, z2)),
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_padding_is_invisible(backend: str) -> None:
    lengths = torch.tensor([5, 13, 1, 8])
    z1, z2 = views(4, 13, 3)
    inside = torch.arange(13) < lengths[:, None]
    results = []
    for filler in (0.0, torch.nan):
        a, b = (torch.where(inside[..., None], z, filler).requires_grad_() for z in (z1, z2))
        loss = hierarchical_contrastive_loss(a, b, lengths=lengths, backend=backend)
        results.append((loss.detach(), *torch.autograd.grad(loss, (a, b))))
    for plain, filled in zip(*results, strict=True):
        assert torch.equal(plain, filled)
    assert not results[0][1][~inside].any()
    # Longer padding, another order of the series: the same loss.
    order = torch.tensor([2, 0, 3, 1])
    longer = [torch.cat([z, torch.full((4, 3, 3), torch.nan)], dim=1)[order] for z in (z1, z2)]
    with_more = hierarchical_contrastive_loss(*longer, lengths=lengths[order], backend=backend)
    torch.testing.assert_close(with_more, results[0][0])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("normalize", [False, True])
def test_groups_are_independent_problems(backend: str, normalize: bool) -> None:
    lengths = torch.tensor([4, 1, 6])
    z1, z2 = (z.transpose(0, 1).requires_grad_() for z in views(6, 3, 5))  # strided
    found = grouped_nt_xent_loss(
        z1, z2, temperature=0.5, normalize=normalize, lengths=lengths, backend=backend
    )
    gradient = torch.autograd.grad(found.sum(), z1, retain_graph=True)[0]
    for g, n in enumerate(lengths.tolist()):
        a, b = z1[g, :n], z2[g, :n]
        if normalize:
            expected = nt_xent_loss(a, b, temperature=0.5, reduction="none", backend="reference")
            torch.testing.assert_close(found[g, : 2 * n], expected)
            alone = torch.autograd.grad(expected.sum(), z1)[0][g]
            torch.testing.assert_close(gradient[g], alone)
        assert not found[g, 2 * n :].any()
        assert not gradient[g, n:].any()


@pytest.mark.clean_memory
@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("backend", BACKENDS)
def test_operator(backend: str, gradient: bool) -> None:
    z1, z2 = (z.requires_grad_(gradient) for z in views(3, 6, 4))
    arguments = (z1, z2, None, 0.5, 1.0, False, gradient, "", backend)
    torch.library.opcheck(torch.ops.tsssl_fast.hierarchical_nt_xent.default, arguments)


@pytest.mark.parametrize("backend", BACKENDS)
def test_value_without_gradient_and_upstream_gradient(backend: str) -> None:
    z1, z2 = (z.requires_grad_() for z in views(3, 13, 4))
    loss = hierarchical_contrastive_loss(z1, z2, backend=backend)
    with torch.no_grad():
        torch.testing.assert_close(hierarchical_contrastive_loss(z1, z2, backend=backend), loss)
    once = torch.autograd.grad(loss, (z1, z2), retain_graph=True)
    thrice = torch.autograd.grad(3 * loss, (z1, z2))
    torch.testing.assert_close(thrice, tuple(3 * g for g in once))


@pytest.mark.parametrize("backend", BACKENDS)
def test_second_derivative_is_refused_in_words(backend: str) -> None:
    z1, z2 = (z.requires_grad_() for z in views(3, 4, 2))
    loss = hierarchical_contrastive_loss(z1, z2, backend=backend)
    (gradient,) = torch.autograd.grad(loss, z1, create_graph=True)
    if backend == "reference":
        return gradient.sum().backward()
    with pytest.raises(BackendUnavailableError, match="second derivatives"):
        gradient.sum().backward()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("tensor", [False, True])
def test_one_step_without_an_instance_contrast_is_nothing(backend: str, tensor: bool) -> None:
    z1, z2 = torch.randn(2, 3, 1, 4).requires_grad_()
    temperature = torch.tensor(0.5, requires_grad=True)
    loss, stats = hierarchical_contrastive_loss(
        *(z1, z2),
        alpha=0.0,
        temperature=temperature if tensor else 0.5,
        return_stats=True,
        backend=backend,
    )
    leaves = (z1, z2, temperature) if tensor else (z1, z2)
    gradients = torch.autograd.grad(loss, leaves, create_graph=True)
    assert loss == 0
    assert all((g == 0).all() for g in gradients)
    assert stats.log_sum_exp.shape == (0,)
    assert stats.rows_without_positive == 0


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("scale", [1.0, 8.0])
@pytest.mark.parametrize("shape", [(2, 70, 3), (60, 3, 2), (3, 64, 40)])
def test_groups_of_several_blocks(
    compiled: str, shape: tuple[int, int, int], scale: float, alpha: float
) -> None:
    """With exponentials kept and computed again, with one exponent shift and with maxima."""
    z1, z2 = ((scale * z).requires_grad_() for z in views(*shape))
    a, b = (z.detach().clone().requires_grad_() for z in (z1, z2))
    found = hierarchical_contrastive_loss(z1, z2, alpha=alpha, backend=compiled)
    expected = published(a, b, alpha)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, (z1, z2)), torch.autograd.grad(expected, (a, b))
    )


def test_any_number_of_threads_gives_the_same_bits() -> None:
    z = views(5, 60, 7, dtype=torch.float32)
    found = []
    for threads in THREADS:
        torch.set_num_threads(threads)
        leaves = [x.clone().requires_grad_() for x in z]
        loss = hierarchical_contrastive_loss(*leaves)
        found.append((loss, *torch.autograd.grad(loss, leaves)))
    for other in found[1:]:
        for one, first in zip(other, found[0], strict=True):
            assert torch.equal(one, first)


def test_module_and_definition_agree() -> None:
    z1, z2 = views(2, 5, 3)
    module = losses.HierarchicalContrastiveLoss(alpha=0.3)
    assert torch.equal(module(z1, z2), hierarchical_contrastive_loss(z1, z2, alpha=0.3))
    for backend in BACKENDS:
        found = grouped_nt_xent_loss(z1, z2, temperature=0.4, backend=backend)
        torch.testing.assert_close(found, grouped.grouped_nt_xent(z1, z2, None, 0.4, True))


@pytest.mark.parametrize("backend", BACKENDS)
def test_groups_of_very_different_sizes(backend: str) -> None:
    """Blocks are cut by the size of each group, and a smaller group may have the larger blocks."""
    z1, z2 = views(4, 150, 3)
    lengths = torch.tensor([65, 64, 1, 150])
    found = grouped_nt_xent_loss(z1, z2, temperature=0.4, lengths=lengths, backend=backend)
    torch.testing.assert_close(found, grouped.grouped_nt_xent(z1, z2, lengths, 0.4, True))


@pytest.mark.parametrize(
    ("given", "error", "word"),
    [
        ({"z1": torch.randn(2, 3)}, ValueError, "z1: shape"),
        ({"z2": torch.randn(2, 4, 3)}, ValueError, "z2: shape"),
        ({"alpha": 1.5}, ValueError, "alpha"),
        ({"temperature": 0.0}, ValueError, "temperature"),
        ({"lengths": torch.tensor([1.0, 2.0])}, TypeError, "lengths"),
        ({"lengths": torch.tensor([1, 6])}, ValueError, "lengths"),
        ({"lengths": torch.tensor([0, 5])}, ValueError, "lengths"),
        ({"lengths": torch.tensor([5])}, ValueError, "lengths"),
    ],
)
def test_bad_input(given: dict[str, object], error: type[Exception], word: str) -> None:
    options = {"z1": torch.randn(2, 5, 3), "z2": torch.randn(2, 5, 3)} | given
    with pytest.raises(error, match=word):
        functional.hierarchical_contrastive_loss(**options)


def one_problem(
    groups: list[tuple[Tensor, Tensor, list[int]]], **options: Any
) -> tuple[Tensor, functional.ContrastiveStats]:
    """All groups' valid rows as one set, in which a group is compared with itself alone."""
    z, ids, which = [], [], []
    for z1, z2, lengths in groups:
        for a, b, length in zip(z1, z2, lengths, strict=True):
            first = 1000 * len(z)
            z.append(torch.cat([a[:length], b[:length]]))
            ids.append(first + torch.arange(length).repeat(2))
            which.append(torch.full((2 * length,), first))
    return functional.contrastive_loss(
        torch.cat(z),
        q_ids=torch.cat(ids),
        q_groups=torch.cat(which),
        groups="only_same",
        reduction="none",
        return_stats=True,
        **options,
    )


@pytest.mark.parametrize("temperature", [0.3, torch.tensor(0.3)])
@pytest.mark.parametrize("normalize", [True, False])
def test_statistics_of_groups(normalize: bool, temperature: float | Tensor) -> None:
    z1, z2 = torch.randn(2, 5, 6, 4, dtype=torch.float64)
    lengths = torch.tensor([6, 4, 1, 6, 2])
    z1[1, 4:] = z2[2, 1:] = torch.nan
    options: dict[str, Any] = {"temperature": temperature, "normalize": normalize}
    module = losses.GroupedNTXentLoss(**options)
    loss, found = module(z1, z2, lengths=lengths, return_stats=True)
    torch.testing.assert_close(loss, module(z1, z2, lengths=lengths))
    rows, expected = one_problem([(z1, z2, lengths.tolist())], **options)
    valid = torch.cat([row[: 2 * n] for row, n in zip(loss, lengths.tolist(), strict=True)])
    torch.testing.assert_close(valid, rows)
    torch.testing.assert_close(found, expected, equal_nan=True)
    assert found.rows_without_negative == 2


def test_statistics_in_several_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    z1, z2 = torch.randn(2, 5, 6, 4)
    _, whole = functional.grouped_nt_xent_loss(z1, z2, return_stats=True)
    monkeypatch.setattr(spec, "BLOCK_ELEMENTS", 2 * 12 * 12)
    _, steps = functional.grouped_nt_xent_loss(z1, z2, return_stats=True)
    torch.testing.assert_close(steps, whole)


@pytest.mark.parametrize("temperature", [0.5, torch.tensor(0.5)])
def test_statistics_of_levels(temperature: float | Tensor) -> None:
    """Both contrasts of a level of 5 steps, of 2, and the instances of the last."""
    z1, z2 = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    module = losses.HierarchicalContrastiveLoss(temperature=temperature)
    loss, found = module(z1, z2, return_stats=True)
    torch.testing.assert_close(loss, module(z1, z2))
    groups = []
    for _ in range(3):
        steps = z1.shape[1]
        groups.append((z1.transpose(0, 1), z2.transpose(0, 1), [3] * steps))
        if steps > 1:
            groups.append((z1, z2, [steps] * 3))
        pooled = (torch.max_pool1d(z.transpose(1, 2), 2).transpose(1, 2) for z in (z1, z2))
        z1, z2 = pooled if steps > 1 else (z1, z2)
    _, expected = one_problem(groups, temperature=temperature, normalize=False)
    torch.testing.assert_close(found, expected, equal_nan=True)
