"""Which operations act: chosen per sample of every view, as data of the same operator."""

from collections.abc import Sequence

from tsssl_fast.augment import validation
from tsssl_fast.augment.transform import Transform
from tsssl_fast.augment.validation import Whole
from tsssl_fast.ops.augment import operation_table, spec
from tsssl_fast.ops.augment.spec import Code

__all__ = [
    "OneOf",
    "RandomApply",
    "SomeOf",
]


class Chooser(Transform):
    """Members in order, of which some act; they keep their own probabilities on top."""

    code = Code.GROUP

    def parameter_names(self) -> tuple[str, ...]:
        return ()  # the count is one of the values, as it always was

    def slots(self) -> tuple[int, int]:
        return 1 + len(self.members()), 0

    def check_shape(self, channels: int, steps: int) -> None:
        for transform in self.members():
            transform.check_shape(channels, steps)


class Group(Chooser):
    """Operations in order, of which some act, as arguments."""

    transforms: Sequence[Transform]

    def check_arguments(self) -> None:
        if not isinstance(self.transforms, Sequence):
            given = type(self.transforms).__name__
            raise TypeError(f"transforms: {given}; accepted: a sequence of Transforms")
        self.canonical(transforms=tuple(self.transforms))
        for i, transform in enumerate(self.transforms):
            if not isinstance(transform, Transform):
                raise TypeError(
                    f"transforms[{i}]: {type(transform).__name__}; accepted: a Transform"
                )
        if not 1 <= len(self.transforms) <= spec.MAX_CHILDREN:
            raise ValueError(
                f"transforms: {len(self.transforms)} of them; accepted: 1 to {spec.MAX_CHILDREN}"
            )

    def members(self) -> Sequence[Transform]:
        return self.transforms


class RandomApply(Group):
    """All of the operations with probability `p`, none otherwise.

    Args:
        transforms: the operations, in order.
    """

    def row_arguments(self) -> Sequence[float]:
        n = len(self.transforms)
        return (operation_table.GROUP_ALL, n, n, n)


class OneOf(Group):
    """One of the operations.

    Args:
        transforms: to choose from.
        weights: >= 0, not all 0, at most 12 of them; None for equal chances.
    """

    weights: tuple[float, ...] | None = None

    def check_arguments(self) -> None:
        super().check_arguments()
        if self.weights is None:
            return
        if not isinstance(self.weights, tuple | list):
            given = type(self.weights).__name__
            raise TypeError(f"weights: {given}; accepted: a tuple of numbers or None")
        if len(self.weights) != len(self.transforms) or len(self.weights) > spec.MAX_WEIGHTS:
            raise ValueError(
                f"weights: {len(self.weights)} of them; accepted: one per operation, at most "
                f"{spec.MAX_WEIGHTS}"
            )
        for weight in self.weights:
            validation.interval("weights", validation.number("weights", weight), 0)
        if sum(self.weights) <= 0:
            raise ValueError(f"weights: {self.weights}; accepted: at least one above 0")

    def row_arguments(self) -> Sequence[float]:
        n = len(self.transforms)
        if self.weights is None:
            return (operation_table.GROUP_SOME, 1, 1, n)
        total, thresholds = 0.0, []
        for weight in self.weights[:-1]:
            total += weight
            thresholds.append(float(round(total / sum(self.weights) * spec.ALWAYS)))
        return (operation_table.GROUP_BY_WEIGHT, 1, 1, n, *thresholds)


class SomeOf(Group):
    """Several different operations, every subset of the size alike, run in the order given.

    Args:
        transforms: to choose from.
        count: how many, or a range (low, high).
    """

    count: Whole = (1, 2)

    def check_arguments(self) -> None:
        super().check_arguments()
        validation.whole_interval("count", self.count, 0, len(self.transforms))

    def row_arguments(self) -> Sequence[float]:
        return (operation_table.GROUP_SOME, *validation.pair(self.count), len(self.transforms))
