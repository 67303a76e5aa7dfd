"""`precision=`: what it allows, what follows from torch's setting, how far results then are from
the definition, and what runs. The emulated tensor unit has lower precisions on every machine."""

import inspect
import itertools
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from cases.contrastive import views
from checks import accept, value_and_gradients
from torch import Tensor
from variants import PAIRS

import tsssl_fast
from tsssl_fast import functional, losses
from tsssl_fast.backends import cpp as native
from tsssl_fast.backends import precision as precision_module
from tsssl_fast.backends.precision import NAMES, product, torch_setting
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.cpp.calls import BITS
from tsssl_fast.ops.contrastive.reference import nt_xent as reference

CPU, ALL = torch.backends.mkldnn.matmul, torch.backends
LOWER = NAMES[1:]


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    """torch's as they are when it is imported."""
    yield
    torch.set_float32_matmul_precision("highest")
    for switch in (CPU, torch.backends.cuda.matmul, ALL):
        switch.fp32_precision = "none"


def use(isa: str) -> None:
    if why := native.module().why_not_isa(isa):
        pytest.skip(f"{isa}: {why}")
    native.module().set_isa(isa)


@pytest.fixture
def unit() -> Iterator[None]:
    use("amx-emulated")
    yield
    native.module().set_isa("")


# --- What is accepted.


def test_unknown_precision() -> None:
    z = views(3, 2)
    for name in ("float16", "BF16", ""):
        words = f"precision: '{name}'; accepted: ieee, bf16x3, bf16"
        with pytest.raises(ValueError, match=words):
            functional.nt_xent_loss(*z, precision=name)
        with pytest.raises(ValueError, match=words):
            losses.VICRegLoss(precision=name)
    with pytest.raises(ValueError, match="'float32' is called 'ieee' now; accepted: None, ieee"):
        functional.clip_loss(*z, precision="float32")


WITH_PRODUCTS = [
    *("nt_xent_loss", "dcl_loss", "dclw_loss", "info_nce_loss", "clip_loss", "moco_loss"),
    *("sup_con_loss", "contrastive_loss", "grouped_nt_xent_loss", "hierarchical_contrastive_loss"),
    *("siglip_loss", "triplet_loss", "vicreg_loss", "barlow_twins_loss", "covariance_penalty"),
    *("clan_loss", "collossl_loss", "core_tuning_loss", "groco_loss", "neighbour_mean"),
    *("nearest_keys", "nnclr_loss", "region_contrastive_loss", "scgc_loss", "voco_loss"),
]


def test_every_loss_with_products_has_it() -> None:
    taking = {
        name
        for name in functional.__all__
        if inspect.isfunction(function := getattr(functional, name))
        and "precision" in inspect.signature(function).parameters
    }
    assert taking == set(WITH_PRODUCTS)
    modules = [getattr(losses, name) for name in losses.__all__]
    taking = {
        m.__name__
        for m in modules
        if isinstance(m, type) and "precision" in inspect.signature(m).parameters
    }
    of_modules = {m.__name__ for m in modules if isinstance(m, type) and m.__name__[-4:] == "Loss"}
    assert taking == of_modules
    assert "precision='bf16x3'" in repr(losses.CLIPLoss(precision="bf16x3"))


CALLS: dict[str, Callable[..., Tensor]] = {
    "nt_xent": lambda z, **o: functional.nt_xent_loss(z[:40], z[40:], reduction="none", **o),
    "nt_xent, mean": lambda z, **o: functional.nt_xent_loss(z[:40], z[40:], **o),
    "clip": lambda z, **o: functional.clip_loss(z[:40], z[40:], **o),
    "sup_con": lambda z, **o: functional.sup_con_loss(z, torch.arange(80) % 7, **o),
    "queue": lambda z, **o: functional.moco_loss(z[:16], z[16:32], z[32:], **o),
    "groups": lambda z, **o: functional.grouped_nt_xent_loss(*z.view(2, 2, 20, -1), **o),
    "levels": lambda z, **o: functional.hierarchical_contrastive_loss(*z.view(2, 2, 20, -1), **o),
    "sigmoid": lambda z, **o: functional.siglip_loss(z[:40], z[40:], **o),
    "triplet": lambda z, **o: functional.triplet_loss(z, torch.arange(80) % 7, **o),
    "vicreg": lambda z, **o: functional.vicreg_loss(z[:40], z[40:], **o),
    "barlow": lambda z, **o: functional.barlow_twins_loss(z[:40], z[40:], **o),
}


