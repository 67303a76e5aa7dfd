"""What an encoder says of a series: at every step, of the whole, and on the way there."""

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from tsssl_fast.encoders import padding
from tsssl_fast.encoders.pool import mean_max


class Stage(NamedTuple):
    """What one part of an encoder returns.

    map: (N, F, 1, L); lengths: (N,) int64, the steps of L that are no padding, or None for all.
    """

    map: Tensor
    lengths: Tensor | None


class Features(NamedTuple):
    """What `encoder.features(x, lengths)` returns.

    steps: (N, L, F), L = ceil(T / stride); 0 from the end of a series on.
    pooled: (N, D), what `encoder(x, lengths)` returns.
    lengths: (N,) int64, the steps of L that are no padding; None where none was given.
    stages: what the parts of the encoder returned, first to last; empty where it names none.
    """

    steps: Tensor
    pooled: Tensor
    lengths: Tensor | None
    stages: tuple[Stage, ...]


class TimeEncoder(nn.Module, ABC):
    """An encoder whose pooled features are mean and maximum over time of those per step.

        encoder(x, lengths)           (N, C, T) -> (N, D), D = out_features = 2 F
        encoder.features(x, lengths)  (N, C, T) -> Features: steps (N, L, F), pooled (N, D), stages
        encoder.stride                steps of x to one of the features: L = ceil(T / stride)

    lengths, (N,) int64 in 1 to T, says from where on a series is padding, which changes nothing,
    not even as NaN; None: all T steps count. A subclass writes `maps`.
    """

    channels: int
    out_features: int
    stride: int

    @abstractmethod
    def maps(self, x: Tensor, lengths: Tensor | None) -> tuple[list[Stage], Stage]:
        """What its parts return, and the map that is pooled. x is 0 beyond the lengths."""

    def layers(self) -> list[nn.Module]:
        """Its parts that have weights, from the series to the features: what fine-tuning keeps or
        moves slowly. Those of `blocks` count each."""
        found: list[nn.Module] = []
        for name, part in self.named_children():
            found += list(part.children()) if name in ("blocks", "modules_") else [part]
        return [part for part in found if any(True for _ in part.parameters())]

    def feature_map(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(N, C, T) -> (N, F, 1, L); what stands beyond the lengths is no feature."""
        return self._maps(x, lengths)[1].map

    def features(self, x: Tensor, lengths: Tensor | None = None) -> Features:
        """Features per step, pooled, and of every stage.

        Raises TypeError, ValueError for lengths of another kind, shape or range.
        """
        stages, (h, left) = self._maps(x, lengths)
        steps = padding.hide(h, left).squeeze(2).mT
        return Features(steps, mean_max(h, left), left, tuple(stages))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        return mean_max(*self._maps(x, lengths)[1])

    def _maps(self, x: Tensor, lengths: Tensor | None) -> tuple[list[Stage], Stage]:
        if lengths is None:
            return self.maps(x, None)
        lengths = padding.check(lengths, x)
        return self.maps(padding.hide(x, lengths), lengths)
