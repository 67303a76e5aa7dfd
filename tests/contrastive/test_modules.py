"""The contrastive losses as functions and modules: one set of names, learned temperatures,
statistics at the call, errors that name the caller's argument."""

import inspect
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tsssl_fast import functional, losses
from tsssl_fast.functional import ContrastiveStats, PairTemperature

N, D = 6, 5
PAIR = ("z1", "z2")
# Module, function, its operands.
LOSSES = {
    "NTXentLoss": ("nt_xent_loss", PAIR),
    "DCLLoss": ("dcl_loss", PAIR),
    "DCLWLoss": ("dclw_loss", PAIR),
    "InfoNCELoss": ("info_nce_loss", ("q", "k")),
    "CLIPLoss": ("clip_loss", ("q", "k")),
    "SupConLoss": ("sup_con_loss", ("z", "labels")),
    "ContrastiveLoss": ("contrastive_loss", ("q", "k")),
    "SigLIPLoss": ("siglip_loss", ("q", "k")),
    "TripletLoss": ("triplet_loss", ("z", "labels")),
    "HierarchicalContrastiveLoss": ("hierarchical_contrastive_loss", PAIR),
    "GroupedNTXentLoss": ("grouped_nt_xent_loss", PAIR),
    "MoCoLoss": ("moco_loss", ("q", "k", "negatives")),
}
ONLY_MODULE = {"learnable_temperature", "max_scale", "dim", "size"}
TAU = [name for name in LOSSES if name not in ("SigLIPLoss", "TripletLoss")]


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def operands(name: str) -> tuple[Tensor, ...]:
    """What a call of the module takes, of one sort for all."""
    if name in ("HierarchicalContrastiveLoss", "GroupedNTXentLoss"):
        return numbers(3, N, D), numbers(3, N, D)
    if name in ("SupConLoss", "TripletLoss"):
        return numbers(N, D), torch.arange(N) // 2
    return numbers(N, D), numbers(N, D)


def keywords(name: str) -> dict[str, Tensor]:
    ids = torch.arange(N)
    return {"q_ids": ids, "k_ids": ids} if name == "ContrastiveLoss" else {}


def made(name: str, **options: Any) -> nn.Module:
    first = (D, 8) if name == "MoCoLoss" else ()
    module = getattr(losses, name)(*first, **options).double()
    if name == "MoCoLoss":
        module.queue.push(numbers(8, D))
    return module


def called(name: str, z: tuple[Tensor, ...], **options: Any) -> Any:
    return getattr(functional, LOSSES[name][0])(*z, **keywords(name), **options)


@pytest.mark.parametrize("name", LOSSES)
def test_module_and_function_have_the_same_names_order_and_defaults(name: str) -> None:
    function, tensors = LOSSES[name]
    given = inspect.signature(getattr(functional, function)).parameters
    settings = inspect.signature(getattr(losses, name).__init__).parameters
    call = inspect.signature(getattr(losses, name).forward).parameters
    assert tuple(given)[: len(tensors)] == tensors
    options = [p for p in given.values() if p.name not in (*tensors, "more")]  # more: views
    assert all(p.kind is p.KEYWORD_ONLY for p in options)
    own = [p for n, p in settings.items() if n not in ONLY_MODULE | {"self"}]
    assert all(p.kind is p.KEYWORD_ONLY for p in own)
    names = [p.name for p in options if p.name in settings]
    assert [p.name for p in own] == names
    assert all(given[p.name].default == p.default for p in own)
    # What is no setting of the module is an argument of its call; MoCo's queue flags its slots.
    names += ["negatives_valid"] if name == "MoCoLoss" else []
    taken = any(p.kind is p.VAR_KEYWORD for p in call.values())
    assert taken or {p.name for p in options} - set(names) <= set(call)


@pytest.mark.parametrize("name", LOSSES)
def test_module_is_its_function(name: str) -> None:
    if name == "MoCoLoss":
        pytest.skip("keeps its queue: tests/contrastive/test_losses.py")
    z = operands(name)
    expected = called(name, z)
    torch.testing.assert_close(made(name)(*z, **keywords(name)), expected)
    both = made(name, normalize=False), {"normalize": False}
    torch.testing.assert_close(both[0](*z, **keywords(name)), called(name, z, **both[1]))


@pytest.mark.parametrize("name", TAU)
def test_learned_temperature(name: str) -> None:
    z = operands(name)
    fixed = made(name, temperature=0.4, **({} if name != "CLIPLoss" else {"max_scale": 10.0}))
    torch.manual_seed(0)
    learned = made(name, temperature=0.4, learnable_temperature=True)
    if name == "MoCoLoss":
        learned.queue.load_state_dict(fixed.queue.state_dict())  # type: ignore[union-attr,operator]  # a module attribute
    loss = learned(*z, **keywords(name)).sum()
    torch.testing.assert_close(loss, fixed(*z, **keywords(name)).sum(), rtol=1e-6, atol=1e-6)
    (gradient,) = torch.autograd.grad(loss, learned.log_scale)
    # By differences of the loss in log(1 / tau).
    h = 1e-4
    change = []
    for step in (h, -h):
        with torch.no_grad():
            learned.log_scale += step
            if name == "MoCoLoss":
                learned._pending = None
            change.append(learned(*z, **keywords(name)).sum())
            learned.log_scale -= step
    torch.testing.assert_close(gradient, (change[0] - change[1]) / (2 * h), rtol=1e-5, atol=1e-6)
    assert "learnable_temperature=True" in repr(learned)


