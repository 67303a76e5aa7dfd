"""Options that several commands share, and how their texts are read."""

from typing import Annotated

import typer

Data = Annotated[
    str,
    typer.Option(
        help="A .npz, .csv, .arff or .ts file, of which the last three come as "
        "NAME_TRAIN and NAME_TEST; or a name that aeon knows."
    ),
]
Missing = Annotated[
    str, typer.Option(help="What to do with NaN: raise, linear, forward_backward or zero.")
]
Unequal = Annotated[
    str, typer.Option(help="With series of unequal length: raise, resample, pad or truncate.")
]
Column = Annotated[
    list[str] | None,
    typer.Option(help="ROLE=NAME of a CSV file: series, time, label, group, split or values."),
]
Device = Annotated[str | None, typer.Option(help="auto, cpu or cuda.")]


def numbers(options: list[str]) -> dict[str, int | float]:
    """NAME=NUMBER texts as a dict."""
    values: dict[str, int | float] = {}
    for text in options:
        name, _, value = text.partition("=")
        try:
            values[name] = int(value) if value.isdecimal() else float(value)
        except ValueError:
            raise ValueError(f"option: {text!r}; accepted: NAME=NUMBER") from None
    return values


def pairs(columns: list[str] | None) -> dict[str, str]:
    """ROLE=NAME texts as a dict."""
    found: dict[str, str] = {}
    for text in columns or []:
        role, _, name = text.partition("=")
        if not role or not name:
            raise ValueError(f"column: {text!r}; accepted: ROLE=NAME")
        found[role] = name
    return found
