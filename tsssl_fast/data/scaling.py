"""Scaling of channels, fitted on a train split and kept with the encoder."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tsssl_fast.common import checks

__all__ = ["SCALINGS", "Scaling"]

SCALINGS = ("standard", "scale", "none")


@dataclass(frozen=True)
class Scaling:
    """x -> (x - shift) / scale per channel, fitted on a train split and kept with the encoder.

    shift, scale: (C,) float32.
    """

    shift: Tensor
    scale: Tensor

    @classmethod
    def fit(cls, x: Tensor, kind: str = "standard", group: int = 1) -> "Scaling":
        """From x (N, C, T), over samples and time.

        Args:
            kind: "standard": mean 0 and standard deviation 1 per channel; "scale": divides by the
                root mean square and keeps the zero, so that rotations of sensor axes stay
                rotations; "none".
            group: that many neighbouring channels share one scale, 3 for the axes of a sensor.

        A constant channel keeps its scale. Raises ValueError for an unknown kind or a group that
        does not divide C.
        """
        checks.choice("scaling", kind, SCALINGS)
        channels = x.shape[1]
        if group < 1 or channels % group:
            raise ValueError(
                f"scale_group: {group}; accepted: a divisor of the {channels} channels"
            )
        shift = torch.zeros(channels)
        if kind == "none":
            return cls(shift, torch.ones(channels))
        if kind == "standard":
            shift = x.mean((0, 2))
        power = (x - shift[:, None]).square().mean((0, 2))
        scale = power.view(-1, group).mean(1).sqrt().repeat_interleave(group)
        return cls(shift, torch.where(scale > 1e-12, scale, 1.0))

    def __call__(self, x: Tensor) -> Tensor:
        if x.dim() != 3 or x.shape[1] != len(self.shift):
            raise ValueError(
                f"x: shape {tuple(x.shape)}; accepted: (N, {len(self.shift)}, T) as in pre-training"
            )
        return (x - self.shift[:, None]) / self.scale[:, None]
