"""Operations for biosignals (EEG, ECG, EMG) and for irregular series, in plain torch on every
backend.

Those with a Fourier transform inside are held to a tolerance, not to the bit; what they draw is the
same everywhere. Frequencies are in Hz, with `rate`, the samples per second. Conventions as in
values.py; `presets.eeg`, `ecg`, `emg` and `irregular` put them together.
"""

from collections.abc import Sequence
from typing import Annotated

from tsssl_fast.augment import validation
from tsssl_fast.augment.filters import _Filter
from tsssl_fast.augment.validation import Flag, NonNegative, Probability, Range, Size, Whole
from tsssl_fast.common import checks
from tsssl_fast.common.checks import by
from tsssl_fast.ops.augment import spec

__all__ = [
    "BandPass",
    "BandRoll",
    "BandStop",
    "BaselineWander",
    "ChannelSwap",
    "ColouredNoise",
    "FrequencyShift",
    "JitteredStamps",
    "ObservationDropout",
    "PowerlineHum",
    "Renormalise",
    "Rereference",
    "TaperedMask",
]

MOST_PAIRS = spec.ARGUMENTS - 1
_Rate = Annotated[float, checks.positive]


class _InHertz(_Filter):
    """An operation with frequencies: row arguments are in turns per step."""

    rate: _Rate

    def check_arguments(self) -> None:
        validation.number("rate", self.rate)

    def turns(self, name: str) -> tuple[float, float]:
        """The range in Hz over the rate. Raises ValueError above half of the rate."""
        low, high = validation.pair(getattr(self, name))
        if high > self.rate / 2:
            raise ValueError(
                f"{name}: {high:g} Hz; accepted: up to half of rate = {self.rate:g}, "
                f"{self.rate / 2:g} Hz"
            )
        return low / self.rate, high / self.rate


class BandStop(_InHertz):
    """A band of frequencies is removed: x~[c] = irfft(m rfft(x[c])), m = 0 where |f - centre| <=
    width / 2, else 1; the mean stays.

    Source: Contrastive Representation Learning for Electroencephalogram Classification, 2020.
    Units: centre and width in Hz, rate in samples per second.

    Args:
        rate: samples per second, > 0.
        centre: of the band, up to rate / 2, or a range; drawn per sample.
        width: of the band, > 0, or a range.
    """

    centre: NonNegative = (2.0, 40.0)
    width: Annotated[Range, by(validation.interval, 0, open_low=True)] = 5.0

    def check_arguments(self) -> None:
        super().check_arguments()
        self.turns("centre")

    def row_arguments(self) -> Sequence[float]:
        width = (end / self.rate for end in validation.pair(self.width))
        return (*self.turns("centre"), *width)


class BandPass(_InHertz):
    """What is outside of a band vanishes: x~[c] = irfft(m rfft(x[c])), m = 1 where low <= f <=
    high, else 0.

    Source: torch_audiomentations, BandPassFilter; the usual filter before reading an EEG or EMG.
    Units: low and high in Hz, rate in samples per second.

    Args:
        rate: samples per second, > 0.
        low: the band's lower end, or a range; drawn per sample. 0 keeps the mean.
        high: its upper end, up to rate / 2 and above `low`, or a range.
    """

    low: NonNegative = (0.5, 4.0)
    high: NonNegative = (30.0, 45.0)

    def check_arguments(self) -> None:
        super().check_arguments()
        self.turns("low")
        if self.turns("high")[0] <= self.turns("low")[1]:
            raise ValueError(f"high: {self.high}; accepted: above low = {self.low}")

    def row_arguments(self) -> Sequence[float]:
        return (*self.turns("low"), *self.turns("high"))


class FrequencyShift(_InHertz):
    """Every frequency moves by the same amount: x~[c, t] = Re(a_c(t) exp(2 pi i shift t / rate)).

    a_c is the analytic signal of x[c] (Hilbert). What would fall below 0 Hz or above rate / 2 comes
    back from there.

    Source: Data Augmentation for Learning Predictive Models on EEG: A Systematic Comparison, 2022.
    Units: shift in Hz, rate in samples per second.

    Args:
        rate: samples per second, > 0.
        shift: a range in [-rate / 2, rate / 2]; a number v stands for (-v, v).
    """

    shift: Range = 2.0

    def check_arguments(self) -> None:
        super().check_arguments()
        validation.interval("shift", self.shift, -self.rate / 2, self.rate / 2)

    def row_arguments(self) -> Sequence[float]:
        low, high = validation.pair(self.shift)
        if not isinstance(self.shift, tuple):
            low, high = -abs(high), abs(high)
        return (low / self.rate, high / self.rate)


