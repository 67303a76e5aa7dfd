"""What a channelwise encoder says of a series at several lengths and scales, as one vector."""

from typing import Any, Literal, overload

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool1d, adaptive_max_pool1d

from tsssl_fast.common import checks, random
from tsssl_fast.encoders import padding
from tsssl_fast.encoders.channelwise import Channelwise
from tsssl_fast.encoders.features import Features, per_step
from tsssl_fast.encoders.resample import resample, standardized

LIMIT = 2048  # features, unless all are asked for
PARTS = 3  # of time
ROWS = 256  # channels of series at once: their maps stay in the processor's caches
KEY = (0x9E3779B9, 0x7F4A7C15)  # of the projection


class ReadOut(nn.Module):
    """(N, C, T) -> (N, D): series of any number of channels and steps, by one `Channelwise`.

    Of every channel, stretched to each of `lengths` steps, once as it is given and once
    standardised by itself: mean and maximum over each third of time of the last block, 6 width
    numbers each. So amplitude is kept, and a shape has the same features at any amplitude. Beside
    them mean and deviation of every channel as it is given.

    More than 2,048 features are projected to so many: each is added, with a sign, to one of the
    sums (a count sketch: Charikar, Chen, Farach-Colton, 2002), which keeps inner products on
    average. Places and signs are drawn by Philox from the feature's number alone. Where means and
    deviations are an eighth of the features or less, they are not projected.

    Channels are expected on the scale of a train split, as `data.Scaling` brings them.

    Args:
        encoder: the network; its own `channels` do not matter.
        channels: C, for `out_features`; None: any.
        lengths: steps of the grids, each 8 or more.
        full: no projection.

    Raises TypeError for a length that is no number, ValueError for one below 8.
    """

    def __init__(
        self,
        encoder: Channelwise,
        channels: int | None = None,
        lengths: tuple[int, ...] = (128, 256),
        full: bool = False,
    ) -> None:
        super().__init__()
        for length in lengths:
            checks.at_least("lengths", length, 8)
        self.encoder = encoder
        self.channels, self.lengths, self.full = channels, tuple(lengths), full

    @property
    def out_features(self) -> int:
        """D. Raises ValueError where the number of channels was not given."""
        if self.channels is None:
            raise ValueError("channels: None; accepted: a number, for out_features")
        return self.features_of(self.channels)

    def features_of(self, channels: int) -> int:
        """D of series of so many channels."""
        every = channels * (self._per_channel() + 2)
        return every if self.full else min(every, LIMIT)

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
        """One vector a series, (N, D); with return_steps those of `features` per step before it.

        lengths: (N,) int64 in 1 to T, of series that end before T; padding changes nothing.

        Raises TypeError, ValueError for x or lengths of another kind, shape or range.
        """
        checks.floating("x", x)
        if x.dim() != 3 or 0 in x.shape[1:]:
            raise ValueError(f"x: shape {tuple(x.shape)}; accepted: (N, C, T) with C, T >= 1")
        if self.channels not in (None, x.shape[1]):
            raise ValueError(f"x: {x.shape[1]} channels; accepted: {self.channels}")
        if lengths is not None:
            lengths = padding.check(lengths, x)
            x = padding.hide(x, lengths)
        pooled = self._joined(self._of_maps(x, lengths), _moments(x, lengths))
        if not return_steps:
            return pooled
        grid = resample(x, self.lengths[0], lengths)
        return per_step(self.encoder.maps(grid, None)[1]), pooled

    def features(self, x: Tensor, lengths: Tensor | None = None) -> Features:
        """steps: those of the encoder on the first grid, (N, L, C width); no stages."""
        steps, pooled = self(x, lengths, return_steps=True)
        return Features(steps, pooled, None, ())

    def _joined(self, maps: Tensor, moments: Tensor) -> Tensor:
        every = maps.shape[1] + moments.shape[1]
        if self.full or every <= LIMIT:
            return torch.cat([maps, moments], dim=1)
        if 8 * moments.shape[1] > LIMIT:
            return _projected(torch.cat([maps, moments], dim=1), LIMIT)
        return torch.cat([_projected(maps, LIMIT - moments.shape[1]), moments], dim=1)

    def _per_channel(self) -> int:
        return 2 * len(self.lengths) * 2 * PARTS * self.encoder.width

    def _of_maps(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(N, C F): of each channel one grid after another, of each as given, then standardised."""
        found = []
        for steps in self.lengths:
            grid = resample(x, steps, lengths)
            for y in (grid, standardized(grid)):
                rows = y.reshape(-1, steps)
                # A program that is exported has a batch of any size.
                parts = (rows,) if torch.compiler.is_compiling() else rows.split(ROWS)
                found.append(torch.cat([self._of_rows(part) for part in parts]))
        return torch.stack(found, dim=1).reshape(len(x), x.shape[1] * self._per_channel())

    def _of_rows(self, rows: Tensor) -> Tensor:
        """(M, steps) -> (M, 6 width): means, then maxima over thirds."""
        if not torch.compiler.is_compiling() and len(rows) == 1:
            # Convolutions of a single row are computed another way, and round another way.
            return self._of_rows(rows.expand(2, -1))[:1]
        h = self.encoder.series(rows)[-1].squeeze(2)
        pools: Any = (adaptive_avg_pool1d, adaptive_max_pool1d)
        return torch.cat([pool(h, PARTS).flatten(1) for pool in pools], dim=1)


def _moments(x: Tensor, lengths: Tensor | None) -> Tensor:
    """(N, 2 C): mean and deviation over time of each channel."""
    count: Tensor | int = x.shape[-1] if lengths is None else lengths[:, None, None]
    mean = x.sum(-1, keepdim=True) / count
    square = padding.hide(x - mean, lengths).square().sum(-1, keepdim=True) / count
    return torch.cat([mean, square.sqrt()], dim=1).flatten(1)


def _projected(z: Tensor, size: int) -> Tensor:
    """(N, D) -> (N, size)."""
    zero = torch.zeros(z.shape[1], dtype=torch.int64, device=z.device)
    place, sign, _, _ = random.philox(
        (torch.arange(len(zero), device=z.device), zero, zero, zero), KEY
    )
    signed = z * (1.0 - 2.0 * (sign & 1)).to(z.dtype)
    return z.new_zeros(len(z), size).index_add(1, random.below(place, size), signed)
