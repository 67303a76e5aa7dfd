"""How kernels run on threads.

Numba's own `parallel=True` is not used: after a fork its OpenMP layer kills the child if the parent
ran it, and deadlocks if only torch used OpenMP; its workqueue layer aborts when two threads call
it. A kernel here is serial code without the interpreter's lock that takes its tasks from a counter;
`run` calls it from as many threads as torch has: from torch's own OpenMP threads, or from Python's
where there are none or the process is a forked child. One thread: a plain call, and nothing is
started. Tasks of a later phase wait for those before inside the kernel: whoever has taken a task is
running, so nobody waits for a thread that has not begun.
"""

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from types import FunctionType
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing import signature as signature_of
from numba.extending import intrinsic
from threadpoolctl import ThreadpoolController

from tsssl_fast.backends.numba.blas import serial_blas
from tsssl_fast.backends.numba.compiling import kept, part


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


PHASES = 3  # of a kernel, at most: tasks that begin when those of the phase before are finished

_sched_yield = types.ExternalFunction("sched_yield", types.int32())


@part
def take(counter: np.ndarray) -> int:
    """The next task's number."""
    return _fetch_add(counter, 0, 1)


@part
def finish(counter: np.ndarray, phase: int) -> int:
    """How many tasks of a phase (1 to PHASES) are finished, this one among them; whoever reads the
    last one's number sees what all have written, and so does who waits for it:
    wait_for(counter, phase, tasks)."""
    return _fetch_add(counter, phase, 1) + 1


@part
def wait_for(progress: np.ndarray, index: int, turn: int) -> None:
    """Until progress[index] is `turn`; another thread brings it there."""
    while _fetch_add(progress, index, 0) != turn:
        _sched_yield()


@part
def advance(progress: np.ndarray, index: int) -> None:
    _fetch_add(progress, index, 1)


def _ieee_arithmetic(builder: Any) -> Callable[[], Any]:
    """Code that rounds to nearest and keeps subnormal numbers; what is returned adds the code that
    restores the thread's own mode. torch.set_flush_denormal(True) sets it in one thread and those
    that it starts later: results would depend on the number of threads."""
    if sys.platform != "linux":  # elsewhere FE_DFL_ENV is another address
        return lambda: None
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.IntType(32), [byte])
    read, write = (
        cgutils.get_or_insert_function(builder.module, kind, name)
        for name in ("fegetenv", "fesetenv")
    )
    own = builder.bitcast(builder.alloca(ir.ArrayType(ir.IntType(8), 64)), byte)
    builder.call(read, [own])
    default = builder.inttoptr(ir.IntType(64)(-1), byte)  # FE_DFL_ENV of glibc and musl
    builder.call(write, [default])
    return lambda: builder.call(write, [own])


def _on_team(call: Callable[..., Any]) -> Any:
    """call(counter, thread, *arguments) on the members of an OpenMP team, in compiled code from end
    to end: a member that entered the interpreter would first wait for its lock (on two threads a
    launch cost 46 us, against 4 on one)."""

    @intrinsic
    def launch(
        typing: Any, team: Any, count: Any, counter: Any, thread: Any, arguments: Any
    ) -> Any:
        """team: the address of GOMP_parallel, or 0 for a plain call as member `thread`."""

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            word, byte = ir.IntType(64), ir.IntType(8).as_pointer()
            inner = signature_of(types.void, counter, types.int64, *arguments.types)
            compiled = context.compile_subroutine(builder, call, inner)
            # What the members share: the next one's number, an error's code, and the arguments.
            shared = cgutils.alloca_once(
                builder,
                ir.LiteralStructType([word, word, values[2].type, values[4].type]),
            )
            for i, value in enumerate((values[3], word(0), values[2], values[4])):
                builder.store(value, cgutils.gep_inbounds(builder, shared, 0, i))
            kind = ir.FunctionType(ir.VoidType(), [byte])
            name = builder.module.get_unique_name(f"{builder.function.name}.member")
            member = ir.Function(builder.module, kind, name)
            member.linkage = "internal"
            inside = ir.IRBuilder(member.append_basic_block())
            restore = _ieee_arithmetic(inside)
            own = inside.bitcast(member.args[0], shared.type)
            first, error, *rest = (cgutils.gep_inbounds(inside, own, 0, i) for i in range(4))
            number = inside.atomic_rmw("add", first, word(1), "seq_cst")
            given = (inside.load(rest[0]), number)
            given = (*given, *cgutils.unpack_tuple(inside, inside.load(rest[1])))
            status, _ = context.call_internal_no_propagate(inside, compiled.fndesc, inner, given)
            with cgutils.if_unlikely(inside, status.is_error):
                inside.store(inside.sext(status.code, word), error)
            restore()
            inside.ret_void()
            data = builder.bitcast(shared, byte)
            alone = builder.icmp_unsigned("==", values[0], word(0))
            with builder.if_else(alone) as (then, otherwise):
                with then:
                    builder.call(member, [data])
                with otherwise:
                    size = ir.IntType(32)
                    parallel = ir.FunctionType(ir.VoidType(), [kind.as_pointer(), byte, size, size])
                    entry = builder.inttoptr(values[0], parallel.as_pointer())
                    count = builder.trunc(values[1], size)
                    builder.call(entry, [member, data, count, size(0)])
            return builder.load(cgutils.gep_inbounds(builder, shared, 0, 1))

        return types.int64(team, count, counter, thread, arguments), generate

    return launch


