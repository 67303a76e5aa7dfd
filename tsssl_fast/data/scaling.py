"""Scaling of channels, fitted on a train split and kept with the encoder."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import overload

import torch
from torch import Tensor

from tsssl_fast.common import checks
from tsssl_fast.data.stored import Series, blocks

SCALINGS = ("standard", "scale", "minmax", "none")


@dataclass(frozen=True)
class Scaling:
    """x -> (x - shift) / scale per channel, fitted on a train split and kept with the encoder.

    Both are computed and applied in float64, whatever the unit of x; the result is float32.

    shift, scale: (C,) float64, both in the unit of x.
    """

    shift: Tensor
    scale: Tensor

    @classmethod
    def fit(
        cls,
        x: Tensor | Series,
        kind: str = "standard",
        group: int = 1,
        lengths: Tensor | None = None,
    ) -> "Scaling":
        """From x (N, C, T), over samples and time, in float64, some rows at a time.

        Args:
            kind: "standard": mean 0 and standard deviation 1 per channel; "scale": divides by the
                root mean square and keeps the zero, so that rotations of sensor axes stay
                rotations; "minmax": the least value of the train split becomes 0, the greatest 1;
                "none".
            group: that many neighbouring channels share one scale, 3 for the axes of a sensor.
            lengths: (N,) int64 in 1 to T, the steps of each series before padding, which does not
                count; None: all of them.

        A constant channel keeps its scale: one whose deviation is not above the rounding of x's
        dtype at the channel's largest value. Raises ValueError for an unknown kind or a group that
        does not divide C.
        """
        checks.choice("scaling", kind, SCALINGS)
        channels = x.shape[1]
        if group < 1 or channels % group:
            raise ValueError(
                f"scale_group: {group}; accepted: a divisor of the {channels} channels"
            )
        shift, unit = torch.zeros(channels).double(), torch.ones(channels).double()
        if kind == "none":
            return cls(shift, unit)
        size = _largest(x, shift, lengths)
        if kind == "minmax":
            low, high = _range(x, group, lengths)
            apart = high - low > torch.maximum(low.abs(), high.abs()) * _rounding(x)
            return cls(low, torch.where(apart, high - low, unit))
        if kind == "standard":
            shift = _mean(x, size, lengths)
        scale = _deviation(x, shift, group, lengths)
        tiny = size.view(-1, group).amax(1).repeat_interleave(group) * _rounding(x)
        return cls(shift, torch.where(scale > tiny, scale, unit))

    @overload
    def __call__(self, x: Tensor) -> Tensor: ...
    @overload
    def __call__(self, x: Series) -> Series: ...
    def __call__(self, x: Tensor | Series) -> Tensor | Series:
        """(N, C, T) -> float32; of `Series` rows are scaled when they are asked for.

        Raises ValueError for another C, or a result beyond float32.
        """
        if x.dim() != 3 or x.shape[1] != len(self.shift):
            raise ValueError(
                f"x: shape {tuple(x.shape)}; accepted: (N, {len(self.shift)}, T) as in pre-training"
            )
        if isinstance(x, Series):
            return x.changed(self.__call__, torch.float32)
        y = torch.empty(x.shape, dtype=torch.float32, device=x.device)
        for start, part in blocks(x):
            scaled = (part.double() - self.shift[:, None]) / self.scale[:, None]
            y[start : start + len(part)].copy_(scaled)
        if x.dtype == torch.float64 and not torch.isfinite(y).all():
            raise ValueError(
                "x: values that are beyond float32 after scaling; accepted: scaling='standard', or "
                "another unit"
            )
        return y


def constant_channels(x: Tensor | Series) -> list[int]:
    """Channels of x (N, C, T) that do not move, up to the rounding of their dtype."""
    size = _largest(x, torch.zeros(x.shape[1]).double())
    deviation = _deviation(x, _mean(x, size), 1)
    return torch.nonzero(deviation <= size * _rounding(x))[:, 0].tolist()


def _rounding(x: Tensor | Series) -> float:
    return torch.finfo(x.dtype).eps


def _parts(x: Tensor | Series, lengths: Tensor | None) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Some rows (n, C, T) at a time, and what of them is padding, (n, 1, T) bool."""
    for start, part in blocks(x):
        padding = None
        if lengths is not None:
            own = lengths[start : start + len(part), None, None].to(part.device)
            padding = torch.arange(part.shape[2], device=part.device) >= own
        yield part, padding


def _without(padding: Tensor | None, x: Tensor, value: float) -> Tensor:
    """x with the value where padding is."""
    return x if padding is None else x.masked_fill(padding, value)


def _count(x: Tensor | Series, lengths: Tensor | None) -> int:
    return x.shape[0] * x.shape[2] if lengths is None else int(lengths.sum())


def _largest(x: Tensor | Series, shift: Tensor, lengths: Tensor | None = None) -> Tensor:
    """(C,): max |x - shift|."""
    parts = (
        _without(padding, (part.double() - shift[:, None]).abs(), 0.0).amax((0, 2))
        for part, padding in _parts(x, lengths)
    )
    return reduce(torch.maximum, parts)


def _range(x: Tensor | Series, group: int, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    """(C,), (C,): least and greatest values, of groups of channels together."""
    ends = []
    for name, better, none in (
        ("amin", torch.minimum, torch.inf),
        ("amax", torch.maximum, -torch.inf),
    ):
        parts = (
            getattr(_without(padding, part, none), name)((0, 2)).double()
            for part, padding in _parts(x, lengths)
        )
        of_groups = getattr(reduce(better, parts).view(-1, group), name)(1)
        ends.append(of_groups.repeat_interleave(group))
    return ends[0], ends[1]


def _mean(x: Tensor | Series, size: Tensor, lengths: Tensor | None = None) -> Tensor:
    """(C,). Around the first value, so that a constant channel's is exact, and in units of its
    size, so that no sum overflows."""
    first = x[:1][0, :, 0].double()
    unit = torch.where(size > 0, size, 1.0)
    sums = (
        _without(padding, part.double() / unit[:, None] - (first / unit)[:, None], 0.0).sum((0, 2))
        for part, padding in _parts(x, lengths)
    )
    return first + reduce(torch.add, sums) / _count(x, lengths) * unit


def _deviation(
    x: Tensor | Series, shift: Tensor, group: int, lengths: Tensor | None = None
) -> Tensor:
    """(C,): root mean square around the shift, over groups of channels, in units of their largest
    value, so that no square overflows or vanishes."""
    largest = _largest(x, shift, lengths).view(-1, group).amax(1).repeat_interleave(group)
    unit = torch.where(largest > 0, largest, 1.0)
    powers = (
        _without(padding, (part.double() - shift[:, None]) / unit[:, None], 0.0)
        .square()
        .sum((0, 2))
        for part, padding in _parts(x, lengths)
    )
    power = reduce(torch.add, powers) / _count(x, lengths)
    shared = power.view(-1, group).mean(1).sqrt().repeat_interleave(group)
    return shared * unit
