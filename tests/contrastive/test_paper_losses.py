"""ColloSSL, CLAN, NNCLR, SCGC, GroCo, VoCo and contrast of regions: their formulas as loops."""

import inspect
import math

import pytest
import torch
from torch import Tensor

from tsssl_fast import functional, losses
from tsssl_fast.functional.contrastive import blocks
from tsssl_fast.ops.contrastive import spec


def drawn(*shapes: tuple[int, ...]) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(s, dtype=torch.float64) for s in shapes]


def cosine(a: Tensor, b: Tensor) -> float:
    dot = sum(x * y for x, y in zip(a.tolist(), b.tolist(), strict=True))
    return dot / math.sqrt(sum(x * x for x in a.tolist()) * sum(y * y for y in b.tolist()))


def collossl(a: Tensor, p: Tensor, n: Tensor, wp: Tensor, wn: Tensor, tau: float) -> list[float]:
    rows = []
    for i in range(len(a)):
        plus = sum(wp[s].item() * math.exp(cosine(a[i], p[s, i]) / tau) for s in range(len(p)))
        minus = sum(wn[s].item() * math.exp(cosine(a[i], n[s, i]) / tau) for s in range(len(n)))
        rows.append(-math.log(plus / (plus + minus)))
    return rows


def clan(z: Tensor, aug: Tensor, tau: float) -> list[float]:
    rows = []
    for i in range(len(z)):
        minus = sum(math.exp(cosine(z[i], x) / tau) for x in aug)
        others = [math.exp(cosine(z[i], z[j]) / tau) for j in range(len(z)) if j != i]
        rows.append(sum(-math.log(e / (e + minus)) for e in others) / len(others))
    return rows


def nnclr(z1: Tensor, z2: Tensor, queue: Tensor, tau: float) -> list[float]:
    rows = []
    for i in range(len(z1)):
        near = max(queue, key=lambda k: cosine(z1[i], k))
        e = [math.exp(cosine(near, x) / tau) for x in z2]
        rows.append(-math.log(e[i] / sum(e)))
    return rows


def scgc(z: Tensor, influence: Tensor, tau: float) -> list[float]:
    rows = []
    for i in range(len(z)):
        e = [math.exp(cosine(z[i], x) / tau) for x in z]
        weighted = sum(w * x for w, x in zip(influence[i].tolist(), e, strict=True))
        rows.append(-math.log(weighted / sum(e)))
    return rows


def sorting(x: list[float], steepness: float) -> tuple[list[float], list[list[float]]]:
    n = len(x)
    x, mass = list(x), [[float(i == j) for j in range(n)] for i in range(n)]
    for layer in range(n):
        for i in range(layer % 2, n - 1, 2):
            f = 0.5 + math.atan(steepness * (x[i] - x[i + 1])) / math.pi
            x[i], x[i + 1] = f * x[i] + (1 - f) * x[i + 1], f * x[i + 1] + (1 - f) * x[i]
            up = [f * a + (1 - f) * b for a, b in zip(mass[i], mass[i + 1], strict=True)]
            down = [f * b + (1 - f) * a for a, b in zip(mass[i], mass[i + 1], strict=True)]
            mass[i], mass[i + 1] = up, down
    return x, mass


def ordering(positive: list[float], negative: list[float], steepness: float) -> float:
    both = sorted(positive, reverse=True) + sorted(negative, reverse=True)
    _, mass = sorting(both, steepness)
    p = len(positive)
    held = [sum(row[:p]) for row in mass]
    return -sum(math.log(m if r < p else 1 - m) for r, m in enumerate(held)) / len(both)


def groco(z: Tensor, hardest: int, steepness: float) -> list[float]:
    rows = []
    for v in range(len(z)):
        for i in range(z.shape[1]):
            plus = [cosine(z[v, i], z[w, i]) for w in range(len(z)) if w != v]
            minus = [cosine(z[v, i], x) for w in z for j, x in enumerate(w) if j != i]
            rows.append(ordering(plus, sorted(minus)[-hardest:], steepness))
    return rows


def voco(z: Tensor, bases: Tensor, y: Tensor) -> list[float]:
    rows = []
    for i in range(len(z)):
        s = [max(0.0, cosine(z[i], b)) for b in bases[i]]
        near = [(a, t) for a, t in zip(s, y[i].tolist(), strict=True) if t > 0]
        far = [a * a for a, t in zip(s, y[i].tolist(), strict=True) if t == 0]
        pull = sum(-t * math.log(1 - abs(t - a)) for a, t in near) / max(1, len(near))
        n = len(s)
        pairs = [(a, b) for a in range(n) for b in range(n) if a != b]
        apart = sum(max(0.0, cosine(bases[i, a], bases[i, b])) ** 2 for a, b in pairs)
        rows.append(pull + sum(far) / max(1, len(far)) + apart / len(pairs))
    return rows


