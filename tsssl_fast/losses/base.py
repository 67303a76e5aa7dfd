"""What the contrastive modules share: their settings, and a temperature that may be learned."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from tsssl_fast.common import checks
from tsssl_fast.common.collectives import Group
from tsssl_fast.functional.contrastive import arguments
from tsssl_fast.functional.contrastive.problem import Temperature


class AcrossProcesses:
    """What a loss module is that can take the rows of several processes.

    process_group: of torch.distributed, "world", or None for this process alone; ddp: what its
    backward is scaled for. See docs/processes.md.
    """

    process_group: Group = None
    ddp: bool = True


class ContrastiveModule(nn.Module):
    """Base of the contrastive losses: temperature, normalize, reduction, backend.

    Args:
        temperature: tau > 0; a float, or what the loss' function takes.
        learnable_temperature: the parameter `log_scale`, log(1 / tau), starts at `temperature`,
            which must then be a float; `temperature` is what it stands for now.
        normalize: cosines; False: dot products.
        reduction: "mean", "sum" or "none".
        backend: None chooses; a name never falls back.
    """

    temperature: Temperature

    def __init__(
        self,
        temperature: Temperature,
        normalize: bool,
        reduction: str,
        learnable_temperature: bool,
        backend: str | None,
    ) -> None:
        super().__init__()
        checks.choice("reduction", reduction, checks.REDUCTIONS)
        self.normalize = normalize
        self.reduction = reduction
        self.learnable_temperature = learnable_temperature
        self.backend = backend
        if learnable_temperature:
            if not isinstance(temperature, (int, float)):
                given = type(temperature).__name__
                raise TypeError(
                    f"temperature: {given} with learnable_temperature=True; accepted: a number"
                )
            start = -math.log(checks.positive("temperature", temperature))
            self.log_scale = nn.Parameter(torch.tensor(start))
        elif isinstance(temperature, (int, float)):
            self.temperature = checks.positive("temperature", temperature)
        else:
            arguments.check_temperature_type("temperature", temperature)
            self.temperature = temperature

    def __getattr__(self, name: str) -> Any:
        # Reached for what the instance lacks: a temperature that is learned.
        if name == "temperature":
            return (-self.log_scale).exp()
        return super().__getattr__(name)

    def _settings(self) -> dict[str, Any]:
        """The keywords that every contrastive function takes."""
        return {
            "temperature": self.temperature,
            "normalize": self.normalize,
            "reduction": self.reduction,
            "backend": self.backend,
        }

    def extra_repr(self) -> str:
        tau = self.temperature
        if isinstance(tau, Tensor) and tau.dim() == 0:
            tau = float(f"{tau.item():.6g}")
        out = [f"temperature={tau}", f"reduction={self.reduction!r}"]
        if not self.normalize:
            out.append("normalize=False")
        if self.learnable_temperature:
            out.append("learnable_temperature=True")
        return ", ".join(out)


class RowsOfProcesses(ContrastiveModule, AcrossProcesses):
    """The same of a loss of all rows of a batch, which several processes may have together.

    Args: as `ContrastiveModule`, and `process_group`, `ddp` of the loss' function.
    """

    def __init__(
        self,
        temperature: Temperature,
        normalize: bool,
        reduction: str,
        learnable_temperature: bool,
        process_group: Group,
        ddp: bool,
        backend: str | None,
    ) -> None:
        super().__init__(temperature, normalize, reduction, learnable_temperature, backend)
        self.process_group = process_group
        self.ddp = ddp

    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"process_group": self.process_group, "ddp": self.ddp}

    def extra_repr(self) -> str:
        return super().extra_repr() + shown_group(self)


def shown_group(module: AcrossProcesses) -> str:
    """For the repr of a module."""
    if module.process_group is None:
        return ""
    return f", process_group={module.process_group!r}" + ("" if module.ddp else ", ddp=False")
