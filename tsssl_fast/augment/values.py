"""Operations on the values at their places: sign, scale, waves, noise, masks.

x is one series, (C, T); x~ the result. Every sample of every view draws on its own whether the
operation acts (probability `p`) and its parameters. A range is a number, or (low, high) for a
uniform draw. "SimCLR-TS" is Pöppelbaum, Chadha, Schwung, Applied Soft Computing 2022; "Um" is Um et
al., ICMI 2017.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tsssl_fast.augment import _ranges
from tsssl_fast.augment._ranges import Range
from tsssl_fast.augment.transform import Transform
from tsssl_fast.common import checks
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.spec import Code

_DISTRIBUTIONS = ("uniform", "normal")


@dataclass(frozen=True)
class Identity(Transform):
    """The choice of OneOf to do nothing: x~[c, t] = x[c, t].

    Source: none needed. Units: no parameter.
    """

    code: ClassVar[Code] = Code.IDENTITY


@dataclass(frozen=True)
class SignFlip(Transform):
    """Negation: x~[c, t] = -x[c, t].

    Source: SimCLR-TS plots it as "bidirectional flipping", and so does the document's
    `bidirectional_flip`; the printed formula is BidirectionalFlip. Units: no parameter.

    Args:
        per_channel: every channel changes its sign with probability 1/2 (the axis flips of a sensor
            that is worn another way) instead of all of them.
    """

    per_channel: bool = False
    code: ClassVar[Code] = Code.SIGN_FLIP

    def check(self) -> None:
        _ranges.boolean("per_channel", self.per_channel)

    def slots(self) -> tuple[int, int]:
        return 0, int(self.per_channel)


@dataclass(frozen=True)
class Scale(Transform):
    """x~[c, t] = f_c x[c, t].

    Source: Um (scaling); the document's `magnitude_warping` is factor=(0.9, 1.1). Units: factors
    have none.

    form="literal" is what the published
    code of TS-TCC does: x~[c, t] = f_t x[c, t] with f_t ~ N(2, s^2) drawn for every step, for all
    channels alike (an indexing error; meant was a factor per channel). In plain torch on every
    backend.

    Args:
        factor: range of f_c ("uniform"), or of the deviation s of f_c ~ N(1, s^2) ("normal"; Um:
            0.1) or of f_t ("literal").
        distribution: "uniform" or "normal"; "normal" for form="literal".
        per_channel: every channel has its own factor; else one for the series. False for
            form="literal".
        form: "constant" or "literal".
    """

    factor: Range = (0.9, 1.1)
    distribution: str = "uniform"
    per_channel: bool = False
    form: str = "constant"
    code: ClassVar[Code] = Code.SCALE
    names: ClassVar[tuple[str, ...]] = ("sigma",)

    def check(self) -> None:
        checks.choice("distribution", self.distribution, _DISTRIBUTIONS)
        _ranges.boolean("per_channel", self.per_channel)
        checks.choice("form", self.form, ("constant", "literal"))
        low = 0.0 if self.distribution == "normal" else -_ranges.INFINITY
        _ranges.interval("factor", self.factor, low)
        if self.form == "literal":
            if self.distribution != "normal":
                given = repr(self.distribution)
                raise ValueError(f"distribution: {given}; accepted: 'normal' with form='literal'")
            if self.per_channel:
                raise ValueError("per_channel: True; accepted: False with form='literal'")
            object.__setattr__(self, "code", Code.STEP_SCALE)

    def arguments(self) -> Sequence[float]:
        normal = float(self.distribution == "normal")
        return (*_ranges.pair(self.factor), normal, float(self.per_channel))

    def slots(self) -> tuple[int, int]:
        return 1, int(self.form == "constant")


@dataclass(frozen=True)
class MagnitudeWarp(Transform):
    """A sine along time, with its own phase in every channel.

    form="1+sin": x~[c, t] = x[c, t] (1 + a sin(2 pi n t / T + theta_c)), what SimCLR-TS plots;
    form="literal": x~[c, t] = x[c, t] a (1 + sin(...)), what it prints: the series vanishes once
    per period. theta_c is uniform on [0, 2 pi). The phase is kept in units of 2^-32 turns: its
    error at step t is at most t * 2^-33 turns.

    Source: SimCLR-TS, magnitude warping (the document's snippet of this name is Scale). Units:
    amplitude has none, periods are whole turns per series.

    Args:
        amplitude: a >= 0, or a range.
        periods: n >= 0, or a range.
        form: "1+sin" or "literal".
    """

    amplitude: Range = 0.1
    periods: Range = (1.0, 3.0)
    form: str = "1+sin"
    code: ClassVar[Code] = Code.MAGNITUDE_WARP
    names: ClassVar[tuple[str, ...]] = ("amplitude", "periods")

    def check(self) -> None:
        _ranges.interval("amplitude", self.amplitude, 0)
        _ranges.interval("periods", self.periods, 0)
        checks.choice("form", self.form, ("1+sin", "literal"))

    def arguments(self) -> Sequence[float]:
        literal = float(self.form == "literal")
        return (*_ranges.pair(self.amplitude), *_ranges.pair(self.periods), literal)

    def slots(self) -> tuple[int, int]:
        return 2, 1


@dataclass(frozen=True)
class MagnitudeSpline(Transform):
    """x~[c, t] = x[c, t] (1 + sigma s_c(t)), s_c a smooth curve.

    s_c runs through knots + 2 equidistant standard normal values (a Catmull-Rom cubic, the ends
    repeated).

    Source: Um (magnitude warping), who uses a natural cubic spline through N(1, sigma^2). Units:
    sigma has none.

    Args:
        sigma: >= 0, or a range.
        knots: inner knots, 0 to 62.
    """

    sigma: Range = 0.2
    knots: int = 4
    code: ClassVar[Code] = Code.MAGNITUDE_SPLINE
    names: ClassVar[tuple[str, ...]] = ("sigma",)

    def check(self) -> None:
        _ranges.interval("sigma", self.sigma, 0)
        _ranges.integer("knots", self.knots, 0, spec.MAX_KNOTS)

    def arguments(self) -> Sequence[float]:
        return _ranges.pair(self.sigma)

    def slots(self) -> tuple[int, int]:
        return 1, self.knots + 2


@dataclass(frozen=True)
class Drift(Transform):
    """A slow wander of the baseline: x~[c, t] = x[c, t] + scale * s_c(t), s_c of MagnitudeSpline.

    Source: tsaug (Arundo, 2019), Drift. Units: scale in standard deviations of the channel, or in
    those of the series where it is not relative.

    Args:
        scale: >= 0, or a range.
        knots: inner knots, 0 to 62.
        relative: scale is in units of the channel's standard deviation over time (a constant in the
            derivative); else of the series.
    """

    scale: Range = 0.2
    knots: int = 2
    relative: bool = True
    code: ClassVar[Code] = Code.DRIFT
    names: ClassVar[tuple[str, ...]] = ("scale",)

    def check(self) -> None:
        _ranges.interval("scale", self.scale, 0)
        _ranges.integer("knots", self.knots, 0, spec.MAX_KNOTS)
        _ranges.boolean("relative", self.relative)

    def arguments(self) -> Sequence[float]:
        return (*_ranges.pair(self.scale), float(self.relative))

    def slots(self) -> tuple[int, int]:
        return 1, self.knots + 2


@dataclass(frozen=True)
class RandomNoise(Transform):
    """Noise in proportion to each channel's own spread: x~[c, t] = x[c, t] + scale * sigma_c * r.

    sigma_c is the standard deviation of channel c over time (divided by T); r is uniform on [-1, 1)
    or standard normal, one number per element. sigma_c counts as a constant in the derivative.

    Source: SimCLR-TS, equation (9), and the document's `random_noise`. Units: scale in standard
    deviations of the channel.

    Args:
        scale: lambda >= 0, or a range.
        distribution: "uniform" or "normal".
    """

    scale: Range = 0.1
    distribution: str = "uniform"
    code: ClassVar[Code] = Code.RANDOM_NOISE
    names: ClassVar[tuple[str, ...]] = ("scale",)

    def check(self) -> None:
        _ranges.interval("scale", self.scale, 0)
        checks.choice("distribution", self.distribution, _DISTRIBUTIONS)

    def arguments(self) -> Sequence[float]:
        return (*_ranges.pair(self.scale), float(self.distribution == "normal"))


@dataclass(frozen=True)
class Jitter(Transform):
    """Noise of a given size: x~[c, t] = x[c, t] + sigma * r.

    r is standard normal or uniform on [-1, 1), one number per element.

    Source: Um (jitter), and the document's `jitter`. Units: sigma in those of the series.

    Args:
        sigma: >= 0, in units of the series, or a range (Um and the document: 0.05).
        distribution: "normal" or "uniform".
    """

    sigma: Range = 0.05
    distribution: str = "normal"
    code: ClassVar[Code] = Code.JITTER
    names: ClassVar[tuple[str, ...]] = ("sigma",)

    def check(self) -> None:
        _ranges.interval("sigma", self.sigma, 0)
        checks.choice("distribution", self.distribution, _DISTRIBUTIONS)

    def arguments(self) -> Sequence[float]:
        return (*_ranges.pair(self.sigma), float(self.distribution == "normal"))


@dataclass(frozen=True)
class Quantize(Transform):
    """Rounds every channel to equidistant values between its least and its greatest.

    x~[c, t] = m_c + w_c floor((x[c, t] - m_c) / w_c + 1/2), m_c and M_c the least and the greatest
    value of the channel, w_c = (M_c - m_c) / (levels - 1). A channel with NaN stays.

    Source: tsaug (Arundo, 2019), Quantize. Units: levels is a count.

    Args:
        levels: how many, 2 to 65536, or a range. The derivative counts as one (straight-through).
    """

    levels: int | tuple[int, int] = (8, 32)
    code: ClassVar[Code] = Code.QUANTIZE
    names: ClassVar[tuple[str, ...]] = ("levels",)

    def check(self) -> None:
        _ranges.whole_interval("levels", self.levels, 2, 1 << 16)

    def arguments(self) -> Sequence[float]:
        return _ranges.pair(self.levels)
