"""Operations that remove: blocks, windows, channels, steps. Conventions as in values.py."""

from collections.abc import Sequence
from typing import ClassVar

from tsssl_fast.augment import validation
from tsssl_fast.augment.transform import Transform
from tsssl_fast.augment.validation import Range
from tsssl_fast.common import checks
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.spec import Code

__all__ = [
    "Blockout",
    "ChannelDropout",
    "RandomCrop",
    "TimeDropout",
]


def _check_steps(name: str, value: Range, steps: int) -> None:
    longest = validation.pair(value)[1]
    if validation.is_whole(value) and longest > steps:
        raise ValueError(f"{name}: {int(longest)} steps; accepted: at most T = {steps}")


class Blockout(Transform):
    """A block becomes `fill`: x~[c, t] = fill for k <= t < k + length and the chosen channels.

    k is uniform on all T - length + 1 starts.

    Source: SimCLR-TS, equation (8); its Figure 3c has a block of time over all channels, the
    default here. Units: length in steps or shares of T, fill in those of the series.

    Args:
        length: share of T in (0, 1] (floats; rounded to whole steps, at least one), or a number of
            steps (integers); a range draws it per sample. Steps above T: ValueError at the call.
        fill: the value written, or "mean" for the channel's mean over time (a constant in the
            derivative).
        channels: None for all, or the size of a block of neighbouring channels: a share of C
            (floats) or a number (integers).
        form: "block", or "literal" for equation (8) as printed: the block has the side
            length * C + 1, counted in channels, both in time and in channels.
    """

    length: Range = 0.1
    fill: float | str = 0.0
    channels: Range | None = None
    form: str = "block"
    code: ClassVar[Code] = Code.BLOCKOUT

    def check_arguments(self) -> None:
        checks.choice("form", self.form, ("block", "literal"))
        validation.size("length", self.length, spec.MAX_STEPS)
        if self.form == "literal":
            if validation.is_whole(self.length):
                raise ValueError(
                    f"length: {self.length}; accepted: a share of the channels with form='literal'"
                )
            if self.channels is not None:
                raise ValueError(f"channels: {self.channels}; accepted: None with form='literal'")
        if self.channels is not None:
            validation.size("channels", self.channels, spec.MAX_CHANNELS)
        if self.fill != "mean":
            validation.number("fill", self.fill)

    def row_arguments(self) -> Sequence[float]:
        mode = 2.0 if self.form == "literal" else float(validation.is_whole(self.length))
        mean = self.fill == "mean"
        wide = (-1.0, 0.0, 0.0)
        if self.channels is not None:
            wide = (float(validation.is_whole(self.channels)), *validation.pair(self.channels))
        fill = 0.0 if isinstance(self.fill, str) else self.fill
        return (mode, *validation.pair(self.length), fill, *wide, float(mean))

    def check_shape(self, channels: int, steps: int) -> None:
        _check_steps("length", self.length, steps)
        if self.channels is not None and validation.is_whole(self.channels):
            most = validation.pair(self.channels)[1]
            if most > channels:
                raise ValueError(f"channels: {int(most)}; accepted: at most C = {channels}")


class RandomCrop(Transform):
    """Keeps a window: x~[c, t] = x[c, t] for k <= t < k + length, else fill.

    Source: Cutout (DeVries and Taylor, 2017) with inside and outside exchanged, all channels alike.
    Units: length in steps or shares of T, fill in those of the series.

    Args:
        length: of the window, as in Blockout.
        fill: the value written outside.
    """

    length: Range = 0.5
    fill: float = 0.0
    code: ClassVar[Code] = Code.RANDOM_CROP

    def check_arguments(self) -> None:
        validation.size("length", self.length, spec.MAX_STEPS)
        validation.number("fill", self.fill)

    def row_arguments(self) -> Sequence[float]:
        return (float(validation.is_whole(self.length)), *validation.pair(self.length), self.fill)

    def check_shape(self, channels: int, steps: int) -> None:
        _check_steps("length", self.length, steps)


class ChannelDropout(Transform):
    """Whole channels vanish: x~[c, t] = fill with probability rate per channel, else x[c, t].

    All of them may.

    Source: Saeed et al., ICASSP 2021 (channel dropout for EEG). Units: rate is a probability, fill
    in those of the series.

    Args:
        rate: in [0, 1].
        fill: the value written.
    """

    rate: float = 0.2
    fill: float = 0.0
    code: ClassVar[Code] = Code.CHANNEL_DROPOUT

    def check_arguments(self) -> None:
        validation.probability("rate", self.rate)
        validation.number("fill", self.fill)

    def row_arguments(self) -> Sequence[float]:
        return (round(self.rate * spec.ALWAYS), 0.0, 0.0, self.fill)

    def slots(self) -> tuple[int, int]:
        return 0, 1


class TimeDropout(Transform):
    """Steps vanish, each by itself or in spans of geometric length: x~[c, t] = fill, or x[c, t].

    Spans follow a two-state chain whose share of masked steps is `rate` and whose masked spans have
    the mean length given; the chain starts anew in every channel of every sample.

    Source: Zerveas et al., KDD 2021; SimMTM (Dong et al., NeurIPS 2023). Units: rate is a share of
    T, span in steps, fill in those of the series.

    Args:
        rate: share of masked steps, in [0, 1).
        span: mean length >= 1 of a masked span, or None for independent steps.
        per_channel: channels draw on their own; else all share the steps.
        fill: the value written.
    """

    rate: float = 0.15
    span: float | None = None
    per_channel: bool = False
    fill: float = 0.0
    code: ClassVar[Code] = Code.TIME_DROPOUT

    def check_arguments(self) -> None:
        validation.probability("rate", self.rate)
        validation.boolean("per_channel", self.per_channel)
        validation.number("fill", self.fill)
        if self.rate == 1:
            raise ValueError("rate: 1; accepted: a share in [0, 1)")
        if self.span is not None:
            validation.interval("span", validation.number("span", self.span), 1)
            if self.rate / (1 - self.rate) > self.span:
                raise ValueError(
                    f"span: {self.span}; accepted: at least rate / (1 - rate) = "
                    f"{self.rate / (1 - self.rate):g}, else the share can not be reached"
                )

    def row_arguments(self) -> Sequence[float]:
        start = round(self.rate * spec.ALWAYS)
        leave = enter = 0
        if self.span is not None:
            leave = round(spec.ALWAYS / self.span)
            enter = round(spec.ALWAYS / self.span * self.rate / (1 - self.rate))
        spans = float(self.span is not None)
        return (spans, start, leave, enter, float(self.per_channel), self.fill)
