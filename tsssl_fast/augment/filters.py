"""Filters along time in plain torch: a wide box, and the spectrum with torch.fft.

Operations on the spectrum are held to a tolerance instead of to the bit: Fourier transforms round
differently from library to library. What they draw is the same everywhere.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from torch import Tensor

from tsssl_fast.augment import validation
from tsssl_fast.augment.run import Number
from tsssl_fast.augment.torch_only import TorchOnly
from tsssl_fast.augment.validation import Edge, Flag, Probability, Whole, by
from tsssl_fast.ops.augment import spec

__all__ = [
    "FrequencyMask",
    "MovingAverage",
    "PhaseSurrogate",
]


class _Filter(TorchOnly):
    def forward(self, x: Any, views: Number | None = None, **arguments: Any) -> Any:
        """As Compose's call; or (views, N, C, T) from a pipeline, with the arguments that it draws
        from. Differentiable with respect to x.
        """
        if isinstance(x, Tensor) and x.dim() == 4:
            return self.run(x, views, **arguments)[0]
        return super().forward(x, views, **arguments)


class FrequencyMask(_Filter):
    """Frequencies vanish: x~[c] = irfft(M rfft(x[c])), M_k = 0 with probability rate, else 1.

    M_0 = 1: the mean stays.

    Source: TF-C (Zhang et al., NeurIPS 2022), its removal. Units: rate is a probability.

    Args:
        rate: in [0, 1].
        per_channel: channels draw on their own.
    """

    rate: Probability = 0.1
    per_channel: Flag = False


class PhaseSurrogate(_Filter):
    """Random phases under the same amplitudes: x~[c] = irfft(exp(i a) rfft(x[c])).

    The phase of every frequency but the mean turns by an angle uniform on [-magnitude pi, magnitude
    pi): power spectrum and autocorrelation stay. The highest frequency of an even T has no phase
    and stays too.

    Source: Theiler et al., Physica D 1992. Units: magnitude in half turns.

    Args:
        magnitude: in [0, 1]; 1 forgets the phases.
        per_channel: channels draw on their own.
    """

    magnitude: Probability = 1.0
    per_channel: Flag = False
    renamed: ClassVar[Mapping[str, str]] = {"strength": "magnitude"}


class MovingAverage(_Filter):
    """The mean of `width` neighbouring steps (a box filter): x~[t] = sum_{|k| <= h} x[t+k] / width.

    width = 2 h + 1.

    Source: Oppenheim and Schafer, Discrete-Time Signal Processing (moving average). SimCLR-TS's
    smoothing with lambda is Smooth. Units: width in steps.

    Args:
        width: an odd number of steps, 3 to 1025, or a range of odd ones; drawn per sample.
        edge: what stands beyond the ends: "repeat" the end value, "zero", or "reflect".
    """

    width: Annotated[Whole, by(validation.whole_interval, 3, spec.MAX_WIDTH)] = (
        3,
        9,
    )
    edge: Edge = "repeat"

    def check_arguments(self) -> None:
        if any(end % 2 == 0 for end in validation.pair(self.width)):
            raise ValueError(f"width: {self.width}; accepted: odd numbers of steps")

    def columns(self) -> dict[str, float]:
        low, high = validation.pair(self.width)
        return {**super().columns(), "low": (low - 1) / 2, "high": (high - 1) / 2}
