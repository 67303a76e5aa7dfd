"""What the Numba backends share: how kernels are compiled, kept, run on threads and told about.

Imported inside functions only: `import tsssl_fast` must not import numba.

Threads. Numba's own `parallel=True` is not used: after a fork its OpenMP layer kills the child if
the parent ran it, and deadlocks if only torch used OpenMP; its workqueue layer aborts when two
threads call it. A kernel here is serial code without the interpreter's lock that takes its tasks
from a counter; `run` calls it from as many threads as torch has: from torch's own OpenMP threads,
or from Python's where there are none or the process is a forked child. One thread: a plain call,
and nothing is started.
"""

import contextlib
import ctypes
import hashlib
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
import scipy.linalg.cython_blas  # noqa: F401  the kernels' BLAS, before it is looked for below
import torch
from llvmlite import ir
from numba.core import cgutils, types
from numba.core import event as events
from numba.extending import get_cython_function_address, intrinsic
from numba.extending import overload as overload
from threadpoolctl import ThreadpoolController
from torch import Tensor

logger = logging.getLogger("tsssl_fast")

# Associativity lets a loop over floats become vectors, with one order of additions per machine.
# NaN and infinity keep their meaning.
SUMS = frozenset({"reassoc", "nsz"})
FUSED = frozenset({"contract"})


@cache
def folder() -> str:
    """Where compiled kernels are kept: a folder for every state of their sources.

    Numba compares the time stamp of a kernel's own file, and would take a stale kernel after a
    change in a helper that lies in another one.
    """
    here = Path(__file__).parent
    # spec.py and arithmetic.py: their constants are compiled in.
    patterns = ("_jit.py", "ops/*/numba_*.py", "ops/*/spec.py", "ops/*/arithmetic.py")
    files = [f for pattern in patterns for f in sorted(here.glob(pattern))]
    digest = hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()[:16]
    base = numba.config.CACHE_DIR or os.path.expanduser("~/.cache")
    return os.path.join(base, "tsssl_fast", digest)


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """What `run` calls: compiled at its first use for every dtype, kept on disk."""
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


@intrinsic
def _call_gemm(typing: Any, a: Any, b: Any, out: Any, sizes: Any, factors: Any) -> Any:
    """BLAS on (data, leading dimension); sizes: m, n, k, the three leading dimensions, and whether
    a and b are transposed, as int32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = ir.IntType(8).as_pointer()

        def data(i: int) -> Any:
            array = context.make_array(signature.args[i])(context, builder, arguments[i])
            return builder.bitcast(array.data, pointer)

        def place(value: Any) -> Any:
            return builder.bitcast(cgutils.alloca_once_value(builder, value), pointer)

        m, n, k, lda, ldb, ldc, ta, tb = (builder.extract_value(arguments[3], i) for i in range(8))
        letters = [
            place(builder.select(builder.trunc(t, ir.IntType(1)), *(_BYTE(ord(c)) for c in "TN")))
            for t in (tb, ta)
        ]
        alpha, beta = (place(builder.extract_value(arguments[4], i)) for i in range(2))
        # Row by row is column by column of the transpose: out' = b' a'.
        given = [*letters, *map(place, (n, m, k)), alpha, data(1), place(ldb), data(0), place(lda)]
        given += [beta, data(2), place(ldc)]
        kind = ir.FunctionType(ir.VoidType(), [pointer] * len(given))
        name = _GEMM[signature.args[2].dtype]
        builder.call(cgutils.get_or_insert_function(builder.module, kind, name), given)
        return context.get_dummy_value()

    return types.void(a, b, out, sizes, factors), generate


@intrinsic
def _call_syrk(typing: Any, a: Any, out: Any, sizes: Any, factors: Any) -> Any:
    """BLAS on (data, leading dimension); sizes: n, k, both leading dimensions, and whether a is
    transposed, as int32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = ir.IntType(8).as_pointer()

        def data(i: int) -> Any:
            array = context.make_array(signature.args[i])(context, builder, arguments[i])
            return builder.bitcast(array.data, pointer)

        def place(value: Any) -> Any:
            return builder.bitcast(cgutils.alloca_once_value(builder, value), pointer)

        n, k, lda, ldc, turned = (builder.extract_value(arguments[2], i) for i in range(5))
        turned = builder.trunc(turned, ir.IntType(1))
        # The upper triangle row by row is the lower one column by column; a is a' there.
        letters = [place(_BYTE(ord("L"))), place(builder.select(turned, *map(_BYTE, b"NT")))]
        alpha, beta = (place(builder.extract_value(arguments[3], i)) for i in range(2))
        given = [*letters, place(n), place(k), alpha, data(0), place(lda), beta, data(1)]
        given.append(place(ldc))
        kind = ir.FunctionType(ir.VoidType(), [pointer] * len(given))
        name = _SYRK[signature.args[1].dtype]
        builder.call(cgutils.get_or_insert_function(builder.module, kind, name), given)
        return context.get_dummy_value()

    return types.void(a, out, sizes, factors), generate


