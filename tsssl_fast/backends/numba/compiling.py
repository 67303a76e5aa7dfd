"""How kernels are compiled, kept on disk and told about."""

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core import event as events
from numba.core import types
from numba.extending import intrinsic

logger = logging.getLogger("tsssl_fast")

# Associativity lets a loop over floats become vectors, with one order of additions per machine.
# NaN and infinity keep their meaning.
SUMS = frozenset({"reassoc", "nsz"})
FUSED = frozenset({"contract"})

# What compiled kernels are made from, below the package.
SOURCES = (
    "backends/numba/*.py",
    "ops/*/numba/**/*.py",
    "common/dtypes.py",
    "ops/*/spec.py",
    "ops/*/rules.py",
    "ops/augment/operation_table.py",
    "ops/*/reference/arithmetic.py",
)


@cache
def folder() -> str:
    """Where compiled kernels are kept: a folder for every state of their sources.

    Numba compares the time stamp of a kernel's own file, and would take a stale kernel after a
    change in a helper that lies in another one.
    """
    here = Path(__file__).parents[2]
    # spec.py, rules.py, the table, arithmetic.py: their constants are compiled in.
    files = [f for pattern in SOURCES for f in sorted(here.glob(pattern))]
    digest = hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()[:16]
    base = numba.config.CACHE_DIR or os.path.expanduser("~/.cache")
    return os.path.join(base, "tsssl_fast", digest)


def kept(function: Callable[..., Any]) -> Callable[..., Any]:
    """Callable from Python without the interpreter's lock: compiled at its first use for every
    combination of types, and kept on disk."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = folder()
    try:
        return numba.njit(nogil=True, cache=True, error_model="numpy", _nrt=False)(function)
    finally:
        numba.config.CACHE_DIR = before


def part(
    function: Callable[..., Any] | None = None,
    *,
    fastmath: Any = False,
    inlined: bool = False,
) -> Any:
    """A function that kernels call: no entry from Python, so it compiles in less time.

    inlined: always, for what stands in a loop that should become vectors. Left to itself LLVM
    calls Philox number by number from large kernels (3.7 against 0.4 ns a word).
    References to arrays are not counted: the caller holds what a kernel works on, and views of it
    would cost atomic operations (0.3 us per item of the augmentations).
    """
    wrap = numba.njit(
        error_model="numpy",
        fastmath=set(fastmath) if fastmath else False,
        forceinline=inlined,
        _nrt=False,
        no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
    )
    return wrap if function is None else wrap(function)


def bits(single: Any, integer: Any) -> tuple[Any, Any]:
    """(number -> its bits, bits -> number) for a float type and an integer type of its size."""

    def cast(source: Any, target: Any) -> Any:
        @intrinsic
        def reinterpret(typing: Any, x: Any) -> Any:
            def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                return builder.bitcast(arguments[0], context.get_value_type(target))

            return (target(source), generate) if x == source else None

        return reinterpret

    return cast(single, integer), cast(integer, single)


float32_bits, bits_float32 = bits(types.float32, types.int32)
float64_bits, bits_float64 = bits(types.float64, types.int64)


class _Tell(events.Listener):
    """One line for every kernel that is compiled: what, how long, where it is kept."""

    def __init__(self) -> None:
        self.begun: dict[int, list[float]] = {}

    def on_start(self, event: Any) -> None:
        self.begun.setdefault(threading.get_ident(), []).append(time.perf_counter())

    def on_end(self, event: Any) -> None:
        stack = self.begun[threading.get_ident()]
        seconds = time.perf_counter() - stack.pop()
        function = event.data["dispatcher"].py_func
        if not stack and function.__module__.startswith("tsssl_fast."):
            what = f"{function.__module__.removeprefix('tsssl_fast.')}.{function.__name__}"
            told.append((what, seconds))
            logger.warning(
                "%s: compiled by numba in %.1f s, once; kept in %s", what, seconds, folder()
            )


told: list[tuple[str, float]] = []  # kernels that this process compiled, and the seconds
events.register("numba:compile", _Tell())