def regions(points: Tensor, keys: Tensor, segments: Tensor, tau: float) -> list[float]:
    rows = []
    for n in range(len(points)):
        for x, s in zip(points[n], segments[n].tolist(), strict=True):
            e = [math.exp(cosine(x, r) / tau) for group in keys for r in group]
            rows.append(-math.log(e[n * keys.shape[1] + s] / sum(e)))
    return rows


WEIGHTS = torch.tensor([[0.7, 0.3], [0.6, 0.4]], dtype=torch.float64)
OVERLAPS = torch.tensor([[0.5, 0.5, 0.0], [0.9, 0.0, 0.0], [0.0, 0.0, 0.0], [0.2, 0.8, 0.0]])
OVERLAPS = OVERLAPS.double()
SEGMENTS = torch.tensor([[0, 0, 1, 2], [2, 1, 1, 0]])
INFLUENCE = torch.rand(5, 5, generator=torch.Generator().manual_seed(1)).double()
# Name: (function, shapes drawn, constants and options, loop over the same).
CASES = {
    "collossl": (
        lambda a, p, n, **o: functional.collossl_loss(
            a, p, n, positive_weight=WEIGHTS[0], negative_weight=WEIGHTS[1], temperature=0.2, **o
        ),
        ((4, 3), (2, 4, 3), (2, 4, 3)),
        lambda a, p, n: collossl(a, p, n, *WEIGHTS, 0.2),
    ),
    "clan": (
        lambda *z, **o: functional.clan_loss(*z, temperature=0.2, **o),
        ((5, 3), (5, 3)),
        lambda *z: clan(*z, 0.2),
    ),
    "nnclr": (
        lambda a, b, q, **o: functional.nnclr_loss(
            a, b, q, temperature=0.2, symmetric=True, backend="reference", **o
        ),
        ((5, 3), (5, 3), (7, 3)),
        lambda a, b, q: nnclr(a, b, q, 0.2) + nnclr(b, a, q, 0.2),
    ),
    "scgc": (
        lambda z, **o: functional.scgc_loss(z, INFLUENCE, **o),
        ((5, 3),),
        lambda z: scgc(z, INFLUENCE, 0.5),
    ),
    "scgc, cold": (
        lambda z, **o: functional.scgc_loss(z, INFLUENCE, temperature=0.02, **o),
        ((5, 3),),
        lambda z: scgc(z, INFLUENCE, 0.02),
    ),
    "groco": (
        lambda z, **o: functional.groco_loss(z, hardest=4, **o),
        ((3, 4, 3),),
        lambda z: groco(z, 4, 10.0),
    ),
    "voco": (
        lambda z, b, **o: functional.voco_loss(z, b, OVERLAPS, **o),
        ((4, 3), (4, 3, 3)),
        lambda z, b: voco(z, b, OVERLAPS),
    ),
    "regions": (
        lambda x, r, **o: functional.region_contrastive_loss(
            x, r, SEGMENTS, temperature=0.2, backend="reference", **o
        ),
        ((2, 4, 3), (2, 3, 3)),
        lambda x, r: regions(x, r, SEGMENTS, 0.2),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_loop(name: str) -> None:
    function, shapes, loop = CASES[name]
    z = drawn(*shapes)
    expected = torch.tensor(loop(*z), dtype=torch.float64)
    found = function(*z, reduction="none").flatten()
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    for reduction in ("mean", "sum"):
        number = function(*z, reduction=reduction)
        torch.testing.assert_close(number, getattr(expected, reduction)(), rtol=1e-12, atol=1e-12)
    half = function(*(x.bfloat16() for x in z)) if name not in ("groco", "scgc, cold") else number
    assert half.dtype == (torch.float32 if half is not number else torch.float64)


@pytest.mark.parametrize("name", CASES)
def test_gradients(name: str) -> None:
    function, shapes, _ = CASES[name]
    z = [x.requires_grad_() for x in drawn(*shapes)]
    if name == "nnclr":
        z[2] = z[2].detach()  # without gradient, as are the neighbours
        loss = function(*z)
        (gradient,) = torch.autograd.grad(loss, z[1])
        assert torch.autograd.grad(function(*z), z[0])[0].any()  # as the key of the other view
        alone = functional.nnclr_loss(*z, temperature=0.2, symmetric=False, backend="reference")
        assert torch.autograd.grad(alone, z[0], allow_unused=True)[0] is None
        z[0] = z[0].detach()
        assert gradient.any()
        return
    assert torch.autograd.gradcheck(lambda *x: function(*x), z)


@pytest.mark.parametrize("name", [n for n in CASES if n != "voco"])
def test_blocks_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, shapes, _ = CASES[name]
    whole, parts = ([x.requires_grad_() for x in drawn(*shapes)] for _ in range(2))
    expected = function(*whole)
    expected.backward()
    monkeypatch.setattr(spec, "BLOCK_ELEMENTS", 12)
    found = function(*parts)
    found.backward()
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    for a, b in zip(parts, whole, strict=True):
        if b.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-10, atol=1e-12)


def test_golden_values() -> None:
    a, p1, p2, n1, n2 = drawn(*[(4, 3)] * 5)
    sets = torch.stack([p1, p2]), torch.stack([n1, n2])
    weights = {"positive_weight": WEIGHTS[0], "negative_weight": WEIGHTS[1]}
    golden = {2.2746671551: functional.collossl_loss(a, *sets, **weights)}
    golden[6.0477568199] = functional.clan_loss(*drawn((4, 3), (4, 3)))
    rows = drawn((4, 3), (4, 3), (6, 3))
    golden[5.5257096985] = functional.nnclr_loss(*rows, symmetric=False)
    torch.manual_seed(0)
    z, graph = torch.randn(4, 3, dtype=torch.float64), torch.rand(4, 4, dtype=torch.float64)
    golden[0.9475470057] = functional.scgc_loss(z, graph, temperature=0.5)
    for expected, found in golden.items():
        assert found.item() == pytest.approx(expected, abs=5e-11)


def test_the_network_is_a_loop_and_sorts() -> None:
    (x,) = drawn((6, 7))
    found, mass = functional.differentiable_sort(x, steepness=10.0)
    for i in range(6):
        expected, share = sorting(x[i].tolist(), 10.0)
        assert found[i].tolist() == pytest.approx(expected, abs=1e-12)
        torch.testing.assert_close(
            mass[i], torch.tensor(share, dtype=torch.float64), rtol=0, atol=1e-12
        )
    torch.testing.assert_close(mass.sum(1), torch.ones(6, 7).double())
    torch.testing.assert_close((mass @ x[..., None])[..., 0], found)
    sharp, _ = functional.differentiable_sort(x, steepness=1e9)
    torch.testing.assert_close(sharp, x.sort(1, descending=True).values, rtol=0, atol=1e-6)
    assert functional.differentiable_sort(x[:, :1])[0].equal(x[:, :1])


def test_order_is_worth_more_the_steeper_and_the_wider() -> None:
    positive, negative = torch.tensor([[0.6, 0.4]]).double(), torch.tensor([[0.1, 0.0]]).double()
    losses_ = [functional.group_ordering_loss(positive, negative, steepness=s) for s in (2, 10, 50)]
    assert losses_[0] > losses_[1] > losses_[2]
    wider = [functional.group_ordering_loss(positive + gap, negative) for gap in (0.0, 0.2, 0.5)]
    assert wider[0] > wider[1] > wider[2]
    reversed_ = negative.clone().requires_grad_(), positive.clone().requires_grad_()
    functional.group_ordering_loss(*reversed_).backward()
    for x in reversed_:
        assert x.grad is not None
        assert (x.grad.abs() > 1e-3).all()
    assert (reversed_[0].grad < 0).all()
    assert (reversed_[1].grad > 0).all()


def test_rows_without_positives_or_weights() -> None:
    a, p, n = drawn((3, 2), (2, 3, 2), (1, 3, 2))
    a.requires_grad_()
    weight = torch.tensor([[1.0, 0.0, 2.0], [0.0, 0.0, 1.0]]).double()
    rows = functional.collossl_loss(a, p, n, positive_weight=weight, reduction="none")
    assert rows[1] == 0
    rows.sum().backward()
    assert a.grad is not None
    assert a.grad[1].tolist() == [0, 0]
    assert torch.isfinite(a.grad).all()
    z = drawn((3, 2))[0].requires_grad_()
    graph = torch.tensor([[0.0, 1, 0], [0, 0, 0], [1, 1, 1]]).double()
    for tau in (0.5, 0.01):
        rows = functional.scgc_loss(z, graph, temperature=tau, reduction="none")
        assert rows[1] == 0
        assert torch.isfinite(torch.autograd.grad(rows.sum(), z)[0]).all()


def test_zero_rows_have_cosine_zero() -> None:
    z, aug = drawn((4, 3), (4, 3))
    z[1] = 0
    z.requires_grad_()
    loss = functional.clan_loss(z, aug)
    loss.backward()
    assert torch.isfinite(loss)
    assert z.grad is not None
    assert z.grad[1].tolist() == [0, 0, 0]
    assert blocks.cosines(z, aug, True)[1] == 0


def test_the_queue_of_nnclr() -> None:
    torch.manual_seed(0)
    module = losses.NNCLRLoss(3, 8)
    z = [torch.randn(4, 3) for _ in range(4)]
    first = module(z[0], z[1])
    # An empty queue: every row is its own neighbour.
    torch.testing.assert_close(first, functional.clip_loss(z[0], z[1], temperature=0.1))
    again = module(z[2], z[3])
    torch.testing.assert_close(again, functional.nnclr_loss(z[2], z[3], z[0]))
    assert module.queue.filled == 8
    module.eval()(z[0], z[1])
    assert module.queue.position == 0


MODULES = {
    "ColloSSLLoss": ("collossl_loss", ((4, 3), (2, 4, 3), (2, 4, 3))),
    "CLANLoss": ("clan_loss", ((4, 3), (4, 3))),
    "SCGCLoss": ("scgc_loss", ((4, 3), (4, 4))),
    "NNCLRLoss": ("nnclr_loss", ((4, 3), (4, 3), (4, 3))),
    "GroCoLoss": ("groco_loss", ((3, 8, 3),)),
    "VoCoLoss": ("voco_loss", ((4, 3), (4, 2, 3), (4, 2))),
    "RegionContrastiveLoss": ("region_contrastive_loss", ((2, 4, 3), (2, 3, 3))),
}


@pytest.mark.parametrize("name", MODULES)
def test_module_and_function_have_the_same_names_and_defaults(name: str) -> None:
    function, shapes = MODULES[name]
    given = inspect.signature(getattr(functional, function)).parameters
    settings = inspect.signature(getattr(losses, name).__init__).parameters
    own = [p for n, p in settings.items() if n not in {"self", "learnable_temperature"}]
    own = [p for p in own if p.name not in {"dim", "size"}]
    assert [p.name for p in own] == [n for n in given if n in settings]
    assert all(p.kind is p.KEYWORD_ONLY and given[p.name].default == p.default for p in own)
    if name == "NNCLRLoss":
        return
    z = [x.abs() for x in drawn(*shapes)]
    z += [SEGMENTS] if name == "RegionContrastiveLoss" else []
    module = getattr(losses, name)(reduction="sum").double()
    torch.testing.assert_close(module(*z), getattr(functional, function)(*z, reduction="sum"))


Z = torch.randn(4, 3)
BAD = {
    "positives: shape": lambda: functional.collossl_loss(Z, Z, Z[None]),
    "negatives: shape": lambda: functional.collossl_loss(Z, Z[None], Z[None, :2]),
    "positive_weight: shape": lambda: functional.collossl_loss(
        Z, Z[None], Z[None], positive_weight=torch.ones(2)
    ),
    "negative_weight: requires grad": lambda: functional.collossl_loss(
        Z, Z[None], Z[None], negative_weight=torch.ones(1).requires_grad_()
    ),
    "z_aug: shape": lambda: functional.clan_loss(Z, Z[:3]),
    "z: shape": lambda: functional.clan_loss(Z[:1], Z[:1]),
    "queue: shape": lambda: functional.nnclr_loss(Z, Z, Z[:, :2]),
    "queue_valid: shape": lambda: functional.nnclr_loss(Z, Z, Z, queue_valid=torch.ones(3) > 0),
    "influence: shape": lambda: functional.scgc_loss(Z, torch.ones(4, 3)),
    "hardest: 9; accepted: at most 6": lambda: functional.groco_loss(
        torch.stack([Z, Z]), hardest=9
    ),
    "steepness": lambda: functional.groco_loss(Z.expand(2, 4, 3), hardest=2, steepness=0),
    "z: shape.*accepted: .V, N, D": lambda: functional.groco_loss(Z),
    "negative: shape": lambda: functional.group_ordering_loss(Z, Z[:2]),
    "bases: shape": lambda: functional.voco_loss(Z, Z[:, None], torch.zeros(4, 1)),
    "overlaps: shape": lambda: functional.voco_loss(Z, torch.randn(4, 2, 3), torch.zeros(4, 3)),
    "segments: 3; accepted: below the 3": lambda: functional.region_contrastive_loss(
        torch.randn(2, 4, 3), torch.randn(2, 3, 3), SEGMENTS + 1
    ),
    "reduction": lambda: functional.scgc_loss(Z, torch.ones(4, 4), reduction="avg"),
    "temperature": lambda: losses.CLANLoss(temperature=0.0),
}


@pytest.mark.parametrize("words", BAD)
def test_errors_name_the_callers_argument(words: str) -> None:
    with pytest.raises(ValueError, match=words):
        BAD[words]()
    pair = functional.PairTemperature(0.1, 0.2)
    with pytest.raises(TypeError, match="temperature: PairTemperature"):
        functional.clan_loss(Z, Z, temperature=pair)
