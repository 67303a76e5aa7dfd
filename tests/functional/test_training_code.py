"""What training code does with a loss: copies, mixed precision, accumulation, recomputation,
compilation; every loss of the table."""

import copy
import inspect
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from loss_calls import CALLS, IDS, SEGMENTS, TARGETS, V, modules
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.checkpoint import checkpoint

from tsssl_fast import functional, losses

MODULES = modules()
# How long the work is depends on numbers in tensors, which fake ones do not have.
READ_NUMBERS = {
    *("contrastive sparse weight", "grouped lengths", "hierarchical lengths", "groco", "regions"),
}
# With ids, labels, targets or masks of their own, on the CPU.
GIVEN_ROWS = {
    *("siglip ids", "sup_con", "triplet", "scgc", "voco", "masked", "masked l1"),
    *(name for name in CALLS if name.startswith("contrastive")),
}


def leaves(name: str, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    return [x.requires_grad_() for x in CALLS[name].inputs(dtype)]


def gradients(loss: Tensor, inputs: list[Tensor]) -> tuple[Tensor | None, ...]:
    return torch.autograd.grad(loss.sum(), inputs, allow_unused=True)


@pytest.mark.parametrize("name", MODULES)
def test_copies_and_pickles(name: str) -> None:
    module, _ = MODULES[name]
    state = module.state_dict()
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert repr(other) == repr(module)
        torch.testing.assert_close(other.state_dict(), state)
        assert other.training == module.training


@pytest.mark.clean_memory
@pytest.mark.parametrize("name", sorted(CALLS.keys() - READ_NUMBERS))
def test_fake_tensors(name: str) -> None:
    real = CALLS[name].loss(*leaves(name))
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        inputs = [mode.from_tensor(x).requires_grad_() for x in CALLS[name].inputs(torch.float32)]
        loss = CALLS[name].loss(*inputs)
        found = gradients(loss, inputs)
    assert (loss.shape, loss.dtype) == (real.shape, real.dtype)
    for x, gradient in zip(inputs, found, strict=True):
        assert gradient is None or gradient.shape == x.shape


@pytest.mark.clean_memory
@pytest.mark.parametrize("name", sorted(CALLS.keys() - READ_NUMBERS - GIVEN_ROWS))
def test_meta_tensors(name: str) -> None:
    inputs = [x.to("meta").requires_grad_() for x in CALLS[name].inputs(torch.float32)]
    loss = CALLS[name].loss(*inputs)
    found = gradients(loss, inputs)
    assert loss.is_meta
    assert all(g is None or g.shape == x.shape for x, g in zip(inputs, found, strict=True))


META_IDS, META_TARGETS = IDS.to("meta"), TARGETS.to("meta")
BY_IDS = {"q_ids": META_IDS, "k_ids": META_IDS}


@pytest.mark.clean_memory
@pytest.mark.parametrize(
    "loss",
    [
        lambda a, b: functional.contrastive_loss(a, b, denominator="own_positive", **BY_IDS),
        lambda a, b: functional.contrastive_loss(a, b, hardness=0.5, **BY_IDS),
        lambda a, b: functional.contrastive_loss(a, b, query_keys=b[:, None], **BY_IDS),
        lambda a, b: functional.contrastive_loss(a, b, targets=META_TARGETS),
        lambda a, b: functional.sup_con_loss(a * b, META_IDS),
        lambda a, b: functional.triplet_loss(a * b, META_IDS),
        lambda a, b: functional.scgc_loss(a * b, META_TARGETS),
        lambda a, b: functional.siglip_loss(a, b, **BY_IDS),
    ],
    ids=[
        "own_positive",
        "hardness",
        "query_keys",
        "targets",
        "sup_con",
        "triplet",
        "scgc",
        "siglip",
    ],
)
def test_meta_tensors_with_labels(loss: Any) -> None:
    inputs = [torch.empty(V, device="meta", requires_grad=True) for _ in range(2)]
    value = loss(*inputs)
    assert value.is_meta
    assert [g.shape for g in gradients(value, inputs)] == [torch.Size(V)] * 2


@pytest.mark.parametrize("name", CALLS)
def test_inference_mode(name: str) -> None:
    inputs = CALLS[name].inputs(torch.float32)
    expected = CALLS[name].loss(*inputs)
    with torch.inference_mode():
        found = CALLS[name].loss(*[x.clone() for x in inputs])
        assert found.is_inference()
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", CALLS)
def test_recomputation_and_a_graph_that_is_kept(name: str) -> None:
    """Checkpointed, and twice backwards through one graph: the same gradients, and their sum."""
    inputs = leaves(name)
    loss = CALLS[name].loss(*inputs)
    once = torch.autograd.grad(loss, inputs, retain_graph=True, allow_unused=True)
    again = gradients(loss, inputs)
    recomputed = gradients(checkpoint(CALLS[name].loss, *inputs, use_reentrant=False), inputs)
    for first, second, third in zip(once, again, recomputed, strict=True):
        torch.testing.assert_close(second, first, rtol=0, atol=0)
        torch.testing.assert_close(third, first, rtol=0, atol=0)


def test_two_losses_of_one_embedding() -> None:
    x = torch.randn(2, 6, 4)
    layer = nn.Linear(4, 3)
    z1, z2 = layer(x).unbind()
    (functional.nt_xent_loss(z1, z2) + functional.vicreg_loss(z1, z2)).backward()
    both, layer.weight.grad = layer.weight.grad, None
    for loss in (functional.nt_xent_loss, functional.vicreg_loss):  # accumulated
        loss(*layer(x).unbind()).backward()
    torch.testing.assert_close(layer.weight.grad, both)


def step(layer: nn.Linear, x: Tensor, dtype: torch.dtype, ours: bool) -> torch.amp.GradScaler:
    """One step of a scaled loss under autocast; `ours`: not the formula in plain torch."""
    optimizer = torch.optim.SGD(layer.parameters(), 0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    with torch.autocast("cpu", dtype):
        z1, z2 = layer(x).unbind()
        if ours:
            loss = functional.nt_xent_loss(z1, z2, temperature=0.5)
        else:
            u = nn.functional.normalize(torch.cat([z1, z2]).float(), dim=1)
            with torch.autocast("cpu", enabled=False):
                a = (u @ u.T / 0.5).masked_fill(torch.eye(len(u), dtype=torch.bool), -torch.inf)
            loss = nn.functional.cross_entropy(a, torch.arange(len(u)).roll(len(z1)))
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    return scaler


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("overflows", [False, True])
def test_a_scaled_step_under_autocast(dtype: torch.dtype, overflows: bool) -> None:
    """A step that overflows is left out, and the scale halved, as with plain torch."""
    x = torch.randn(2, 6, 4)
    if overflows:
        x[0, 0, 0] = torch.inf
    layer = nn.Linear(4, 3)
    before, twin = layer.weight.detach().clone(), copy.deepcopy(layer)
    found, expected = step(layer, x, dtype, True), step(twin, x, dtype, False)
    assert found.get_scale() == expected.get_scale() == (2.0**9 if overflows else 2.0**10)
    assert torch.equal(layer.weight, before) == overflows
    torch.testing.assert_close(layer.weight, twin.weight, rtol=1e-2, atol=1e-3)


# A loss of numbers that a training changes and of its tensors; the numbers; the tensors' shapes.
Numbered = tuple[Any, tuple[str, ...], tuple[tuple[int, ...], ...]]


def numbered(name: str, *numbers: str, shapes: Any = (V, V), **options: Any) -> Numbered:
    function = getattr(functional, name)
    return lambda values, *x: function(*x, **values, **options), numbers, shapes


THREE = ((2, 3, 2), (2, 3, 2))
WEIGHTS = ("invariance_weight", "variance_weight", "covariance_weight")
NUMBERED: dict[str, Numbered] = {
    "nt_xent": numbered("nt_xent_loss", "temperature"),
    "nt_xent relations": (
        lambda values, a, b: functional.nt_xent_loss(
            a, b, temperature=functional.PairTemperature(**values)
        ),
        *(("positive", "negative"), (V, V)),
    ),
    "dcl": numbered("dcl_loss", "temperature"),
    "dclw": numbered("dclw_loss", "temperature", "sigma"),
    "info_nce": numbered("info_nce_loss", "temperature", shapes=(V, V), symmetric=True),
    "moco": numbered("moco_loss", "temperature", shapes=(V, V, (5, 3))),
    "clip": numbered("clip_loss", "temperature"),
    "siglip": numbered("siglip_loss", "logit_scale", "logit_bias"),
    "sup_con": numbered("sup_con_loss", "temperature", shapes=(V,), labels=IDS),
    "triplet": numbered("triplet_loss", "margin", shapes=(V,), labels=IDS),
    "contrastive": numbered(
        "contrastive_loss", "temperature", "hardness", "debias", q_ids=IDS, k_ids=IDS
    ),
    "contrastive targets": numbered("contrastive_loss", "temperature", targets=TARGETS),
    "grouped": numbered("grouped_nt_xent_loss", "temperature", shapes=THREE),
    "hierarchical": numbered("hierarchical_contrastive_loss", "alpha", "temperature", shapes=THREE),
    "clan": numbered("clan_loss", "temperature"),
    "nnclr": numbered("nnclr_loss", "temperature", shapes=(V, V, (5, 3))),
    "scgc": numbered("scgc_loss", "temperature", shapes=(V,), influence=TARGETS),
    "collossl": numbered("collossl_loss", "temperature", shapes=(V, (2, *V), (1, *V))),
    "regions": numbered(
        *("region_contrastive_loss", "temperature"),
        shapes=((2, *V), (2, 3, 3)),
        segments=SEGMENTS,
    ),
    "groco": numbered("groco_loss", "steepness", shapes=((2, *V),), hardest=2),
    "vicreg": numbered("vicreg_loss", *WEIGHTS),
    "vicreg three views": numbered("vicreg_loss", *WEIGHTS, shapes=(V, V, V)),
    "barlow_twins": numbered("barlow_twins_loss", "lambd", "scale_loss"),
}


def test_every_loss_with_numbers_is_in_the_table() -> None:
    with_numbers = {
        name
        for name in functional.__all__
        if name.endswith("_loss")
        and {"temperature", "margin", "logit_scale"}
        & inspect.signature(getattr(functional, name)).parameters.keys()
    }
    with_numbers.remove("core_tuning_loss")  # draws what it mixes
    assert len(with_numbers) > 15
    text = Path(__file__).read_text()
    assert [name for name in with_numbers if f'"{name}"' not in text] == []


class Counting:
    """A compiler that counts the graphs it gets."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: Any, inputs: Any) -> Any:
        self.graphs += 1
        return graph.forward


@pytest.mark.clean_memory
@pytest.mark.parametrize(
    "module",
    [losses.NTXentLoss(), losses.DCLLoss(), losses.InfoNCELoss(), losses.SupConLoss()],
    ids=lambda module: type(module).__name__,
)
def test_a_changed_temperature_compiles_once_more(module: Any) -> None:
    """With dynamic=True: a number that changed becomes an input, not a graph for each value."""
    torch._dynamo.reset()
    counting = Counting()
    compiled = torch.compile(module, dynamic=True, fullgraph=True, backend=counting)
    a, b = torch.randn(*V), torch.randn(*V)
    second = torch.tensor([0, 1, 0, 1]) if isinstance(module, losses.SupConLoss) else b
    for temperature in (0.1, 0.2, 0.3, 0.4, 0.5):
        module.temperature = temperature
        torch.testing.assert_close(compiled(a, second), module(a, second))
    assert counting.graphs <= 2


@pytest.mark.clean_memory
@pytest.mark.parametrize("name", NUMBERED)
def test_changed_numbers_compile_once_more(name: str) -> None:
    torch._dynamo.reset()
    function, numbers, shapes = NUMBERED[name]
    counting = Counting()
    compiled = torch.compile(function, dynamic=True, fullgraph=True, backend=counting)
    inputs = [torch.randn(shape) for shape in shapes]
    for first in (0.5, 0.25, 0.3):
        values = {number: first + i / 8 for i, number in enumerate(numbers)}
        torch.testing.assert_close(compiled(values, *inputs), function(values, *inputs))
    assert counting.graphs <= 2


@pytest.mark.clean_memory
@pytest.mark.parametrize(
    "name",
    [
        *("nt_xent", "dcl", "info_nce", "clip", "siglip", "vicreg", "vicreg three views"),
        *("vicreg vibcreg", "barlow_twins", "covariance", "variance", "invariance", "hierarchical"),
    ],
)
def test_other_shapes_compile_once(name: str) -> None:
    """With dynamic=True: rows and columns are inputs, not a graph for each."""
    torch._dynamo.reset()
    call, counting = CALLS[name], Counting()
    compiled = torch.compile(call.loss, dynamic=True, fullgraph=True, backend=counting)
    for more in range(1, 4):
        shapes = tuple(tuple(size + more for size in shape) for shape in call.shapes)
        inputs = call._replace(shapes=shapes).inputs(torch.float32)
        torch.testing.assert_close(compiled(*inputs), call.loss(*inputs))
    assert counting.graphs == 1
