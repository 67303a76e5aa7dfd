"""Operations in a row, run as one operator."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tsssl_fast.augment import callables
from tsssl_fast.augment.crops import OverlappingCrops
from tsssl_fast.augment.groups import RandomApply
from tsssl_fast.augment.program import Builder
from tsssl_fast.augment.run import Pipeline
from tsssl_fast.augment.transform import Transform
from tsssl_fast.ops.augment import spec


class Compose(Pipeline):
    """Runs operations one after the other on every sample of every view; a torch.nn.Module.

    Arguments, result and errors of a call are those of `Pipeline`.

    Args:
        transforms: the operations, in order; a Compose among them counts as the operations in it.
            MixUp, CutMix, MovingAverage, FrequencyMask and PhaseSurrogate run in plain torch on
            every backend, the operations between them in one pass each.

            Any other callable may stand among them. It is called once per view on (N, C, T) and
            returns the same shape, dtype and device. Where it accepts `generator=`, that is seeded
            per (seed, epoch, step, rank, view), not per sample; else it is not reproducible.
            `repr` and `explain` say which. A module's parameters and buffers become those of the
            pipeline.

    Raises TypeError, at construction, for what is none of these.
    """

    transforms: "Sequence[Transform | Compose | Callable[..., Any]]"

    def check(self) -> None:
        self.canonical(transforms=_operations(self.transforms))

    def members(self) -> Sequence[Any]:
        """The transforms and callables inside, in order."""
        return self.transforms

    def add_to(self, builder: Builder, view: int = -1) -> None:
        for i, transform in enumerate(self.transforms):
            if isinstance(transform, Transform):
                transform.add_to(builder, view)
            else:
                builder.call(transform, f"transforms[{i}] ({_name(transform)})", view)

    def check_shape(self, channels: int, steps: int) -> None:
        for transform in self.transforms:
            if isinstance(transform, Transform):
                transform.check_shape(channels, steps)

    def __iter__(self) -> Iterator[Any]:
        """The operations, in order."""
        return iter(self.members())

    def __len__(self) -> int:
        """The number of operations."""
        return len(self.members())

    def __repr__(self) -> str:
        lines = "".join(f"    {_line(transform)}\n" for transform in self.transforms)
        return f"{type(self).__name__}([\n{lines}])" if lines else f"{type(self).__name__}([])"


class PerView(Pipeline):
    """A pipeline of its own for every view, as one operator: weak and strong augmentation.

    A call gives as many views as there are pipelines, (V, N, C, T) or (V, C, T), with or without
    `views`. View v is what pipelines[v] alone would make of view v. Arguments, result and errors of
    a call are those of `Pipeline`.

    Args:
        pipelines: one per view.

    Raises, at construction: TypeError for what is no Compose, ValueError for none or more than
    32768.
    """

    pipelines: Sequence[Compose]

    def check(self) -> None:
        for i, pipeline in enumerate(self.pipelines):
            if not isinstance(pipeline, Compose):
                raise TypeError(f"pipelines[{i}]: {type(pipeline).__name__}; accepted: a Compose")
        if not 1 <= len(self.pipelines) <= spec.MAX_VIEWS:
            raise ValueError(f"pipelines: {len(self.pipelines)}; accepted: 1 to {spec.MAX_VIEWS}")
        self.canonical(pipelines=tuple(self.pipelines))

    def own_views(self) -> int | None:
        return len(self.pipelines)

    def members(self) -> Sequence[Compose]:
        """The pipelines."""
        return self.pipelines

    @property
    def transforms(self) -> tuple[Any, ...]:
        """The operations of all pipelines."""
        return tuple(transform for pipeline in self.pipelines for transform in pipeline)

    def add_to(self, builder: Builder, view: int = -1) -> None:
        for v, pipeline in enumerate(self.pipelines):
            pipeline.add_to(builder, v)

    def check_shape(self, channels: int, steps: int) -> None:
        for pipeline in self.pipelines:
            pipeline.check_shape(channels, steps)

    def __iter__(self) -> Iterator[Any]:
        """The operations of all pipelines, in the order of the views."""
        return iter(self.transforms)

    def __len__(self) -> int:
        """The number of operations of all pipelines."""
        return len(self.transforms)

    def __repr__(self) -> str:
        return f"PerView({list(self.pipelines)!r})"


def _operations(transforms: Any) -> tuple[Any, ...]:
    """What is inside, the operations of pipelines in place of the pipelines."""
    members: list[Any] = []
    for i, transform in enumerate(transforms):
        if isinstance(transform, Compose):
            members.extend(transform.transforms)
        elif isinstance(transform, Transform):
            members.append(transform)
        elif isinstance(transform, type | PerView | OverlappingCrops) or not callable(
            transform
        ):  # a class is callable, and makes no series
            given = transform.__name__ if isinstance(transform, type) else type(transform).__name__
            kind = "the class " if isinstance(transform, type) else ""
            raise TypeError(
                f"transforms[{i}]: {kind}{given}; accepted: a Transform, a Compose or a callable "
                "of (N, C, T)"
            )
        else:
            members.append(transform)
    return tuple(members)


def _name(function: Any) -> str:
    return getattr(function, "__name__", None) or type(function).__name__


def _line(transform: Any) -> str:
    if isinstance(transform, Transform):
        return f"{transform!r},"
    return f"{_name(transform)},  # {callables.describe(transform)}"


def all_of(pipeline: Compose, p: float = 1.0) -> RandomApply:
    """A pipeline as one operation, for OneOf and SomeOf."""
    transforms: Any = pipeline.transforms  # RandomApply refuses callables
    return RandomApply(transforms, p=p)