_PLACE = ("co_filename", "co_firstlineno", "co_name", "co_qualname")  # the last from Python 3.11


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """What `run` calls, from function(counter, thread, *arguments)."""
    # Under the kernel's own name and place, by which it is kept and told about.
    given = function.__code__
    known = [name for name in _PLACE if hasattr(given, name)]
    code = _entry.__code__.replace(**{name: getattr(given, name) for name in known})
    names = {"__name__": function.__module__, "_launch": _on_team(function)}
    return kept(FunctionType(code, names, function.__name__))


def _entry(team: Any, count: Any, counter: Any, thread: Any, arguments: Any) -> Any:
    # `kernel` gives every copy of this code a `_launch` of its own, which no checker sees.
    return _launch(team, count, counter, thread, arguments)  # type: ignore[name-defined]  # noqa: F821


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
_forked = False  # a child has none of its parent's OpenMP threads, and would wait for them


def _after_fork() -> None:
    """The lock may be held, and threads are gone."""
    global _forked, _pool
    _forked, _pool = True, _Pool()


os.register_at_fork(after_in_child=_after_fork)


@cache
def _team() -> int:
    """Address of GOMP_parallel in torch's OpenMP library, whose threads spin for a while after
    torch's own work: others would share the processors with them (two threads were slower than
    one). 0: no such library, or one without GCC's entry points."""
    found = ThreadpoolController().select(user_api="openmp").lib_controllers
    of_torch = [x for x in found if f"{os.sep}torch" in x.filepath] or found
    if len(of_torch) != 1:
        return 0
    library = ctypes.CDLL(of_torch[0].filepath)
    entry = getattr(library, "GOMP_parallel", None)
    return 0 if entry is None else ctypes.cast(entry, ctypes.c_void_p).value or 0


def _call(kernel: Callable[..., Any], *arguments: Any) -> None:
    if code := kernel(*arguments):
        raise RuntimeError(f"{kernel.__name__}: numba's status {code}")


def _run_on_pool(kernel: Callable[..., Any], count: int, counter: Any, arguments: Any) -> None:
    others = [_pool.submit(_call, kernel, 0, 1, counter, t, arguments) for t in range(1, count)]
    _call(kernel, 0, 1, counter, 0, arguments)
    for other in others:
        # Nothing is left to take: a thread that has not begun need not wake up (0.1 to 0.3 ms).
        if not other.cancel():
            other.result()


def run(kernel: Callable[..., Any], count: int, *arguments: Any, blas: bool = False) -> None:
    """kernel(counter, thread, *arguments) on up to `count` threads at once, this one among them.

    counter: for `take` and `finish`; thread: 0 to count - 1. blas: the kernel calls `multiply`.
    """
    counter = np.zeros(1 + PHASES, np.int64)
    with serial_blas() if blas else contextlib.nullcontext():
        team = 0 if count == 1 or _forked else _team()
        if count == 1 or team:
            _call(kernel, team, count, counter, 0, arguments)
        else:
            _run_on_pool(kernel, count, counter, arguments)
