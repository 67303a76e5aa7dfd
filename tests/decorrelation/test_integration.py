"""VICReg and Barlow Twins as operators of torch, their arguments, and the reports on collapse."""

import inspect
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tsssl_fast import BackendUnavailableError, functional, losses
from tsssl_fast.backends import cpp as native
from tsssl_fast.functional.collapse import RANK_EPS, collapse_report
from tsssl_fast.ops.decorrelation import spec

NAN = math.nan
VICREG = spec.VICRegSettings(1.0, 0.5, 0.2, 25.0, 25.0, 1.0, gamma=1.0, eps=1e-4)
BARLOW = spec.BarlowTwinsSettings(1.0, 1.0, 1.0, 0.1, eps=1e-5)


def pair(n: int = 12, d: int = 20, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    a = torch.randn(n, d)
    return [z.to(dtype).requires_grad_() for z in (a, a + 0.3 * torch.randn(n, d))]


@pytest.mark.clean_memory
@pytest.mark.parametrize("dtype", spec.DTYPES)
@pytest.mark.parametrize("shape", [(12, 20), (20, 12)])
@pytest.mark.parametrize("backend", ["", "reference"])
def test_opcheck(backend: str, shape: tuple[int, int], dtype: torch.dtype) -> None:
    ops = torch.ops.tsssl_fast
    z = pair(*shape, dtype)
    half = dtype in (torch.float16, torch.bfloat16)
    tolerance = {"rtol": 1e-2, "atol": 1e-2} if half else {}
    plain = [v.detach() for v in z]
    for flags in (spec.ALL_TERMS, spec.INVARIANCE, spec.COVARIANCE | spec.CORRELATION):
        options, allowed = (VICREG, flags), ("", backend)
        torch.library.opcheck(ops.vicreg.default, (*z, *options, *allowed), **tolerance)
        torch.library.opcheck(
            ops.vicreg_views.default, ([*z, z[0]], *options, *allowed), **tolerance
        )
        _, terms, *saved = ops.vicreg(*plain, *options, *allowed)
        one, ones = terms.new_ones(()), terms.new_ones(3)
        for grads in ((one, ones), (one, None), (None, ones)):
            torch.library.opcheck(
                ops.vicreg_backward.default, (*grads, *plain, *saved, *options, backend)
            )
        _, terms, *saved = ops.vicreg_views([*plain, plain[0]], *options, *allowed)
        arguments = (one, None, [*plain, plain[0]], *saved, *options, backend)
        torch.library.opcheck(ops.vicreg_views_backward.default, arguments)
    options = (BARLOW, spec.CENTER)
    torch.library.opcheck(ops.barlow_twins.default, (*z, *options, *allowed), **tolerance)
    _, terms, *saved = ops.barlow_twins(*plain, *options, *allowed)
    arguments = (terms.new_ones(()), None, *plain, *saved, *options, backend)
    torch.library.opcheck(ops.barlow_twins_backward.default, arguments)


@pytest.mark.clean_memory
@pytest.mark.parametrize("module", [losses.VICRegLoss(), losses.BarlowTwinsLoss()])
def test_compiles_to_one_graph(module: torch.nn.Module) -> None:
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    for shape in ((12, 20), (20, 12)):
        z = pair(*shape)
        expected = torch.autograd.grad(module(*z), z)
        found = torch.autograd.grad(compiled(*z), z)
        for a, b in zip(found, expected, strict=True):
            # The graph has factors and weights behind the operator: their product is rounded.
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6 * b.abs().max().item())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_computes_in_float32(dtype: torch.dtype) -> None:
    weight = torch.randn(20, 30, requires_grad=True)
    x = torch.randn(12, 20)
    for module in (losses.VICRegLoss(), losses.BarlowTwinsLoss()):
        with torch.autocast("cpu", dtype):
            z1, z2 = x @ weight, (x + 0.1) @ weight
            loss = module(z1, z2)
        assert z1.dtype == dtype
        assert loss.dtype == torch.float32
        with torch.autocast("cpu", enabled=False):
            assert torch.equal(loss, module(z1.float(), z2.float()))
        (gradient,) = torch.autograd.grad(loss, weight)
        assert gradient.isfinite().all()


