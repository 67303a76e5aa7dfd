"""Sigmoid and triplet loss: every backend and instruction set against the definition, in values and
gradients, and against the losses written out."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from checks import Draw, accept, accept_all, value_and_gradients
from conftest import THREADS
from torch import Tensor
from torch.nn.functional import logsigmoid, normalize

import tsssl_fast
from tsssl_fast import dispatch, functional, losses
from tsssl_fast.ops.contrastive import epilogues, reference, spec

SHAPES = [(1, 1, 3), (5, 5, 4), (7, 13, 129), (61, 130, 33), (300, 300, 19)]


def ids(n: int) -> Tensor:
    return torch.arange(n) % 5


def keys_of(m: int, p: int) -> dict[str, Tensor]:
    """Ids, or none where the diagonal can be meant."""
    return {} if m == p else {"q_ids": ids(m), "k_ids": ids(p)}


def rules(options: dict[str, Any]) -> reference.Rules:
    names = ("q_ids", "k_ids", "q_valid", "k_valid")
    return epilogues.rules_of(*(options.get(n) for n in names), options.get("normalize", True))


def sigmoid(kernel: str, options: dict[str, Any]) -> Callable[..., Tensor]:
    return lambda *x: functional.sigmoid_pair_loss(*x, "none", **options, backend=kernel)


def sigmoid_definition(options: dict[str, Any]) -> Callable[..., Tensor]:
    return lambda *x: epilogues.sigmoid_pairs(*x, rules(options))


def sigmoid_draws(
    m: int, p: int, dim: int, scale: float, bias: float, dtype: torch.dtype = torch.float32
) -> Iterator[Draw]:
    for _ in range(6 + 128 // m):
        q, k = torch.randn(m, dim), torch.randn(p, dim)
        k[: min(m, p)] += q[: min(m, p)]
        leaves = [q.to(dtype), k.to(dtype), torch.tensor(scale), torch.tensor(bias)]
        yield leaves, torch.randn(m, dtype=torch.float64)


def check_sigmoid(kernel: str, draws: Iterator[Draw], **options: Any) -> None:
    """The acceptance rule, with the gradients of scale and bias over all draws as one vector: each
    is a sum of both signs, and where it happens to cancel its own size is no measure."""
    functions = (sigmoid(kernel, options), sigmoid_definition(options), sigmoid_definition(options))
    results = []
    for inputs, upstream in draws:
        doubles = [x.double() for x in inputs]
        given = (inputs, doubles, inputs)
        results.append(
            [value_and_gradients(f, x, upstream) for f, x in zip(functions, given, strict=True)]
        )
    for i, name in enumerate(("value", "gradient of q", "gradient of k", "of scale", "of bias")):
        outputs = [tuple(run[i] for run in runs) for runs in results]
        if i > 2:
            outputs = [tuple(torch.stack(x) for x in zip(*outputs, strict=True))]
        accept(name, outputs, spec.ERROR_FACTOR)


def triplet_definition(labels: Tensor, margin: float, **options: Any) -> Callable[[Tensor], Tensor]:
    given = {"q_ids": labels, "k_ids": labels} | options
    return lambda z: epilogues.triplet(z, margin, rules(given))


def check_triplet(
    kernel: str, draws: Iterator[Draw], labels: Tensor, margin: float, **options: Any
) -> None:
    valid = options.get("q_valid")
    given = {"normalize": options.get("normalize", True), "valid": valid, "backend": kernel}
    accept_all(
        lambda z: functional.triplet(z, labels, margin, "none", **given),
        triplet_definition(labels, margin, **options),
        draws,
        spec.ERROR_FACTOR,
    )


def triplet_draws(m: int, dim: int, dtype: torch.dtype = torch.float32) -> Iterator[Draw]:
    for _ in range(6 + 128 // m):
        yield [torch.randn(m, dim).to(dtype)], torch.randn(m, dtype=torch.float64)


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
        functional.sigmoid_pair_loss(q, k, backend=kernel),
        functional.triplet(q, ids(9), backend=kernel),
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
    hinge = lambda z: functional.triplet(  # noqa: E731
        z, ids(m), 0.4, "none", normalize=normalize, backend=kernel
    )
    expected = triplet_definition(ids(m), 0.4, normalize=normalize)(q)
    torch.testing.assert_close(hinge(q), expected, rtol=1e-13, atol=1e-13)
    assert torch.autograd.gradcheck(hinge, (q,), fast_mode=True)


def test_sigmoid_written_out(kernel: str) -> None:
    q, k = (torch.randn(9, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    module = losses.SigLIPLoss(scale=4.0, bias=-2.0, backend=kernel).double()
    a = normalize(q) @ normalize(k).T * module.log_scale.exp() + module.bias
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
    found = losses.TripletLoss(0.3, "none", backend=kernel)(z, labels)
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
        lambda z: functional.triplet(z, ids(9), 2.5, "none", backend=kernel), [q]
    )
    assert not dz[4].any()
    assert dz[5].any()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_nan_and_infinity_reach_the_loss(kernel: str, bad: float) -> None:
    q, k = torch.randn(40, 5), torch.randn(40, 5)
    q[17, 2] = bad
    check_sigmoid(kernel, iter([([q, k, torch.tensor(5.0), torch.tensor(-1.0)], None)]))
    assert functional.sigmoid_pair_loss(q, k, backend=kernel).isnan()
    rows = functional.triplet(q, ids(40), 0.2, "none", backend=kernel)
    assert rows.isnan().all()


def test_flagged_rows_take_no_part_and_may_hold_nan(kernel: str) -> None:
    q, k = torch.randn(61, 5), torch.randn(50, 5)
    q_valid, k_valid = torch.arange(61) % 7 != 2, torch.arange(50) != 4
    q[~q_valid], k[~k_valid] = torch.nan, torch.nan
    options = {"q_ids": ids(61), "k_ids": ids(50), "q_valid": q_valid, "k_valid": k_valid}
    leaves = [q.clone().requires_grad_(), k.clone().requires_grad_()]
    loss = functional.sigmoid_pair_loss(*leaves, **options, backend=kernel)
    gradients = torch.autograd.grad(loss, leaves)
    kept = [q[q_valid].requires_grad_(), k[k_valid].requires_grad_()]
    names = {"q_ids": ids(61)[q_valid], "k_ids": ids(50)[k_valid]}
    expected = functional.sigmoid_pair_loss(*kept, **names, backend=kernel)
    torch.testing.assert_close(loss, expected)
    for g, e, valid in zip(
        gradients, torch.autograd.grad(expected, kept), (q_valid, k_valid), strict=True
    ):
        assert not g[~valid].any()
        torch.testing.assert_close(g[valid], e)
    hinge = functional.triplet(leaves[0], ids(61), valid=q_valid, backend=kernel)
    expected = functional.triplet(kept[0], ids(61)[q_valid], backend=kernel)
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
    loss = functional.triplet(z, torch.tensor(labels), 5.0, valid=valid, backend=kernel)
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
        lambda x: functional.triplet(x, labels, 2.0, "none", backend=kernel), [z]
    )
    assert found[1][2].any()
    assert not found[1][3:].any()


def test_a_hinge_at_its_corner_has_no_gradient(kernel: str) -> None:
    z = torch.ones(6, 4)
    loss, gradient = value_and_gradients(
        lambda x: functional.triplet(x, ids(6) % 2, 0.0, backend=kernel), [z]
    )
    assert loss == 0
    assert not gradient.any()


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
        (lambda z: functional.triplet(z, ids(11), 0.5, "none", backend=kernel), (q,)),
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
                    lambda z: functional.triplet(z, ids(m), 0.5, "none", backend="cpp"),
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
    monkeypatch.setattr(epilogues, "BLOCK_ELEMENTS", 200)
    check_sigmoid("reference", sigmoid_draws(61, 40, 7, 9.0, -3.0), **keys_of(61, 40))
    check_triplet("reference", triplet_draws(61, 7), ids(61), 0.5)


def test_a_backend_without_these_kernels_runs_row_blocks() -> None:
    bare = dispatch.Backend("numba", {}, lambda op, tensors: [], frozenset({"cpu"}))
    assert epilogues.complete(bare, {}).kernels == epilogues.KERNELS
    own = epilogues.complete(bare, {"triplet": print}).kernels
    assert own["triplet"] is print
    for name in epilogues.KERNELS:
        for backend in dispatch.families()["contrastive"]:
            assert name in backend.kernels
            assert (backend.kernels[name] is epilogues.KERNELS[name]) == (backend.name != "cpp")


def test_forward_on_one_backend_backward_on_another() -> None:
    q, k = torch.randn(9, 4, dtype=torch.float64), torch.randn(9, 4, dtype=torch.float64)
    numbers = (torch.tensor(3.0), torch.tensor(-1.0))
    grad, ops, found = torch.randn(9, dtype=torch.float64), torch.ops.tsssl_fast, []
    for forward in ("reference", "cpp"):
        arrays = (None, None, None, None, True)
        _, norms = ops.sigmoid_pairs(q, k, *numbers, *arrays, forward)
        _, *saved = ops.triplet(q, ids(9), None, 0.5, True, forward)
        for backward in ("reference", "cpp"):
            found.append(
                (
                    *ops.sigmoid_pairs_backward(
                        *(grad, q, k, *numbers, norms, True, *arrays, backward)
                    ),
                    ops.triplet_backward(grad, q, ids(9), None, *saved, 0.5, True, backward),
                )
            )
    for other in found[1:]:
        torch.testing.assert_close(other, found[0])


def _both(q: Tensor, kernel: str) -> Tensor:
    return functional.sigmoid_pair_loss(q * 2, q + 1, backend=kernel) + functional.triplet(
        q, ids(len(q)), 0.5, backend=kernel
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
    with pytest.raises(NotImplementedError, match="second derivatives"):
        gradient.sum().backward()


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_reductions(reduction: str) -> None:
    z = torch.randn(9, 4)
    for loss in (
        lambda r: functional.sigmoid_pair_loss(z, z, 5.0, -1.0, r),
        lambda r: functional.triplet(z, ids(9), 0.5, r),
    ):
        rows = loss("none")
        expected = {"none": rows, "sum": rows.sum(), "mean": rows.mean()}[reduction]
        torch.testing.assert_close(loss(reduction), expected)


def test_autocast_and_forced_backend() -> None:
    layer = torch.nn.Linear(5, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16), tsssl_fast.use_backend("cpp"):
        z = layer(torch.randn(6, 5))
        loss = functional.sigmoid_pair_loss(z, z) + functional.triplet(z, ids(6) % 2)
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
        functional.sigmoid_pair_loss(**{"q": torch.randn(3, 4), "k": torch.randn(3, 4)} | given)


@pytest.mark.parametrize(("given", "error", "word"), BAD_TRIPLET)
def test_bad_input_of_the_triplet_loss(
    given: dict[str, Any], error: type[Exception], word: str
) -> None:
    with pytest.raises(error, match=word):
        functional.triplet(**{"z": torch.randn(3, 4), "labels": torch.arange(3)} | given)
