"""Callables in a pipeline: functions of a batch that are no operation of this package.

One is called once per view on (N, C, T) and returns the same shape, dtype and device. Where it
accepts `generator=`, it gets a torch.Generator on the device of x, seeded per (seed, epoch, step,
rank, view, place among the callables), and not per sample: what it draws depends on the batch.
"""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tsssl_fast.augment.program import Call
from tsssl_fast.backends.dispatch import Explanation
from tsssl_fast.common import random
from tsssl_fast.ops.augment import spec, torch_only
from tsssl_fast.ops.augment.spec import Source


@dataclasses.dataclass(frozen=True)
class PipelineExplanation(Explanation):
    """Which backend runs a pipeline's kernels, and the others' reasons.

    operations: of every operation, in order, where it runs. callables: what they depend on.
    """

    operations: tuple[str, ...] = ()
    callables: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = (*self.operations, *self.callables)
        return "\n".join([super().__str__(), *(f"  {line}" for line in lines)])


def seeded(function: Callable[..., Any]) -> bool:
    """Whether it accepts `generator=`."""
    inspected = function.forward if isinstance(function, nn.Module) else function
    try:
        parameters = inspect.signature(inspected).parameters
    except (TypeError, ValueError):  # a builtin may have none
        return False
    generator = parameters.get("generator")
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return generator is not None and generator.kind in named


def describe(function: Callable[..., Any]) -> str:
    """What its draws depend on, for `repr` and `explain`."""
    return "seeded per view, not per sample" if seeded(function) else "not reproducible"


def _run(call: Call, x: Tensor, key: random.Key, view: int) -> Tensor:
    """call.function on one view, (N, C, T)."""
    arguments = {}
    if seeded(call.function):
        low, high = random.fold(random.fold(key, view), call.number)
        arguments["generator"] = torch.Generator(x.device).manual_seed(low | high << 32)
    y = call.function(x, **arguments)
    if not isinstance(y, Tensor):
        raise TypeError(f"{call.name}: returned {type(y).__name__}; accepted: torch.Tensor")
    if y.dtype != x.dtype or y.device != x.device:
        raise TypeError(
            f"{call.name}: returned {y.dtype} on {y.device}; accepted: {x.dtype} on {x.device}"
        )
    if y.shape != x.shape:
        raise ValueError(
            f"{call.name}: returned shape {tuple(y.shape)}; accepted: (N, C, T) = {tuple(x.shape)}"
        )
    return y


def run_stages(x: Tensor, source: Source, calls: Sequence[Call], backend: str) -> Tensor:
    """A program with callables on (views, N, C, T), with parameters that are given.

    Padding stays as it is, whatever a callable makes of it.
    """
    program, key, _, lengths, table = source
    assert table is not None
    bounds = spec.bounds(program.tolist(), x.shape[2])
    folded = random.fold_seed(*random.numbers(key))
    inside = None
    if lengths is not None:
        steps = torch.arange(x.shape[-1], device=x.device)
        inside = (steps < lengths.to(x.device)[:, None])[:, None]

    def rows(y: Tensor, begin: int, end: int) -> Tensor:
        if begin == end:
            return y
        part = table[..., bounds[begin] : bounds[end]].contiguous()
        own = source._replace(program=program[begin:end], parameters=part)
        return torch_only.run(y, own, backend)

    y, done = x, 0
    for call in calls:
        y, done = rows(y, done, call.row), call.row
        views = list(y.unbind())
        for view in range(len(views)) if call.view < 0 else (call.view,):
            new = _run(call, views[view], folded, view)
            views[view] = new if inside is None else torch.where(inside, new, views[view])
        y = torch.stack(views)
    return rows(y, done, len(program))
