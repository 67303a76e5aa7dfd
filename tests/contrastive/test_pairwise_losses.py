"""Sigmoid and triplet loss: every backend and instruction set against the definition, in values and
gradients, and against the losses written out."""

import pytest
import torch
from cases.pairwise import (
    check_sigmoid,
    check_triplet,
    ids,
    keys_of,
    sigmoid,
    sigmoid_definition,
    sigmoid_draws,
    triplet_definition,
    triplet_draws,
)
from checks import value_and_gradients
from torch import Tensor
from torch.nn.functional import logsigmoid, normalize

from tsssl_fast import functional, losses

SHAPES = [(1, 1, 3), (5, 5, 4), (7, 13, 129), (61, 130, 33), (300, 300, 19)]


@pytest.mark.parametrize(("scale", "bias"), [(10.0, -10.0), (1.0, 2.0), (200.0, 0.5), (-30.0, 4.0)])
@pytest.mark.parametrize("shape", SHAPES)
def test_sigmoid(kernel: str, shape: tuple[int, int, int], scale: float, bias: float) -> None:
    check_sigmoid(kernel, sigmoid_draws(*shape, scale, bias), **keys_of(*shape[:2]))


@pytest.mark.parametrize("margin", [0.0, 0.2, 3.0])
@pytest.mark.parametrize("shape", [(6, 3), (13, 129), (61, 33), (300, 19)])
def test_triplet(kernel: str, shape: tuple[int, int], margin: float) -> None:
    check_triplet(kernel, triplet_draws(*shape), ids(shape[0]), margin)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_inputs_compute_in_float32(kernel: str, dtype: torch.dtype) -> None:
    q, k = torch.randn(9, 5, dtype=dtype, requires_grad=True), torch.randn(9, 5, dtype=dtype)
    for loss in (
        functional.siglip_loss(q, k, backend=kernel),
        functional.triplet_loss(q, ids(9), backend=kernel),
    ):
        (gradient,) = torch.autograd.grad(loss, q)
        assert loss.dtype == torch.float32
        assert gradient.dtype == dtype
    check_sigmoid(kernel, sigmoid_draws(61, 61, 7, 10.0, -5.0, dtype))
    check_triplet(kernel, triplet_draws(61, 7, dtype), ids(61), 0.3)


@pytest.mark.parametrize("shape", [(1, 1, 2), (7, 9, 5), (40, 40, 17)])
@pytest.mark.parametrize("normalize", [True, False])
def test_float64_gradients_by_finite_differences(
    kernel: str, shape: tuple[int, int, int], normalize: bool
) -> None:
    m, p, dim = shape
    sizes: tuple[tuple[int, ...], ...] = ((m, dim), (p, dim), (), ())
    q, k, scale, bias = (torch.randn(s, dtype=torch.float64, requires_grad=True) for s in sizes)
    options = {**keys_of(m, p), "normalize": normalize}
    found = sigmoid(kernel, options)(q, k, scale, bias)
    expected = sigmoid_definition(options)(q, k, scale, bias)
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)
    assert torch.autograd.gradcheck(sigmoid(kernel, options), (q, k, scale, bias), fast_mode=True)

    def hinge(z: Tensor) -> Tensor:
        return functional.triplet_loss(
            z, ids(m), margin=0.4, reduction="none", normalize=normalize, backend=kernel
        )

    expected = triplet_definition(ids(m), 0.4, normalize=normalize)(q)
    torch.testing.assert_close(hinge(q), expected, rtol=1e-13, atol=1e-13)
    assert torch.autograd.gradcheck(hinge, (q,), fast_mode=True)


def test_sigmoid_written_out(kernel: str) -> None:
    q, k = (torch.randn(9, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    module = losses.SigLIPLoss(logit_scale=4.0, logit_bias=-2.0, backend=kernel).double()
    a = normalize(q) @ normalize(k).T * module.log_scale.exp() + module.logit_bias
    expected = -logsigmoid((2 * torch.eye(9, dtype=torch.float64) - 1) * a).sum(1).mean()
    leaves = (q, k, *module.parameters())
    found = module(q, k)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, leaves), torch.autograd.grad(expected, leaves)
    )


def test_triplet_written_out(kernel: str) -> None:
    z = torch.randn(9, 5, dtype=torch.float64, requires_grad=True)
    labels = torch.arange(9) % 3
    labels[-1] = 7  # a class of one
    u = normalize(z)
    expected = []
    for i in range(9):
        others = [j for j in range(9) if j != i]
        positives = [j for j in others if labels[j] == labels[i]]
        hardest = torch.stack([u[i] @ u[j] for j in others if labels[j] != labels[i]]).max()
        terms = [(0.3 - u[i] @ u[j] + hardest).clamp_min(0) for j in positives]
        expected.append(torch.stack(terms).mean() if terms else 0 * hardest)
    found = losses.TripletLoss(margin=0.3, reduction="none", backend=kernel)(z, labels)
    torch.testing.assert_close(found, torch.stack(expected))
    gradients = [torch.autograd.grad(x.sum(), z)[0] for x in (found, torch.stack(expected))]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("scale", [1e-3, 1e4, 1e8, 1e30])
@pytest.mark.parametrize("bias", [0.0, -1e4, 1e4])
def test_any_scale_and_bias(kernel: str, scale: float, bias: float) -> None:
    q, k = torch.randn(40, 6), torch.randn(40, 6)
    leaves = [q, k, torch.tensor(scale), torch.tensor(bias)]
    found = value_and_gradients(sigmoid(kernel, {}), leaves)
    truth = value_and_gradients(sigmoid_definition({}), [x.double() for x in leaves])
    assert all(x.isfinite().all() for x in found)
    torch.testing.assert_close(found[0].double(), truth[0], rtol=1e-4, atol=0)


