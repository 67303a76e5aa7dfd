"""BYOL, SwAV, DINO: their formulas in loops of float64, and that something is learnt."""

import math

import pytest
import torch
from time_methods import Mean, batch, gains, views_of
from torch import nn
from toy import Jitter

from tsssl_fast.augment import CropResize
from tsssl_fast.methods import BYOL, DINO, METHODS, SwAV
from tsssl_fast.methods.prototypes import Prototypes
from tsssl_fast.methods.teacher import cosine_momentum


def made(name: str, **options):
    torch.manual_seed(0)
    method = METHODS[name](Mean(), Jitter(), **options).double()
    for part in method.children():  # a teacher that differs from its student
        if hasattr(part, "steps"):
            for p in part.parameters():
                p.mul_(1.1).add_(0.01)
    return method


def cosine(a, b) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def softmax(row, tau: float) -> list[float]:
    e = [math.exp((x - max(row)) / tau) for x in row]
    return [x / sum(e) for x in e]


def cross_entropy(q, p) -> float:
    return -sum(a * math.log(b) for a, b in zip(q, p, strict=True))


def test_byol_is_its_formula() -> None:
    method, given = made("byol"), batch()
    loss, logs = method.loss(given)
    x = views_of(given).flatten(0, 1)
    p = method.predictor(method.projector(method.encoder(x))).tolist()
    t = method.momentum_projector(method.momentum_encoder(x)).tolist()
    each = [2 - 2 * cosine(p[i], t[(i + 8) % 16]) for i in range(16)]
    assert loss.item() == pytest.approx(sum(each) / 16, rel=1e-12)
    mean = sum(cosine(p[i], t[i + 8]) for i in range(8)) / 8
    assert logs["alignment"].item() == pytest.approx(mean, rel=1e-5)
    assert 0 < logs["spread"] < 1


def scores_of(method, given) -> list[list[list[float]]]:
    """Of two views and two crops, which are what a CropResize of other seeds gives."""
    source = torch.Generator().manual_seed(given.seed)
    x = [*views_of(given)]
    for _ in range(2):
        crop, view = torch.randint(1 << 62, (2,), generator=source).tolist()
        short = CropResize((0.2, 0.5))(given.x, seed=crop, sample_ids=given.sample_ids)
        x.append(views_of(given._replace(x=short, seed=view))[0])
    z = method.projector(method.encoder(torch.cat(x)))
    weight = method.prototypes.weight.tolist()
    rows = [[cosine(row, w) for w in weight] for row in z.tolist()]
    return [rows[i : i + 8] for i in range(0, 32, 8)]


def cross_view(scores, assignments, tau: float) -> float:
    total, count = 0.0, 0
    for v, predicted in enumerate(scores):
        for w, wanted in enumerate(assignments):
            if v != w:
                pairs = zip(wanted, predicted, strict=True)
                total += sum(cross_entropy(q, softmax(s, tau)) for q, s in pairs) / len(wanted)
                count += 1
    return total / count


def test_swav_is_its_formula() -> None:
    method, given = made("swav", clusters=5, temperature=0.2), batch()
    loss, logs = method.loss(given)
    scores, assignments = scores_of(method, given), []
    for view in scores[:2]:
        q = [[math.exp(s / 0.05) for s in row] for row in view]
        for _ in range(3):
            sums = [sum(column) for column in zip(*q, strict=True)]
            q = [[a / s for a, s in zip(row, sums, strict=True)] for row in q]
            q = [[a / sum(row) for a in row] for row in q]
        assignments.append(q)
    assert loss.item() == pytest.approx(cross_view(scores, assignments, 0.2), rel=1e-9)
    assert 1 <= logs["prototypes_used"] <= 5


