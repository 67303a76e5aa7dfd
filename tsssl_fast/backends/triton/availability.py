"""A family's Triton backend: when it can run, and kernels that are imported at their first call."""

import contextvars
import functools
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends import dispatch, environment
from tsssl_fast.backends.dispatch import Backend, lazy_kernels
from tsssl_fast.backends.precision import IEEE

# input_precision of tl.dot for float32 operands, in the order of precision.NAMES.
DOT_PRECISION = ("ieee", "tf32x3", "tf32")
_choice: contextvars.ContextVar[int] = contextvars.ContextVar("tsssl_triton", default=IEEE)
allowed_here = _choice.get  # what the running kernel was allowed, an index in precision.NAMES


class TritonBackend(Backend):
    """For CUDA (and ROCm) tensors; CPU tensors only in Triton's interpreter, never by themselves.

    package, operators: where the kernels' launchers are; see dispatch.lazy_kernels.
    limits: (operator, tensors) -> the family's own reasons against these inputs.
    """

    def __init__(
        self,
        package: str,
        operators: Mapping[str, Sequence[str]],
        limits: Callable[[str, Sequence[Tensor]], list[str]],
    ) -> None:
        interpreted = frozenset({"cpu"}) if environment.triton_interpreter() else frozenset()
        super().__init__(
            "triton",
            kernels=lazy_kernels(package, operators),
            why_not=lambda op, tensors: _why_not() + limits(op, tensors),
            devices=frozenset({"cuda"}) | interpreted,
        )

    def reasons(self, op: str, tensors: Sequence[Tensor]) -> list[str]:
        if "cpu" not in self.devices and any(t.device.type == "cpu" for t in tensors):
            return [
                "device=cpu (supported: cuda; cpu only in Triton's interpreter, where "
                "TRITON_INTERPRET=1 is set before the program starts)"
            ]
        return super().reasons(op, tensors)


def _why_not() -> list[str]:
    if importlib.util.find_spec("triton") is None:
        return ["triton is not installed (Linux: pip install triton)"]
    return []


def dtype_reasons(tensors: Sequence[Tensor], supported: Sequence[torch.dtype]) -> list[str]:
    """A reason where a tensor's dtype is none of the supported ones."""
    names = ", ".join(sorted({str(t.dtype) for t in tensors} - {str(d) for d in supported}))
    return [f"dtype={names} (supported: {', '.join(map(str, supported))})"] if names else []


def with_precision(backend: Backend) -> Backend:
    """The backend with kernels that are told in their last argument what their products of float32
    numbers are allowed, an index in precision.NAMES: `dot_precision` answers accordingly."""

    def wrap(op: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(kernel)
        def run(*args: Any) -> Any:
            token = _choice.set(args[-1])
            try:
                if dispatch.watched() is not None:
                    first = args[0] if isinstance(args[0], Tensor) else args[0][0]
                    dispatch.tell_products(op, dot_precision(first))
                return kernel(*args[:-1])
            finally:
                _choice.reset(token)

        return run

    return backend.extended({op: wrap(op, kernel) for op, kernel in backend.kernels.items()})


def dot_precision(x: Tensor) -> str:
    """PRECISION of gpu.numbers.dot for x's dtype: for float32 what the kernel is allowed.

    ROCm's matrix units take float32 itself: "ieee" whatever is allowed.
    """
    if x.dtype != torch.float32:
        return "interpreted" if x.device.type == "cpu" else "ieee"
    return "ieee" if torch.version.hip else DOT_PRECISION[allowed_here()]


def on(x: Tensor) -> torch.cuda.device_of:
    """The context in which a kernel of x's device is launched; nothing for CPU tensors."""
    return torch.cuda.device_of(x)


def family(x: Tensor) -> str:
    """Which of targets.TARGETS' configurations a launch on x's device takes.

    "interpreter" on the CPU: blocks so small that little shapes have several.
    """
    if x.device.type == "cpu":
        return "interpreter"
    if torch.version.hip:
        return "gfx942"
    return "sm_90" if torch.cuda.get_device_capability(x.device)[0] >= 9 else "sm_80"
