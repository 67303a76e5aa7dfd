"""torch-audiomentations 0.12: `from tsssl_fast.compat.torch_audiomentations import Compose, Gain`.

Plain torch, and one pass over the batch where the library loops over examples. Draws come from
torch's global generator (and Python's `random` in Compose, OneOf and SomeOf) in the library's
order: after the same seed the results are the library's own numbers. What is faster than that, has
a seed of its own and draws all views in one pass is `tsssl_fast.augment`.

Where the results differ from its code, on purpose:

* `freeze_parameters` of a Compose, SomeOf or OneOf freezes its own choices too: whether it acts,
  the order and the members. A frozen Compose with p=0.5 acts on 0 or 100 of 100 calls, there on 50
  on average.

Shift moves no targets with frames of their own, where the library fails or warns: an error.
"""

from tsssl_fast.compat._shared import refusing
from tsssl_fast.compat.torch_audiomentations.composition import Compose, OneOf, SomeOf
from tsssl_fast.compat.torch_audiomentations.interface import (
    BaseWaveformTransform,
    ModeNotSupportedException,
    MultichannelAudioNotSupportedException,
    ObjectDict,
)
from tsssl_fast.compat.torch_audiomentations.transforms import (
    Gain,
    Identity,
    PeakNormalization,
    PolarityInversion,
    Shift,
    ShuffleChannels,
    TimeInversion,
)

__all__ = [
    "BaseWaveformTransform",
    "Compose",
    "Gain",
    "Identity",
    "ModeNotSupportedException",
    "MultichannelAudioNotSupportedException",
    "ObjectDict",
    "OneOf",
    "PeakNormalization",
    "PolarityInversion",
    "Shift",
    "ShuffleChannels",
    "SomeOf",
    "TimeInversion",
]

_INSTEAD = {
    "AddBackgroundNoise": "tsssl_fast.augment.MixUp mixes series of the batch",
    "AddColoredNoise": "tsssl_fast.augment.RandomNoise is white, in deviations of a channel",
    "ApplyImpulseResponse": "torch.nn.functional.conv1d in a module of Compose",
    "BandPassFilter": "tsssl_fast.augment.FrequencyMask, or a module in Compose",
    "BandStopFilter": "tsssl_fast.augment.FrequencyMask, or a module in Compose",
    "HighPassFilter": "a module in Compose",
    "LowPassFilter": "tsssl_fast.augment.Smooth or MovingAverage",
    "PitchShift": "tsssl_fast.augment.TimeScale changes speed and pitch",
    "SpliceOut": "tsssl_fast.augment.Blockout keeps the length",
    "convolve": "torch.nn.functional.conv1d",
    "from_dict": "build the transforms in Python",
    "from_yaml": "build the transforms in Python",
}

__getattr__ = refusing(__name__, _INSTEAD)
