"""An encoder on series of other channels and another length than it was trained on."""

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Adapted", "adapt"]


class Adapted(nn.Module):
    """(N, C, T) of another sensor -> features of an encoder made for (N, channels, length).

    Time is resampled linearly to `length` steps, ends on ends. C a multiple of `channels` is taken
    apart into sensors of so many channels, and their features stand side by side; fewer channels
    are filled up with zeros, the mean of a scaled channel.

    Raises ValueError for a C that is neither.
    """

    def __init__(self, encoder: nn.Module, channels: int, length: int, given: int) -> None:
        super().__init__()
        if given > channels and given % channels:
            raise ValueError(
                f"data: {given} channels; accepted: at most {channels}, the encoder's, or a "
                "multiple of it"
            )
        self.encoder = encoder
        self.channels, self.length = channels, length
        self.parts = max(1, given // channels)
        self.missing = max(0, channels - given)
        features: Any = encoder.out_features
        self.out_features = self.parts * features

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] != self.length:
            x = torch.nn.functional.interpolate(
                x, size=self.length, mode="linear", align_corners=True
            )
        if self.missing:
            x = torch.nn.functional.pad(x, (0, 0, 0, self.missing))
        features: Tensor
        if self.parts == 1:
            features = self.encoder(x)
            return features
        sensors = x.unflatten(1, (self.parts, self.channels)).flatten(0, 1)
        features = self.encoder(sensors)
        return features.reshape(len(x), -1)


def adapt(encoder: nn.Module, trained: tuple[int, int], given: tuple[int, int]) -> nn.Module:
    """`encoder` of (channels, length) `trained`, ready for series of (channels, length) `given`.

    The encoder itself where both are the same. Raises as `Adapted`.
    """
    return encoder if trained == given else Adapted(encoder, *trained, given[0])
