"""Docstrings as Markdown, and the signatures of classes that write no `__init__`.

An extension of griffe, which reads sources without importing them.
"""

import json
import sys
from pathlib import Path
from typing import Any

import griffe

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from pages.markdown import as_markdown

NAMES: dict[str, str] = json.loads(
    (Path(__file__).resolve().parents[2] / "tests/api.json").read_text()
)


def _key(path: str) -> tuple[str, ...]:
    """A class by its family and name: it is public in another module than defines it."""
    parts = path.split(".")
    return (*parts[1 : 3 if parts[1] == "compat" else 2], parts[-1])


SIGNATURES = {_key(name): shown for name, shown in NAMES.items() if shown.startswith("(")}


class Docstrings(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        shown = SIGNATURES.get(_key(cls.path)) if "." in cls.path else None
        if shown is None or "__init__" in cls.members:
            return
        with griffe.temporary_visited_module(f"def __init__{shown}: ...") as module:
            cls.set_member("__init__", module["__init__"])
