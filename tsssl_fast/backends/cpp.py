"""Loads the compiled extension and keeps the exception if that fails; nothing is swallowed."""

import logging
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch  # first: the extension then binds to torch's OpenMP runtime instead of a second one

from tsssl_fast.backends import contract
from tsssl_fast.backends.dispatch import Backend, wrong_dtypes

logger = logging.getLogger("tsssl_fast")
C: ModuleType | None = None
ERROR: Exception | None = None


def _load() -> ModuleType:
    """The extension beside the sources; of a source tree without one, that of an installation."""
    root = Path(__file__).resolve().parents[2]
    sources = contract.contract(root)
    try:
        import tsssl_fast._C as extension  # `from tsssl_fast import _C` would blame a circle
    except ModuleNotFoundError as error:
        if error.name != contract.NAME or not sources:
            raise
        extension = contract.installed(root, sys.path)
        sys.modules[contract.NAME] = extension
    else:
        if sources and getattr(extension, "contract", str)() != sources:
            logger.warning("%s was built from other sources than %s", extension.__file__, root)
    extension.isa()  # TSSSL_CPU_ISA is checked here, so that a wrong name fails at once
    return extension


try:
    C = _load()
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


def backend(kernels: Mapping[str, Callable[..., Any]], dtypes: Collection[torch.dtype]) -> Backend:
    """The kernels of a family that look at nothing but the dtypes."""

    def reasons(op: str, tensors: Sequence[torch.Tensor]) -> list[str]:
        return why_not() + wrong_dtypes(tensors, dtypes)

    return Backend("cpp", kernels, reasons, frozenset({"cpu"}), by_dtype=frozenset(kernels))


# Significant bits of the caller's numbers: a tensor unit multiplies as few parts as hold them.
BITS = {torch.bfloat16: 8, torch.float16: 11, torch.float32: 24, torch.float64: 53}
# The thread count of every kernel: torch's, so that DataLoader workers run serially.
threads = torch.get_num_threads
