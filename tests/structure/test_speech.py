"""The library speaks through `warnings` and its logger; only commands and estimators print."""

import ast
from pathlib import Path

from import_graph import PACKAGE

# Estimators print where `verbose` asks for it, as scikit-learn's do.
MAY_PRINT = ("cli", "estimators", "__main__.py", "info.py")
STREAMS = {"sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__"}


def spoken(path: Path) -> list[str]:
    """Where a file prints, takes a stream, or a logger of another name."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        text = ast.unparse(node) if isinstance(node, (ast.Call, ast.Attribute)) else ""
        wrong = text.startswith(("print(", "pprint(", "logging.getLogger(")) or text in STREAMS
        if wrong and text != "logging.getLogger('tsssl_fast')":
            found.append(f"{path}:{node.lineno}: {text}")
    return found


def test_the_library_does_not_print() -> None:
    files = [f for f in PACKAGE.rglob("*.py") if f.relative_to(PACKAGE).parts[0] not in MAY_PRINT]
    assert len(files) > 100
    assert [line for file in files for line in spoken(file)] == []


def test_what_is_looked_for_is_found(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("print(1)\nx = sys.stderr\nlogging.getLogger(__name__)\n'print(2)'\n")
    assert sorted(line.partition(": ")[2] for line in spoken(file)) == [
        "logging.getLogger(__name__)",
        "print(1)",
        "sys.stderr",
    ]
    file.write_text("logging.getLogger('tsssl_fast')\n")
    assert spoken(file) == []
