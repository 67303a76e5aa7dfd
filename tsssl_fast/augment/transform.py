"""What an operation is: a row of a program, built from checked arguments."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from tsssl_fast.augment import _ranges
from tsssl_fast.ops.augment import spec
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
        from tsssl_fast.augment.compose import Compose

        return Compose([self])(x, views, **arguments)

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


class Builder:
    """Collects the rows of a program."""

    def __init__(self) -> None:
        self.rows: list[list[float]] = []
        self.transforms: list[Transform] = []
        self._seen: Counter[tuple[int, Code]] = Counter()

    def add(self, transform: Transform, view: int = -1, parent: int = -1, child: int = 0) -> None:
        """Appends the operation and, for a group, its members behind it."""
        occurrence = self._seen[view, transform.code]
        self._seen[view, transform.code] += 1
        if occurrence >= spec.MAX_OCCURRENCES:
            raise ValueError(
                f"transforms: {type(transform).__name__} {occurrence + 1} times; "
                f"accepted: at most {spec.MAX_OCCURRENCES}"
            )
        fixed, channel = transform.slots()
        threshold = round(transform.p * spec.ALWAYS)
        head = [transform.code, occurrence, view, threshold, 1 + fixed, channel, parent, child]
        tail = list(transform.arguments())
        tail += [0.0] * (spec.ARGUMENTS - len(tail))
        index = len(self.rows)
        self.rows.append([float(number) for number in (*head, *tail)])
        self.transforms.append(transform)
        for i, member in enumerate(transform.children()):
            self.add(member, view, index, i)

    def program(self) -> Tensor:
        return torch.tensor(self.rows, dtype=torch.float64).reshape(-1, spec.COLUMNS)
