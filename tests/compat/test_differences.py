"""What the docstrings of tsssl_fast.compat say of results that differ: ours and the peer's number,
computed here from the inputs that they name."""

import importlib
import inspect
import math
import pkgutil
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from compat import formulas
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from tsssl_fast import compat
from tsssl_fast.compat import (
    info_nce,
    lightly,
    open_clip,
    solo_learn,
    supcontrast,
    torch_audiomentations,
    ts2vec,
    ts_tcc,
    tsaug,
)
from tsssl_fast.compat import pytorch_metric_learning as pml

GENERATOR = torch.Generator().manual_seed(0)
A, B = (torch.randn(8, 16, generator=GENERATOR, dtype=torch.float64) for _ in range(2))
EYE = torch.eye(8)
CLOSE = EYE + 1e-3 * B[:, :8].float()
IDS = torch.arange(8).repeat(2)
ROWS, ONCE = torch.tensor([[1.0, 0], [1, 0], [0, 1]]), torch.tensor([0, 0, 1])
AXES = torch.tensor([[1.0, 0, 0], [1, 0, 0], [-1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, 0, 1]])
LINE = torch.tensor([[20.0, 0.0], [-40.0, 0.0], [0.34351, 0.0], [0.0, 1.0]])
PAIRS = tuple(torch.tensor(x) for x in ([0, 0], [1, 1], [0, 0], [2, 3]))
STEPS = torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
NUMBER = r"-?(?:\d+(?:\.\d+)?(?:e[-+]?\d+)?|inf|nan)"
BOTH = re.compile(rf"(?<![\w.]){NUMBER},? (?:of \d+ calls, |series, )?there (?:on )?{NUMBER}\b")
MODULES = [m.name for m in pkgutil.walk_packages(compat.__path__, "tsssl_fast.compat.")]


def cross_entropies(z1: Tensor, z2: Tensor, tau: float) -> Tensor:
    """NT-Xent in the arithmetic of its inputs."""
    u, i = torch.cat([normalize(z1), normalize(z2)]), torch.arange(len(z1))
    apart = formulas.not_self(len(u))
    return cross_entropy((u @ u.T / tau)[apart].view(len(u), -1), torch.cat([i + len(i) - 1, i]))


def two_logarithms(z1: Tensor, z2: Tensor, tau: float) -> Tensor:
    u, v = normalize(z1), normalize(z2)

    def negatives(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / tau).masked_fill(torch.eye(len(x)).bool(), -torch.inf).logsumexp(1)

    terms = [negatives(x, x) + negatives(x, y) for x, y in ((u, v), (v, u))]
    return torch.stack(terms).mean() - (u * v).sum(1).mean() / tau


def exponentials(z: Tensor, ids: Tensor, tau: float) -> Tensor:
    u = normalize(z)
    e, same = (u @ u.T / tau).exp(), ids[:, None] == ids
    positive, negative = (e * (same & formulas.not_self(len(u)))).sum(1), (e * ~same).sum(1)
    return -(positive / (positive + negative)).log().mean()


def rows_of_clip(u: Tensor, v: Tensor, scale: float) -> Tensor:
    i = torch.arange(len(u))
    return (cross_entropy(scale * u @ v.T, i) + cross_entropy(scale * v @ u.T, i)) / 2


def unit(dtype: torch.dtype) -> list[Tensor]:
    return [normalize(x.to(dtype)) for x in (A, B)]


def theirs(library: str) -> Any:
    return importlib.import_module(library)


def dot_products(of: Any) -> Any:
    distance = of.distances.DotProductSimilarity(normalize_embeddings=False)
    return of.losses.NTXentLoss(temperature=1.0, distance=distance)(LINE, indices_tuple=PAIRS)


def frozen() -> int:
    with pytest.warns(FutureWarning, match="output_type"):
        minus = torch_audiomentations.PolarityInversion(p=1.0)
    both = torch_audiomentations.Compose([minus], p=0.5, output_type="dict")
    x = torch.ones(1, 1, 4)
    both(x, sample_rate=4)
    both.freeze_parameters()
    return sum(bool((both(x, sample_rate=4).samples < 0).all()) for _ in range(100))


