"""What is measured: cases, and who provides an answer to each.

A case has inputs of one shape; a provider is one implementation, run forward and backward. A
provider that can not run says why instead of being left out.
"""

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from torch import Tensor

# Modules of this folder with a list CASES, one per operator.
MODULES = ("nt_xent", "engine", "hierarchical", "decorrelation", "peers")

# Runs forward and backward once and returns the value and the gradients.
Run = Callable[[], tuple[Tensor, ...]]


class Unavailable(Exception):
    """Why a provider does not take part in a case."""


@dataclass(frozen=True)
class Case:
    """One shape of one operator.

    inputs: draws them; providers: name -> a function from the inputs to a Run, which may raise
    Unavailable. truth: the same in float64. ours, baseline: the provider that is judged and the one
    that ratios and errors refer to. factor: ERROR_FACTOR of the family. flops: of one unit, the
    product that the operator can not avoid; bytes: that have to move. plain: plain NT-Xent on as
    many rows, and work: the products of this case, forward and backward, over those of that one.
    bars: least "ratio" to the baseline and to the "best" of all other providers, most "memory" in
    bytes of the inputs, most "microseconds" in a loop, most "per_work", "less_memory" than the
    baseline.
    """

    name: str
    inputs: Callable[[], tuple[Tensor, ...]]
    truth: Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]
    providers: dict[str, Callable[[tuple[Tensor, ...]], Run]]
    ours: str
    baseline: str
    factor: float
    flops: float
    bytes: float
    bars: dict[str, float] = field(default_factory=dict)
    plain: Callable[[tuple[Tensor, ...]], Run] | None = None
    work: float = 1.0


def cases(pattern: str = "") -> list[Case]:
    """Every case whose name contains one of the comma-separated parts of `pattern`."""
    parts = pattern.split(",")
    every: Iterable[Case] = (c for m in MODULES for c in importlib.import_module(m).CASES)
    return [case for case in every if any(part in case.name for part in parts)]


def case(name: str) -> Case:
    return next(c for c in cases(name) if c.name == name)
