"""What an encoder says of a series: at every step, of the whole, and on the way there."""

from abc import ABC, abstractmethod
from typing import Literal, NamedTuple, overload

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


def per_step(stage: Stage) -> Tensor:
    """(N, L, F), 0 from the end of a series on."""
    return padding.hide(stage.map, stage.lengths).squeeze(2).mT


class TimeEncoder(nn.Module, ABC):
    """An encoder whose pooled features are mean and maximum over time of those per step.

        encoder(x, lengths)           (N, C, T) -> (N, D), D = out_features = 2 F
        encoder(x, lengths, return_steps=True)  -> steps (N, L, F), pooled (N, D)
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
        stages, last = self._maps(x, lengths)
        return Features(per_step(last), mean_max(*last), last.lengths, tuple(stages))

    @overload
    def forward(
        self, x: Tensor, lengths: Tensor | None = ..., *, return_steps: Literal[False] = ...
    ) -> Tensor: ...
    @overload
    def forward(
        self, x: Tensor, lengths: Tensor | None = ..., *, return_steps: Literal[True]
    ) -> tuple[Tensor, Tensor]: ...
    def forward(
        self, x: Tensor, lengths: Tensor | None = None, *, return_steps: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Pooled features (N, D); with return_steps those per step (N, L, F) before them.

        Raises TypeError, ValueError for lengths of another kind, shape or range.
        """
        last = self._maps(x, lengths)[1]
        pooled = mean_max(*last)
        return (per_step(last), pooled) if return_steps else pooled

    def _maps(self, x: Tensor, lengths: Tensor | None) -> tuple[list[Stage], Stage]:
        if lengths is None:
            return self.maps(x, None)
        lengths = padding.check(lengths, x)
        return self.maps(padding.hide(x, lengths), lengths)
