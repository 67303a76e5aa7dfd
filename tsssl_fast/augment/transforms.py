"""The operations, each with its formula, its parameters and where it comes from.

x is one series, (C, T); x~ the result. Every sample of every view draws on its own whether the
operation acts (probability `p`) and its parameters. A range is a number, or (low, high) for a
uniform draw. "SimCLR-TS" is Pöppelbaum, Chadha, Schwung, Applied Soft Computing 2022.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from tsssl_fast import _checks
from tsssl_fast.augment import _ranges
from tsssl_fast.augment._ranges import Range
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.spec import Code


@dataclass(frozen=True)
class Transform:
    """One operation; a pipeline of its own when called. See Compose.__call__ for the arguments.

    Raises ValueError or TypeError, at construction, for an argument out of its range.
    """

    code: ClassVar[Code]

    def __call__(self, x: Tensor, views: int = 2, **arguments: object) -> Tensor:
        from tsssl_fast.augment.compose import Compose

        return Compose([self])(x, views, **arguments)  # type: ignore[arg-type]

    @property
    def probability(self) -> float:
        return getattr(self, "p", 1.0)

    def arguments(self) -> Sequence[float]:
        """Numbers in the row's argument columns."""
        return ()

    def slots(self) -> tuple[int, int]:
        """Parameters besides the flag of slot 0: (in all, per channel)."""
        return 0, 0

    def check_shape(self, channels: int, steps: int) -> None:
        """Raises ValueError where a series of this shape can not be handled."""

    def row(self, occurrence: int) -> list[float]:
        """The operation as a row of a program."""
        fixed, channel = self.slots()
        threshold = round(self.probability * 2**32)
        head = [
            float(self.code),
            occurrence,
            -1,
            threshold,
            1 + fixed,
            channel,
        ]
        head += [0.0] * (spec.COLUMNS - spec.ARGUMENTS - len(head))
        tail = list(self.arguments())
        return head + tail + [0.0] * (spec.ARGUMENTS - len(tail))


@dataclass(frozen=True)
class TimeFlip(Transform):
    """Time reversal: x~[c, t] = x[c, T-1-t]. SimCLR-TS, "left to right flip"."""

    p: float = 1.0
    code: ClassVar[Code] = Code.TIME_FLIP

    def __post_init__(self) -> None:
        _ranges.probability("p", self.p)


@dataclass(frozen=True)
class SignFlip(Transform):
    """Negation: x~ = -x. SimCLR-TS plots it as "bidirectional flipping"."""

    p: float = 1.0
    code: ClassVar[Code] = Code.SIGN_FLIP

    def __post_init__(self) -> None:
        _ranges.probability("p", self.p)


@dataclass(frozen=True)
class Blockout(Transform):
    """A block of time in all channels becomes `fill`: x~[c, t] = fill for k <= t < k + length.

    k is uniform on all T - length + 1 starts. SimCLR-TS, equation (8), over all channels as its
    Figure 3c shows.

    Args:
        length: share of T in (0, 1] (floats; rounded to whole steps, at least one), or a number of
            steps (ints); a range draws it per sample. Steps above T: ValueError at the call.
        fill: the value written.
        p: probability.
    """

    length: Range = 0.1
    fill: float = 0.0
    p: float = 1.0
    code: ClassVar[Code] = Code.BLOCKOUT
    _steps: bool = field(init=False, repr=False, default=False)

    def __post_init__(self) -> None:
        _ranges.probability("p", self.p)
        steps = _ranges.is_whole(self.length)
        object.__setattr__(self, "_steps", steps)
        if steps:
            _ranges.interval("length", self.length, 1, spec.MAX_STEPS)
        else:
            _ranges.interval("length", self.length, 0, 1, open_low=True)
        _ranges.number("fill", self.fill)

    def arguments(self) -> Sequence[float]:
        return (float(self._steps), *_ranges.pair(self.length), self.fill)

    def slots(self) -> tuple[int, int]:
        return 2, 0

    def check_shape(self, channels: int, steps: int) -> None:
        longest = _ranges.pair(self.length)[1]
        if self._steps and longest > steps:
            raise ValueError(f"length: {int(longest)} steps; accepted: at most T = {steps}")


@dataclass(frozen=True)
class RandomNoise(Transform):
    """Noise in proportion to each channel's own spread: x~[c, t] = x[c, t] + scale * sigma_c * r.

    sigma_c is the standard deviation of channel c over time (divided by T); r is uniform on [-1, 1)
    or standard normal, one number per element. SimCLR-TS, equation (9). sigma_c counts as a
    constant in the derivative.

    Args:
        scale: lambda >= 0, or a range.
        distribution: "uniform" or "normal".
        p: probability.
    """

    scale: Range = 0.1
    distribution: str = "uniform"
    p: float = 1.0
    code: ClassVar[Code] = Code.RANDOM_NOISE

    def __post_init__(self) -> None:
        _ranges.probability("p", self.p)
        _ranges.interval("scale", self.scale, 0)
        _checks.choice("distribution", self.distribution, ("uniform", "normal"))

    def arguments(self) -> Sequence[float]:
        return (*_ranges.pair(self.scale), float(self.distribution == "normal"))

    def slots(self) -> tuple[int, int]:
        return 1, 0