def test_no_overflow_at_std_1000_in_float16() -> None:
    n, d = 2048, 32
    z = (1000 * torch.randn(n, 1)).expand(n, d).half().contiguous().requires_grad_()
    other = z.detach().clone().requires_grad_()
    loss = functional.vicreg_loss(z, other, invariance_weight=0)
    loss.backward()
    assert loss.isfinite()
    # The true gradient, 4 / (D (N - 1)) times the off-diagonal product, exceeds float16 alone.
    scaled = functional.vicreg_loss(z, other, invariance_weight=0, covariance_weight=1e-6)
    assert torch.autograd.grad(scaled, z)[0].isfinite().all()
    assert functional.barlow_twins_loss(z, other).isfinite()


@pytest.mark.skipif(bool(native.why_not()), reason="needs the extension")
def test_gradients_that_the_kernel_could_not_read_are_refused() -> None:
    z = [v.detach() for v in pair(12, 20)]
    options = (VICREG, spec.ALL_TERMS)
    _, terms, *saved = torch.ops.tsssl_fast.vicreg(*z, *options, "", "cpp")
    backward = torch.ops.tsssl_fast.vicreg_backward
    for grads in ((terms.new_ones((), dtype=torch.float64), None), (None, terms[:2])):
        with pytest.raises(ValueError, match=r"grad_(loss|terms): "):
            backward(*grads, *z, *saved, *options, "cpp")


@pytest.mark.parametrize(
    ("function", "module"),
    [
        (functional.vicreg_loss, losses.VICRegLoss),
        (functional.barlow_twins_loss, losses.BarlowTwinsLoss),
    ],
)
def test_modules_take_the_options_of_their_functions(
    function: Callable[..., object], module: type
) -> None:
    """The same names, order and defaults; what is returned is said at the call."""
    of_call = {"return_terms", "return_stats"}

    def shown(of: Callable[..., object]) -> dict[str, inspect.Parameter]:
        parameters = inspect.signature(of).parameters
        return {n: p.replace(annotation=p.empty) for n, p in parameters.items()}

    whole = shown(function)
    options = {n: p for n, p in whole.items() if p.kind is p.KEYWORD_ONLY}
    called = dict(list(shown(module.forward).items())[1:])
    assert list(shown(module).values()) == [p for n, p in options.items() if n not in of_call]
    assert list(called.values()) == [
        p for n, p in whole.items() if n in of_call | (whole.keys() - options.keys())
    ]


def test_the_contract_is_that_of_the_kernels() -> None:
    """What C++ has on its own; sizes and settings it is given, and refuses others."""
    moments = Path(__file__).parents[2] / "csrc/decorrelation/second_moments.h"
    assert f"kMaxCancellation = {spec.MAX_CANCELLATION};" in moments.read_text()


def test_meta_tensors() -> None:
    z = [torch.empty(12, 20, device="meta", requires_grad=True) for _ in range(2)]
    for loss in (functional.vicreg_loss, functional.barlow_twins_loss):
        value = loss(*z)
        assert value.device.type == "meta"
        assert [g.shape for g in torch.autograd.grad(value, z)] == [v.shape for v in z]


LOSSES = {
    "vicreg": functional.vicreg_loss,
    "vibcreg": lambda *z, **k: functional.vicreg_loss(*z, convention="vibcreg", **k),
    "three views": lambda a, b, **k: functional.vicreg_loss(a, b, a * b, **k),
    "a term": lambda *z, **k: functional.vicreg_loss(*z, return_terms=True, **k).covariance,
    "barlow_twins": functional.barlow_twins_loss,
    "variance": lambda a, b, **k: functional.variance_penalty(a * b, **k),
}


@pytest.mark.parametrize("shape", [(7, 12), (12, 7)])
@pytest.mark.parametrize("name", LOSSES)
def test_torch_func_grad(name: str, shape: tuple[int, int], kernel: str) -> None:
    z = [v.detach() for v in pair(*shape, torch.float64)]

    def loss(a: Tensor, b: Tensor) -> Tensor:
        return LOSSES[name](a, b, backend=kernel)

    gradients, value = torch.func.grad_and_value(loss, argnums=(0, 1))(*z)
    leaves = [v.requires_grad_() for v in z]
    truth = LOSSES[name](*leaves, backend="reference")
    torch.testing.assert_close(value, truth)
    for found, expected in zip(gradients, torch.autograd.grad(truth, leaves), strict=True):
        torch.testing.assert_close(found, expected)