class _Sine(_InHertz):
    magnitude: NonNegative = (0.0, 0.5)
    frequency: NonNegative = 0.0

    def check_arguments(self) -> None:
        super().check_arguments()
        self.turns("frequency")

    def row_arguments(self) -> Sequence[float]:
        return (*validation.pair(self.magnitude), *self.turns("frequency"))


class BaselineWander(_Sine):
    """The slow rise and fall of breathing: x~[c, t] = x[c, t] + magnitude sigma_c sin(2 pi (theta_c
    + frequency t / rate)), theta_c uniform in every channel.

    sigma_c is the standard deviation of the channel, a constant in the derivative.

    Source: A Noise Stress Test for Arrhythmia Detectors, 1984, which adds recorded wander.
    Units: magnitude in standard deviations of the channel, frequency in Hz, rate in samples per
    second.

    Args:
        rate: samples per second, > 0.
        magnitude: >= 0, or a range.
        frequency: up to rate / 2, or a range.
    """

    magnitude: NonNegative = (0.0, 0.5)
    frequency: NonNegative = (0.05, 0.5)


class PowerlineHum(_Sine):
    """The mains in the leads: x~[c, t] = x[c, t] + magnitude sigma_c sin(2 pi (theta_c + frequency
    t / rate)), as BaselineWander, at 50 or 60 Hz.

    Source: A Comparison of the Noise Sensitivity of Nine QRS Detection Algorithms, 1990.
    Units: magnitude in standard deviations of the channel, frequency in Hz, rate in samples per
    second.

    Args:
        rate: samples per second, > 0.
        magnitude: >= 0, or a range.
        frequency: of the mains, up to rate / 2, or a range.
    """

    magnitude: NonNegative = (0.0, 0.3)
    frequency: NonNegative = 50.0


class ColouredNoise(_Filter):
    """Noise whose power falls with frequency: x~[c, t] = x[c, t] + magnitude sigma_c n_c(t).

    n_c has mean 0, deviation 1 and power in proportion to f^-exponent: 0 is white, 1 pink, 2 brown.
    sigma_c is the standard deviation of the channel, a constant in the derivative.

    Source: On Generating Power Law Noise, 1995. Units: magnitude in standard deviations of the
    channel, exponent has none.

    Args:
        magnitude: >= 0, or a range.
        exponent: in [-4, 4], or a range; drawn per sample.
    """

    magnitude: NonNegative = (0.0, 0.3)
    exponent: Annotated[Range, by(validation.interval, -4, 4)] = (0.0, 2.0)

    def row_arguments(self) -> Sequence[float]:
        return (*validation.pair(self.magnitude), *validation.pair(self.exponent))


class TaperedMask(_Filter):
    """A window of time fades out and in again: x~[c, t] = x[c, t] (1 + cos(pi w(t))) / 2.

    w is 1 inside the window, 0 outside, and rises in equal parts over floor(taper (length - 1))
    steps on each side: no step of the series is an edge that a detector could learn.

    Source: Data Augmentation for Learning Predictive Models on EEG: A Systematic Comparison, 2022
    (smooth time mask, there by sigmoids). Units: length in steps or shares of T, taper is a share
    of the length.

    Args:
        length: share of T in (0, 1] (floats) or a number of steps (integers), or a range.
        taper: share of the length on each side, in [0, 0.5].
    """

    length: Size = 0.2
    taper: Annotated[float, by(validation.interval, 0, 0.5)] = 0.25

    def check_arguments(self) -> None:
        validation.number("taper", self.taper)

    def row_arguments(self) -> Sequence[float]:
        whole = float(validation.is_whole(self.length))
        return (whole, *validation.pair(self.length), self.taper)


