"""Which backend runs an operator, and why not another.

A family of operators (`ops/<family>/`) lists its backends in order of preference. A backend answers
`why_not`: an empty list means that it can run these inputs. The automatic choice takes the first
that can; a backend asked for by name (argument, `use_backend`, TSSSL_BACKEND) runs or raises.
"""

import contextlib
import contextvars
import copy
import dataclasses
import functools
import importlib
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends import environment

NAMES = ("reference", "cpp", "numba", "triton")
AUTOMATIC = "automatic"  # asked and answered: no backend was asked for by name

logger = logging.getLogger("tsssl_fast")
_requested: contextvars.ContextVar[str] = contextvars.ContextVar("tsssl_backend", default="")
in_context = _requested.get  # the name that `use_backend` asks for, or ""
_families: dict[str, tuple["Backend", ...]] = {}
_family_of: dict[str, str] = {}
# What the automatic choice found for CPU tensors of one dtype, where nothing else decides.
_found: dict[tuple[str, torch.dtype], Callable[..., Any]] = {}
_told: set[tuple[str, ...]] = set()
_watched: contextvars.ContextVar["list[str | Explanation] | None"] = contextvars.ContextVar(
    "tsssl_watched", default=None
)
watched = _watched.get  # the list of `watching`, or None


class BackendUnavailableError(RuntimeError):
    """The backend that was asked for by name can not run these inputs."""


@dataclass(frozen=True)
class Backend:
    """One implementation of a family's operators.

    kernels: operator name -> implementation with the operator's signature (without `backend`).
    why_not: (operator name, its tensors) -> reasons why this backend can not run them.
    devices: device types that it is meant for; on others it is passed over without a word.
    warm: uses every kernel once, where kernels are compiled at their first use.
    by_dtype: operators whose why_not, of tensors on its devices, looks at the dtypes alone and
        never changes: the choice is remembered.
    """

    name: str
    kernels: Mapping[str, Callable[..., Any]]
    why_not: Callable[[str, Sequence[Tensor]], list[str]]
    devices: frozenset[str]
    warm: Callable[[], None] | None = None
    by_dtype: frozenset[str] = frozenset()

    def extended(self, kernels: Mapping[str, Callable[..., Any]]) -> "Backend":
        """The same backend with these kernels."""
        twin = copy.copy(self)
        object.__setattr__(twin, "kernels", kernels)  # frozen, and of any subclass
        return twin

    def reasons(self, op: str, tensors: Sequence[Tensor]) -> list[str]:
        if op not in self.kernels:
            return [f"{op} is not implemented in this backend"]
        on_cpu = "cpu" in self.devices
        for tensor in tensors:
            # is_cpu first: 0.1 microseconds, the device's type 0.5.
            if not (on_cpu and tensor.is_cpu) and tensor.device.type not in self.devices:
                return [
                    f"device={tensor.device.type} (supported: {', '.join(sorted(self.devices))})"
                ]
        return self.why_not(op, tensors)


def reference(kernels: Mapping[str, Callable[..., Any]], *devices: str) -> Backend:
    """A family's definition in plain torch, which takes everything. devices: where else it runs."""
    known = frozenset({"cpu", "cuda", "xpu", "meta", *devices})
    return Backend("reference", kernels, lambda op, tensors: [], known)


def wrong_dtypes(tensors: Sequence[Tensor], accepted: Collection[torch.dtype]) -> list[str]:
    """Why a backend can not take these tensors, looking at those of floating dtype."""
    wrong = {t.dtype for t in tensors if t.is_floating_point()} - set(accepted)
    if not wrong:
        return []
    names = ", ".join(sorted(map(str, wrong)))
    return [f"dtype={names} (supported: {', '.join(map(str, accepted))})"]


def lazily(module: str, name: str) -> Callable[..., Any]:
    """The function `name` of a module that is imported at the first call."""

    @functools.cache
    def function() -> Callable[..., Any]:
        return getattr(importlib.import_module(module), name)

    def call(*args: Any) -> Any:
        return function()(*args)

    return call


def lazy_kernels(
    package: str, operators: Mapping[str, Sequence[str]]
) -> dict[str, Callable[..., Any]]:
    """operators: module of the package -> the operators that it implements, each by a function of
    the operator's name."""
    return {
        name: lazily(f"{package}.{module}", name)
        for module, names in operators.items()
        for name in names
    }