def of(*shape: int) -> Tensor:
    return torch.randn(shape)


@pytest.mark.parametrize(
    ("error", "match", "call"),
    [
        (ValueError, r"z1: shape \(1, 4\)", lambda v, b: v(of(1, 4), of(1, 4))),
        (ValueError, r"z1: shape \(1, 4\)", lambda v, b: b(of(1, 4), of(1, 4))),
        (TypeError, r"z2", lambda v, b: v(of(3, 4))),
        (ValueError, r"z2: shape \(3, 5\)", lambda v, b: v(of(3, 4), of(3, 5))),
        (ValueError, r"z2: shape \(2, 4\)", lambda v, b: b(of(3, 4), of(2, 4))),
        (ValueError, r"z1: shape \(3,\)", lambda v, b: v(of(3), of(3))),
        (ValueError, r"z1: shape \(2, 0, 4\)", lambda v, b: b(of(2, 0, 4), of(2, 0, 4))),
        (ValueError, r"z1: shape \(3, 0\)", lambda v, b: v(of(3, 0), of(3, 0))),
        (TypeError, r"z1: dtype torch.int64", lambda v, b: v(of(3, 4).long(), of(3, 4))),
        (TypeError, r"z2: list", lambda v, b: v(of(3, 4), [1.0])),
        (ValueError, r"invariance_weight: -1", lambda v, b: v(*pair(), invariance_weight=-1)),
        (ValueError, r"variance_weight: -0.5", lambda v, b: v(*pair(), variance_weight=-0.5)),
        (ValueError, r"covariance_weight: nan", lambda v, b: v(*pair(), covariance_weight=NAN)),
        (TypeError, r"covariance_weight: str", lambda v, b: v(*pair(), covariance_weight="1")),
        (ValueError, r"eps: 0", lambda v, b: v(*pair(), eps=0)),
        (ValueError, r"norm_eps: 0", lambda v, b: v(*pair(), norm_eps=0)),
        (ValueError, r"eps: -1", lambda v, b: b(*pair(), eps=-1)),
        (ValueError, r"gamma: 0", lambda v, b: v(*pair(), gamma=0)),
        (ValueError, r"lambd: -1", lambda v, b: b(*pair(), lambd=-1)),
        (ValueError, r"scale_loss: 0", lambda v, b: b(*pair(), scale_loss=0)),
        (ValueError, r"'paper'; accepted: official", lambda v, b: v(*pair(), convention="paper")),
        (ValueError, r"'paper'; accepted: official", lambda v, b: b(*pair(), convention="paper")),
        (ValueError, r"backend='gpu'", lambda v, b: v(*pair(), backend="gpu")),
        (BackendUnavailableError, r"backend 'triton'", lambda v, b: v(*pair(), backend="triton")),
    ],
)  # fmt: skip
def test_bad_input(error: type[Exception], match: str, call: object) -> None:
    with pytest.raises(error, match=match):
        call(functional.vicreg_loss, functional.barlow_twins_loss)


def test_bad_input_of_the_single_terms() -> None:
    one = torch.randn(1, 4)
    for term in (functional.covariance_penalty, functional.variance_penalty, collapse_report):
        with pytest.raises(ValueError, match=r"z: shape \(1, 4\)"):
            term(one)
        with pytest.raises(TypeError, match=r"z: dtype torch\.int32"):
            term(torch.ones(3, 4, dtype=torch.int32))
    with pytest.raises(ValueError, match="reduction: 'sum'"):
        functional.invariance_penalty(one, one, reduction="sum")
    with pytest.raises(ValueError, match="threshold: 0"):
        collapse_report(torch.randn(3, 4), threshold=0)


def rank_me(z: Tensor) -> float:
    x = z.double() - z.double().mean(dim=0)
    sigma = torch.linalg.svdvals(x)
    p = sigma / sigma.sum()
    return math.exp(-(p * (p + RANK_EPS).log()).sum().item())


