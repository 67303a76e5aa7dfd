"""Compiled kernels for self-supervised learning on time series, behind a torch API.

    import tsssl_fast
    loss = tsssl_fast.functional.nt_xent_loss(z1, z2, temperature=0.1)

`tsssl_fast.explain(op, *inputs)` tells which backend runs an operator, a loss or a transform, and
why not another.

Subpackages are imported when they are first asked for. `torch.ops.tsssl_fast` is filled by any of
them that computes, or by `import tsssl_fast.ops`: what loads a graph with these operators into a
new process imports that first.
"""

import importlib
from typing import TYPE_CHECKING, Any

import torch as torch  # before the extension: it shares torch's OpenMP runtime

from tsssl_fast._version import __version__

if TYPE_CHECKING:
    from tsssl_fast import (
        augment,
        compat,
        data,
        distributed,
        encoders,
        estimators,
        evaluate,
        functional,
        info,
        losses,
        masking,
        methods,
        ops,
        preprocess,
        report,
        training,
    )
    from tsssl_fast.backends.dispatch import BackendUnavailableError, use_backend
    from tsssl_fast.backends.explaining import explain

__all__ = [
    "BackendUnavailableError",
    "__version__",
    "augment",
    "compat",
    "data",
    "distributed",
    "encoders",
    "estimators",
    "evaluate",
    "explain",
    "functional",
    "info",
    "losses",
    "masking",
    "methods",
    "ops",
    "preprocess",
    "report",
    "training",
    "use_backend",
]
_FROM = {
    "BackendUnavailableError": "dispatch",
    "explain": "explaining",
    "use_backend": "dispatch",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name not in _FROM:
        return importlib.import_module(f"{__name__}.{name}")
    if name == "explain":
        importlib.import_module(f"{__name__}.ops")  # or it would know no operator
    value = getattr(importlib.import_module(f"{__name__}.backends.{_FROM[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
