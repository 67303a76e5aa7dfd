"""Checks of a transform's arguments; a range is a number or a pair (low, high)."""

import math
from typing import Annotated

from tsssl_fast.common import checks
from tsssl_fast.common.checks import by
from tsssl_fast.ops.augment import spec

Range = float | tuple[float, float]
Whole = int | tuple[int, int]


def number(name: str, value: object) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}: {type(value).__name__}; accepted: a number")
    if not math.isfinite(value):
        raise ValueError(f"{name}: {value}; accepted: a finite number")
    return float(value)


def probability(name: str, value: object) -> None:
    if not 0 <= number(name, value) <= 1:
        raise ValueError(f"{name}: {value}; accepted: a probability in [0, 1]")


def integer(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: {type(value).__name__}; accepted: an integer")
    if not low <= value <= high:
        raise ValueError(f"{name}: {value}; accepted: {low} to {high}")


def pair(value: Range) -> tuple[float, float]:
    """(low, high) of a range that has been checked."""
    return (float(value[0]), float(value[1])) if isinstance(value, tuple) else (float(value),) * 2


def is_whole(value: Range) -> bool:
    """Whether a range is given in integers."""
    ends = value if isinstance(value, tuple) else (value,)
    return all(isinstance(end, int) and not isinstance(end, bool) for end in ends)


def interval(
    name: str,
    value: object,
    low: float,
    high: float = math.inf,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> None:
    """A number, or a pair (low, high) in ascending order, inside the accepted interval."""
    ends = value if isinstance(value, tuple) else (value, value)
    if len(ends) != 2:
        raise ValueError(f"{name}: {value}; accepted: a number or (low, high)")
    first, last = (number(name, end) for end in ends)
    inside = first >= low and last <= high
    if (open_low and first <= low) or (open_high and last >= high) or not inside or first > last:
        left, right = "(" if open_low else "[", ")" if open_high or math.isinf(high) else "]"
        raise ValueError(
            f"{name}: {value}; accepted: a number or (low, high), low <= high, in "
            f"{left}{low:g}, {high:g}{right}"
        )


def boolean(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{name}: {type(value).__name__}; accepted: True or False")


def whole_interval(name: str, value: object, low: int, high: int) -> None:
    """An integer, or a pair (low, high) of integers."""
    for end in value if isinstance(value, tuple) else (value,):
        integer(name, end, low, high)
    interval(name, value, low, high)


def size(name: str, value: Range, most: int = spec.MAX_STEPS) -> None:
    """A share in (0, 1] (floats) or a number (integers); or a pair."""
    if is_whole(value):
        whole_interval(name, value, 1, most)
    else:
        interval(name, value, 0, 1, open_low=True)


def share(name: str, value: Range) -> None:
    """A share in (0, 1], or a pair; integers would be steps, as in `size`, and are none here."""
    if is_whole(value):
        raise ValueError(f"{name}: {value}; accepted: a share of T in (0, 1], 1.0 for all of it")
    interval(name, value, 0, 1, open_low=True)


# Types of arguments that several classes have.
Edge = Annotated[str, by(checks.choice, ("repeat", "zero", "reflect"))]
Flag = Annotated[bool, boolean]
Knots = Annotated[int, by(integer, 0, spec.MAX_KNOTS)]
NonNegative = Annotated[Range, by(interval, 0)]
Number = Annotated[float, number]
Probability = Annotated[float, probability]
Share = Annotated[Range, share]
Size = Annotated[Range, size]
