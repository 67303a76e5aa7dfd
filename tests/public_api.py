"""Every public name with its signature and defaults: what tests/api.json holds.

    python tests/public_api.py            what differs from the file
    python tests/public_api.py --write    rewrites it; refused where CHANGELOG.md does not say so

Public is what stands in the `__all__` of tsssl_fast, of its subpackages and of the modules named
there (of a module without `__all__`: its functions and classes), with the methods and properties of
public classes beyond what they inherit from public ones. Types are mypy's matter and left out.
"""

import argparse
import enum
import inspect
import json
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import tsssl_fast

ROOT = Path(__file__).parents[1]
FILE = Path(__file__).with_name("api.json")
CHANGELOG = ROOT / "CHANGELOG.md"
SPECIAL = ("__call__", "__len__", "__iter__", "__getitem__")

Names = Mapping[str, str]


def current() -> dict[str, str]:
    """Dotted name -> signature, or what else it is."""
    values = dict(_module(tsssl_fast))
    classes = {value for value in values.values() if inspect.isclass(value)}
    shown = {}
    for full, value in values.items():
        if isinstance(value, ModuleType):
            shown[full] = "module"
        else:
            shown[full] = _signature(value) if callable(value) else _constant(value)
        if inspect.isclass(value):
            shown |= _members(full, value, classes)
    return dict(sorted(shown.items()))


def _module(module: ModuleType) -> Iterator[tuple[str, Any]]:
    for name in _names(module):
        value, full = getattr(module, name), f"{module.__name__}.{name}"
        yield full, value
        if isinstance(value, ModuleType) and value.__name__ == full:
            yield from _module(value)


def _names(module: ModuleType) -> list[str]:
    def own(value: Any) -> bool:
        kind = inspect.isclass(value) or inspect.isfunction(value)
        return kind and value.__module__ == module.__name__

    functions = [n for n, v in vars(module).items() if own(v) and not n.startswith("_")]
    return getattr(module, "__all__", functions)


def _members(full: str, of: type, public: Collection[type]) -> dict[str, str]:
    """What a class has beyond the public classes that it inherits from."""
    known: dict[str, str] = {}
    for base in reversed(of.__mro__[1:]):
        if base in public:
            known |= {name: _member(base, name) for name in dir(base)}
    own = (base for base in of.__mro__ if base.__module__.startswith("tsssl_fast"))
    names = {name for base in own for name in vars(base)}
    shown = {n: _member(of, n) for n in names if not n.startswith("_") or n in SPECIAL}
    if issubclass(of, enum.Enum):
        shown |= {member.name: repr(member.value) for member in of}
    said = re.findall(r"\w+", _signature(of))  # arguments that can be read
    return {
        f"{full}.{n}": what
        for n, what in shown.items()
        if what and known.get(n) != what and not (what == "property" and n in said)
    }


def _member(of: type, name: str) -> str:
    value = inspect.getattr_static(of, name)
    if isinstance(value, property):
        return "property"
    if isinstance(value, (staticmethod, classmethod)) or inspect.isfunction(value):
        return _signature(getattr(of, name))
    return ""


def _signature(value: Any) -> str:
    try:
        signature = inspect.signature(value)
    except ValueError:  # a class of C, an exception for one
        return "class" if inspect.isclass(value) else "callable"
    kept = [
        p.replace(annotation=p.empty, default=p.empty if p.default is p.empty else _Shown(p))
        for p in signature.parameters.values()
    ]
    return str(signature.replace(parameters=kept, return_annotation=signature.empty))


class _Shown:
    """A default as the file shows it: the same in every process and version of Python."""

    def __init__(self, parameter: inspect.Parameter) -> None:
        self.text = _constant(parameter.default)

    def __repr__(self) -> str:
        return self.text


def _constant(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k!r}: {_constant(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (set, frozenset)):
        return "{" + ", ".join(sorted(map(_constant, value))) + "}"
    if isinstance(value, enum.Enum):
        return str(value)
    if inspect.isclass(value) or inspect.isroutine(value):
        return str(getattr(value, "__qualname__", value))
    text = repr(value)
    return type(value).__name__ if " at 0x" in text else text


def changes(before: Names, after: Names) -> dict[str, str]:
    """Name -> what happened to it: added, removed, or from what to what it changed."""
    found = {name: "removed" for name in before if name not in after}
    for name, now in after.items():
        if name not in before:
            found[name] = f"added: {now}"
        elif before[name] != now:
            found[name] = f"{before[name]}  ->  {now}"
    return dict(sorted(found.items()))


def untold(changed: Mapping[str, str], changelog: str) -> list[str]:
    """Names among `changed` that the section Unreleased does not tell of.

    What is new may stand anywhere in it; what changed or went, anywhere but under Added. A member
    is told of with its class.
    """
    section = re.search(r"^## \[Unreleased\](.*?)(?=^## |\Z)", changelog, re.DOTALL | re.MULTILINE)
    text = section.group(1) if section else ""
    parts = re.split(r"^(### .*)$", text, flags=re.MULTILINE)
    without_added = "".join(
        body for head, body in zip(parts[1::2], parts[2::2], strict=True) if head != "### Added"
    )
    return [
        name
        for name, what in changed.items()
        if not _named(name, text if what.startswith("added") else without_added)
    ]


def _named(name: str, text: str) -> bool:
    owner, _, last = name.rpartition(".")
    words = {last}
    if owner.rpartition(".")[2][:1].isupper():
        words.add(owner.rpartition(".")[2])
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) for word in words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"rewrite {FILE.name}")
    write = parser.parse_args().write
    now = current()
    before = json.loads(FILE.read_text()) if FILE.exists() else now
    changed = changes(before, now)
    for name, what in changed.items():
        print(f"{name}: {what}")
    if lacking := untold(changed, CHANGELOG.read_text()):
        sys.exit(f"CHANGELOG.md, Unreleased, says nothing of: {', '.join(lacking)}")
    if write:
        FILE.write_text(json.dumps(now, indent=0, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
