"""Policies over all operations: which one acts, and how strongly, is drawn per sample of a view.

One vocabulary: strength 0 is the least that an operation can do, 1 the most that is of use for
series that were scaled to standard deviation 1. `RANGES` says what that is for each.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from tsssl_fast.augment import channels, filters, masks, time, validation, values
from tsssl_fast.augment.groups import Chooser, OneOf
from tsssl_fast.augment.transform import Transform
from tsssl_fast.common.checks import by
from tsssl_fast.ops.augment import operation_table, spec

__all__ = [
    "RANGES",
    "RandAugment",
    "StrengthRange",
    "TrivialAugment",
]


class StrengthRange(NamedTuple):
    """What strength means for an operation: `argument` from `weakest` at 0 to `strongest` at 1.

    kind: "range" where the argument takes one; "two-sided" where `weakest` is the middle of it and
    `strongest` its upper end; "steps" for whole numbers, "odd" for odd ones; "fixed" where all
    samples share the argument, a probability: it takes the middle of the strengths. others:
    further arguments. No argument: the operation has no strength.
    """

    operation: Callable[..., Transform]
    argument: str = ""
    weakest: float = 0.0
    strongest: float = 0.0
    kind: str = "range"
    others: Mapping[str, Any] = {}

    def at(self, low: float, high: float) -> Transform:
        """The operation with strengths in [low, high], of [0, 1]."""
        if not self.argument:
            return self.operation(**self.others)

        def value(strength: float) -> float:
            return self.weakest + strength * (self.strongest - self.weakest)

        given: Any
        if self.kind == "fixed":
            given = value((low + high) / 2)
        elif self.kind == "two-sided":
            given = (2 * self.weakest - value(high), value(high))
        else:
            ends = sorted((value(low), value(high)))
            given = (ends[0], ends[1])
            if self.kind == "steps":
                given = (round(ends[0]), round(ends[1]))
            elif self.kind == "odd":
                given = tuple(2 * round((end - 1) / 2) + 1 for end in ends)
        return self.operation(**{self.argument: given, **self.others})


_S = StrengthRange
# Every operation that keeps the shape and mixes no samples, by its name. Rotation stands apart: it
# needs triples of channels.
RANGES: Mapping[str, StrengthRange] = {
    "Identity": _S(values.Identity),
    "TimeFlip": _S(time.TimeFlip),
    "SignFlip": _S(values.SignFlip),
    "ChannelFlip": _S(channels.ChannelFlip),
    "BidirectionalFlip": _S(channels.BidirectionalFlip),
    "ChannelPermutation": _S(channels.ChannelPermutation),
    "Jitter": _S(values.Jitter, "magnitude", 0.0, 0.5),
    "RandomNoise": _S(values.RandomNoise, "magnitude", 0.0, 0.5),
    "Offset": _S(values.Offset, "offset", 0.0, 0.5, "two-sided", {"per_channel": True}),
    "Scale": _S(values.Scale, "magnitude", 0.0, 0.5, others={"per_channel": True}),
    "MagnitudeWarp": _S(values.MagnitudeWarp, "magnitude", 0.0, 0.5),
    "MagnitudeSpline": _S(values.MagnitudeSpline, "magnitude", 0.0, 0.5),
    "Drift": _S(values.Drift, "magnitude", 0.0, 1.0),
    "Quantize": _S(values.Quantize, "levels", 64, 4, "steps"),
    "CropResize": _S(time.CropResize, "length", 1.0, 0.4),
    "WindowSlice": _S(time.WindowSlice, "length", 1.0, 0.4),
    "WindowWarp": _S(time.WindowWarp, "length", 0.01, 0.5),
    "TimeWarp": _S(time.TimeWarp, "magnitude", 0.0, 0.8),
    "TimeScale": _S(time.TimeScale, "speed", 1.0, 1.4, "two-sided"),
    "TimeShift": _S(time.TimeShift, "shift", 0.0, 0.3, "two-sided"),
    "SegmentPermutation": _S(time.SegmentPermutation, "segments", 1, 8, "steps"),
    "Smooth": _S(time.Smooth, "magnitude", 0.0, 0.5),
    "MovingAverage": _S(filters.MovingAverage, "width", 3, 15, "odd"),
    "FrequencyMask": _S(filters.FrequencyMask, "rate", 0.0, 0.5, "fixed"),
    "PhaseSurrogate": _S(filters.PhaseSurrogate, "magnitude", 0.0, 0.5, "fixed"),
    "Blockout": _S(masks.Blockout, "length", 0.01, 0.5),
    "RandomCrop": _S(masks.RandomCrop, "length", 1.0, 0.4),
    "TimeDropout": _S(masks.TimeDropout, "rate", 0.0, 0.4, "fixed"),
    "ChannelDropout": _S(masks.ChannelDropout, "rate", 0.0, 0.5, "fixed"),
}

_Strength = Annotated[float, by(validation.interval, 0, 1)]


class _Policy(Chooser):
    def members(self) -> Sequence[Transform]:
        """The operations, which `check_arguments` has made."""
        made: tuple[Transform, ...] = self._among
        return made

    def chosen(self, low: float, high: float) -> tuple[Transform, ...]:
        """The operations to choose from, with strengths in [low, high]."""
        validation.number("strength", self.strength)
        names = self.operations
        if isinstance(names, str) or not isinstance(names, Sequence | None):
            given = type(names).__name__
            raise TypeError(f"operations: {given}; accepted: a sequence of names, or None for all")
        if names is not None:
            self.canonical(operations=tuple(names))
        names = tuple(RANGES if names is None else names)
        for name in names:
            if not isinstance(name, str) or name not in RANGES:
                raise ValueError(f"operations: {name!r}; accepted: {', '.join(RANGES)}")
        found = [RANGES[name].at(low, high) for name in names]
        if self.triples is not None:
            found.append(channels.Rotation(self.triples))
        if not found:
            raise ValueError("operations: none; accepted: one or more names, or None for all")
        return tuple(found)


class TrivialAugment(_Policy):
    """One operation, all alike likely, of a strength uniform from 0 to `strength`.

    Source: TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation, 2021. Deviation:
    strengths are real numbers, where 31 steps are drawn; an operation's probability (a rate), which
    all samples share, is that of the mean strength. Units: those of `RANGES`.

    Args:
        strength: in [0, 1].
        operations: names in `RANGES`; None for all: choose those that keep what your labels mean.
        triples: of three-axis sensors; with them Rotation is one more operation.
    """

    strength: _Strength = 1.0
    operations: Sequence[str] | None = None
    triples: tuple[tuple[int, int, int], ...] | None = None

    def check_arguments(self) -> None:
        self._among = self.chosen(0.0, self.strength)

    def row_arguments(self) -> Sequence[float]:
        return (operation_table.GROUP_SOME, 1, 1, len(self._among))


class RandAugment(_Policy):
    """`count` times one operation, all alike likely, of the given strength.

    Source: RandAugment: Practical Automated Data Augmentation with a Reduced Search Space, 2020. An
    operation may come twice, with two draws. Where the sign is drawn (shift, offset, speed), the
    value lies between both ends. Units: those of `RANGES`.

    Args:
        count: how many follow each other, 1 to 64.
        strength: of all of them, in [0, 1].
        operations: names in `RANGES`; None for all.
        triples: of three-axis sensors, as of `TrivialAugment`.
    """

    count: Annotated[int, by(validation.integer, 1, spec.MAX_CHILDREN)] = 2
    strength: _Strength = 0.3
    operations: Sequence[str] | None = None
    triples: tuple[tuple[int, int, int], ...] | None = None

    def check_arguments(self) -> None:
        turn = OneOf(self.chosen(self.strength, self.strength))
        self._among: tuple[Transform, ...] = (turn,) * self.count

    def row_arguments(self) -> Sequence[float]:
        return (operation_table.GROUP_ALL, *(len(self._among),) * 3)