@pytest.mark.parametrize("name", ["NTXentLoss", "DCLLoss", "SupConLoss", "InfoNCELoss"])
def test_every_temperature_is_a_float_or_a_tensor(name: str) -> None:
    z = operands(name)
    expected = called(name, z, temperature=0.3, reduction="none")
    tau = torch.tensor(0.3, dtype=torch.float64)
    rows = tau.expand(len(expected))
    for given in (tau, rows, PairTemperature(0.3, tau)):
        found = called(name, z, temperature=given, reduction="none")
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", [n for n in LOSSES if n[:4] not in ("Hier", "Grou")])
def test_statistics_at_the_call(name: str) -> None:
    z = operands(name)
    module = made(name)
    loss, stats = module(*z, **keywords(name), return_stats=True)
    assert isinstance(stats, ContrastiveStats)
    if name == "MoCoLoss":
        module._pending = None  # type: ignore[assignment]  # a buffer that may be absent
    torch.testing.assert_close(loss, module(*z, **keywords(name)))
    assert 0 <= stats.top1_accuracy <= stats.topk_accuracy <= 1
    if name in ("InfoNCELoss", "SigLIPLoss"):
        s = torch.cosine_similarity(z[0][:, None], z[1][None], dim=2)
        place = (s >= s.diagonal()[:, None]).sum(dim=1)
        torch.testing.assert_close(stats.top1_accuracy, (place <= 1).double().mean())
        torch.testing.assert_close(stats.topk_accuracy, (place <= 5).double().mean())
        torch.testing.assert_close(stats.positive_similarity, s.diagonal().mean())


def test_clip_holds_the_parameter_back_and_its_gradient_lives() -> None:
    module = losses.CLIPLoss(temperature=1e-3)
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    z = torch.randn(8, 4)
    wrong = z.roll(1, dims=0)  # asks for a smaller scale
    module(z, wrong).backward()
    torch.testing.assert_close(module.log_scale.exp(), torch.tensor(100.0))
    assert module.log_scale.grad is not None
    assert module.log_scale.grad > 0
    optimizer.step()
    assert module.log_scale.exp() < 100


def test_moco_pickles_and_restores_the_queue_that_was_saved() -> None:
    module = losses.MoCoLoss(D, 8)
    module(torch.randn(N, D), torch.randn(N, D))
    again = pickle.loads(pickle.dumps(module))
    assert torch.equal(again.state_dict()["queue.features"], module.state_dict()["queue.features"])
    saved = {k: v.clone() for k, v in module.state_dict().items()}
    module(torch.randn(N, D), torch.randn(N, D))
    module.load_state_dict(saved)
    assert all(torch.equal(v, saved[k]) for k, v in module.state_dict().items())


def test_an_old_name_says_the_new_one() -> None:
    for old, new in (("nt_xent", "nt_xent_loss"), ("contrastive", "contrastive_loss")):
        with pytest.raises(AttributeError, match=f"functional.{old} is now .*functional.{new}"):
            getattr(functional, old)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        functional.nothing  # noqa: B018  reading it is the test


@pytest.mark.parametrize(
    ("call", "error", "word"),
    [
        (lambda z: functional.sup_con_loss(z, torch.rand(N)), TypeError, "labels: dtype"),
        (lambda z: functional.sup_con_loss(z, torch.arange(2)), ValueError, "labels: shape"),
        (lambda z: functional.sup_con_loss(z, None), TypeError, "labels: None"),
        (lambda z: functional.clip_loss(z, z[:2]), ValueError, "k: shape"),
        (lambda z: functional.dclw_loss(z, z, sigma=0.0), ValueError, "sigma"),
        (lambda z: functional.info_nce_loss(z, z, negatives=z[:, :2]), ValueError, "negatives"),
        (lambda z: functional.moco_loss(z, z, None), TypeError, "negatives"),
        (lambda z: functional.nt_xent_loss(z, z, temperature=torch.ones(3)), ValueError, "temper"),
        (lambda z: losses.NTXentLoss(temperature=-1.0), ValueError, "temperature"),
        (lambda z: losses.SupConLoss(mean_over="rows"), ValueError, "mean_over"),
        (
            lambda z: losses.DCLLoss(temperature=torch.ones(()), learnable_temperature=True),
            TypeError,
            "temperature",
        ),
    ],
)
def test_errors_name_the_callers_argument(call: Any, error: type[Exception], word: str) -> None:
    with pytest.raises(error, match=word):
        call(numbers(N, D))
