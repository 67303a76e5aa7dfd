"""What is written about a public name, and what its code raises.

    python tests/public_docs.py        names whose docstrings lack a shape, dtype, unit or error

What a reader finds counts as written: the name's own docstring, that of its class and of public
classes that this one inherits from, what these refer to (as `f`, see `f`, of `f`), and what the
docstring of its public module says of all names in it.
"""

import ast
import builtins
import functools
import importlib
import inspect
import re
import textwrap
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from public_api import current

ROOT = Path(__file__).parents[1]
NAMES = current()  # tests/api.json, as it is now

# (N, D), (n, C, T), (N,), (V N,), (..., T): the letters of the docs.
SHAPE = re.compile(r"\((?:[A-Za-z*. \d/+_'|]+,)+[^)\n]*\)|\b0-d(?:imensional)?\b|\bscalars?\b")
DTYPE = re.compile(
    r"\b(?:dtypes?|floats?|floating|float(?:16|32|64)|bfloat16|u?int(?:8|16|32|64)|integers?"
    r"|bool(?:ean)?s?|complex(?:64|128)?)\b"
)
TENSOR = re.compile(r"Tensor|ndarray|ArrayLike")
# Parameters that count or measure along time, frequency or angle.
MEASURE = re.compile(
    r"(?:\w+_)?(?:angle|cutoff|degrees|duration|epochs|frequency|fs|gap|hop|horizon|lag|lengths?"
    r"|overlap|period|rate|seconds|shift|speed|start|steps|stride|time|timeout|warmup|window)"
)
# Numbers of something else: a flag, the number of a series, a value that is subtracted.
NO_MEASURE = ("warm_start", "data.generated.start", "data.Scaling.shift")
# What a function that is called would raise for other arguments than it is given.
NEVER = {
    "tsssl_fast.training.Monitor.__call__": (TypeError, ValueError),
    "tsssl_fast.training.pretrain": (FileNotFoundError,),
}
UNIT = re.compile(
    r"\b(?:steps?|samples?|rows|seconds?|ms|Hz|radians?|degrees?|cycles|bins?|epochs?|passes"
    r"|batches|patches|points|tokens|units of|fractions?|shares?|parts? of|probability"
    r"|iterations?|updates|of the optimizer|channels|[TL])\b"
)
# `of x` in backticks, :func:`x`; and `as for some_name` without.
REFERENCE = re.compile(
    r"\b(?:as|in|by|see|of|like|with|than|and|for)\s+(?:(?:those|that|the|of|a|in|for)\s+)*"
    r"(?::\w+:)?`([A-Za-z_][\w.]*)`|\b(?:as for|as in|see|as)\s+([a-z.]+_\w+)"
)
SHOWN = re.compile(r"^::: (\S+)$", re.MULTILINE)
PARTS = re.compile(r"(?<=[.;:])\s+|\n\s*\n|\n(?=\s*[\w, *]+: )")


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


def is_value(name: str) -> bool:
    """A constant: what it is stands in its module's docstring or beside it."""
    shown = NAMES[name]
    if shown in ("class", "module", "property"):
        return False
    return not shown.startswith("(") or not callable(found(name)[0])


def callables() -> list[str]:
    """Functions, classes and methods: what takes arguments and raises."""
    return [name for name, shown in NAMES.items() if shown.startswith("(") and not is_value(name)]


def parameters(name: str) -> dict[str, str]:
    """Name -> annotation, without self."""
    signature = inspect.signature(found(name)[0])
    return {p.name: str(p.annotation) for p in signature.parameters.values() if p.name != "self"}


def gives_tensors(name: str) -> bool:
    value, _ = found(name)
    return not inspect.isclass(value) and bool(
        TENSOR.search(str(inspect.signature(value).return_annotation))
    )


def own_docs(name: str) -> str:
    """The docstrings of a name and its class, without what they refer to."""
    value, owner = found(name)
    pieces = []
    if inspect.isclass(owner):
        pieces.append(_of_member(owner, name.rpartition(".")[2]))
        value = owner
    if inspect.isclass(value):
        known = _classes()
        pieces += [vars(c).get("__doc__") for c in value.__mro__ if c is value or c in known]
        pieces.append(getattr(vars(value).get("__init__"), "__doc__", None))
    else:
        pieces.append(inspect.getdoc(value))
    return "\n\n".join(inspect.cleandoc(piece) for piece in pieces if piece)


def _of_member(owner: type, name: str) -> str | None:
    """Its docstring, or that of the class of this package that it overrides it from."""
    for base in owner.__mro__:
        member = vars(base).get(name)
        text = getattr(getattr(member, "__func__", member), "__doc__", None)
        if text and base.__module__.startswith("tsssl_fast"):
            return text
    return None


@functools.cache
def shown() -> frozenset[str]:
    """What pages of the reference show beside the public names: what several of them share."""
    pages = (ROOT / "docs/reference").glob("*.md")
    return frozenset(name for page in pages for name in SHOWN.findall(page.read_text()))


@functools.cache
def _classes() -> frozenset[type]:
    """Classes that the reference has."""
    values = (found(name)[0] for name in (*callables(), *shown()))
    return frozenset(value for value in values if inspect.isclass(value))


def docs(name: str) -> str:
    """`own_docs`, those of the public names that it refers to, and what these refer to."""
    pieces: dict[str, str] = {}
    waiting = [name]
    while waiting:
        now = waiting.pop()
        if now not in pieces:
            pieces[now] = own_docs(now)
            named = (a or b for a, b in REFERENCE.findall(pieces[now]))
            waiting += filter(None, (_referred(reference, now) for reference in named))
    return "\n\n".join(pieces.values())