def run(name: str, z: Tensor, **options: Any) -> tuple[Tensor, ...]:
    return value_and_gradients(lambda x: CALLS[name](x, **options), (z,))


def same(a: tuple[Tensor, ...], b: tuple[Tensor, ...]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("name", CALLS)
def test_every_precision_runs_everywhere(kernel: str, name: str) -> None:
    z, exact = torch.randn(80, 33), None
    for precision in (None, *NAMES):
        found = run(name, z, precision=precision, backend=kernel)
        exact = exact or found
        for a, b in zip(found, exact, strict=True):
            scale = b.abs().max().item()
            torch.testing.assert_close(a, b, rtol=0, atol=0.1 * scale)
    assert exact is not None
    double = run(name, z.double(), precision="bf16", backend=kernel)
    assert same(double, run(name, z.double(), precision="ieee", backend=kernel))


# --- torch's setting.


def old(name: str) -> Callable[[], None]:
    return lambda: torch.set_float32_matmul_precision(name)


def new(switch: Any, value: str) -> Callable[[], None]:
    return lambda: setattr(switch, "fp32_precision", value)


def both(*ways: Callable[[], None]) -> Callable[[], None]:
    return lambda: [way() for way in ways] and None


SETTINGS: dict[str, tuple[Callable[[], None], str]] = {
    "nothing": (lambda: None, "ieee"),
    "highest": (old("highest"), "ieee"),
    "high": (old("high"), "bf16x3"),
    "medium": (old("medium"), "bf16"),
    "matmul ieee": (new(CPU, "ieee"), "ieee"),
    "matmul tf32": (new(CPU, "tf32"), "bf16x3"),
    "matmul bf16": (new(CPU, "bf16"), "bf16"),
    "all tf32": (new(ALL, "tf32"), "bf16x3"),
    "all bf16": (new(ALL, "bf16"), "bf16"),
    "all bf16, matmul ieee": (both(new(ALL, "bf16"), new(CPU, "ieee")), "ieee"),
    "medium, then matmul tf32": (both(old("medium"), new(CPU, "tf32")), "bf16x3"),
    "matmul bf16, then high": (both(new(CPU, "bf16"), old("high")), "bf16x3"),
    "cuda alone": (new(torch.backends.cuda.matmul, "tf32"), "ieee"),
}


@pytest.mark.usefixtures("unit")
@pytest.mark.parametrize("setting", SETTINGS)
def test_none_follows_torchs_setting(setting: str) -> None:
    change, meaning = SETTINGS[setting]
    z = torch.randn(80, 33)
    expected = {name: run("sup_con", z, precision=name) for name in NAMES}
    assert not any(same(*pair) for pair in itertools.combinations(expected.values(), 2))
    change()
    assert NAMES[torch_setting(z)] == meaning
    assert same(run("sup_con", z), expected[meaning])
    for name in NAMES:
        assert same(run("sup_con", z, precision=name), expected[name])


def test_older_torch_has_one_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = precision_module._reader(types.SimpleNamespace(matmul=None))
    monkeypatch.setattr(precision_module, "on_cpu", reader)
    for name, meaning in (("highest", "ieee"), ("high", "bf16x3"), ("medium", "bf16")):
        torch.set_float32_matmul_precision(name)
        assert NAMES[torch_setting(torch.ones(1))] == meaning


@pytest.mark.usefixtures("unit")
@pytest.mark.parametrize(("before", "after"), [("medium", "highest"), ("highest", "medium")])
@pytest.mark.parametrize("name", ["nt_xent", "clip", "sup_con"])
def test_the_backward_keeps_to_what_the_forward_found(name: str, before: str, after: str) -> None:
    z = torch.randn(80, 33, requires_grad=True)
    expected = run(name, z.detach(), precision={"medium": "bf16", "highest": "ieee"}[before])
    torch.set_float32_matmul_precision(before)
    value = CALLS[name](z)
    torch.set_float32_matmul_precision(after)
    (gradient,) = torch.autograd.grad(value.sum(), z)
    assert same((value.detach(), gradient), expected)


@pytest.mark.clean_memory
@pytest.mark.usefixtures("unit")
@pytest.mark.parametrize("name", ["nt_xent", "clip"])
def test_a_compiled_loss_follows_the_setting_of_its_call(name: str) -> None:
    """Not of its compilation; its backward that of its forward."""
    z = torch.randn(80, 33, requires_grad=True)
    compiled = torch.compile(CALLS[name], fullgraph=True, backend="aot_eager")
    for first, then in itertools.permutations(("highest", "medium"), 2):
        torch.set_float32_matmul_precision(first)
        value, expected = compiled(z), CALLS[name](z)
        torch.set_float32_matmul_precision(then)
        (gradient,) = torch.autograd.grad(value.sum(), z)
        torch.set_float32_matmul_precision(first)
        assert torch.equal(value, expected)
        assert torch.equal(gradient, torch.autograd.grad(CALLS[name](z).sum(), z)[0])


@pytest.mark.parametrize("name", CALLS)
def test_the_definition_is_as_exact_as_it_says(name: str) -> None:
    """torch's own products are not, where it is allowed less and has a unit for it."""
    z = torch.randn(80, 33)
    expected = run(name, z, precision="ieee", backend="reference")
    torch.set_float32_matmul_precision("medium")
    for a, b in zip(run(name, z, backend="reference"), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5 * b.abs().max().item())


def test_product() -> None:
    a, b = torch.randn(64, 256), torch.randn(256, 64)
    exact = a.double() @ b.double()
    torch.set_float32_matmul_precision("medium")
    assert torch.equal(product(a, b), exact.float())
    assert torch.equal(product(a, b, "bf16x3"), exact.float())
    assert torch.equal(product(a, b, ""), a @ b)
    torch.set_float32_matmul_precision("highest")
    assert torch.equal(product(a, b), a @ b)


def test_options_that_no_kernel_takes_are_as_exact_as_they_say() -> None:
    z, ids = torch.randn(80, 133), torch.arange(80) % 7

    def loss(x: Tensor, precision: str | None) -> Tensor:
        options = {"denominator": "own_positive", "query_keys": x.detach().view(80, 1, -1).flip(0)}
        return functional.contrastive_loss(x, q_ids=ids, precision=precision, **options)

    expected = value_and_gradients(lambda x: loss(x, "ieee"), (z,))
    torch.set_float32_matmul_precision("medium")
    for a, b in zip(value_and_gradients(lambda x: loss(x, "ieee"), (z,)), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5 * b.abs().max().item())


# --- What runs.


def products(loss: Callable[..., Any], *inputs: Any, **options: Any) -> list[str]:
    return [x.products for x in tsssl_fast.explain(loss, *inputs, **options).operators]


@pytest.mark.usefixtures("unit")
def test_explain_names_what_multiplies() -> None:
    z = views(40, 33)
    names = {"ieee": "ieee by bf16x6", "bf16x3": "bf16x3", "bf16": "bf16"}
    for precision, formed in names.items():
        assert products(functional.nt_xent_loss, *z, precision=precision) == [formed]
        assert products(functional.clip_loss, *z, precision=precision) == [formed]
        for backend in ("reference", "numba"):
            options = {"precision": precision, "backend": backend}
            assert products(functional.nt_xent_loss, *z, **options) == ["ieee"]
        assert products(functional.siglip_loss, *z, precision=precision) == ["ieee"]
        told = f"{precision} or more exact"
        assert products(functional.vicreg_loss, *z, precision=precision) == [told]
    torch.set_float32_matmul_precision("medium")
    assert products(functional.nt_xent_loss, *z) == ["bf16"]
    assert "products: bf16" in str(tsssl_fast.explain(functional.nt_xent_loss, *z))
    half = [x.bfloat16() for x in z]
    assert products(functional.nt_xent_loss, *half) == ["bfloat16 as given"]
    native.module().set_isa("baseline")
    assert products(functional.nt_xent_loss, *z) == ["ieee"]


@pytest.mark.usefixtures("unit")
@pytest.mark.parametrize("options", [{"temperature": 0.03}, {"normalize": False}], ids=str)
@pytest.mark.parametrize("name", ["nt_xent", "clip"])
def test_more_exact_where_errors_have_no_bound(name: str, options: dict[str, Any]) -> None:
    z = torch.randn(80, 33)
    expected = run(name, z, precision="ieee", **options)
    for precision in LOWER:
        assert same(run(name, z, precision=precision, **options), expected)


# --- Errors.


def loss_of(precision: str, temperature: float) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda a, b: functional.nt_xent_loss(
        a, b, temperature=temperature, reduction="none", precision=precision, backend="cpp"
    )


def weights(z1: Tensor, z2: Tensor, temperature: float, upstream: Tensor) -> Tensor:
    """Per row sum_j |dL/da_ij + dL/da_ji| / (tau ||z_i||), in float64."""
    z = torch.cat([z1, z2]).double()
    u = torch.nn.functional.normalize(z, dim=1)
    rows = torch.arange(len(z))
    w = (u @ u.T / temperature).fill_diagonal_(-torch.inf).softmax(dim=1)
    w[rows, rows.roll(len(z1))] -= 1
    w = upstream[:, None] * w
    return (w + w.T).abs().sum(dim=1) / (temperature * z.norm(dim=1))


# From the emulation on: sizes from which the instructions are used.
SHAPES = {"amx-emulated": [(16, 17), (37, 33), (70, 20)], "amx": [(203, 210)], PAIRS: [(131, 130)]}


@pytest.mark.parametrize("precision", LOWER)
@pytest.mark.parametrize("isa", SHAPES)
def test_errors_are_what_is_stated(isa: str, precision: str) -> None:
    if isa == PAIRS and precision != "bf16":
        pytest.skip(f"{isa} has no {precision}")
    use(isa)
    try:
        for shape, tau, noise in itertools.product(SHAPES[isa], (1, 0.1, 0.034), (5, 0.5, 0.01)):
            z, upstream = views(*shape, noise=noise), torch.randn(2 * shape[0]).double()
            loss, *gradients = value_and_gradients(loss_of(precision, tau), z, upstream)
            exact = value_and_gradients(loss_of("ieee", tau), z, upstream)
            assert not torch.equal(torch.cat(gradients), torch.cat(exact[1:])), "no lower precision"
            truth, *true = value_and_gradients(
                lambda a, b, tau=tau: reference.nt_xent(a, b, tau),
                [x.double() for x in z],
                upstream,
            )
            assert (loss - truth).abs().max() <= spec.loss_error(precision, tau)
            off = (torch.cat(gradients) - torch.cat(true)).norm(dim=1)
            bound = spec.gradient_error(precision, tau) * weights(*z, tau, upstream)
            assert (off <= bound).all(), f"{shape} {tau} {noise}: {(off / bound).max():.2f}"
    finally:
        native.module().set_isa("")


@pytest.mark.usefixtures("unit")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bit_inputs_keep_float32s_rule_at_every_precision(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their gradients before the last rounding: those of the same numbers in float32, multiplied as
    numbers of so many bits."""
    values, means = [], []
    for temperature in (0.5, 0.1, 0.02):
        for _ in range(2):
            z = views(40, 33, dtype=dtype)
            found = value_and_gradients(loss_of("bf16", temperature), z)
            assert same(found, value_and_gradients(loss_of("ieee", temperature), z))
            single, double = [x.float() for x in z], [x.double() for x in z]
            with monkeypatch.context() as patch:
                patch.setitem(BITS, torch.float32, BITS[dtype])
                loss, *unrounded = value_and_gradients(loss_of("bf16", temperature), single)
            assert torch.equal(loss, found[0])
            assert same(tuple(x.to(dtype) for x in unrounded), found[1:])
            truth, *true = value_and_gradients(
                lambda a, b, tau=temperature: reference.nt_xent(a, b, tau), double
            )
            plain = value_and_gradients(
                lambda a, b, tau=temperature: reference.nt_xent(a, b, tau), single
            )
            values.append((loss, truth, plain[0]))
            exact = torch.cat(true)
            ulp = torch.finfo(dtype).eps * exact.abs().amax(dim=1, keepdim=True)
            means.append(((torch.cat(unrounded) - exact).abs() / ulp).mean().item())
    accept("loss", values, spec.ERROR_FACTOR)
    assert max(means) <= spec.GRADIENT_ULPS