def test_converged_pairs_keep_their_digits(kernel: str) -> None:
    """Losses of 1e-22, where 1 + exp(-50) is 1: their sum is exact, and so are the slopes."""
    z = torch.eye(60)
    found = value_and_gradients(
        sigmoid(kernel, {}), [z, z, torch.tensor(100.0), torch.tensor(-50.0)]
    )
    tiny = torch.tensor(-50.0, dtype=torch.float64).exp()
    torch.testing.assert_close(found[0].double(), (60 * tiny).expand(60), rtol=1e-6, atol=0)
    torch.testing.assert_close(found[3].double(), -60 * tiny, rtol=1e-6, atol=0)
    torch.testing.assert_close(found[4].double(), (60 * 59 - 60) * tiny, rtol=1e-6, atol=0)


def test_zero_rows_get_zero_gradient(kernel: str) -> None:
    q, k = torch.randn(9, 5), torch.randn(9, 5)
    q[4], k[7] = 0, 1e-13  # norms up to spec.TINY_NORM
    leaves = [q, k, torch.tensor(5.0), torch.tensor(-1.0)]
    check_sigmoid(kernel, iter([(leaves, None)]))
    _, dq, dk, _, _ = value_and_gradients(sigmoid(kernel, {}), leaves)
    assert not dq[4].any()
    assert not dk[7].any()
    assert dq[7].any()
    check_triplet(kernel, iter([([q], None)]), ids(9), 0.5)
    _, dz = value_and_gradients(
        lambda z: functional.triplet_loss(z, ids(9), margin=2.5, reduction="none", backend=kernel),
        [q],
    )
    assert not dz[4].any()
    assert dz[5].any()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_nan_and_infinity_reach_the_loss(kernel: str, bad: float) -> None:
    q, k = torch.randn(40, 5), torch.randn(40, 5)
    q[17, 2] = bad
    check_sigmoid(kernel, iter([([q, k, torch.tensor(5.0), torch.tensor(-1.0)], None)]))
    assert functional.siglip_loss(q, k, backend=kernel).isnan()
    rows = functional.triplet_loss(q, ids(40), margin=0.2, reduction="none", backend=kernel)
    assert rows.isnan().all()


def test_flagged_rows_take_no_part_and_may_hold_nan(kernel: str) -> None:
    q, k = torch.randn(61, 5), torch.randn(50, 5)
    q_valid, k_valid = torch.arange(61) % 7 != 2, torch.arange(50) != 4
    q[~q_valid], k[~k_valid] = torch.nan, torch.nan
    options = {"q_ids": ids(61), "k_ids": ids(50), "q_valid": q_valid, "k_valid": k_valid}
    leaves = [q.clone().requires_grad_(), k.clone().requires_grad_()]
    loss = functional.siglip_loss(*leaves, **options, backend=kernel)
    gradients = torch.autograd.grad(loss, leaves)
    kept = [q[q_valid].requires_grad_(), k[k_valid].requires_grad_()]
    names = {"q_ids": ids(61)[q_valid], "k_ids": ids(50)[k_valid]}
    expected = functional.siglip_loss(*kept, **names, backend=kernel)
    torch.testing.assert_close(loss, expected)
    for g, e, valid in zip(
        gradients, torch.autograd.grad(expected, kept), (q_valid, k_valid), strict=True
    ):
        assert not g[~valid].any()
        torch.testing.assert_close(g[valid], e)
    hinge = functional.triplet_loss(leaves[0], ids(61), valid=q_valid, backend=kernel)
    expected = functional.triplet_loss(kept[0], ids(61)[q_valid], backend=kernel)
    torch.testing.assert_close(hinge, expected)
    (g,), (e,) = torch.autograd.grad(hinge, leaves[0]), torch.autograd.grad(expected, kept[0])
    assert not g[~q_valid].any()
    torch.testing.assert_close(g[q_valid], e)


@pytest.mark.parametrize("valid", [None, torch.zeros(4, dtype=torch.bool)])
@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3]])
def test_rows_without_positive_or_negative_contribute_nothing(
    kernel: str, labels: list[int], valid: Tensor | None
) -> None:
    z = torch.randn(4, 3, requires_grad=True)
    loss = functional.triplet_loss(z, torch.tensor(labels), margin=5.0, valid=valid, backend=kernel)
    assert loss == 0
    assert not torch.autograd.grad(loss, z)[0].any()


@pytest.mark.parametrize("twin", [3, 37, 290])
def test_of_equal_negatives_the_first_gets_the_gradient(kernel: str, twin: int) -> None:
    labels = torch.arange(300) + 10
    labels[:2] = 0  # only two rows have a positive
    z = 0.1 * torch.randn(300, 5)
    z[:, 0] = -1
    z[:2, 0] = 1
    z[2] = z[twin] = torch.ones(5)
    found = value_and_gradients(
        lambda x: functional.triplet_loss(x, labels, margin=2.0, reduction="none", backend=kernel),
        [z],
    )
    assert found[1][2].any()
    assert not found[1][3:].any()


def test_a_hinge_at_its_corner_has_no_gradient(kernel: str) -> None:
    z = torch.ones(6, 4)
    loss, gradient = value_and_gradients(
        lambda x: functional.triplet_loss(x, ids(6) % 2, margin=0.0, backend=kernel), [z]
    )
    assert loss == 0
    assert not gradient.any()
