"""The extension for a source tree that has none beside it: an installed one, if it is its own.

The two match where the sources of the functions that Python calls are the same: the bindings, and
the headers of csrc/include. Their hash is compiled into the extension by CMakeLists.txt.
"""

import hashlib
import importlib.util
import sys
from collections.abc import Iterable
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

NAME = "tsssl_fast._C"
FILES = ("csrc/bindings/*.cpp", "csrc/bindings/*.h", "csrc/include/tsssl/*.h")


class NotBuiltError(ImportError):
    """A source tree has no extension that was built from it; the message says what to type."""


def contract(root: Path) -> str:
    """Hash of the contract in the source tree `root`; "" where it is none."""
    files = sorted(f.relative_to(root).as_posix() for pattern in FILES for f in root.glob(pattern))
    lines = (f"{hashlib.sha256((root / f).read_bytes()).hexdigest()} {f}\n" for f in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest() if files else ""


def installed(root: Path, path: Iterable[str]) -> ModuleType:
    """The extension of a package on `path` that is not the source tree `root`, if it matches.

    Raises NotBuiltError where there is none, or only one that was built from other sources.
    """
    what_to_type = f"`{sys.executable} -m pip install .` in {root} builds and installs it"
    folders = [Path(entry or ".").resolve() for entry in path]
    packages = [str(folder / "tsssl_fast") for folder in folders if folder != root]
    spec = PathFinder.find_spec(NAME, packages)
    if spec is None or spec.loader is None:
        raise NotBuiltError(
            f"the source tree {root} has no compiled extension, and none is installed; "
            f"{what_to_type}"
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if getattr(module, "contract", str)() != contract(root):
        raise NotBuiltError(
            f"the source tree {root} has no compiled extension, and {spec.origin} was built from "
            f"other sources; {what_to_type}"
        )
    return module
