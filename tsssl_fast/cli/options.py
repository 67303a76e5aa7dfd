"""Options that several commands share, and how their texts are read."""

import inspect
import json
import logging
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from tsssl_fast.common.settings import Declared, kinds
from tsssl_fast.data import Reading
from tsssl_fast.data.carried import carried_over
from tsssl_fast.data.columns import ROLES
from tsssl_fast.training.config import NAMES, Config
from tsssl_fast.training.devices import DEVICES

_log = logging.getLogger("tsssl_fast")


def completion(choices: Callable[[], Sequence[str]] | None) -> Any:
    """What a shell offers behind an option."""
    if choices is None:
        return None

    def begun(incomplete: str) -> list[str]:
        return [choice for choice in choices() if choice.startswith(incomplete)]

    return begun


Data = Annotated[
    str,
    typer.Option(
        help="A file (.csv .tsv .txt .parquet .npz .npy .pt .ts .arff .tsf), of which NAME_TRAIN "
        "and NAME_TEST belong together; a folder with a file per recording; or a name that aeon "
        "knows."
    ),
]
Checkpoint = Annotated[Path, typer.Option(help="The folder of a run, or its checkpoint.pt.")]
Device = Annotated[
    str,
    typer.Option(
        help=f"Where to compute. One of {', '.join(DEVICES)}.",
        autocompletion=completion(lambda: DEVICES),
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print the result as one line of JSON.", show_default="text")
]
MaxTime = Annotated[
    str | None,
    typer.Option(
        help="Stop after the epoch that passes it: 90s, 30m or 2h.", show_default="no limit"
    ),
]
COLUMN = Annotated[
    list[str] | None,
    typer.Option(
        help=f"ROLE=NAME of a table. One of {', '.join(ROLES)}.",
        show_default="by the names of columns",
        rich_help_panel="Reading",
    ),
]


def with_settings(*names: str, **defaults: Any) -> Callable[[Callable[..., None]], Any]:
    """Gives a command an option for each of the settings that `Config` declares, with its help,
    range, choices and default; the command takes them as **settings, None where one is not given.

    names: of the settings; none: all but `options`. defaults: of the command instead.
    """
    wanted = [name for name in names or NAMES if name != "options"]
    return _with(Config, "Settings", wanted, defaults)


def with_reading() -> Callable[[Callable[..., None]], Any]:
    """Gives a command the options of how DATA is read; `reading` makes a `Reading` of them."""
    names = [f.name for f in fields(Reading) if f.name not in ("columns", "channels")]
    column = inspect.Parameter(
        "column", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=COLUMN
    )
    return _with(Reading, "Reading", names, {}, [column])


def _with(
    declared: type[Declared],
    panel: str,
    names: list[str],
    defaults: dict[str, Any],
    more: list[inspect.Parameter] | None = None,
) -> Callable[[Callable[..., None]], Any]:
    def add(command: Callable[..., None]) -> Callable[..., None]:
        given = [
            p for p in inspect.signature(command).parameters.values() if p.kind != p.VAR_KEYWORD
        ]
        added = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=defaults.get(name),
                annotation=_option(declared, panel, name, "" if name in defaults else None),
            )
            for name in names
        ]
        signature = inspect.Signature([*given, *added, *(more or [])])
        setattr(command, "__signature__", signature)  # noqa: B010
        return command

    return add


def _option(declared: type[Declared], panel: str, name: str, default: str | None) -> Any:
    """The annotation of a setting. default: what the help says of it, None for what is declared."""
    about = declared.__dataclass_fields__[name].metadata
    help = about["help"]
    if about["choices"] is not None:
        help += f" One of {', '.join(about['choices']())}."
    kind = kinds(declared)[name]
    least = about["least"] if kind is int else None
    shown: Any = (about["shown"] if default is None else default) or True
    flag = [f"--{name}"] if kind is bool else []
    option = typer.Option(
        *flag,
        help=help,
        min=least,
        show_default=shown,
        rich_help_panel=panel,
        autocompletion=completion(about["choices"]),
    )
    return Annotated[kind | None, option]


def reading(
    given: dict[str, Any],
    kept: dict[str, Any] | None = None,
    data: str = "",
    whole: bool = False,
) -> Reading:
    """Takes the options of reading out of `given`: they stand above what a checkpoint has kept.

    kept: the content of the checkpoint. Of other data than it was trained on, what fits is taken
    and told, and what does not is told with the reason. whole: no test split is wanted of others.
    """
    own = {f.name: given.pop(f.name) for f in fields(Reading) if f.name in given}
    own = {name: value for name, value in own.items() if value is not None}
    roles = pairs(given.pop("column", None))
    if kept is None:
        return replace(Reading(), **own, columns=roles)
    trained = kept.get("finetuned") or kept["data"]
    names = {re.sub("_(TRAIN|TEST)$", "", Path(data).stem, flags=re.I), Path(data).name}
    same = trained["name"] in names
    base, reasons = carried_over(
        data, kept["reading"], trained.get("channel_names", ()), same=same, whole=whole
    )
    if not same:
        given_roles = {f"columns {role}": role for role in roles}
        _tell_kept(trained["name"], base, reasons, {*own, *given_roles})
    channels = base.pop("channels", ())
    base["columns"] = base.get("columns", {}) | roles
    return replace(Reading.of(base), **own, channels=channels)


def _tell_kept(name: str, base: dict[str, Any], reasons: dict[str, str], given: set[str]) -> None:
    """What of the checkpoint's reading other data are read by, and what not, a line each."""
    plain = Reading.of({}).as_dict() | {"columns": {}, "channels": base.get("channels", ())}
    taken = {k: v for k, v in base.items() if v != plain[k] and k != "columns"}
    taken |= {f"columns {role}": column for role, column in base.get("columns", {}).items()}
    words = [_words(k, v) for k, v in taken.items() if k not in given]
    if words:
        _log.info("data: read as %s in training: %s", name, " ".join(words))
    left = [f"{_words(k)} ({why})" for k, why in reasons.items() if k not in given]
    if left:
        _log.info("data: left out of what training had: %s", ", ".join(left))


def _words(name: str, value: Any = "") -> str:
    """`--window 2s`, `--column label=kind`."""
    setting, _, role = name.partition(" ")
    if role:
        return f"--column {role}={value}" if value else f"--column {role}"
    return f"--{setting.replace('_', '-')} {value}".rstrip()


def say(as_json: bool, text: str, **values: Any) -> None:
    """A command's result: the text, or the values as one line of JSON with null for NaN."""
    print(json.dumps(_plain(values)) if as_json else text)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def seconds(name: str, text: str | None) -> float | None:
    """A time such as 90s, 30m or 2h in seconds."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)?", text.strip())
    if found is None or not float(found[1]) > 0:
        raise ValueError(f"{name}: {text!r}; accepted: a time such as 90s, 30m or 2h")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2] or "s"]


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
