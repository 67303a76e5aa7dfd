"""What the modules share: their settings, and a temperature that may be learned."""

import copy
import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import torch
from torch import nn

from tsssl_fast.backends.precision import precision_name
from tsssl_fast.common import checks
from tsssl_fast.common.collectives import Group
from tsssl_fast.common.modules import DeclaredModule
from tsssl_fast.functional.contrastive import arguments
from tsssl_fast.functional.contrastive.problem import Temperature

Reduction = Annotated[str, checks.by(checks.choice, checks.REDUCTIONS)]
Precision = Annotated[str | None, lambda name, value: precision_name(value)]
# Settings of modules that their functions do not take.
OF_MODULES = frozenset({"learnable_temperature", "max_scale", "dim", "size"})


class AcrossProcesses:
    """What a loss module is that can take the rows of several processes.

    process_group: of torch.distributed, "world", or None for this process alone; ddp: what its
    backward is scaled for. See docs/processes.md.
    """

    process_group: Group = None
    ddp: bool = True

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """The copy is in the same group, which can not be copied."""
        memo[id(self.process_group)] = self.process_group
        copied = memo[id(self)] = type(self).__new__(type(self))
        vars(copied).update(copy.deepcopy(vars(self), memo))
        return copied


class LossModule(DeclaredModule, kw_only=True):
    """A module whose settings have the names, order and defaults of the loss' function."""

    if TYPE_CHECKING:
        precision: str | None

    passed: ClassVar[tuple[str, ...]] = ()  # keywords of the function

    def __init_subclass__(cls, kw_only: bool = False) -> None:
        super().__init_subclass__(kw_only)
        cls.passed = tuple(name for name in cls.settings if name not in OF_MODULES)

    def _options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.passed}


class ContrastiveModule(LossModule, kw_only=True):
    """Base of the losses with a temperature.

    temperature: tau > 0; a float, or what the loss' function takes. learnable_temperature: the
    parameter `log_scale`, log(1 / tau), starts at `temperature`, which must then be a float;
    `temperature` is what it stands for now.
    """

    if TYPE_CHECKING:
        temperature: Temperature
        learnable_temperature: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        temperature = self.temperature
        if isinstance(temperature, (int, float)):
            self.temperature = checks.positive("temperature", temperature)
        else:
            arguments.check_temperature_type("temperature", temperature)
        if self.learnable_temperature:
            if not isinstance(temperature, (int, float)):
                given = type(temperature).__name__
                raise TypeError(
                    f"temperature: {given} with learnable_temperature=True; accepted: a number"
                )
            self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))
            del self.temperature

    def __getattr__(self, name: str) -> Any:
        # Reached for what the instance lacks: a temperature that is learned.
        if name == "temperature":
            return (-self.log_scale).exp()
        return super().__getattr__(name)