class ChannelSwap(_Filter):
    """Pairs of channels change places, always the same ones: x~[i, t] = x[j, t], x~[j, t] =
    x[i, t]: left and right electrodes.

    Source: HAMLET: Interpretable Human and Machine Co-Learning Technique, 2018 (channel symmetry of
    EEG). Units: channels by number.

    Args:
        pairs: 1 to 15 pairs (i, j) of channel numbers, without a channel twice.
    """

    pairs: Sequence[tuple[int, int]]

    def check_arguments(self) -> None:
        pairs = self.pairs if isinstance(self.pairs, tuple | list) else ()
        right = all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs)
        flat = [c for pair in pairs for c in pair] if right else [-1]
        whole = all(isinstance(c, int) and not isinstance(c, bool) for c in flat)
        if not 1 <= len(pairs) <= MOST_PAIRS or not whole or min(flat) < 0:
            raise ValueError(
                f"pairs: {self.pairs}; accepted: 1 to {MOST_PAIRS} pairs of channels >= 0"
            )
        if len(set(flat)) != len(flat) or max(flat) >= spec.MAX_CHANNELS:
            raise ValueError(f"pairs: {self.pairs}; accepted: every channel once")
        self.canonical(pairs=tuple((i, j) for i, j in pairs))

    def row_arguments(self) -> Sequence[float]:
        return (len(self.pairs), *(i + spec.MAX_CHANNELS * j for i, j in self.pairs))

    def check_shape(self, channels: int, steps: int) -> None:
        most = max(c for pair in self.pairs for c in pair)
        if most >= channels:
            raise ValueError(f"pairs: channel {most}; accepted: 0 to C - 1 = {channels - 1}")


class Rereference(_Filter):
    """Another reference electrode: x~[c, t] = x[c, t] - r(t), r the mean of all channels, or a
    channel drawn per sample, which becomes 0.

    Source: The EEG as Potential Mapping: The Value of the Average Monopolar Reference, 1950.
    Units: no parameter.

    Args:
        reference: "average", or "channel" for one of them, all alike likely.
    """

    reference: Annotated[str, by(checks.choice, ("average", "channel"))] = "average"

    def row_arguments(self) -> Sequence[float]:
        return (float(self.reference == "average"),)


class BandRoll(_Filter):
    """A ring of electrodes round a limb turns: x~[c, t] = x[(c - shift) mod size, t] within every
    ring; its channels stand one after the other, ring by ring.

    Source: emg2qwerty: A Large Dataset with Baselines for Touch Typing Using Surface
    Electromyography, 2024. Units: size and shift in channels.

    Args:
        size: channels of a ring, of which C is a multiple, >= 2.
        shift: a range of whole numbers, up to half of `size`; a number v stands for (-v, v).
    """

    size: Annotated[int, by(validation.integer, 2, spec.MAX_CHANNELS)]
    shift: Whole = 1

    def check_arguments(self) -> None:
        validation.whole_interval("shift", self.shift, -(self.size // 2), self.size // 2)

    def row_arguments(self) -> Sequence[float]:
        low, high = validation.pair(self.shift)
        if not isinstance(self.shift, tuple):
            low, high = -abs(high), abs(high)
        return (self.size, low, high)

    def check_shape(self, channels: int, steps: int) -> None:
        if channels % self.size:
            raise ValueError(f"size: {self.size}; accepted: a divisor of C = {channels}")


class Renormalise(_Filter):
    """Every channel of every view anew to mean 0 and deviation 1: x~[c, t] = (x[c, t] - m_c) /
    sigma_c, over the steps before the length; a constant channel becomes 0.

    m_c and sigma_c are constants in the derivative. Its place is after operations that change
    amplitudes, where the series were standardised by themselves.

    Source: the z-score of statistics. Units: no parameter.
    """


class ObservationDropout(_Filter):
    """Observations become missing: x~[c, t] = NaN with probability rate, else x[c, t].

    For encoders that take missing values (NaN), or before `preprocess.fill_missing`.

    Source: PrimeNet: Pre-training for Irregular Multivariate Time Series, 2023, which draws
    subsets of the observations. Units: rate is a probability.

    Args:
        rate: in [0, 1].
        per_channel: channels draw on their own; else whole steps vanish.
    """

    rate: Probability = 0.2
    per_channel: Flag = True

    def row_arguments(self) -> Sequence[float]:
        return (float(round(self.rate * spec.ALWAYS)), float(self.per_channel))


class JitteredStamps(_Filter):
    """Observations at other moments: x~[c, t] = x[c, t + magnitude u_t], linearly interpolated, u_t
    uniform on [-1, 1) for every step, for all channels alike.

    Up to a magnitude of 1/2 no step overtakes another.

    Source: none needed; the clocks of devices jitter. Units: magnitude in steps.

    Args:
        magnitude: in [0, 0.5], or a range.
    """

    magnitude: Annotated[Range, by(validation.interval, 0, 0.5)] = 0.5
