"""Names, shapes and inputs of what two revisions are compared on, whatever their API is called.

An adapter (`current`, `revision_78e2e36`) is a module of functions with fixed names and positional
arguments; it alone imports the package. A case names the functions it calls, and does not exist for
an adapter that lacks one of them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import ModuleType

import torch
from torch import Tensor, nn

CLASSES = 10
Shape = tuple[int, ...]
Tensors = tuple[Tensor, ...]
Run = Callable[[], Tensors]
Draw = Callable[[Shape], Tensors]


@dataclass(frozen=True)
class Case:
    """build: draws the inputs and returns what is timed. uses: the adapter's functions that it
    calls. call: a small call, timed in a loop of its own (`timing.overhead`)."""

    name: str
    shape: Shape
    uses: tuple[str, ...]
    build: Callable[[ModuleType], Run]
    call: bool = False

    @property
    def key(self) -> str:
        return f"{self.name} {'x'.join(map(str, self.shape))}"


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def one_set(shape: Shape) -> Tensors:
    return (torch.randn(shape, generator=_generator()),)


def two_views(shape: Shape) -> Tensors:
    generator = _generator()
    first = torch.randn(shape, generator=generator)
    return first, first + 0.5 * torch.randn(shape, generator=generator)


def steps_of_two_views(shape: Shape) -> Tensors:
    """Small enough for dot products without normalisation."""
    first, second = two_views(shape)
    return 0.1 * first, 0.1 * second


def queries_and_keys(shape: Shape) -> Tensors:
    """Of (N, D, K): two views (N, D)."""
    return two_views(shape[:2])


def views_and_temperature(shape: Shape) -> Tensors:
    return *two_views(shape), torch.tensor(0.1)


def series_with_gaps(shape: Shape) -> Tensors:
    (x,) = one_set(shape)
    return (x.masked_fill(torch.rand(shape, generator=_generator()) < 0.1, torch.nan),)


def prediction(shape: Shape) -> Tensors:
    return two_views(shape)[1:]


def labels(shape: Shape) -> Tensors:
    """Every class at least twice."""
    return (torch.arange(shape[0]) % min(CLASSES, shape[0] // 2),)


def pair_ids(shape: Shape) -> Tensors:
    """Rows i and i + N / 2 are a pair."""
    return (torch.arange(shape[0] // 2).repeat(2),)


def pair_ids_and_labels(shape: Shape) -> Tensors:
    ids = torch.arange(shape[0] // 2)
    return ids.repeat(2), (ids % CLASSES).repeat(2)


def ids_and_weight(shape: Shape) -> Tensors:
    return torch.arange(shape[0]), 0.5 + torch.rand(shape[0], shape[0], generator=_generator())


def queue(shape: Shape) -> Tensors:
    _, dim, size = shape
    return (torch.randn(size, dim, generator=torch.Generator().manual_seed(1)),)


def nothing(shape: Shape) -> Tensors:
    return ()


def forward_backward(
    function: str, shape: Shape, draw: Draw, constants: Draw = nothing
) -> Callable[[ModuleType], Run]:
    """The value of `function` and its gradients by everything drawn; none by the constants."""

    def build(api: ModuleType) -> Run:
        call, inputs, fixed = getattr(api, function), draw(shape), constants(shape)

        def run() -> Tensors:
            leaves = [z.detach().requires_grad_() for z in inputs]
            value = call(*leaves, *fixed)
            return (value.detach(), *torch.autograd.grad(value, leaves))

        return run

    return build


def forward(function: str, shape: Shape, draw: Draw, *options: str) -> Callable[[ModuleType], Run]:
    def build(api: ModuleType) -> Run:
        call, inputs = getattr(api, function), draw(shape)
        return lambda: (call(*inputs, *options),)

    return build


def training_step(shape: Shape) -> Callable[[ModuleType], Run]:
    """Two views, encoder and projection, NT-Xent, backward, optimizer; returns the loss."""

    def build(api: ModuleType) -> Run:
        torch.manual_seed(0)
        encoder = api.encoder(shape[1])
        model = nn.Sequential(encoder, nn.Linear(encoder.out_features, 32))
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
        (x,) = one_set(shape)

        def run() -> Tensors:
            z1, z2 = model(api.simclr_views(x).flatten(0, 1)).chunk(2)
            loss = api.nt_xent(z1, z2)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return (loss.detach(),)

        return run

    return build


VIEWS = ((256, 128), (1024, 128))
SETS = ((256, 128), (2048, 128))
SMALL = (8, 16)
SERIES = (256, 9, 128)

# The adapter's function, what is drawn and differentiated, constants, shapes, those of small calls.
LOSSES: tuple[tuple[str, Draw, Draw, Sequence[Shape], Sequence[Shape]], ...] = (
    (
        *("nt_xent", two_views, nothing),
        (SMALL, (32, 128), (256, 128), (1024, 128), (1024, 512), (4096, 128)),
        (SMALL,),
    ),
    ("nt_xent_module", two_views, nothing, (), (SMALL,)),
    ("sup_con", one_set, labels, SETS, (SMALL,)),
    ("clip", two_views, nothing, SETS, (SMALL,)),
    ("dcl", two_views, nothing, VIEWS, (SMALL,)),
    ("queue", queries_and_keys, queue, ((64, 128, 4096), (256, 128, 65536)), ((8, 16, 64),)),
    ("groups", one_set, pair_ids_and_labels, SETS, (SMALL,)),
    ("pair_weight", two_views, ids_and_weight, ((256, 128),), ()),
    ("hardness", one_set, pair_ids, ((256, 128),), ()),
    ("learnable_temperature", views_and_temperature, nothing, VIEWS, ()),
    ("sigmoid", two_views, nothing, SETS, (SMALL,)),
    ("triplet", one_set, labels, SETS, (SMALL,)),
    ("hierarchical", steps_of_two_views, nothing, ((2, 8, 16), (4, 64, 32), (8, 256, 64)), ()),
    ("vicreg", two_views, nothing, ((256, 128), (1024, 2048)), (SMALL,)),
    ("barlow_twins", two_views, nothing, ((256, 128), (1024, 2048)), (SMALL,)),
)
PREPROCESSING = ("standardize", "minmax", "moving_average", "clip_outliers")
MASKS = ("point", "patch", "span", "geometric", "channel")


def _losses() -> Iterator[Case]:
    for name, draw, constants, shapes, small in LOSSES:
        for shape in shapes:
            yield Case(name, shape, (name,), forward_backward(name, shape, draw, constants))
        for shape in small:
            build = forward_backward(name, shape, draw, constants)
            yield Case(f"call {name}", shape, (name,), build, call=True)
    build = forward("nt_xent", SMALL, two_views)
    yield Case("call nt_xent_forward", SMALL, ("nt_xent",), build, call=True)


def _series() -> Iterator[Case]:
    def case(
        name: str, shape: Shape, function: str, draw: Draw, *options: str, call: bool = False
    ) -> Case:
        return Case(name, shape, (function,), forward(function, shape, draw, *options), call)

    small = (1, 3, 64)
    for shape in (SERIES, (256, 3, 315), (1024, 9, 128)):
        yield case("augment simclr_ts", shape, "simclr_views", one_set)
    yield case("augment simclr_ts_always", SERIES, "simclr_views_always", one_set)
    yield case("augment jitter", SERIES, "jitter", one_set)
    yield case("call simclr_ts", small, "simclr_views", one_set, call=True)
    yield case("call jitter", small, "jitter", one_set, call=True)
    for mode in MASKS:
        yield case(f"mask {mode}", SERIES, "mask", one_set, mode)
    for shape in (SERIES, (1024, 9, 128)):
        build = forward_backward("masked_step", shape, prediction, one_set)
        yield Case("mask step", shape, ("masked_step",), build)
    yield case("call mask", small, "mask", one_set, "point", call=True)
    yield case("preprocess fill_missing", SERIES, "fill_missing", series_with_gaps)
    for name in PREPROCESSING:
        yield case(f"preprocess {name}", SERIES, name, one_set)
    yield case("call standardize", small, "standardize", one_set, call=True)


def _training() -> Iterator[Case]:
    for shape in ((32, 3, 128), (128, 9, 128)):
        uses = ("encoder", "simclr_views", "nt_xent")
        yield Case("training step", shape, uses, training_step(shape))


CASES = [*_losses(), *_series(), *_training()]


def chosen(api: ModuleType, patterns: str = "*") -> list[Case]:
    """The adapter's cases whose key ("nt_xent 8x16") matches one of the comma-separated globs."""
    return [
        case
        for case in CASES
        if any(fnmatchcase(case.key, part.strip()) for part in patterns.split(","))
        and all(hasattr(api, name) for name in case.uses)
    ]
