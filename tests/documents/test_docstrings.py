"""Every public name has a docstring; functions of tensors say shapes and what they raise."""

import ast
import importlib
import inspect
import json
import re
from typing import Any

import pytest
from import_graph import PACKAGE, ROOT

NAMES: dict[str, str] = json.loads((ROOT / "tests/api.json").read_text())
# (N, D), (n, C, T), (N,), (V N,), (..., T): the letters of the docs.
SHAPE = re.compile(r"\((?:[A-Za-z*. \d/+_']+,)+[^)\n]*\)")
RAISES = re.compile(r"\braises?\b|\w+Error\b|\berrors? as\b", re.IGNORECASE)
AS_OTHER = re.compile(r"\b(?:as|as in|see|of) (?::\w+:)?`[\w.]+`", re.IGNORECASE)


def found(name: str) -> tuple[Any, Any]:
    """The object of a public name, and what it is an attribute of."""
    owner: Any = None
    value: Any = importlib.import_module("tsssl_fast")
    for part in name.split(".")[1:]:
        owner = value
        try:
            value = getattr(value, part)
        except AttributeError:
            value = importlib.import_module(f"{owner.__name__}.{part}")
    return value, owner


def documented(name: str) -> bool:
    value, owner = found(name)
    last = name.rpartition(".")[2]
    if inspect.isclass(owner):
        value = inspect.getattr_static(owner, last)
        value = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
        return bool(
            inspect.getdoc(value)
            or any(inspect.getdoc(getattr(c, last, None)) for c in owner.__mro__)
        )
    return bool(inspect.getdoc(value))


def is_value(name: str) -> bool:
    """A constant: what it is stands in its module's docstring or beside it."""
    return not (NAMES[name].startswith("(") or NAMES[name] in ("class", "module", "property"))


def test_every_public_name_has_a_docstring() -> None:
    asked = [name for name in NAMES if not is_value(name)]
    assert len(asked) > 700
    assert [name for name in asked if not documented(name)] == []


def functions() -> list[str]:
    """Public functions that take a tensor."""
    names = [n for n, shown in NAMES.items() if shown.startswith("(") and n.count(".") == 2]
    taking = []
    for name in names:
        value, _ = found(name)
        if inspect.isfunction(value) and "Tensor" in str(inspect.signature(value)):
            taking.append(name)
    return taking


def test_functions_of_tensors_say_their_shapes_and_errors() -> None:
    names = functions()
    assert len(names) > 60
    lacking = []
    for name in names:
        text = inspect.getdoc(found(name)[0]) or ""
        other = AS_OTHER.search(text)
        if not (SHAPE.search(text) or other):
            lacking.append(f"{name}: no shape")
        if not (RAISES.search(text) or other):
            lacking.append(f"{name}: no errors")
    assert lacking == []


@pytest.mark.parametrize(
    ("text", "shape", "raises"),
    [
        ("(N, D) rows. Raises ValueError for others.", True, True),
        ("(V N,) numbers", True, False),
        ("The mean (see above).", False, False),
        ("TypeError: no tensor", False, True),
    ],
)
def test_what_is_looked_for_is_found(text: str, shape: bool, raises: bool) -> None:
    assert bool(SHAPE.search(text)) == shape
    assert bool(RAISES.search(text)) == raises


def test_every_module_says_what_it_has() -> None:
    lacking = [
        str(path.relative_to(ROOT))
        for path in PACKAGE.rglob("*.py")
        if path.name != "_version.py" and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert [path for path in lacking if not path.endswith(("__main__.py", "__init__.py"))] == []
