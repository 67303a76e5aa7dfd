"""Loads the compiled extension and keeps the exception if that fails; nothing is swallowed."""

from types import ModuleType

import torch  # first: the extension then binds to torch's OpenMP runtime instead of a second one

C: ModuleType | None = None
ERROR: Exception | None = None

try:
    import tsssl_fast._C as _C  # `from tsssl_fast import _C` would blame a circular import

    C = _C
    C.isa()  # TSSSL_CPU_ISA is checked here, so that a wrong name fails at once
except ImportError as error:
    ERROR = error


def module() -> ModuleType:
    """The extension, for backends that have checked `why_not`."""
    assert C is not None
    return C


def why_not() -> list[str]:
    """Reasons why the extension can not be used; empty where it can."""
    if C is not None:
        return []
    return [f"the extension tsssl_fast._C did not load ({type(ERROR).__name__}: {ERROR})"]


def threads() -> int:
    """The thread count of every kernel: torch's, so that DataLoader workers run serially."""
    return torch.get_num_threads()
