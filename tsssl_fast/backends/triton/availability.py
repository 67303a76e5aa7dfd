"""A family's Triton backend: when it can run, and kernels that are imported at their first call."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from tsssl_fast.backends import environment
from tsssl_fast.backends.dispatch import Backend, lazy_kernels

# torch.get_float32_matmul_precision() -> input_precision of tl.dot for float32 operands.
DOT_PRECISION = {"highest": "ieee", "high": "tf32x3", "medium": "tf32"}


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


def dot_precision(x: Tensor) -> str:
    """PRECISION of gpu.numbers.dot for x's dtype: torch.get_float32_matmul_precision for float32.

    ROCm's matrix units take float32 itself: "ieee" whatever was asked for.
    """
    if x.dtype != torch.float32:
        return "interpreted" if x.device.type == "cpu" else "ieee"
    return "ieee" if torch.version.hip else DOT_PRECISION[torch.get_float32_matmul_precision()]


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
