"""Which module of the package imports which, read from the syntax trees."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tsssl_fast"

Graph = Mapping[str, frozenset[str]]


def modules_of(package: Path) -> dict[str, Path]:
    """Dotted name -> file of every module of a package; a folder's name is its __init__.py."""
    files = {}
    for path in sorted(package.rglob("*.py")):
        parts = [package.name, *path.relative_to(package).with_suffix("").parts]
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


def imported(path: Path, known: Iterable[str]) -> set[str]:
    """Modules among `known` that a file imports, wherever the statement stands.

    `import a.b.c` and `from a.b.c import x` name c alone, `from a.b import c` the module a.b.c.
    Imports are absolute everywhere, so a relative one is an error.
    """
    known, found = set(known), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: a relative import"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in known else node.module)
    return found & known


def graph_of(package: Path) -> Graph:
    files = modules_of(package)
    return {name: frozenset(imported(path, files) - {name}) for name, path in files.items()}


@cache
def graph() -> Graph:
    """Module -> modules of tsssl_fast that it imports."""
    return graph_of(PACKAGE)


def circles(graph: Graph) -> list[list[str]]:
    """The strongly connected parts of more than one node (Tarjan, 1972), each sorted."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            part = stack[stack.index(node) :]
            del stack[len(stack) - len(part) :]
            if len(part) > 1:
                found.append(sorted(part))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def folders(graph: Graph) -> set[str]:
    """The packages: names that other names stand below."""
    return {name.rpartition(".")[0] for name in graph} - {""}


def among(graph: Graph, folder: str) -> Graph:
    """Which direct child of a folder imports which: a subfolder with all below it is one node, a
    file of the folder itself another."""
    edges: dict[str, set[str]] = {}
    for name, others in graph.items():
        source = _child(name, folder)
        targets = {_child(other, folder) for other in others}
        if source:
            edges.setdefault(source, set()).update(t for t in targets if t and t != source)
    return {name: frozenset(targets) for name, targets in edges.items()}


def _child(name: str, folder: str) -> str:
    if name == folder:
        return f"{folder}.__init__"
    head = f"{folder}."
    return head + name.removeprefix(head).split(".")[0] if name.startswith(head) else ""


def pairs(graph: Graph) -> Iterator[tuple[str, str]]:
    """Every (module, module that it imports)."""
    for name, others in graph.items():
        yield from ((name, other) for other in sorted(others))
