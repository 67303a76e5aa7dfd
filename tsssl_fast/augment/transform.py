"""What an operation is: a row of a program, built from checked arguments."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from tsssl_fast.augment import _ranges
from tsssl_fast.augment.program import Builder
from tsssl_fast.augment.run import Pipeline
from tsssl_fast.ops.augment.spec import Code


@dataclass(frozen=True, kw_only=True)
class Transform:
    """One operation; a pipeline of its own when called. See Compose.__call__ for the arguments.

    p: probability that it acts on a sample of a view.

    Raises ValueError or TypeError, at construction, for an argument out of its range.
    """

    p: float = 1.0
    code: ClassVar[Code]
    names: ClassVar[tuple[str, ...]] = ()  # of its parameters, in the order of their slots

    def __post_init__(self) -> None:
        _ranges.probability("p", self.p)
        self.check()

    def __call__(self, x: Tensor, views: int = 2, **arguments: Any) -> Any:
        builder = Builder()
        self.add_to(builder)
        return Pipeline(builder, [self])(x, views, **arguments)

    def add_to(self, builder: Builder, view: int = -1, parent: int = -1, child: int = 0) -> None:
        """Appends the operation's row and, for a group, those of its members behind it."""
        label = (type(self).__name__, self.names)
        place = (view, parent, child)
        row = builder.add(label, self.code, self.p, self.slots(), self.arguments(), *place)
        for i, member in enumerate(self.children()):
            member.add_to(builder, view, row, i)

    def check(self) -> None:
        """Raises for an argument out of its range."""

    def check_shape(self, channels: int, steps: int) -> None:
        """Raises ValueError where a series of this shape can not be handled."""

    def arguments(self) -> Sequence[float]:
        """Numbers in the row's argument columns."""
        return ()

    def slots(self) -> tuple[int, int]:
        """Parameters besides the flag of slot 0: (in all, per channel)."""
        return len(self.names), 0

    def children(self) -> Sequence["Transform"]:
        """The operations of a group."""
        return ()
