"""What an operation is: a row of a program, built from checked arguments."""

from collections.abc import Sequence
from dataclasses import field
from typing import ClassVar

from tsssl_fast.augment import validation
from tsssl_fast.augment.program import Builder
from tsssl_fast.augment.run import Pipeline
from tsssl_fast.ops.augment import operation_table
from tsssl_fast.ops.augment.spec import Code


class Transform(Pipeline):
    """One operation; a torch.nn.Module, and a pipeline of its own when called: see
    Pipeline.forward for the arguments.

    p: probability that it acts on a sample of a view.

    Raises ValueError or TypeError, at construction, for an argument out of its range.
    """

    p: float = field(default=1.0, kw_only=True)
    code: ClassVar[Code]

    def check(self) -> None:
        validation.probability("p", self.p)
        self.check_arguments()

    def check_arguments(self) -> None:
        """Raises for an argument out of its range."""

    def row_code(self) -> Code:
        """The kind of operation, which some arguments decide."""
        return self.code

    def row_arguments(self) -> Sequence[float]:
        """Numbers in the row's argument columns."""
        return ()

    def parameter_names(self) -> tuple[str, ...]:
        """Of its parameters in the order of their slots; "unused" for a slot that has none."""
        return tuple(operation_table.TABLE[self.row_code()].slots)

    def slots(self) -> tuple[int, int]:
        """Parameters besides the flag of slot 0: (in all, per channel)."""
        return len(self.parameter_names()), 0

    def members(self) -> Sequence["Transform"]:
        """The operations of a group."""
        return ()

    def add_to(self, builder: Builder, view: int = -1, parent: int = -1, child: int = 0) -> None:
        """Appends the operation's row and, for a group, those of its members behind it."""
        label = (type(self).__name__, self.parameter_names())
        row = builder.add(
            *(label, self.row_code(), self.p, self.slots(), self.row_arguments()),
            *(view, parent, child),
        )
        for i, member in enumerate(self.members()):
            member.add_to(builder, view, row, i)
