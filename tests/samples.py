"""SAMPLES: operator -> its arguments before `backend`, for the tests that go through all operators.

A new operator needs an entry; a backward takes what its forward saves on the given backend.
"""

from collections.abc import Callable
from typing import Any

import torch

import tsssl_fast


def operator(name: str) -> Any:
    assert tsssl_fast.__version__  # the import registers the operators
    return getattr(torch.ops.tsssl_fast, name).default


def _two_views(backend: str) -> tuple[Any, ...]:
    return torch.randn(5, 3), torch.randn(5, 3), 0.2


def _two_views_backward(backend: str) -> tuple[Any, ...]:
    z1, z2, temperature = _two_views(backend)
    _, saved = operator("nt_xent")(z1, z2, temperature, backend)
    return torch.randn(10), z1, z2, saved, temperature


SAMPLES: dict[str, Callable[[str], tuple[Any, ...]]] = {
    "nt_xent": _two_views,
    "nt_xent_backward": _two_views_backward,
}
