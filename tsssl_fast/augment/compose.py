"""Operations in a row, run as one operator."""

from collections.abc import Iterator, Sequence

from tsssl_fast.augment.groups import RandomApply
from tsssl_fast.augment.program import Builder
from tsssl_fast.augment.run import Pipeline
from tsssl_fast.augment.transform import Transform
from tsssl_fast.ops.augment import spec


class Compose(Pipeline):
    """Runs operations one after the other on every sample of every view.

    Args:
        transforms: the operations, in order; a Compose among them counts as the operations in it.
            MixUp, CutMix, MovingAverage, FrequencyMask and PhaseSurrogate run in plain torch on
            every backend, the operations between them in one pass each.
    """

    def __init__(self, transforms: "Sequence[Transform | Compose]") -> None:
        operations, builder = _operations(transforms), Builder()
        for transform in operations:
            transform.add_to(builder)
        super().__init__(builder, operations)

    def __iter__(self) -> Iterator[Transform]:
        return iter(self.transforms)

    def __len__(self) -> int:
        return len(self.transforms)

    def __repr__(self) -> str:
        lines = "".join(f"    {transform!r},\n" for transform in self.transforms)
        return f"{type(self).__name__}([\n{lines}])" if lines else f"{type(self).__name__}([])"


class PerView(Compose):
    """A pipeline of its own for every view, as one operator: weak and strong augmentation.

    View v is what pipelines[v] alone would make of view v.

    Args:
        pipelines: one per view.
    """

    def __init__(self, pipelines: Sequence[Compose]) -> None:
        for i, pipeline in enumerate(pipelines):
            if not isinstance(pipeline, Compose) or isinstance(pipeline, PerView):
                raise TypeError(f"pipelines[{i}]: {type(pipeline).__name__}; accepted: a Compose")
        if not 1 <= len(pipelines) <= spec.MAX_VIEWS:
            raise ValueError(f"pipelines: {len(pipelines)}; accepted: 1 to {spec.MAX_VIEWS}")
        self.pipelines = tuple(pipelines)
        builder = Builder()
        for view, pipeline in enumerate(pipelines):
            for transform in pipeline.transforms:
                transform.add_to(builder, view)
        operations = [t for pipeline in pipelines for t in pipeline.transforms]
        Pipeline.__init__(self, builder, operations, len(pipelines))

    def __repr__(self) -> str:
        return f"PerView({list(self.pipelines)!r})"


def _operations(transforms: Sequence[Transform | Compose]) -> tuple[Transform, ...]:
    members: list[Transform] = []
    for i, transform in enumerate(transforms):
        if isinstance(transform, Compose) and not isinstance(transform, PerView):
            members.extend(transform.transforms)
        elif isinstance(transform, Transform):
            members.append(transform)
        else:
            raise TypeError(f"transforms[{i}]: {type(transform).__name__}; accepted: a Transform")
    return tuple(members)


def all_of(pipeline: Compose, p: float = 1.0) -> RandomApply:
    """A pipeline as one operation, for OneOf and SomeOf."""
    return RandomApply(pipeline.transforms, p=p)