def test_dino_is_its_formula_and_its_centre_moves() -> None:
    method, given = made("dino", clusters=5, temperature=0.2, teacher_temperature=0.1), batch()
    centre = [0.0] * 5
    for seed in range(2):
        given = given._replace(seed=seed)
        expected_scores = scores_of(method, given)
        x = views_of(given).flatten(0, 1)
        t = method.momentum_projector(method.momentum_encoder(x)).tolist()
        weight = method.momentum_prototypes.module.weight.tolist()
        taught = [[cosine(row, w) for w in weight] for row in t]
        q = [softmax([a - c for a, c in zip(row, centre, strict=True)], 0.1) for row in taught]
        loss, _ = method.loss(given)
        expected = cross_view(expected_scores, [q[:8], q[8:]], 0.2)
        assert loss.item() == pytest.approx(expected, rel=1e-9)
        mean = [sum(column) / 16 for column in zip(*taught, strict=True)]
        centre = [0.9 * c + 0.1 * m for c, m in zip(centre, mean, strict=True)]
    assert method.centring.centre.tolist() == pytest.approx(centre, rel=1e-9)
    before = method.centring.centre.clone()
    method.eval().loss(given)
    assert torch.equal(before, method.centring.centre)


@pytest.mark.parametrize("name", ["byol", "swav", "dino"])
def test_gradients_reach_the_student_alone_and_the_teacher_follows(name: str) -> None:
    method = made(name)
    method.loss(batch())[0].backward()
    teachers = {p for m in method.children() if hasattr(m, "steps") for p in m.parameters()}
    assert bool(teachers) == (name != "swav")
    for parameter in method.parameters():
        if parameter in teachers:
            assert parameter.grad is None
        else:
            assert parameter.grad.any()
    before = [p.clone() for p in teachers]
    method.after_step()
    assert all(not torch.equal(p, b) for p, b in zip(teachers, before, strict=True))


@pytest.mark.parametrize("name", ["byol", "swav", "dino"])
def test_a_linear_probe_finds_more_than_in_the_random_encoder(name: str) -> None:
    # A crop that is stretched has another frequency, which is what tells the classes apart.
    random, trained = gains(name, **({} if name == "byol" else {"crops": 0}))
    assert trained > random + 0.05, (random, trained)


def test_views_are_a_function_of_seed_and_sample() -> None:
    """Whichever rows stand beside it, a series is cropped alike."""
    method, given = made("swav"), batch()
    method.views = CropResize((0.6, 1.0))
    every = method.crops(method.views, given)[0].unflatten(0, (4, 8))
    part = given._replace(x=given.x[3:6], sample_ids=given.sample_ids[3:6])
    assert torch.equal(method.crops(method.views, part)[0].unflatten(0, (4, 3)), every[:, 3:6])
    assert not torch.equal(every[2], every[3])


def test_schedules_and_bad_arguments() -> None:
    follows = BYOL(Mean(), nn.Linear(6, 4), Jitter(), nn.Linear(4, 4), cosine_momentum(0.9, 2))
    for expected in (0.9, 0.95, 1.0):
        weight, own = follows.momentum_encoder.module.linear.weight, follows.encoder.linear.weight
        with torch.no_grad():
            own.add_(1)
        expected = expected * weight + (1 - expected) * own
        follows.after_step()
        torch.testing.assert_close(weight, expected)
    head = nn.Linear(6, 4), Jitter(), Prototypes(4, 3)
    for make, message in (
        (lambda: METHODS["byol"](Mean(), Jitter(), momentum=1.0), "momentum: 1.0"),
        (lambda: METHODS["swav"](Mean(), Jitter(), clusters=1), "clusters: 1"),
        (lambda: METHODS["swav"](Mean(), Jitter(), crops=-1), "crops: -1"),
        (
            lambda: METHODS["dino"](Mean(), Jitter(), teacher_temperature=0),
            "teacher_temperature: 0",
        ),
        (lambda: SwAV(Mean(), *head, epsilon=0), "epsilon: 0"),
        (lambda: SwAV(Mean(), *head, iterations=0), "iterations: 0"),
        (lambda: DINO(Mean(), *head, None, temperature=-1), "temperature: -1"),
        (lambda: made("byol").loss(batch(1)), r"batch\.x: 1 series; accepted: 2"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
