"""`precision=`: the largest error that a call allows its products of float32 numbers.

| name     | two float32 numbers may be multiplied            | torch's name for it       |
| -------- | ------------------------------------------------ | ------------------------- |
| "ieee"   | as exactly as float32 is                         | "ieee", "none", "highest" |
| "bf16x3" | in three products of bfloat16 parts: 16 bits     | "tf32", "high"            |
| "bf16"   | in one product of bfloat16 numbers: 8 bits       | "bf16", "medium"          |

More exact arithmetic may run in its place. An operator takes a name, or "" for torch's setting,
which it reads where it runs, never where it is traced; its backward gets what the forward found.
"""

import functools
import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends import dispatch
from tsssl_fast.common import checks

NAMES = ("ieee", "bf16x3", "bf16")  # in the order of csrc's Precision, from the least error on
IEEE, BF16X3, BF16 = range(3)

_MEANING = {"ieee": IEEE, "none": IEEE, "highest": IEEE}
_MEANING |= {"tf32": BF16X3, "high": BF16X3, "bf16": BF16, "medium": BF16}

# Device types without float64: Metal, and most GPUs of Intel.
WITHOUT_FLOAT64 = frozenset({"mps", "xpu"})

CHOICES = {name: choice for choice, name in enumerate(NAMES)}

# torch 2.9 and later have a switch for each backend; before there was one for all, whose reader
# raises once a switch was used.
_fp32_precision = operator.attrgetter("fp32_precision")


def _reader(backend: Any) -> Callable[[], str]:
    switch = getattr(backend, "matmul", None)
    if not hasattr(switch, "fp32_precision"):
        return torch.get_float32_matmul_precision
    return functools.partial(_fp32_precision, switch)


# What torch's setting is called, for the CPU and for CUDA; no functions of this package, of which a
# small call runs as few as it can.
on_cpu = _reader(torch.backends.mkldnn)
on_cuda = _reader(torch.backends.cuda)
NAME_OF = {setting: NAMES[choice] for setting, choice in _MEANING.items()}


def precision_name(precision: str | None) -> str:
    """The argument `precision` of a public function as operators take it, "" for None.

    Raises ValueError for an unknown name.
    """
    if precision is None:
        return ""
    if precision == "float32":
        raise ValueError(
            "precision: 'float32' is called 'ieee' now; accepted: None, " + ", ".join(NAMES)
        )
    checks.choice("precision", precision, NAMES)
    return precision


def torch_setting(x: Tensor) -> int:
    """What torch allows its own products of tensors like x, an index in NAMES."""
    if x.is_cpu:
        return _MEANING.get(on_cpu(), IEEE)
    return _MEANING.get(on_cuda(), IEEE) if x.is_cuda else IEEE


# A choice among an operator's results, for the backward: () uint8, on the CPU whatever the inputs'
# device, so that reading it waits for no GPU.
saved_choice = functools.partial(torch.full, (), dtype=torch.uint8, device="cpu")


def fake_choice() -> Tensor:
    return torch.empty((), dtype=torch.uint8, device="cpu")


def exact(kernels: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """Kernels whose products are as exact as float32's whatever is allowed, as kernels that are
    told what is allowed: in their last argument."""

    def wrap(op: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(kernel)
        def run(*args: Any) -> Any:
            if not torch.compiler.is_compiling():  # traced as a definition
                dispatch.tell_products(op, NAMES[IEEE])
            return kernel(*args[:-1])

        return run

    return {op: wrap(op, kernel) for op, kernel in kernels.items()}


def widest(like: Tensor) -> torch.dtype:
    """float64, in which the definitions keep numbers beside a float32 tensor, or float32 where its
    device has no other."""
    if like.device.type in WITHOUT_FLOAT64 and like.dtype != torch.float64:
        return torch.float32
    return torch.float64


def host_of(x: Tensor) -> torch.device:
    """Where float64 numbers beside x are: its device, or the CPU where that has none."""
    return torch.device("cpu") if x.device.type in WITHOUT_FLOAT64 else x.device


def product(a: Tensor, b: Tensor, precision: str = NAMES[IEEE]) -> Tensor:
    """a @ b by torch, in float64 where torch's setting allows a larger error than `precision`, or
    could when a traced product runs; "", and on a device without float64: as torch's setting is.

    The setting is not changed meanwhile: it belongs to the whole process.
    """
    # torch multiplies sparse matrices as they are.
    if not precision or a.dtype != torch.float32 or a.layout != torch.strided:
        return a @ b
    known = BF16 if torch.compiler.is_compiling() else torch_setting(a)
    if known <= NAMES.index(precision) or widest(a) == torch.float32:
        return a @ b
    return (a.double() @ b.double()).to(a.dtype)