_BYTE = ir.IntType(8)
_GEMM = {types.float32: "tsssl_fast_sgemm", types.float64: "tsssl_fast_dgemm"}
_SYRK = {types.float32: "tsssl_fast_ssyrk", types.float64: "tsssl_fast_dsyrk"}
for _name in (*_GEMM.values(), *_SYRK.values()):
    # By name, so that compiled kernels can be kept: an address would be good for one process.
    _routine = _name.removeprefix("tsssl_fast_")
    _address = get_cython_function_address("scipy.linalg.cython_blas", _routine)
    llvm.add_symbol(_name, _address)


@part(inlined=True)
def multiply(
    a: np.ndarray, a_transposed: bool, b: np.ndarray, b_transposed: bool, factor: Any, out: Any
) -> None:
    """out = a b + factor out by scipy's BLAS; a and b as they are or transposed, without gaps in
    a row."""
    size = out.itemsize
    depth = a.shape[0] if a_transposed else a.shape[1]
    numbers = (*out.shape, depth, a.strides[0] // size, b.strides[0] // size)
    numbers = (*numbers, out.strides[0] // size)
    m, n, k, lda, ldb, ldc = numbers
    sizes = (np.int32(m), np.int32(n), np.int32(k), np.int32(lda), np.int32(ldb), np.int32(ldc))
    one = out.dtype.type(1)
    turned = (np.int32(a_transposed), np.int32(b_transposed))
    _call_gemm(a, b, out, (*sizes, *turned), (one, out.dtype.type(factor)))


@part(inlined=True)
def add_own_product(a: np.ndarray, a_transposed: bool, factor: Any, out: Any) -> None:
    """The upper triangle of out = a a' + factor out, or of a' a where `a_transposed`: half of
    `multiply`'s work."""
    size = out.itemsize
    n, k = a.shape
    if a_transposed:
        n, k = k, n
    lda, ldc = a.strides[0] // size, out.strides[0] // size
    sizes = (np.int32(n), np.int32(k), np.int32(lda), np.int32(ldc), np.int32(a_transposed))
    _call_syrk(a, out, sizes, (out.dtype.type(1), out.dtype.type(factor)))


@intrinsic
def _fetch_add(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """array[index] += value in one step that no other thread splits; the number before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0])
        item = cgutils.get_item_pointer(
            context, builder, signature.args[0], data, [arguments[1]], wraparound=False
        )
        return builder.atomic_rmw("add", item, arguments[2], "seq_cst")

    return types.int64(array, types.intp, types.int64), generate


_sched_yield = types.ExternalFunction("sched_yield", types.int32())


@part
def take(counter: np.ndarray) -> int:
    """The next task's number."""
    return _fetch_add(counter, 0, 1)


@part
def wait_for(progress: np.ndarray, index: int, turn: int) -> None:
    """Until progress[index] is `turn`; another thread brings it there."""
    while _fetch_add(progress, index, 0) != turn:
        _sched_yield()


@part
def advance(progress: np.ndarray, index: int) -> None:
    _fetch_add(progress, index, 1)


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


def threads(tasks: int) -> int:
    """torch's thread count, one for DataLoader workers, and no more than there are tasks."""
    return max(1, min(torch.get_num_threads(), tasks))


class _Pool:
    """Python threads that run kernels beside the caller; a forked child gets an empty one."""

    def __init__(self) -> None:
        self.executor: ThreadPoolExecutor | None = None
        self.lock = threading.Lock()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        with self.lock:
            if self.executor is None:
                self.executor = ThreadPoolExecutor(1024, thread_name_prefix="tsssl_fast")
            return self.executor.submit(function, *arguments)


_pool = _Pool()


class _SerialBlas:
    """Keeps scipy's BLAS, which kernels call, on the calling thread while kernels run.

    Its own threads are shared by the process: two kernels that multiply at once would queue for
    them. Nested and concurrent uses count, so that the last one out restores the setting.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.depth = 0
        self.before: list[int] = []

    def __enter__(self) -> None:
        with self.lock:
            self.depth += 1
            if self.depth == 1:
                self.before = [library.get_num_threads() for library in _blas()]
                for library in _blas():
                    library.set_num_threads(1)

    def __exit__(self, *exception: object) -> None:
        with self.lock:
            self.depth -= 1
            if self.depth == 0:
                self.restore()

    def restore(self) -> None:
        for library, count in zip(_blas(), self.before, strict=True):
            library.set_num_threads(count)


_serial_blas = _SerialBlas()
_forked = False  # a child has none of its parent's OpenMP threads, and would wait for them


@cache
def _blas() -> tuple[Any, ...]:
    """scipy's own library; every one where scipy shares another's."""
    found = tuple(ThreadpoolController().select(user_api="blas").lib_controllers)
    return tuple(x for x in found if f"{os.sep}scipy" in x.filepath) or found


def serial_blas() -> _SerialBlas:
    """Around several kernels that multiply: the setting is made once (15 us each time)."""
    return _serial_blas


def _after_fork() -> None:
    """Locks may be held, and threads are gone."""
    global _forked, _pool, _serial_blas
    if _serial_blas.depth:
        _serial_blas.restore()
    _forked, _pool, _serial_blas = True, _Pool(), _SerialBlas()


os.register_at_fork(after_in_child=_after_fork)


@cache
def _openmp() -> Any:
    """torch's OpenMP library, whose threads spin for a while after torch's own work: others would
    share the processors with them (two threads were slower than one). None: no such library, or
    one without GCC's entry points."""
    found = ThreadpoolController().select(user_api="openmp").lib_controllers
    of_torch = [x for x in found if f"{os.sep}torch" in x.filepath] or found
    if len(of_torch) != 1:
        return None
    library = ctypes.CDLL(of_torch[0].filepath)
    return library if hasattr(library, "GOMP_parallel") else None


_TEAM = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def _run_on_team(library: Any, kernel: Callable[..., Any], count: int, *arguments: Any) -> None:
    errors: list[BaseException] = []
    threads = itertools.count()

    def member(_: Any) -> None:
        try:
            kernel(arguments[0], next(threads), *arguments[1:])
        except BaseException as error:  # the caller's, not one to be lost between C and Python
            errors.append(error)

    library.GOMP_parallel(_TEAM(member), None, ctypes.c_uint(count), ctypes.c_uint(0))
    for error in errors:
        raise error


def _run_on_pool(kernel: Callable[..., Any], count: int, counter: Any, *arguments: Any) -> None:
    others = [_pool.submit(kernel, counter, t, *arguments) for t in range(1, count)]
    kernel(counter, 0, *arguments)
    for other in others:
        # Nothing is left to take: a thread that has not begun need not wake up (0.1 to 0.3 ms).
        if not other.cancel():
            other.result()


def run(kernel: Callable[..., Any], count: int, *arguments: Any, blas: bool = False) -> None:
    """kernel(counter, thread, *arguments) on up to `count` threads at once, this one among them.

    counter: int64 zero, for `take`; thread: 0 to count - 1. blas: the kernel calls `multiply`.
    """
    counter = np.zeros(1, np.int64)
    with _serial_blas if blas else contextlib.nullcontext():
        if count == 1:
            kernel(counter, 0, *arguments)
        elif not _forked and (library := _openmp()) is not None:
            _run_on_team(library, kernel, count, counter, *arguments)
        else:
            _run_on_pool(kernel, count, counter, *arguments)


def array(x: Tensor) -> np.ndarray:
    """The tensor's memory as an array; contiguous, so that every call has the same types."""
    x = x if x.is_contiguous() else x.contiguous()
    return (x.detach() if x.requires_grad else x).numpy()


def flags(x: Tensor | None) -> np.ndarray:
    """Booleans as bytes; empty for None."""
    return _NONE if x is None else array(x).view(np.uint8)


_NONE = np.empty(0, np.uint8)


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
