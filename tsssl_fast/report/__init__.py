"""Pictures and HTML: training curves, embeddings, augmentations, one file of all protocols.

gallery   one picture of every augmentation on one series; `python -m tsssl_fast.report.gallery`
html      every read-out of an encoder in one file
plots     the pictures in it, by matplotlib
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tsssl_fast.report import gallery, html, plots

__all__ = ["gallery", "html", "plots"]


def __getattr__(name: str) -> Any:
    # Not imported above: `python -m` would run a module that is there already a second time.
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