def without_autocast(kernels: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """Kernels of torch operations that compute in the dtype they say: inside an operator autocast
    would still turn their matrix products into 16 bits."""

    def wrap(kernel: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(kernel)
        def run(*args: Any) -> Any:
            if torch.compiler.is_dynamo_compiling():  # Dynamo can not trace _DisableAutocast
                with torch.autocast(_device_type(args), enabled=False):
                    return kernel(*args)
            with torch._C._DisableAutocast():
                return kernel(*args)

        return run

    return {op: wrap(kernel) for op, kernel in kernels.items()}


def _device_type(args: Sequence[Any]) -> str:
    """Of the first tensor, which may be one of a list; "cpu" without one."""
    for arg in args:
        for x in arg if isinstance(arg, (list, tuple)) else (arg,):
            if isinstance(x, torch.Tensor):
                return str(x.device.type)
    return "cpu"


@dataclass(frozen=True)
class Explanation:
    """Every backend of an operator with its reasons.

    chosen: the one that would run; requested: the one asked for by name, "" for none. products: in
    a call that was watched, what forms the matrix products of the operator.
    """

    op: str
    chosen: str | None
    reasons: Mapping[str, list[str]]
    requested: str = ""
    products: str = ""

    def __str__(self) -> str:
        asked = f" (backend {self.requested!r} was asked for)" if self.requested else ""
        products = f", products: {self.products}" if self.products else ""
        lines = [f"{self.op}: {self.chosen or 'no backend can run this'}{asked}{products}"]
        for name, why in self.reasons.items():
            lines.append(f"  {name:<10} {'; '.join(why) if why else 'can run'}")
        return "\n".join(lines)


def register_family(family: str, ops: Sequence[str], backends: Sequence[Backend]) -> None:
    """Declares a family's operators and its backends in order of preference."""
    _families[family] = tuple(backends)
    _found.clear()
    for op in ops:
        _family_of[op] = family


def families() -> dict[str, tuple[Backend, ...]]:
    return dict(_families)


def operators() -> tuple[str, ...]:
    return tuple(_family_of)


def check_name(name: str, source: str) -> str:
    """`name` if it is a backend, else ValueError naming where it came from."""
    if name not in NAMES:
        raise ValueError(f"{source}={name!r}: no such backend; accepted: {', '.join(NAMES)}")
    return name


def backend_name(backend: str | None) -> str:
    """The argument `backend` of a public function as operators take it, "" for None.

    Raises ValueError for an unknown name.
    """
    return check_name(backend, "backend") if backend else ""


def requested(argument: str | None = None) -> str:
    """The backend asked for by argument, context or environment, in this order; "" for none."""
    if argument:
        return "" if argument == AUTOMATIC else check_name(argument, "backend")
    if name := _requested.get():
        return name
    name = environment.backend() or ""
    return check_name(name, "TSSSL_BACKEND") if name else ""


def resolve(argument: str) -> str:
    """The same, with AUTOMATIC for none: a name that settles the question for what follows.

    A backward has to run where its forward was asked to; and reading the environment costs 4 of
    the 120 microseconds that a small loss takes.
    """
    return argument or requested() or AUTOMATIC


@contextlib.contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Runs every operator inside the `with` block on backend `name`, or raises.

    Raises ValueError for an unknown name; BackendUnavailableError, at the call, where the backend
    can not run the inputs.
    """
    token = _requested.set(check_name(name, "backend"))
    try:
        yield
    finally:
        _requested.reset(token)


def select(op: str, tensors: Sequence[Tensor], backend: str = "") -> Callable[..., Any]:
    """The kernel that runs `op` on these tensors."""
    name = "" if backend == AUTOMATIC else requested(backend)
    if not name:
        dtype = tensors[0].dtype
        kernel = _found.get((op, dtype))
        if kernel is not None:
            for tensor in tensors:
                if not tensor.is_cpu or tensor.dtype is not dtype:
                    break
            else:
                return kernel
    backends = _families[_family_of[op]]
    if (watched := _watched.get()) is not None:
        watched.append(explain(op, *tensors, backend=backend))
    if name:
        for candidate in backends:
            if candidate.name == name:
                why = candidate.reasons(op, tensors)
                if not why:
                    return candidate.kernels[op]
                raise BackendUnavailableError(
                    f"{op}: backend {name!r} was asked for and can not run: {'; '.join(why)}"
                )
        raise BackendUnavailableError(f"{op}: this family has no backend {name!r}")
    for candidate in backends:
        why = candidate.reasons(op, tensors)
        if not why:
            dtype = tensors[0].dtype
            if op in candidate.by_dtype and all(t.is_cpu and t.dtype == dtype for t in tensors):
                _found[op, dtype] = candidate.kernels[op]
            return candidate.kernels[op]
        if all(t.device.type in candidate.devices for t in tensors):
            tell_once("%s: not on backend %s: %s", op, candidate.name, "; ".join(why))
    raise BackendUnavailableError(str(explain(op, *tensors)))


def tell_once(message: str, *words: str, level: int = logging.WARNING) -> None:
    """To the package's log, the first time; to `watching` every time."""
    if (watched := _watched.get()) is not None:
        watched.append(message % words)
    elif (message, *words) not in _told:
        _told.add((message, *words))
        logger.log(level, message, *words)


def tell_products(op: str, products: str) -> None:
    """To `watching`: what forms the matrix products of an operator whose backend was chosen."""
    seen = _watched.get() or ()
    for i, known in enumerate(seen):
        if isinstance(known, Explanation) and known.op == op and products not in known.products:
            every = "; ".join(filter(None, (known.products, products)))
            seen[i] = dataclasses.replace(known, products=every)  # type: ignore[index]


@contextlib.contextmanager
def watching() -> Iterator[list[str | Explanation]]:
    """Inside the `with` block this list gets what `tell_once` tells, and an Explanation of every
    choice of a backend."""
    seen: list[str | Explanation] = []
    _found.clear()
    token = _watched.set(seen)
    try:
        yield seen
    finally:
        _watched.reset(token)


def run(op: str, *args: Any) -> Any:
    """Operator `op` on its arguments, by the backend that the last of them asks for."""
    *given, backend = args
    return select(op, [x for x in given if isinstance(x, Tensor)], backend)(*given)


def explain(op: str, *tensors: Tensor, backend: str = "") -> Explanation:
    """Which backend runs operator `op` on these tensors, and the others' reasons.

    Raises ValueError for an unknown operator.
    """
    if op not in _family_of:
        raise ValueError(f"op={op!r}: no such operator; accepted: {', '.join(_family_of)}")
    reasons = {b.name: b.reasons(op, tensors) for b in _families[_family_of[op]]}
    name = requested(backend)
    able = [n for n, why in reasons.items() if not why and (not name or n == name)]
    return Explanation(op, able[0] if able else None, reasons, name)
