"""Whether the Numba backends can run. Nothing here imports numba before it is asked; what their
kernels are made of is in the files beside this one, which import it at once."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends.dispatch import Backend, wrong_dtypes

EXTRA = "pip install 'tsssl_fast[numba]'"


@cache
def _error() -> Exception | None:
    """What stands against importing numba and its kernels' BLAS; kept, not swallowed."""
    try:
        import tsssl_fast.backends.numba.blas
        import tsssl_fast.backends.numba.launching  # noqa: F401
    except Exception as error:  # numba answers versions that it does not know with any of them
        return error
    return None


def why_not(tensors: Sequence[Tensor], dtypes: Collection[torch.dtype]) -> list[str]:
    """Reasons why a family's kernels can not run on these tensors; empty where they can."""
    why = wrong_dtypes(tensors, dtypes)
    error = _error()
    if error is not None:
        why.append(f"numba did not load ({type(error).__name__}: {error}); {EXTRA}")
    return why


def backend(
    kernels: Mapping[str, Callable[..., Any]],
    dtypes: Collection[torch.dtype],
    warm: Callable[[], None],
) -> Backend:
    """The kernels of a family that look at nothing but the dtypes."""

    def reasons(op: str, tensors: Sequence[Tensor]) -> list[str]:
        return why_not(tensors, dtypes)

    return Backend("numba", kernels, reasons, frozenset({"cpu"}), warm)
