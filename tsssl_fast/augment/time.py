"""Operations that move values along time. Conventions as in values.py."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tsssl_fast import _checks
from tsssl_fast.augment import _ranges
from tsssl_fast.augment._ranges import Range
from tsssl_fast.augment.transform import Transform
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.spec import Code


@dataclass(frozen=True)
class TimeFlip(Transform):
    """Time reversal: x~[c, t] = x[c, T-1-t]. SimCLR-TS, "left to right flip"."""

    code: ClassVar[Code] = Code.TIME_FLIP


@dataclass(frozen=True)
class CropResize(Transform):
    """A random segment stretched to the full length, linearly interpolated.

    x~[c, t] = x[c, s + t (L-1)/(T-1)] with L = max(1, scale * T) and s uniform on [0, T-L): the
    ends of the segment meet the ends of the row (align_corners). SimCLR-TS, "crop and resize".

    Args:
        scale: L / T in (0, 1], or a range.
    """

    scale: Range = (0.5, 1.0)
    code: ClassVar[Code] = Code.CROP_RESIZE
    names: ClassVar[tuple[str, ...]] = ("length", "start")

    def check(self) -> None:
        _ranges.interval("scale", self.scale, 0, 1, open_low=True)

    def arguments(self) -> Sequence[float]:
        return _ranges.pair(self.scale)


@dataclass(frozen=True)
class WindowSlice(Transform):
    """Window slicing (Le Guennec et al., 2016): a CropResize of one length.

    Args:
        ratio: share of the series that is kept, in (0, 1], or a range.
    """

    ratio: Range = 0.9
    code: ClassVar[Code] = Code.WINDOW_SLICE
    names: ClassVar[tuple[str, ...]] = ("length", "start")

    def check(self) -> None:
        _ranges.interval("ratio", self.ratio, 0, 1, open_low=True)

    def arguments(self) -> Sequence[float]:
        return _ranges.pair(self.ratio)


@dataclass(frozen=True)
class WindowWarp(Transform):
    """Window warping (Le Guennec et al., 2016): a window plays at another speed.

    A window of `length` is stretched by one of two factors; the whole is brought back to T steps,
    linearly interpolated.

    Args:
        length: of the window, as in Blockout.
        factors: the two factors > 0; each is drawn with probability 1/2.
    """

    length: Range = 0.1
    factors: tuple[float, float] = (0.5, 2.0)
    code: ClassVar[Code] = Code.WINDOW_WARP
    names: ClassVar[tuple[str, ...]] = ("length", "start", "factor")

    def check(self) -> None:
        _ranges.size("length", self.length, spec.MAX_STEPS)
        if not isinstance(self.factors, tuple) or len(self.factors) != 2:
            raise ValueError(f"factors: {self.factors}; accepted: two numbers > 0")
        for factor in self.factors:
            _checks.positive("factors", factor)

    def arguments(self) -> Sequence[float]:
        whole = float(_ranges.is_whole(self.length))
        return (whole, *_ranges.pair(self.length), *self.factors)

    def check_shape(self, channels: int, steps: int) -> None:
        longest = _ranges.pair(self.length)[1]
        if _ranges.is_whole(self.length) and longest > steps:
            raise ValueError(f"length: {int(longest)} steps; accepted: at most T = {steps}")


@dataclass(frozen=True)
class TimeWarp(Transform):
    """Smooth local speeding up and slowing down; both ends stay, the order of events too.

    x~[c, t] = x[c, tau(t)], linearly interpolated. tau is the integral of a speed that is linear
    between knots + 2 equidistant values 1 + strength * u, u uniform on [-1, 1), divided so that
    tau(T-1) = T-1: increasing and once continuously differentiable. SimCLR-TS, "time warping"; Um
    integrates a cubic spline of normal values, which can run backwards.

    Args:
        strength: in [0, 1), or a range; the fastest local speed over the slowest is at most
            (1 + strength) / (1 - strength).
        knots: inner knots, 0 to 62.
    """

    strength: Range = 0.5
    knots: int = 4
    code: ClassVar[Code] = Code.TIME_WARP
    names: ClassVar[tuple[str, ...]] = ("strength",)

    def check(self) -> None:
        _ranges.interval("strength", self.strength, 0, 1, open_high=True)
        _ranges.integer("knots", self.knots, 0, spec.MAX_KNOTS)

    def arguments(self) -> Sequence[float]:
        return _ranges.pair(self.strength)

    def slots(self) -> tuple[int, int]:
        return 3 + self.knots, 0


@dataclass(frozen=True)
class TimeScale(Transform):
    """One speed for the whole series: x~[c, t] = x[c, speed * t], linearly interpolated.

    What the document's `time_warp` does, at a fixed length: above 1 the series ends early and the
    rest follows `edge`, below 1 its end is cut off.

    Args:
        speed: > 0, or a range.
        edge: "repeat" the last value or "zero".
    """

    speed: Range = (0.8, 1.2)
    edge: str = "repeat"
    code: ClassVar[Code] = Code.TIME_SCALE
    names: ClassVar[tuple[str, ...]] = ("speed",)

    def check(self) -> None:
        _ranges.interval("speed", self.speed, 0, 1e6, open_low=True)
        _checks.choice("edge", self.edge, ("repeat", "zero"))

    def arguments(self) -> Sequence[float]:
        return (*_ranges.pair(self.speed), float(self.edge == "zero"))


@dataclass(frozen=True)
class TimeShift(Transform):
    """x~[c, t] = x[c, t - shift].

    Args:
        shift: share of T in [-1, 1] (floats, rounded to whole steps) or a number of steps
            (integers); a single value v stands for the range (-v, v).
        edge: "wrap" around, "repeat" the end values, or "zero".
    """

    shift: Range = 0.2
    edge: str = "wrap"
    code: ClassVar[Code] = Code.TIME_SHIFT
    names: ClassVar[tuple[str, ...]] = ("shift",)

    def _range(self) -> tuple[float, float]:
        low, high = _ranges.pair(self.shift)
        return (low, high) if isinstance(self.shift, tuple) else (-abs(high), abs(high))

    def check(self) -> None:
        bound = float(spec.MAX_STEPS) if _ranges.is_whole(self.shift) else 1.0
        _ranges.interval("shift", self.shift, -bound, bound)
        _checks.choice("edge", self.edge, ("wrap", "repeat", "zero"))

    def arguments(self) -> Sequence[float]:
        edge = ("wrap", "repeat", "zero").index(self.edge)
        return (float(_ranges.is_whole(self.shift)), *self._range(), edge)


@dataclass(frozen=True)
class SegmentPermutation(Transform):
    """Cuts the series in equal parts and shuffles them ("jigsaw"; Um: permutation).

    Part k holds the steps from floor(k T / n) to floor((k+1) T / n) - 1. Um and TS-TCC also draw
    the borders.

    Args:
        segments: n, 1 to 64, or a range.
    """

    segments: int | tuple[int, int] = (2, 5)
    code: ClassVar[Code] = Code.SEGMENT_PERMUTATION
    names: ClassVar[tuple[str, ...]] = ("segments",)

    def check(self) -> None:
        _ranges.whole_interval("segments", self.segments, 1, spec.MAX_SEGMENTS)

    def arguments(self) -> Sequence[float]:
        return _ranges.pair(self.segments)

    def slots(self) -> tuple[int, int]:
        return 1 + int(_ranges.pair(self.segments)[1]), 0


@dataclass(frozen=True)
class Smooth(Transform):
    """Three-tap low-pass: x~[t] = (1 - s) x[t] + s/2 (x[t-1] + x[t+1]).

    Frequency response 1 - s + s cos(w): s = 1/2 removes the highest frequency, s = 2/3 is the mean
    of three (the document's snippet, with edge="zero"). SimCLR-TS, "random smoothing", H(z). A box
    of more steps is MovingAverage.

    Args:
        strength: s in [0, 1], or a range; above 1/2 the highest frequencies change sign.
        passes: how often the filter runs, 1 to 64.
        edge: what stands beyond the ends: "repeat" the end value, "zero", or "reflect".
    """

    strength: Range = (0.0, 0.5)
    passes: int = 1
    edge: str = "repeat"
    code: ClassVar[Code] = Code.SMOOTH
    names: ClassVar[tuple[str, ...]] = ("strength",)

    def check(self) -> None:
        _ranges.interval("strength", self.strength, 0, 1)
        _ranges.integer("passes", self.passes, 1, 64)
        _checks.choice("edge", self.edge, ("repeat", "zero", "reflect"))

    def arguments(self) -> Sequence[float]:
        edge = ("repeat", "zero", "reflect").index(self.edge)
        return (*_ranges.pair(self.strength), self.passes, edge)
