"""Docstrings as Markdown, those that a class joins from others (`__doc__ = f"..."`), and the
signatures of classes that write no `__init__`.

An extension of griffe, which reads sources without importing them.
"""

import ast
import inspect
import json
import sys
from pathlib import Path
from typing import Any

import griffe

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from pages.markdown import as_markdown

ROOT = Path(__file__).resolve().parents[2]
NAMES: dict[str, str] = json.loads((ROOT / "tests/api.json").read_text())


def _key(path: str) -> tuple[str, ...]:
    """A class by its family and name: it is public in another module than defines it."""
    parts = path.split(".")
    return (*parts[1 : 3 if parts[1] == "compat" else 2], parts[-1])


SIGNATURES = {_key(name): shown for name, shown in NAMES.items() if shown.startswith("(")}


def joined(path: Path, name: str) -> str | None:
    """The docstring of a class of a file whose body has `__doc__ = f"... {Other.__doc__}"`."""
    body = ast.parse(path.read_text()).body
    found = next((n for n in body if isinstance(n, ast.ClassDef) and n.name == name), None)
    for node in found.body if found else ():
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__doc__":
            parts = node.value.values if isinstance(node.value, ast.JoinedStr) else [node.value]
            return inspect.cleandoc("".join(_part(part, body) for part in parts))
    return None


def _part(part: ast.expr, body: list[ast.stmt]) -> str:
    """A piece of text as it stands, or the docstring of a class of the file or imported by it."""
    if isinstance(part, ast.Constant):
        return str(part.value)
    name = ast.unparse(part.value).removesuffix(".__doc__")  # type: ignore[attr-defined]
    for node in body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return ast.get_docstring(node, clean=False) or ""
        if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
            file = ROOT / f"{str(node.module).replace('.', '/')}.py"
            return _part(part, ast.parse(file.read_text()).body)
    raise ValueError(f"{name}.__doc__: no class of this file, nor imported by it")


class Docstrings(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is None and obj.is_class and "__doc__" in obj.members:
            text = joined(Path(str(obj.filepath)), obj.name)
            obj.docstring = griffe.Docstring(text, parent=obj) if text else None
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        shown = SIGNATURES.get(_key(cls.path)) if "." in cls.path else None
        if shown is None or "__init__" in cls.members:
            return
        with griffe.temporary_visited_module(f"def __init__{shown}: ...") as module:
            cls.set_member("__init__", module["__init__"])
