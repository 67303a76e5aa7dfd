"""The rows of a program: one per operation, numbers only."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.spec import Code

Label = tuple[str, tuple[str, ...]]  # of a row: the operation's name, its parameters' names


class Call(NamedTuple):
    """A callable between the rows of a program.

    row: it runs before this row; view: of this view alone, -1 for all; number: among the callables
    of its pipeline; name: for messages.
    """

    function: Callable[..., Any]
    row: int
    view: int
    number: int
    name: str


class Builder:
    """Collects the rows of a program, and the callables between them."""

    def __init__(self) -> None:
        self.rows: list[list[float]] = []
        self.labels: list[Label] = []
        self.calls: list[Call] = []
        self._seen: Counter[tuple[int, Code]] = Counter()

    def add(
        self,
        label: Label,
        code: Code,
        p: float,
        slots: tuple[int, int],
        arguments: Sequence[float],
        view: int = -1,
        parent: int = -1,
        child: int = 0,
    ) -> int:
        """Appends a row and returns its index.

        slots: how many parameters it has besides the flag of slot 0, in all and per channel.
        """
        occurrence = self._seen[view, code]
        self._seen[view, code] += 1
        if occurrence >= spec.MAX_OCCURRENCES:
            raise ValueError(
                f"transforms: {label[0]} {occurrence + 1} times; "
                f"accepted: at most {spec.MAX_OCCURRENCES}"
            )
        fixed, channel = slots
        threshold = round(p * spec.ALWAYS)
        head = [code, occurrence, view, threshold, 1 + fixed, channel, parent, child]
        tail = list(arguments)
        tail += [0.0] * (spec.ARGUMENTS - len(tail))
        self.rows.append([float(number) for number in (*head, *tail)])
        self.labels.append(label)
        return len(self.rows) - 1

    def call(self, function: Callable[..., Any], name: str, view: int = -1) -> None:
        """Appends a callable."""
        number = sum(call.view == view for call in self.calls)
        self.calls.append(Call(function, len(self.rows), view, number, name))

    def program(self) -> Tensor:
        return torch.tensor(self.rows, dtype=torch.float64).reshape(-1, spec.COLUMNS)
