"""What an operation is: a row of a program, built from checked arguments."""

from collections.abc import Sequence
from dataclasses import field
from typing import Any, ClassVar

from tsssl_fast.augment import validation
from tsssl_fast.augment.program import Builder
from tsssl_fast.augment.run import Pipeline
from tsssl_fast.augment.validation import Probability
from tsssl_fast.ops.augment import operation_table, spec
from tsssl_fast.ops.augment.spec import Code

_CODES = {code.name.replace("_", ""): code for code in Code}


class Transform(Pipeline):
    """One operation; a torch.nn.Module, and a pipeline of its own when called.

    Arguments, result and errors of a call are those of `Pipeline`.

    p: probability that it acts on a sample of a view.
    code: the operation that has the class's name.

    Raises ValueError or TypeError, at construction, for an argument out of its range.
    """

    p: Probability = field(default=1.0, kw_only=True)
    code: ClassVar[Code]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__module__.startswith("tsssl_fast.") and cls.__name__.upper() in _CODES:
            cls.code = _CODES[cls.__name__.upper()]

    def check(self) -> None:
        super().check()
        self.check_arguments()

    def check_arguments(self) -> None:
        """Raises for arguments that do not go together."""

    def check_shape(self, channels: int, steps: int) -> None:
        """Raises ValueError where it takes more than so many channels or time steps."""
        for name, unit, axis, most in (
            ("length", " steps", "T", steps),
            ("channels", "", "C", channels),
        ):
            value = getattr(self.config, name, None)
            if value is None or not validation.is_whole(value):
                continue
            if (given := int(validation.pair(value)[1])) > most:
                raise ValueError(f"{name}: {given}{unit}; accepted: at most {axis} = {most}")

    def row_code(self) -> Code:
        """The kind of operation, which some arguments decide."""
        return self.code

    def columns(self) -> dict[str, float]:
        """The row's arguments by their names in operation_table.py, among others.

        A choice is its number, and 1 where the table has a flag of its name. A range is low and
        high, or with the argument's name before them where it is not the first.
        """
        operation = operation_table.TABLE[self.row_code()]
        given: dict[str, float] = {}
        for name in self.checks:
            value = getattr(self.config, name)
            if name == "p" or value is None:
                continue
            if isinstance(value, str):
                given[value] = 1.0
                if value in operation.choices:
                    given[name] = float(operation.choices.index(value))
                continue
            low, high = validation.pair(value)
            ends = {"low": low, "high": high}
            if "threshold" in operation.arguments:
                ends["threshold"] = float(round(low * spec.ALWAYS))
            unit = float(validation.is_whole(value))
            own = {"": low, "_unit": unit, "_low": low, "_high": high}
            given = {**ends, **{name + part: number for part, number in own.items()}, **given}
        return given

    def row_arguments(self) -> Sequence[float]:
        """Numbers in the row's argument columns."""
        given = self.columns()
        return [given.get(name, 0.0) for name in operation_table.TABLE[self.row_code()].arguments]

    def parameter_names(self) -> tuple[str, ...]:
        """Of its parameters in the order of their slots; "unused" for a slot that has none."""
        return tuple(operation_table.TABLE[self.row_code()].slots)

    def slots(self) -> tuple[int, int]:
        """Parameters besides the flag of slot 0: (in all, per channel)."""
        listed = operation_table.TABLE[self.row_code()].slot_list is not None
        return len(self.parameter_names()), int(listed)

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
