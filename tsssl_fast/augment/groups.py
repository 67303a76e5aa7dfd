"""Which operations act: chosen per sample of every view, as data of the same operator."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tsssl_fast.augment import _ranges
from tsssl_fast.augment.transform import Transform
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.spec import Code

_SOME, _ONE, _ALL = range(3)


@dataclass(frozen=True)
class Group(Transform):
    """Operations in order, of which some act. Members keep their own probabilities on top."""

    transforms: Sequence[Transform]
    code: ClassVar[Code] = Code.GROUP

    def check(self) -> None:
        if not isinstance(self.transforms, Sequence):
            given = type(self.transforms).__name__
            raise TypeError(f"transforms: {given}; accepted: a sequence of Transforms")
        object.__setattr__(self, "transforms", tuple(self.transforms))
        for i, transform in enumerate(self.transforms):
            if not isinstance(transform, Transform):
                raise TypeError(
                    f"transforms[{i}]: {type(transform).__name__}; accepted: a Transform"
                )
        if not 1 <= len(self.transforms) <= spec.MAX_CHILDREN:
            raise ValueError(
                f"transforms: {len(self.transforms)} of them; accepted: 1 to {spec.MAX_CHILDREN}"
            )

    def children(self) -> Sequence[Transform]:
        return self.transforms

    def slots(self) -> tuple[int, int]:
        return 1 + len(self.transforms), 0

    def check_shape(self, channels: int, steps: int) -> None:
        for transform in self.transforms:
            transform.check_shape(channels, steps)


@dataclass(frozen=True)
class RandomApply(Group):
    """All of the operations with probability `p`, none otherwise.

    Args:
        transforms: the operations, in order.
    """

    def arguments(self) -> Sequence[float]:
        n = len(self.transforms)
        return (_ALL, n, n, n)


@dataclass(frozen=True)
class OneOf(Group):
    """One of the operations.

    Args:
        transforms: to choose from.
        weights: >= 0, not all 0, at most 12 of them; None for equal chances.
    """

    weights: tuple[float, ...] | None = None

    def check(self) -> None:
        super().check()
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
            _ranges.interval("weights", _ranges.number("weights", weight), 0)
        if sum(self.weights) <= 0:
            raise ValueError(f"weights: {self.weights}; accepted: at least one above 0")

    def arguments(self) -> Sequence[float]:
        n = len(self.transforms)
        if self.weights is None:
            return (_SOME, 1, 1, n)
        total, thresholds = 0.0, []
        for weight in self.weights[:-1]:
            total += weight
            thresholds.append(float(round(total / sum(self.weights) * spec.ALWAYS)))
        return (_ONE, 1, 1, n, *thresholds)


@dataclass(frozen=True)
class SomeOf(Group):
    """Several different operations, every subset of the size alike, run in the order given.

    Args:
        transforms: to choose from.
        count: how many, or a range (low, high).
    """

    count: int | tuple[int, int] = (1, 2)

    def check(self) -> None:
        super().check()
        _ranges.whole_interval("count", self.count, 0, len(self.transforms))

    def arguments(self) -> Sequence[float]:
        return (_SOME, *_ranges.pair(self.count), len(self.transforms))
