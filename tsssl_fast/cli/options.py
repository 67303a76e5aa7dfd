"""Options that several commands share, and how their texts are read."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from tsssl_fast.data import MISSING, UNEQUAL
from tsssl_fast.training.config import NAMES, Config
from tsssl_fast.training.settings import kinds

Data = Annotated[
    str,
    typer.Option(
        help="A .npz, .csv, .arff or .ts file, of which the last three come as "
        "NAME_TRAIN and NAME_TEST; or a name that aeon knows."
    ),
]
Missing = Annotated[str, typer.Option(help=f"What to do with NaN: {', '.join(MISSING)}.")]
Unequal = Annotated[str, typer.Option(help=f"With series of unequal length: {', '.join(UNEQUAL)}.")]
Column = Annotated[
    list[str] | None,
    typer.Option(help="ROLE=NAME of a CSV file: series, time, label, group, split or values."),
]


def with_settings(*names: str, **defaults: Any) -> Callable[[Callable[..., None]], Any]:
    """Gives a command an option for each of the settings that `Config` declares, with its help,
    range, choices and default; the command takes them as **settings, None where one is not given.

    names: of the settings; none: all but `options`. defaults: of the command instead.
    """

    def add(command: Callable[..., None]) -> Callable[..., None]:
        given = [
            p for p in inspect.signature(command).parameters.values() if p.kind != p.VAR_KEYWORD
        ]
        added = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=defaults.get(name),
                annotation=_option(name, "" if name in defaults else None),
            )
            for name in names or NAMES
            if name != "options"
        ]
        setattr(command, "__signature__", inspect.Signature([*given, *added]))  # noqa: B010
        return command

    return add


def _option(name: str, default: str | None) -> Any:
    """The annotation of a setting. default: what the help says of it, None for what is declared."""
    about = Config.__dataclass_fields__[name].metadata
    help = about["help"]
    if about["choices"] is not None:
        help += f" One of {', '.join(about['choices']())}."
    least = about["least"] if kinds(Config)[name] is int else None
    shown: Any = (about["shown"] if default is None else default) or True
    option = typer.Option(help=help, min=least, show_default=shown, rich_help_panel="Settings")
    return Annotated[kinds(Config)[name] | None, option]


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