def _referred(reference: str, near: str) -> str | None:
    """The public name that is meant: of those that end so, one of the same family first."""
    known = (*(n for n in NAMES if NAMES[n] != "module"), *shown())
    ending = [n for n in known if f".{n}".endswith(f".{reference}")]
    family = near.split(".")[:2]
    return min(ending, key=lambda n: (n.split(".")[:2] != family, len(n)), default=None)


def module_docs(name: str) -> str:
    """What the public module that holds a name says of all its names."""
    while name != "tsssl_fast" and NAMES.get(name) != "module":
        name = name.rpartition(".")[0]
    return inspect.getdoc(importlib.import_module(name)) or ""


def unit_is_said(parameter: str, text: str) -> bool:
    """In the sentence, or the entry of Args, that names the parameter, or in the one after it."""
    word = re.compile(rf"(?<!\w){re.escape(parameter)}(?!\w)")
    parts = PARTS.split(text)
    return any(
        word.search(part) and UNIT.search(word.sub("", f"{part} {after}"))
        for part, after in zip(parts, [*parts[1:], ""], strict=True)
    )


def raised(name: str) -> set[type[BaseException]]:
    """What the code of a name raises, in itself, in private functions of its file that it calls,
    and in the functions of the package that these call first."""
    value, _ = found(name)
    if inspect.isclass(value):
        starts = [getattr(value, n, None) for n in ("__init__", "__post_init__", "__new__")]
    else:
        starts = [getattr(value, "__func__", value)]
    kinds: set[type[BaseException]] = set()
    seen: set[Any] = set()
    for start in starts:
        if str(getattr(start, "__module__", "")).startswith("tsssl_fast"):
            kinds |= _raised(start, 1, seen)
    return kinds


def _raised(function: Any, deep: int, seen: set[Any]) -> set[type[BaseException]]:
    function = inspect.unwrap(function)
    if not isinstance(function, types.FunctionType) or function in seen:
        return set()
    seen.add(function)
    return _below(_tree(function), function, deep, seen)


def _below(
    node: ast.AST, function: types.FunctionType, deep: int, seen: set[Any]
) -> set[type[BaseException]]:
    """What the statements inside a node raise, without what they catch themselves."""
    kinds = _own(node, function, deep, seen)
    # Without decorators: that of an argument that has a new name raises for the old one alone.
    of = node.body if isinstance(node, ast.FunctionDef) else ast.iter_child_nodes(node)
    for child in of:
        inside = _below(child, function, deep, seen)
        if isinstance(node, ast.Try) and child in node.body:
            inside = {kind for kind in inside if not _caught(kind, node, function)}
        kinds |= inside
    return kinds


def _caught(kind: type[BaseException], node: ast.Try, function: types.FunctionType) -> bool:
    for handler in node.handlers:
        names = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        caught = [_resolved(name, function) for name in names if name is not None]
        if any(inspect.isclass(base) and issubclass(kind, base) for base in caught):
            return True
    return False


def _own(
    node: ast.AST, function: types.FunctionType, deep: int, seen: set[Any]
) -> set[type[BaseException]]:
    """What a `raise` raises, or a call of a function of this package."""
    if isinstance(node, ast.Raise) and node.exc is not None:
        error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        kind = _resolved(error, function)
        return {kind} if inspect.isclass(kind) and issubclass(kind, BaseException) else set()
    if not isinstance(node, ast.Call):
        return set()
    called = _resolved(node.func, function)
    module = str(getattr(called, "__module__", ""))
    if not module.startswith("tsssl_fast") or not isinstance(called, types.FunctionType):
        return set()
    beside = module == function.__module__ and called.__name__.startswith("_")
    return _raised(called, deep - (not beside), seen) if beside or deep else set()


def _resolved(node: ast.expr, function: types.FunctionType) -> Any:
    """What a dotted name means in the file of a function; None for what a call makes."""
    first, *rest = ast.unparse(node).split(".")
    value = function.__globals__.get(first, getattr(builtins, first, None))
    for part in rest:
        value = getattr(value, part, None)
    return value


@functools.cache
def _tree(function: Callable[..., Any]) -> ast.AST:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):  # made by exec, as that of a dataclass; a lambda inside a call
        return ast.Module(body=[], type_ignores=[])


def lacking(name: str) -> list[str]:
    """What a reader who would call `name` is not told."""
    written = docs(name)
    everywhere = f"{written}\n\n{module_docs(name)}"
    wants: dict[str, bool] = {}
    taken = parameters(name)
    tensors = [p for p, kind in taken.items() if TENSOR.search(kind)]
    if tensors or gives_tensors(name):
        wants["shape"] = bool(SHAPE.search(written))
        wants["dtype"] = bool(DTYPE.search(everywhere))
    for p in taken:
        if MEASURE.fullmatch(p) and not f"{name}.{p}".endswith(NO_MEASURE):
            wants[f"unit of {p}"] = unit_is_said(p, everywhere)
    for kind in raised(name) - {*NEVER.get(name, ())}:
        said = any(base.__name__ in everywhere for base in kind.__mro__[:-2])
        wants[kind.__name__] = said
    return [f"{name}: {what}" for what, told in wants.items() if not told]


def main() -> None:
    for name in callables():
        for what in lacking(name):
            print(what)


if __name__ == "__main__":
    main()
