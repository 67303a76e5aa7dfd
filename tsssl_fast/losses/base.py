"""What the contrastive modules share: their settings, and a temperature that may be learned."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from tsssl_fast.common import checks
from tsssl_fast.functional.contrastive import arguments
from tsssl_fast.functional.contrastive.problem import Temperature


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
