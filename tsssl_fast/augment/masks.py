"""Operations that remove: blocks, windows, channels, steps. Conventions as in values.py."""

from typing import Annotated

from tsssl_fast.augment import validation
from tsssl_fast.augment.transform import Transform
from tsssl_fast.augment.validation import Flag, Number, Probability, Range, Size, by
from tsssl_fast.common import checks
from tsssl_fast.ops.augment import operation_table, spec

__all__ = [
    "Blockout",
    "ChannelDropout",
    "RandomCrop",
    "TimeDropout",
]


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

    length: Size = 0.1
    fill: float | str = 0.0
    channels: Annotated[Range | None, by(validation.size, spec.MAX_CHANNELS)] = None
    form: Annotated[str, by(checks.choice, ("block", "literal"))] = "block"

    def check_arguments(self) -> None:
        if self.form == "literal":
            if validation.is_whole(self.length):
                raise ValueError(
                    f"length: {self.length}; accepted: a share of the channels with form='literal'"
                )
            if self.channels is not None:
                raise ValueError(f"channels: {self.channels}; accepted: None with form='literal'")
        if self.fill != "mean":
            validation.number("fill", self.fill)

    def columns(self) -> dict[str, float]:
        given = super().columns()
        if self.channels is None:
            given |= {"channels_unit": -1.0, "channels_low": 0.0, "channels_high": 0.0}
        if self.form == "literal":
            given["length_unit"] = float(operation_table.BLOCKOUT_SIDE)
        fill = 0.0 if isinstance(self.fill, str) else self.fill
        return {**given, "fill": fill, "fill_mean": float(self.fill == "mean")}


class RandomCrop(Transform):
    """Keeps a window: x~[c, t] = x[c, t] for k <= t < k + length, else fill.

    Source: Cutout (DeVries and Taylor, 2017) with inside and outside exchanged, all channels alike.
    Units: length in steps or shares of T, fill in those of the series.

    Args:
        length: of the window, as in Blockout.
        fill: the value written outside.
    """

    length: Size = 0.5
    fill: Number = 0.0


class ChannelDropout(Transform):
    """Whole channels vanish: x~[c, t] = fill with probability rate per channel, else x[c, t].

    All of them may.

    Source: Saeed et al., ICASSP 2021 (channel dropout for EEG). Units: rate is a probability, fill
    in those of the series.

    Args:
        rate: in [0, 1].
        fill: the value written.
    """

    rate: Probability = 0.2
    fill: Number = 0.0


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

    rate: Probability = 0.15
    span: float | None = None
    per_channel: Flag = False
    fill: Number = 0.0

    def check_arguments(self) -> None:
        if self.rate == 1:
            raise ValueError("rate: 1; accepted: a share in [0, 1)")
        if self.span is not None:
            validation.interval("span", validation.number("span", self.span), 1)
            if self.rate / (1 - self.rate) > self.span:
                raise ValueError(
                    f"span: {self.span}; accepted: at least rate / (1 - rate) = "
                    f"{self.rate / (1 - self.rate):g}, else the share can not be reached"
                )

    def columns(self) -> dict[str, float]:
        leave = enter = 0
        if self.span is not None:
            leave = round(spec.ALWAYS / self.span)
            enter = round(spec.ALWAYS / self.span * self.rate / (1 - self.rate))
        spans = float(self.span is not None)
        return {**super().columns(), "spans": spans, "leave": leave, "enter": enter}