HALF, SHORT = torch.float16, torch.bfloat16
PML, MADE_BY = "pytorch_metric_learning", ("distances", "losses")
LABELS, CLASSES = torch.arange(8) % 3, torch.arange(6) // 2
# Module; ours, the peer's.
COMPUTED: list[tuple[str, Callable[[], Any], Callable[[], Any]]] = [
    (
        "lightly",
        lambda: lightly.NTXentLoss(0.05)(EYE, CLOSE),
        lambda: cross_entropies(EYE, CLOSE, 0.05),
    ),
    (
        "lightly",
        lambda: lightly.NTXentLoss(0.05)(A.to(SHORT), B.to(SHORT)),
        lambda: cross_entropies(A.to(SHORT), B.to(SHORT), 0.05),
    ),
    ("lightly", lambda: lightly.DCLLoss()(A[:1], B[:1]), lambda: -math.inf),
    ("lightly", lambda: lightly.DCLLoss()(A, B), lambda: two_logarithms(A, B, 0.1)),
    (
        "open_clip",
        lambda: open_clip.ClipLoss()(EYE, normalize(CLOSE), 20.0),
        lambda: rows_of_clip(EYE, normalize(CLOSE), 20.0),
    ),
    (
        "open_clip",
        lambda: open_clip.ClipLoss()(*unit(SHORT), 20.0),
        lambda: rows_of_clip(*unit(SHORT), 20.0),
    ),
    (
        "solo_learn",
        lambda: solo_learn.simclr_loss_func(torch.cat([A, B]).float(), IDS, 0.01),
        lambda: exponentials(torch.cat([A, B]).float(), IDS, 0.01),
    ),
    (
        "solo_learn",
        lambda: solo_learn.simclr_loss_func(ROWS, ONCE, 1.0),
        lambda: exponentials(ROWS, ONCE, 1.0),
    ),
    (
        "solo_learn",
        lambda: solo_learn.simclr_loss_func(torch.cat([A, B]).to(SHORT), IDS),
        lambda: exponentials(torch.cat([A, B]).to(SHORT), IDS, 0.1),
    ),
    (
        "info_nce",
        lambda: info_nce.info_nce(A.to(HALF), B.to(HALF), temperature=0.02),
        lambda: theirs("info_nce").info_nce(A.to(HALF), B.to(HALF), temperature=0.02),
    ),
    (
        "pytorch_metric_learning",
        lambda: dot_products(pml),
        lambda: dot_products(SimpleNamespace(**{m: theirs(f"{PML}.{m}") for m in MADE_BY})),
    ),
    (
        "pytorch_metric_learning",
        lambda: pml.losses.SupConLoss(0.005)(AXES, CLASSES),
        lambda: theirs(f"{PML}.losses").SupConLoss(0.005)(AXES, CLASSES),
    ),
    (
        "pytorch_metric_learning",
        lambda: pml.losses.NTXentLoss()(A.to(HALF), LABELS),
        lambda: theirs(f"{PML}.losses").NTXentLoss()(A.to(HALF), LABELS),
    ),
    (
        "supcontrast",
        lambda: supcontrast.SupConLoss(1.0, base_temperature=1.0)(ROWS[:, None], ONCE),
        lambda: math.nan,
    ),
    (
        "ts_tcc",
        lambda: ts_tcc.NTXentLoss("cpu", 8, 0.2, True)(A.to(HALF), B.to(HALF)),
        lambda: cross_entropies(A.to(HALF), B.to(HALF), 0.2),
    ),
    ("tsaug", lambda: tsaug.Drift(seed=0).augment(np.zeros((1, 1, 1))).item(), lambda: math.nan),
]


def text(module: str) -> str:
    found = importlib.import_module(module).__doc__ or ""
    return inspect.cleandoc(found)


def bullets(docstring: str) -> list[str]:
    _, heading, rest = docstring.partition("Where the results differ")
    lists = [part for part in rest.split("\n\n")[1:2] if heading]
    return [
        " ".join(item.split()) for part in lists for item in re.split(r"^\* ", part, flags=re.M)[1:]
    ]


def test_every_difference_has_both_numbers() -> None:
    listed = {module: bullets(text(module)) for module in MODULES}
    for module, items in listed.items():
        assert bool(items) == ("results differ" in text(module)), module
        for item in items:
            assert BOTH.search(item), f"{module}: {item}"
    assert len([items for items in listed.values() if items]) == 11


@pytest.mark.parametrize(("module", "ours", "peer"), COMPUTED)
def test_the_numbers_are_true(
    module: str, ours: Callable[[], Any], peer: Callable[[], Any]
) -> None:
    both = ", there ".join(f"{float(x()):.6g}" for x in (ours, peer))
    said = " ".join(bullets(text(f"tsssl_fast.compat.{module}")))
    assert re.search(rf"(?<![\w.]){re.escape(both)}(?![\w.]*\d)", said), both


def test_other_numbers_are_true() -> None:
    """Those that are no pair of losses."""
    said = {m: " ".join(bullets(text(f"tsssl_fast.compat.{m}"))) for m in ("tsaug", "ts2vec")}
    repeated = len(tsaug.Resize(8, repeats=3).augment(np.zeros((4, 8))))
    assert f"gives {repeated} series, there 4" in said["tsaug"]
    loss = ts2vec.hierarchical_contrastive_loss(STEPS, STEPS.flip(0) + 1)
    assert f"is {float(loss):.13g}, there" in said["ts2vec"]
    assert frozen() in (0, 100)
