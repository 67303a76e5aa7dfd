"""An encoder on series of other channels and another length than it was trained on."""

from typing import Any

import torch
from torch import Tensor, nn

from tsssl_fast import encoders
from tsssl_fast.backends.precision import host_of
from tsssl_fast.encoders import padding


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

    def forward(
        self, x: Tensor, lengths: Tensor | None = None, *, return_steps: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """lengths: (N,) int64, of series that end before T; each is stretched by itself.

        return_steps: features per step, (N, L, F), before the pooled ones.
        """
        if return_steps:
            found = self.features(x, lengths)
            return found.steps, found.pooled
        features: Tensor = self.encoder(self._sensors(x, lengths))
        return features if self.parts == 1 else features.reshape(len(x), -1)

    def features(self, x: Tensor, lengths: Tensor | None = None) -> encoders.Features:
        """As the encoder's own, those of several sensors side by side, and no stages.

        x: (N, C, T); lengths: (N,) int64, its steps that are no padding, or None.
        """
        encoder: Any = self.encoder
        steps, pooled, _, _ = encoder.features(self._sensors(x, lengths))
        beside = steps.unflatten(0, (len(x), self.parts)).transpose(1, 2).flatten(2)
        return encoders.Features(beside, pooled.reshape(len(x), -1), None, ())

    def _sensors(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(N parts, channels, length): what the encoder takes."""
        if lengths is not None:
            x = _stretched(x, padding.check(lengths, x), self.length)
        elif x.shape[-1] != self.length:
            x = torch.nn.functional.interpolate(
                x, size=self.length, mode="linear", align_corners=True
            )
        if self.missing:
            x = torch.nn.functional.pad(x, (0, 0, 0, self.missing))
        return x if self.parts == 1 else x.unflatten(1, (self.parts, self.channels)).flatten(0, 1)


def _stretched(x: Tensor, lengths: Tensor, steps: int) -> Tensor:
    """(N, C, T) -> (N, C, steps), linearly, the first and last step of each series on the ends."""
    host = host_of(x)
    share = torch.arange(steps, device=host, dtype=torch.float64) / max(1, steps - 1)
    place = share * (lengths - 1)[:, None].to(host)
    weight = (place - place.long())[:, None].to(x.dtype).to(x.device)
    before, last = place.long().to(x.device), (lengths - 1)[:, None].to(x.device)

    def at(step: Tensor) -> Tensor:
        return x.gather(2, torch.minimum(step, last)[:, None].expand(-1, x.shape[1], -1))

    return torch.lerp(at(before), at(before + 1), weight)


def adapt(encoder: nn.Module, trained: tuple[int, int], given: tuple[int, int]) -> nn.Module:
    """`encoder` of (channels, length) `trained`, ready for series of (channels, length) `given`.

    The encoder itself where both are the same. Raises as `Adapted`.
    """
    return encoder if trained == given else Adapted(encoder, *trained, given[0])
