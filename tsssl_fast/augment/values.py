"""Operations on the values at their places: sign, scale, waves, noise, masks.

x is one series, (C, T); x~ the result. Every sample of every view draws on its own whether the
operation acts (probability `p`) and its parameters. A range is a number, or (low, high) for a
uniform draw. "SimCLR-TS" is Pöppelbaum, Chadha, Schwung, Applied Soft Computing 2022; "Um" is Um et
al., ICMI 2017.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

from tsssl_fast.augment import validation
from tsssl_fast.augment.transform import Transform
from tsssl_fast.augment.validation import Flag, Knots, NonNegative, Range, Whole, by
from tsssl_fast.common import checks
from tsssl_fast.ops.augment.spec import Code

__all__ = [
    "Drift",
    "Identity",
    "Jitter",
    "MagnitudeSpline",
    "MagnitudeWarp",
    "Offset",
    "Quantize",
    "RandomNoise",
    "Scale",
    "SignFlip",
]

_Distribution = Annotated[str, by(checks.choice, ("uniform", "normal"))]


class Identity(Transform):
    """The choice of OneOf to do nothing: x~[c, t] = x[c, t].

    Source: none needed. Units: no parameter.
    """


class SignFlip(Transform):
    """Negation: x~[c, t] = -x[c, t].

    Source: SimCLR-TS plots it as "bidirectional flipping"; the printed formula is
    BidirectionalFlip. Units: no parameter.

    Args:
        per_channel: every channel changes its sign with probability 1/2 (the axis flips of a sensor
            that is worn another way) instead of all of them.
    """

    per_channel: Flag = False

    def slots(self) -> tuple[int, int]:
        return 0, int(self.per_channel)


class Scale(Transform):
    """x~[c, t] = f_c x[c, t], f_c uniform on the range `factor`, or normal: N(1, magnitude^2).

    Source: Um (scaling), who draws normal factors. Units: factor has none, magnitude is a share of
    the series' values.

    form="literal" is what the published code of TS-TCC does: x~[c, t] = f_t x[c, t] with
    f_t ~ N(2, magnitude^2) drawn for every step, for all channels alike (an indexing error; meant
    was a factor per channel). In plain torch on every backend.

    Args:
        factor: range of f_c; (0.9, 1.1) where magnitude is not given either.
        magnitude: the deviation of a normal factor, >= 0, or a range (Um: 0.1).
        per_channel: every channel has its own factor; else one for the series. False for
            form="literal".
        form: "constant" or "literal".
    """

    factor: Annotated[Range | None, by(validation.interval, -math.inf)] = None
    magnitude: Annotated[Range | None, by(validation.interval, 0)] = None
    per_channel: Flag = False
    form: Annotated[str, by(checks.choice, ("constant", "literal"))] = "constant"
    renamed: ClassVar[Mapping[str, str]] = {
        "distribution": "factor for a uniform factor, magnitude for a normal one"
    }

    def check_arguments(self) -> None:
        if self.magnitude is not None:
            if self.factor is not None:
                raise ValueError(f"factor: {self.factor}; accepted: None with magnitude")
        elif self.form == "literal":
            raise ValueError("magnitude: None; accepted: a number >= 0 with form='literal'")
        elif self.factor is None:
            self.canonical(factor=(0.9, 1.1))
        if self.form == "literal" and self.per_channel:
            raise ValueError("per_channel: True; accepted: False with form='literal'")

    def row_code(self) -> Code:
        return Code.STEP_SCALE if self.form == "literal" else self.code

    def row_arguments(self) -> Sequence[float]:
        parameter = self.factor if self.magnitude is None else self.magnitude
        normal = float(self.magnitude is not None)
        return (*validation.pair(parameter or 0.0), normal, float(self.per_channel))

    def parameter_names(self) -> tuple[str, ...]:
        return ("unused",) if self.magnitude is None else ("magnitude",)

    def slots(self) -> tuple[int, int]:
        return 1, int(self.form == "constant")


class MagnitudeWarp(Transform):
    """A sine along time, with its own phase in every channel.

    form="1+sin": x~[c, t] = x[c, t] (1 + a sin(2 pi n t / T + theta_c)), what SimCLR-TS plots;
    form="literal": x~[c, t] = x[c, t] a (1 + sin(...)), what it prints: the series vanishes once
    per period. theta_c is uniform on [0, 2 pi). The phase is kept in units of 2^-32 turns: its
    error at step t is at most t * 2^-33 turns.

    Source: SimCLR-TS, magnitude warping. Units: magnitude is a share of the series' values, periods
    are whole turns per series.

    Args:
        magnitude: a >= 0, or a range; 0 changes nothing, but for form="literal".
        periods: n >= 0, or a range.
        form: "1+sin" or "literal".
    """

    magnitude: NonNegative = 0.1
    periods: NonNegative = (1.0, 3.0)
    form: Annotated[str, by(checks.choice, ("1+sin", "literal"))] = "1+sin"
    renamed: ClassVar[Mapping[str, str]] = {"amplitude": "magnitude"}


class MagnitudeSpline(Transform):
    """x~[c, t] = x[c, t] (1 + magnitude s_c(t)), s_c a smooth curve.

    s_c runs through knots + 2 equidistant standard normal values (a Catmull-Rom cubic, the ends
    repeated).

    Source: Um (magnitude warping), who uses a natural cubic spline through N(1, magnitude^2).
    Units: magnitude is a share of the series' values.

    Args:
        magnitude: >= 0, or a range.
        knots: the number of inner knots, 0 to 62, equidistant in the T steps.
    """

    magnitude: NonNegative = 0.2
    knots: Knots = 4
    renamed: ClassVar[Mapping[str, str]] = {"sigma": "magnitude"}

    def slots(self) -> tuple[int, int]:
        return 1, self.knots + 2


class Drift(Transform):
    """A slow wander of the baseline: x~[c, t] = x[c, t] + magnitude * s_c(t).

    s_c is the curve of MagnitudeSpline.

    Source: tsaug (Arundo, 2019), Drift. Units: magnitude in standard deviations of the channel, or
    in those of the series where it is not relative.

    Args:
        magnitude: >= 0, or a range.
        knots: inner knots, 0 to 62.
        relative: magnitude is in units of the channel's standard deviation over time (a constant in
            the derivative); else of the series.
    """

    magnitude: NonNegative = 0.2
    knots: Knots = 2
    relative: Flag = True
    renamed: ClassVar[Mapping[str, str]] = {"scale": "magnitude"}

    def slots(self) -> tuple[int, int]:
        return 1, self.knots + 2


class RandomNoise(Transform):
    """Noise in proportion to each channel's own spread.

    x~[c, t] = x[c, t] + magnitude * sigma_c * r.

    sigma_c is the standard deviation of channel c over time (divided by T); r is uniform on [-1, 1)
    or standard normal, one number per element. sigma_c counts as a constant in the derivative.

    Source: SimCLR-TS, equation (9). Units: magnitude in standard deviations of the channel.

    Args:
        magnitude: >= 0, or a range; lambda of the publication.
        distribution: "uniform" or "normal".
    """

    magnitude: NonNegative = 0.1
    distribution: _Distribution = "uniform"
    renamed: ClassVar[Mapping[str, str]] = {"scale": "magnitude"}


class Jitter(Transform):
    """Noise of a given size: x~[c, t] = x[c, t] + magnitude * r.

    r is standard normal or uniform on [-1, 1), one number per element.

    Source: Um (jitter). Units: magnitude in those of the series.

    Args:
        magnitude: >= 0, in units of the series, or a range (Um: 0.05).
        distribution: "normal" or "uniform".
    """

    magnitude: NonNegative = 0.05
    distribution: _Distribution = "normal"
    renamed: ClassVar[Mapping[str, str]] = {"sigma": "magnitude"}


class Offset(Transform):
    """Another baseline: x~[c, t] = x[c, t] + b, b uniform on the range `offset`.

    Source: Mohsenvand, Izadi, Maes, ML4H 2020 (the DC shift of EEG). Units: offset in those of the
    series.

    Args:
        offset: range of b; a number is added as it is.
        per_channel: every channel has its own b; else one for the series.
    """

    offset: Annotated[Range, by(validation.interval, -math.inf)] = (-0.1, 0.1)
    per_channel: Flag = False

    def parameter_names(self) -> tuple[str, ...]:
        return () if self.per_channel else ("offset",)

    def slots(self) -> tuple[int, int]:
        return (0, 1) if self.per_channel else (1, 0)


class Quantize(Transform):
    """Rounds every channel to equidistant values between its least and its greatest.

    x~[c, t] = m_c + w_c floor((x[c, t] - m_c) / w_c + 1/2), m_c and M_c the least and the greatest
    value of the channel, w_c = (M_c - m_c) / (levels - 1). A channel with NaN stays.

    Source: tsaug (Arundo, 2019), Quantize. Units: levels is a count.

    Args:
        levels: how many, 2 to 65536, or a range. The derivative counts as one (straight-through).
    """

    levels: Annotated[Whole, by(validation.whole_interval, 2, 1 << 16)] = (8, 32)
