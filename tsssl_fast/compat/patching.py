"""Swapping a library's classes in a running program for those of `tsssl_fast.compat`."""

import gc
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = ["patch", "patched", "unpatch"]

# Library: the module of ours, and the modules of the library that define what it names.
_LIBRARIES = {
    "info_nce": ("info_nce", ("info_nce",)),
    "lightly": ("lightly.loss", ("lightly.loss", "lightly.models.modules.memory_bank")),
    "open_clip": ("open_clip", ("open_clip.loss",)),
    "pytorch_metric_learning": (
        "pytorch_metric_learning.losses",
        ("pytorch_metric_learning.losses",),
    ),
    "solo": ("solo_learn", ("solo.losses",)),
    "torch_audiomentations": ("torch_audiomentations", ("torch_audiomentations",)),
    "tsaug": ("tsaug", ("tsaug",)),
}
_swapped: dict[str, list[tuple[ModuleType, str, Any]]] = {}
_log = logging.getLogger("tsssl_fast")


def patch(library: str) -> list[str]:
    """Binds ours under every name in a loaded module that a class or function of the library has,
    also those of `from ... import`; what the library imports later too, as it asks the same
    modules. :func:`unpatch` restores them.

    What is no name of a module stays the library's: values in containers (a list or dictionary of
    losses), class attributes, default arguments, closures. So do instances that exist, subclasses,
    and the name of a class with subclasses in the module that defines it. The log says once what
    was swapped, and which names, subclasses and instances were not.

    Args:
        library: "info_nce", "lightly", "open_clip", "pytorch_metric_learning", "solo"
            (solo-learn), "torch_audiomentations" or "tsaug", imported.

    Returns:
        The names that now mean ours, as "module.name"; none where it is patched already.

    Raises:
        ValueError: an unknown library. ImportError: it cannot be imported.
    """
    if library not in _LIBRARIES:
        raise ValueError(f"library: {library!r}; accepted: {', '.join(_LIBRARIES)}")
    if library in _swapped:
        return []
    theirs = _theirs(library)
    bound = [found for found in _names() if id(found[2]) in theirs]
    _swapped[library] = [found for found in bound if not _needed(found[0], found[2])]
    for module, name, value in _swapped[library]:
        setattr(module, name, theirs[id(value)][1])
    names = [f"{module.__name__}.{name}" for module, name, _ in _swapped[library]]
    kept = _kept_names([found for found in bound if _needed(found[0], found[2])])
    kept += _kept([value for value, _ in theirs.values() if isinstance(value, type)])
    _log.info("compat.patch(%r): %s", library, ", ".join(names) or "nothing")
    if kept:
        _log.warning("compat.patch(%r): these stay the library's: %s", library, ", ".join(kept))
    return names


def unpatch(library: str) -> None:
    """Restores what :func:`patch` swapped; nothing where it did not."""
    for module, bound, value in _swapped.pop(library, ()):
        setattr(module, bound, value)


@contextmanager
def patched(library: str) -> Iterator[list[str]]:
    """:func:`patch`, and :func:`unpatch` at the end; names that were patched before stay so.

    Raises ValueError, ImportError as :func:`patch`.
    """
    names = patch(library)
    try:
        yield names
    finally:
        if names:
            unpatch(library)


def _theirs(library: str) -> dict[int, tuple[Any, Any]]:
    """Identity -> what the library has under a name of ours, and ours. It is looked for in the
    modules that define it, and in every loaded module of the library where it is of its making."""
    name, sources = _LIBRARIES[library]
    ours = import_module(f"tsssl_fast.compat.{name}")
    defining = [import_module(source) for source in sources]
    below = [m for n, m in list(sys.modules.items()) if n.startswith(f"{library}.")]
    found: dict[int, tuple[Any, Any]] = {}
    for module in (*defining, *below):
        for shared in ours.__all__:
            value, mine = vars(module).get(shared), getattr(ours, shared)
            made_by = getattr(value, "__module__", None) or ""
            own = module in defining or made_by.split(".")[0] == library
            if callable(value) and value is not mine and own:
                found[id(value)] = (value, mine)
    return found


def _needed(module: ModuleType, value: Any) -> bool:
    """Ours; and a class with subclasses where it is defined, as `super(Class, self)` asks there."""
    if module.__name__.startswith("tsssl_fast"):
        return True
    defined_here = module.__name__ == getattr(value, "__module__", None)
    return defined_here and isinstance(value, type) and bool(type.__subclasses__(value))


def _names() -> Iterator[tuple[ModuleType, str, Any]]:
    """Every name in every loaded module."""
    for module in {id(m): m for m in sys.modules.values()}.values():
        if isinstance(module, ModuleType):
            for bound, value in list(vars(module).items()):
                yield module, bound, value


def _kept_names(names: list[tuple[ModuleType, str, Any]]) -> list[str]:
    return [
        f"name {module.__name__}.{bound} (subclasses ask for it there: "
        f"{', '.join(sorted(c.__qualname__ for c in type.__subclasses__(value)))})"
        for module, bound, value in names
        if not module.__name__.startswith("tsssl_fast")
    ]


def _kept(classes: list[type]) -> list[str]:
    """Instances of the library's classes and of all that was derived from them, and subclasses."""
    counts = {cls: 0 for top in classes for cls in (top, *_descendants(top))}
    found = [f"subclass {c.__module__}.{c.__qualname__}" for c in counts if c not in classes]
    for thing in gc.get_objects():
        if type(thing) in counts:
            counts[type(thing)] += 1
    return found + [f"{n} instances of {cls.__qualname__}" for cls, n in counts.items() if n]


def _descendants(cls: type) -> Iterator[type]:
    children: list[type] = type.__subclasses__(cls)
    for below in children:
        yield below
        yield from _descendants(below)
