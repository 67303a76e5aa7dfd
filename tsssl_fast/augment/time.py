"""Operations that move values along time. Conventions as in values.py."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from tsssl_fast.augment import validation
from tsssl_fast.augment.transform import Transform
from tsssl_fast.augment.validation import Edge, Knots, Range, Share, Size, Whole, by
from tsssl_fast.common import checks
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.spec import Code

__all__ = [
    "CropResize",
    "SegmentPermutation",
    "Smooth",
    "TimeFlip",
    "TimeScale",
    "TimeShift",
    "TimeWarp",
    "WindowSlice",
    "WindowWarp",
]


class TimeFlip(Transform):
    """Time reversal: x~[c, t] = x[c, T-1-t].

    Source: SimCLR-TS, left-to-right flip. Units: no parameter.
    """


class CropResize(Transform):
    """A random segment stretched to the full length, linearly interpolated.

    x~[c, t] = x[c, s + t (L-1)/(T-1)] with L = max(1, length * T) and s uniform on [0, T-L): the
    ends of the segment map to the ends of the series (align_corners).

    Source: SimCLR-TS, "crop and resize". Units: length is a share of T.

    Args:
        length: L / T in (0, 1], or a range.
    """

    length: Share = (0.5, 1.0)
    renamed: ClassVar[Mapping[str, str]] = {"scale": "length"}


class WindowSlice(Transform):
    """A CropResize of one length: x~[c, t] = x[c, s + t (length T - 1)/(T-1)].

    Source: Le Guennec et al., 2016 (window slicing). Units: length is a share of T.

    Args:
        length: share of the series that is kept, in (0, 1], or a range.
    """

    length: Share = 0.9
    renamed: ClassVar[Mapping[str, str]] = {"ratio": "length"}


class WindowWarp(Transform):
    """A window plays at another speed: x~[c, t] = x[c, tau(t)], linearly interpolated.

    A window of `length` steps from s is stretched by one of two factors f, the whole is brought
    back to T steps: with u = t (T - length + f length - 1)/(T-1), tau = u before the window,
    s + (u - s)/f inside, u - f length + length behind.

    Source: Le Guennec et al., 2016 (window warping). Units: length in steps or shares of T, factors
    have none.

    Args:
        length: of the window, as in Blockout.
        factors: the two factors > 0; each is drawn with probability 1/2.
    """

    length: Size = 0.1
    factors: tuple[float, float] = (0.5, 2.0)

    def check_arguments(self) -> None:
        if not isinstance(self.factors, tuple) or len(self.factors) != 2:
            raise ValueError(f"factors: {self.factors}; accepted: two numbers > 0")
        for factor in self.factors:
            checks.positive("factors", factor)

    def columns(self) -> dict[str, float]:
        first, second = self.factors
        return {**super().columns(), "factor_0": first, "factor_1": second}


class TimeWarp(Transform):
    """Smooth local speeding up and slowing down; both ends stay, the order of events too.

    x~[c, t] = x[c, tau(t)], linearly interpolated. tau is the integral of a speed that is linear
    between knots + 2 equidistant values 1 + magnitude * u, u uniform on [-1, 1), divided so that
    tau(T-1) = T-1: increasing and once continuously differentiable.

    Source: SimCLR-TS, "time warping", which has no formula; Um integrates a cubic spline of normal
    values, which can run backwards. Units: magnitude is a share of the mean speed.

    form="literal" is what some published code calls time warping:
    tau(t) = min(t + magnitude * u_t, T - 1) with u_t uniform on [0, 1), drawn for every step by
    itself, for all channels alike. No step moves further than `magnitude`, on the average half of
    it, always forward: noise on the time axis, no warp. In plain torch on every backend.

    Args:
        magnitude: in [0, 1), or a range; the fastest local speed over the slowest is at most
            (1 + magnitude) / (1 - magnitude). With form="literal" in steps (there: 0.2).
        knots: inner knots, 0 to 62; without meaning for form="literal".
        form: "smooth" or "literal".
    """

    magnitude: Annotated[Range, by(validation.interval, 0, 1, open_high=True)] = 0.5
    knots: Knots = 4
    form: Annotated[str, by(checks.choice, ("smooth", "literal"))] = "smooth"
    renamed: ClassVar[Mapping[str, str]] = {"strength": "magnitude"}

    def row_code(self) -> Code:
        return Code.INDEX_NOISE if self.form == "literal" else self.code

    def slots(self) -> tuple[int, int]:
        return (1 if self.form == "literal" else 3 + self.knots), 0


class TimeScale(Transform):
    """One speed for the whole series: x~[c, t] = x[c, speed * t], linearly interpolated.

    Above 1 the series ends early and the rest follows `edge`, below 1 its end is cut off.

    Source: Ko et al., Interspeech 2015 (speed perturbation), here at a fixed length. Units: speed
    in steps of the series per step.

    Args:
        speed: > 0, or a range.
        edge: "repeat" the last value or "zero".
    """

    speed: Annotated[Range, by(validation.interval, 0, 1e6, open_low=True)] = (0.8, 1.2)
    edge: Annotated[str, by(checks.choice, ("repeat", "zero"))] = "repeat"


class TimeShift(Transform):
    """x~[c, t] = x[c, t - shift].

    Source: torch_audiomentations, Shift; audio practice. Units: shift in steps or shares of T.

    Args:
        shift: share of T in [-1, 1] (floats, rounded to whole steps) or a number of steps
            (integers); a single value v stands for the range (-v, v).
        edge: "wrap" around, "repeat" the end values, or "zero".
    """

    shift: Range = 0.2
    edge: Annotated[str, by(checks.choice, ("wrap", "repeat", "zero"))] = "wrap"

    def check_arguments(self) -> None:
        bound = float(spec.MAX_STEPS) if validation.is_whole(self.shift) else 1.0
        validation.interval("shift", self.shift, -bound, bound)

    def columns(self) -> dict[str, float]:
        low, high = validation.pair(self.shift)
        if not isinstance(self.shift, tuple):
            low, high = -abs(high), abs(high)
        whole = float(validation.is_whole(self.shift))
        return {**super().columns(), "shift_unit": whole, "shift_low": low, "shift_high": high}


class SegmentPermutation(Transform):
    """Cuts the series in equal parts and shuffles them.

    Part k holds the steps from floor(k T / n) to floor((k+1) T / n) - 1; x~[c] = part o_1, then
    part o_2, ... of x[c], o a random order.

    Source: Um (permutation), who draws the borders too; known as jigsaw. Units: segments is a
    count.

    form="literal" is what the published code of TS-TCC does: the n - 1 borders are drawn from the
    steps 0 to T - 3, and for n > 1 channel 0 comes out in every channel (an indexing error). In
    plain torch on every backend.

    Args:
        segments: n, 1 to 64, or a range.
        form: "equal" or "literal".
    """

    segments: Annotated[Whole, by(validation.whole_interval, 1, spec.MAX_SEGMENTS)] = (2, 5)
    form: Annotated[str, by(checks.choice, ("equal", "literal"))] = "equal"

    def row_code(self) -> Code:
        return Code.FIRST_CHANNEL_SEGMENTS if self.form == "literal" else self.code

    def slots(self) -> tuple[int, int]:
        return 1 + int(validation.pair(self.segments)[1]), 0


class Smooth(Transform):
    """Three-tap low-pass: x~[t] = (1 - s) x[t] + s/2 (x[t-1] + x[t+1]).

    Frequency response 1 - s + s cos(w): s = 1/2 removes the highest frequency, s = 2/3 is the mean
    of three. A box of more steps is
    MovingAverage.

    Source: SimCLR-TS, "random smoothing", H(z). Units: magnitude has none.

    Args:
        magnitude: s in [0, 1], or a range; above 1/2 the highest frequencies change sign.
        passes: how often the filter runs, 1 to 64.
        edge: what stands beyond the ends: "repeat" the end value, "zero", or "reflect".
    """

    magnitude: Annotated[Range, by(validation.interval, 0, 1)] = (0.0, 0.5)
    passes: Annotated[int, by(validation.integer, 1, 64)] = 1
    edge: Edge = "repeat"
    renamed: ClassVar[Mapping[str, str]] = {"strength": "magnitude"}
