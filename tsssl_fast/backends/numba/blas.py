"""Matrix products in kernels: scipy's BLAS, on the calling thread."""

import os
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import scipy.linalg.cython_blas  # noqa: F401  the kernels' BLAS, before it is looked for below
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import get_cython_function_address, intrinsic
from threadpoolctl import ThreadpoolController

from tsssl_fast.backends.numba.compiling import part


def _by_address(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """(address of array i's data, address of a copy of a value, call of a routine with such
    addresses): BLAS takes nothing else."""
    pointer = ir.IntType(8).as_pointer()

    def data(i: int) -> Any:
        array = context.make_array(signature.args[i])(context, builder, arguments[i])
        return builder.bitcast(array.data, pointer)

    def place(value: Any) -> Any:
        return builder.bitcast(cgutils.alloca_once_value(builder, value), pointer)

    def call(name: str, given: Sequence[Any]) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [pointer] * len(given))
        builder.call(cgutils.get_or_insert_function(builder.module, kind, name), given)
        return context.get_dummy_value()

    return data, place, call


@intrinsic
def _call_gemm(typing: Any, a: Any, b: Any, out: Any, sizes: Any, factors: Any) -> Any:
    """BLAS on (data, leading dimension); sizes: m, n, k, the three leading dimensions, and whether
    a and b are transposed, as int32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data, place, call = _by_address(context, builder, signature, arguments)
        m, n, k, lda, ldb, ldc, ta, tb = (builder.extract_value(arguments[3], i) for i in range(8))
        letters = [
            place(builder.select(builder.trunc(t, ir.IntType(1)), *map(_BYTE, b"TN")))
            for t in (tb, ta)
        ]
        alpha, beta = (place(builder.extract_value(arguments[4], i)) for i in range(2))
        # Row by row is column by column of the transpose: out' = b' a'.
        given = [*letters, *map(place, (n, m, k)), alpha, data(1), place(ldb), data(0), place(lda)]
        return call(_GEMM[signature.args[2].dtype], [*given, beta, data(2), place(ldc)])

    return types.void(a, b, out, sizes, factors), generate


@intrinsic
def _call_syrk(typing: Any, a: Any, out: Any, sizes: Any, factors: Any) -> Any:
    """BLAS on (data, leading dimension); sizes: n, k, both leading dimensions, and whether a is
    transposed, as int32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data, place, call = _by_address(context, builder, signature, arguments)
        n, k, lda, ldc, turned = (builder.extract_value(arguments[2], i) for i in range(5))
        turned = builder.trunc(turned, ir.IntType(1))
        # The upper triangle row by row is the lower one column by column; a is a' there.
        letters = [place(_BYTE(ord("L"))), place(builder.select(turned, *map(_BYTE, b"NT")))]
        alpha, beta = (place(builder.extract_value(arguments[3], i)) for i in range(2))
        given = [*letters, place(n), place(k), alpha, data(0), place(lda), beta, data(1)]
        return call(_SYRK[signature.args[1].dtype], [*given, place(ldc)])

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
                    _set_threads(library, 1)

    def __exit__(self, *exception: object) -> None:
        with self.lock:
            self.depth -= 1
            if self.depth == 0:
                self.restore()

    def restore(self) -> None:
        for library, count in zip(_blas(), self.before, strict=True):
            _set_threads(library, count)


def _set_threads(library: Any, count: int) -> None:
    """From threadpoolctl 3.8 on `set_num_threads` does nothing in all threads but the first that
    called it: kernels that a second thread started would share BLAS's threads, with other bits.
    What it calls then has no such rule, and takes no lock, which a forked child may find held."""
    getattr(library, "_real_set_num_threads", library.set_num_threads)(count)


_serial_blas = _SerialBlas()


@cache
def _blas() -> tuple[Any, ...]:
    """scipy's own library; every one where scipy shares another's."""
    found = tuple(ThreadpoolController().select(user_api="blas").lib_controllers)
    return tuple(x for x in found if f"{os.sep}scipy" in x.filepath) or found


def serial_blas() -> _SerialBlas:
    """Around several kernels that multiply: the setting is made once (15 us each time)."""
    return _serial_blas


def _after_fork() -> None:
    """The lock may be held, and the threads that counted are gone."""
    global _serial_blas
    if _serial_blas.depth:
        _serial_blas.restore()
    _serial_blas = _SerialBlas()


os.register_at_fork(after_in_child=_after_fork)
