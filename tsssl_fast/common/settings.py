"""Settings declared once: type, default, help, what they may be.

The checks, the options of the command line and the fields of a YAML file follow from that.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
from typing_extensions import Self

from tsssl_fast.common import checks


def setting(
    default: Any,
    help: str = "",
    *,
    least: float | None = None,
    most: float = math.inf,
    positive: bool = False,
    choices: Callable[[], Sequence[str]] | None = None,
    also: str = "",
    shown: str = "",
    like: Any = None,
) -> Any:
    """A field of a class of settings.

    Args:
        least, most, positive: range of a number; positive: above 0.
        choices: of a text, asked when they are needed; also: a regular expression of further ones.
        shown: what a help text says of a default that stands for something else, and that is
            therefore not checked.
        like: the field of another class that this one is, but for its default.
    """
    about: dict[str, Any] = dict(help=help, least=least, most=most, positive=positive)
    about |= dict(choices=choices, also=also)
    about = dict(about if like is None else like.metadata, shown=shown or str(default))
    return field(default=default, metadata=about | {"stands_for": bool(shown)})


def kinds(settings: type) -> dict[str, type]:
    """What every setting of a class holds: int, float, str, dict or tuple, None left out."""
    hints = get_type_hints(settings)
    return {f.name: _kind(hints[f.name]) for f in fields(settings)}


def _kind(hint: Any) -> type:
    found: type = (
        get_origin(hint) if get_origin(hint) in (dict, tuple) else [*get_args(hint), hint][0]
    )
    return found


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A class of settings: its fields, made by `setting`, are checked when it is built.

    Raises ValueError for a value that is not accepted, naming it.
    """

    def __post_init__(self) -> None:
        wanted = kinds(type(self))
        for f in fields(self):
            value, about = getattr(self, f.name), f.metadata
            if isinstance(value, np.generic):  # a number as NumPy has it is a number
                object.__setattr__(self, f.name, value := value.item())
            if about["stands_for"] and value == f.default:
                continue
            if about["also"] and isinstance(value, str) and re.fullmatch(about["also"], value):
                continue
            if about["choices"] is not None:
                checks.choice(f.name, value, tuple(about["choices"]()))
            elif about["positive"]:
                checks.positive(f.name, value)
            elif about["least"] is not None:
                _check_range(f.name, value, wanted[f.name], about["least"], about["most"])

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From plain values, such as a file's.

        Raises TypeError for one of another type or a setting that there is none of, ValueError for
        one that is not accepted, naming it.
        """
        wanted = kinds(cls)
        for name, value in values.items():
            if name not in wanted:
                raise TypeError(f"{name}: no such setting; accepted: {', '.join(wanted)}")
            kind = (int, float) if wanted[name] is float else wanted[name]
            default = cls.__dataclass_fields__[name].default
            if value is None and default is None:
                continue
            if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
                raise TypeError(
                    f"{name}: {type(value).__name__}; accepted: {wanted[name].__name__}"
                )
        return cls(**values)


def _check_range(name: str, value: Any, wanted: type, least: float, most: float) -> None:
    fits = isinstance(value, int if wanted is int else int | float)
    if not fits or not least <= value <= most or math.isinf(value):
        integer = "an integer, " if wanted is int else ""
        accepted = f"{least} or more" if math.isinf(most) else f"{least} to {most}"
        raise ValueError(f"{name}: {value}; accepted: {integer}{accepted}")