@dataclass(frozen=True)
class CropResize(Transform):
    """A random segment stretched to the full length, linearly interpolated.

    x~[c, t] = x[c, s + t (L-1)/(T-1)] with L = max(1, scale * T) and s uniform on [0, T-L): the
    ends of the segment meet the ends of the row (align_corners). SimCLR-TS, "crop and resize".

    Args:
        scale: L / T in (0, 1], or a range.
        p: probability.
    """

    scale: Range = (0.5, 1.0)
    p: float = 1.0
    code: ClassVar[Code] = Code.CROP_RESIZE

    def __post_init__(self) -> None:
        _ranges.probability("p", self.p)
        _ranges.interval("scale", self.scale, 0, 1, open_low=True)

    def arguments(self) -> Sequence[float]:
        return _ranges.pair(self.scale)

    def slots(self) -> tuple[int, int]:
        return 2, 0


@dataclass(frozen=True)
class MagnitudeWarp(Transform):
    """A sine along time, with its own phase in every channel.

    form="1+sin": x~[c, t] = x[c, t] (1 + a sin(2 pi n t / T + theta_c)), what SimCLR-TS plots;
    form="literal": x~[c, t] = x[c, t] a (1 + sin(...)), what it prints: the series vanishes once
    per period. theta_c is uniform on [0, 2 pi). The phase is kept in units of 2^-32 turns: its
    error at step t is at most t * 2^-33 turns.

    Args:
        amplitude: a >= 0, or a range.
        periods: n >= 0, or a range.
        form: "1+sin" or "literal".
        p: probability.
    """

    amplitude: Range = 0.1
    periods: Range = (1.0, 3.0)
    form: str = "1+sin"
    p: float = 1.0
    code: ClassVar[Code] = Code.MAGNITUDE_WARP

    def __post_init__(self) -> None:
        _ranges.probability("p", self.p)
        _ranges.interval("amplitude", self.amplitude, 0)
        _ranges.interval("periods", self.periods, 0)
        _checks.choice("form", self.form, ("1+sin", "literal"))

    def arguments(self) -> Sequence[float]:
        literal = float(self.form == "literal")
        return (*_ranges.pair(self.amplitude), *_ranges.pair(self.periods), literal)

    def slots(self) -> tuple[int, int]:
        return 2, 1


@dataclass(frozen=True)
class TimeWarp(Transform):
    """Smooth local speeding up and slowing down; both ends stay, the order of events too.

    x~[c, t] = x[c, tau(t)], linearly interpolated. tau is the integral of a speed that is linear
    between knots + 2 equidistant values 1 + strength * u, u uniform on [-1, 1), divided so that
    tau(T-1) = T-1: increasing and once continuously differentiable. SimCLR-TS, "time warping"; Um
    et al., ICMI 2017, integrate a cubic spline of normal values, which can run backwards.

    Args:
        strength: in [0, 1), or a range; the fastest local speed over the slowest is at most
            (1 + strength) / (1 - strength).
        knots: inner knots, 0 to 62.
        p: probability.
    """

    strength: Range = 0.5
    knots: int = 4
    p: float = 1.0
    code: ClassVar[Code] = Code.TIME_WARP

    def __post_init__(self) -> None:
        _ranges.probability("p", self.p)
        _ranges.interval("strength", self.strength, 0, 1, open_high=True)
        _ranges.integer("knots", self.knots, 0, spec.MAX_KNOTS)

    def arguments(self) -> Sequence[float]:
        return _ranges.pair(self.strength)

    def slots(self) -> tuple[int, int]:
        return 3 + self.knots, 0


@dataclass(frozen=True)
class Smooth(Transform):
    """Three-tap low-pass: x~[t] = (1 - s) x[t] + s/2 (x[t-1] + x[t+1]), the ends repeated.

    Frequency response 1 - s + s cos(w): s = 1/2 removes the highest frequency, s = 2/3 is the mean
    of three. SimCLR-TS, "random smoothing", H(z).

    Args:
        strength: s in [0, 1], or a range; above 1/2 the highest frequencies change sign.
        passes: how often the filter runs, 1 to 64.
        p: probability.
    """

    strength: Range = (0.0, 0.5)
    passes: int = 1
    p: float = 1.0
    code: ClassVar[Code] = Code.SMOOTH

    def __post_init__(self) -> None:
        _ranges.probability("p", self.p)
        _ranges.interval("strength", self.strength, 0, 1)
        _ranges.integer("passes", self.passes, 1, 64)

    def arguments(self) -> Sequence[float]:
        return (*_ranges.pair(self.strength), self.passes)

    def slots(self) -> tuple[int, int]:
        return 1, 0