@pytest.mark.parametrize("shape", [(40, 90), (90, 40), (700, 600)])
def test_collapse_report(shape: tuple[int, int]) -> None:
    z = torch.randn(shape) @ torch.randn(shape[1], shape[1]) / 10 + 3
    z[:, 5] = 2.0
    z[:, 7] *= 1e-4
    report = collapse_report(z)
    torch.testing.assert_close(report.std, z.std(dim=0), rtol=1e-5, atol=1e-6)
    assert report.collapsed_fraction == pytest.approx(2 / shape[1])
    assert report.effective_rank == pytest.approx(rank_me(z), rel=1e-6)
    alive = [j for j in range(shape[1]) if j not in (5, 7)]
    c = torch.corrcoef(z.double().T[alive]).abs()
    expected = ((c.sum() - len(alive)) / (len(alive) * (len(alive) - 1))).item()
    assert report.mean_abs_correlation == pytest.approx(expected, rel=1e-4)
    values = torch.linalg.eigvalsh(torch.cov(z.double().T))
    expected = (values.sum().square() / values.square().sum()).item()
    assert report.participation_ratio == pytest.approx(expected, rel=1e-6)


def test_collapse_report_of_a_constant_batch_and_of_one_direction() -> None:
    report = collapse_report(torch.full((9, 5), 0.1))
    assert report.collapsed_fraction == 1
    assert report.effective_rank == report.participation_ratio == report.mean_abs_correlation == 0
    report = collapse_report(torch.randn(50, 1).expand(50, 8))
    assert report.effective_rank == pytest.approx(1, abs=1e-3)
    assert report.participation_ratio == pytest.approx(1)
    assert report.mean_abs_correlation == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("shape", [(40, 90), (90, 40)])
def test_the_losses_report_the_same(kernel: str, shape: tuple[int, int]) -> None:
    z = pair(*shape)
    for module, other in (
        (losses.VICRegLoss, "unit-weights"),
        (losses.BarlowTwinsLoss, "uncentered"),
    ):
        for convention in ("official", other):
            result = module(convention=convention, backend=kernel)(*z, return_stats=True)
            for view, report in zip(z, result.stats, strict=True):
                expected = collapse_report(view)
                torch.testing.assert_close(report.std, expected.std, rtol=1e-5, atol=1e-6)
                for name in ("effective_rank", "participation_ratio", "mean_abs_correlation"):
                    found = getattr(report, name)
                    assert found == pytest.approx(getattr(expected, name), rel=1e-4), name
                assert report.collapsed_fraction == expected.collapsed_fraction


def test_alignment_losses() -> None:
    p, t = pair()
    cosine = functional.negative_cosine_similarity(p, t)
    assert cosine.item() == pytest.approx(-F.cosine_similarity(p, t).mean().item())
    byol = (F.normalize(p, dim=1) - F.normalize(t, dim=1)).square().sum(dim=1).mean()
    assert (2 + 2 * cosine).item() == pytest.approx(byol.item(), rel=1e-5)
    assert functional.mse_alignment(p, t).item() == pytest.approx(F.mse_loss(p, t).item())
    smooth = functional.smooth_l1_alignment(p, t, beta=0.2)
    assert smooth.item() == pytest.approx(F.smooth_l1_loss(p, t, beta=0.2).item())
    for loss in (cosine, functional.mse_alignment(p, t), smooth):
        p_grad, t_grad = torch.autograd.grad(loss, (p, t), allow_unused=True)
        assert p_grad.abs().sum() > 0
        assert t_grad is None
    assert functional.mse_alignment(p.half(), t.half()).dtype == torch.float32
    zero = torch.zeros(2, 3, requires_grad=True)
    functional.negative_cosine_similarity(zero, torch.ones(2, 3)).backward()
    assert zero.grad is not None
    assert zero.grad.isfinite().all()
    with pytest.raises(ValueError, match="target: shape"):
        functional.mse_alignment(p, t[:3])
    with pytest.raises(ValueError, match="beta: 0"):
        functional.smooth_l1_alignment(p, t, beta=0)
    with pytest.raises(ValueError, match="eps: -1"):
        functional.negative_cosine_similarity(p, t, eps=-1)
