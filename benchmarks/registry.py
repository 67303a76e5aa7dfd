"""What is measured: cases, and who provides an answer to each.

A case is one operator on inputs of one shape at one precision; a provider is one implementation:
this package on one of its backends, plain torch, numpy code, another library. A provider that can
not run says why instead of being left out.
"""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

# Modules of `suite/`, each with a list CASES.
MODULES = (
    *("nt_xent", "settings", "hierarchical", "papers", "peers"),
    *("decorrelation", "augment", "masking", "preprocess", "training"),
)
FAMILIES = ("contrastive", "decorrelation", "augment", "masking", "preprocess", "training")
# highest, medium: float32 inputs under torch.set_float32_matmul_precision; bf16: bfloat16 inputs.
PRECISIONS = ("highest", "medium", "bf16")
BACKENDS = ("cpp", "numba", "reference")
# Providers that are not what a user could write instead: ours in other forms, the floor of memory.
NO_RIVALS = (*BACKENDS, "compat", "precision=bf16", "copy")
# Nor are these plain torch: numpy, and other libraries.
NO_TORCH = ("numpy", "library", "lightly", "metric-learning")

# Runs once (losses forward and backward) and returns what it computed.
Run = Callable[[], tuple[Tensor, ...]]
Inputs = tuple[Tensor, ...]
Provider = Callable[[Inputs], Run]


class Unavailable(Exception):
    """Why a provider does not take part in a case."""


@dataclass(frozen=True)
class Case:
    """One shape of one operator at one precision.

    inputs: draws them; draw: the same by a seed, for an error that one draw does not decide;
    providers: name -> a function from the inputs to a Run, which may raise
    Unavailable. truth: the same in float64. compared: what of a result is held to the truth;
    judged: providers that can be held to it (None: all), for others draw differently. ours,
    baseline: the provider that is judged, the one that ratios refer to; rounding: the one whose
    error, times `factor` (ERROR_FACTOR of the family), is allowed (None: baseline). flops: of one
    unit, the product that the operator can not avoid, 0 where there is none. plain: plain NT-Xent
    on as many rows, and work: the products of this case, forward and backward, over those of that
    one. bars: least "ratio" to the baseline and to the "best" of all other providers, most "memory"
    in bytes of the inputs, most "microseconds" in a loop, most "per_work", "less_memory" than the
    baseline. needs: bytes of memory of the greediest provider or the truth; plain_flops: of plain
    torch, forward and backward. quick: part of --quick.
    """

    family: str
    operator: str
    shape: tuple[int, ...]
    inputs: Callable[[], Inputs]
    truth: Callable[[Inputs], Inputs]
    providers: dict[str, Provider]
    baseline: str
    factor: float
    ours: str = "cpp"
    draw: Callable[[int], Inputs] | None = None
    rounding: str | None = None
    compared: Callable[[Inputs], Inputs] = lambda results: results
    judged: frozenset[str] | None = None
    precision: str = "highest"
    flops: float = 0.0
    bars: dict[str, float] = field(default_factory=dict)
    plain: Provider | None = None
    work: float = 1.0
    needs: float = 0.0
    plain_flops: float = 0.0
    quick: bool = False

    @property
    def name(self) -> str:
        name = f"{self.operator} {'x'.join(map(str, self.shape))}"
        return name if self.precision == "highest" else f"{name} {self.precision}"

    @contextmanager
    def setting(self) -> Iterator[None]:
        """torch's precision of float32 products, as the case has it."""
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("medium" if self.precision == "medium" else "highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)


def cases(pattern: str = "", family: str = "all", quick: bool = False) -> list[Case]:
    """Every case of the family whose name contains one of the comma-separated parts.

    Raises ValueError for an unknown family.
    """
    if family not in (accepted := ("all", *FAMILIES)):
        raise ValueError(f"family: {family!r}; accepted: {', '.join(accepted)}")
    parts = pattern.split(",")
    every = (c for m in MODULES for c in importlib.import_module(f"suite.{m}").CASES)
    return [
        case
        for case in every
        if family in ("all", case.family)
        and (case.quick or not quick)
        and any(part in case.name for part in parts)
    ]


def case(name: str) -> Case:
    return next(c for c in cases(name) if c.name == name)
