"""The forms of launches that are recorded instead of run: what Triton would find in their arguments
on a GPU. Sizes that are no multiples of 16 give the forms for any size."""

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from types import ModuleType
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from gpu_objects.specialisation import Specialisation

_POINTERS = {
    **{torch.float16: "*fp16", torch.bfloat16: "*bf16", torch.float32: "*fp32"},
    **{torch.float64: "*fp64", torch.int64: "*i64", torch.int32: "*i32"},
    **{torch.uint8: "*u8", torch.bool: "*i1"},
}

Launch = tuple[Any, dict[str, Any], dict[str, Any]]  # kernel, arguments, options


@contextlib.contextmanager
def launches(target: str, precision: str, modules: Sequence[ModuleType]) -> Iterator[list[Launch]]:
    """Inside the `with` block launches are appended to this list. target, precision: what `family`
    and `dot_precision` say in these modules."""
    from triton.runtime.jit import JITFunction

    found: list[Launch] = []

    def run(self: Any, *args: Any, grid: Any, warmup: bool, **given: Any) -> None:
        values = dict(zip(self.arg_names, args, strict=False))
        options = {n: v for n, v in given.items() if n not in self.arg_names}
        values |= {n: v for n, v in given.items() if n in self.arg_names}
        found.append((self, values, options))

    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(JITFunction, "run", run))
        for module in modules:
            stack.enter_context(mock.patch.object(module, "family", return_value=target))
            stack.enter_context(mock.patch.object(module, "dot_precision", return_value=precision))
        yield found


def form(launch: Launch, label: str, target: str, **flags: Any) -> Specialisation:
    """What is compiled for a launch."""
    kernel, values, options = launch
    fixed = {p.name for p in kernel.params if p.is_constexpr}
    constants, arguments, multiples = {}, {}, set()
    for name, value in values.items():
        if name in fixed or value is None or (type(value) is int and value == 1):
            constants[name] = value
        elif isinstance(value, Tensor):
            arguments[name] = _POINTERS[value.dtype]
        else:
            arguments[name] = "fp32" if isinstance(value, float) else "i32"
            if isinstance(value, int) and value % 16 == 0:
                multiples.add(name)
    taken = dict(options)
    return Specialisation(
        *(kernel, label, arguments, constants, taken.pop("num_warps"), taken.pop("num_stages")),
        targets=(target,),
        fp_fusion=taken.pop("enable_fp_fusion"),
        multiples=frozenset(multiples),
        options=taken,
        **flags,
    )


def merged(forms: Iterable[Specialisation]) -> list[Specialisation]:
    """Each form once, with all its targets; of several under one name the later are numbered."""
    kept: dict[str, Specialisation] = {}
    names: Counter[str] = Counter()
    for form in forms:
        about = vars(form) | {"label": "", "targets": (), "multiples": sorted(form.multiples)}
        key = repr(sorted(about.items(), key=lambda item: item[0]))
        if key not in kept:
            names[form.name] += 1
            number = f", {names[form.name]}" if names[form.name] > 1 else ""
            kept[key] = dataclasses.replace(form, label=form.label + number)
        targets = dict.fromkeys((*kept[key].targets, *form.targets))
        kept[key] = dataclasses.replace(kept[key], targets=tuple(targets))
    return list(kept.values())
