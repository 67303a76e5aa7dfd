"""Augmentations of time series, drawn per sample, all views in one pass.

    from tsssl_fast import augment
    pipeline = augment.presets.simclr_ts()
    v1, v2 = pipeline(x, views=2, seed=0, epoch=epoch, sample_ids=index)

The same seed, epoch, step, rank, sample id and view give the same bits on every backend, in any
batch, with any number of threads.
"""

from tsssl_fast.augment import presets
from tsssl_fast.augment.channels import (
    BidirectionalFlip,
    ChannelFlip,
    ChannelPermutation,
    Rotation,
)
from tsssl_fast.augment.compose import Compose, PerView
from tsssl_fast.augment.crops import Crops, OverlappingCrops
from tsssl_fast.augment.filters import FrequencyMask, MovingAverage, PhaseSurrogate
from tsssl_fast.augment.groups import OneOf, RandomApply, SomeOf
from tsssl_fast.augment.masks import Blockout, ChannelDropout, RandomCrop, TimeDropout
from tsssl_fast.augment.mixing import CutMix, Mixed, MixUp
from tsssl_fast.augment.parameters import Parameters
from tsssl_fast.augment.time import (
    CropResize,
    SegmentPermutation,
    Smooth,
    TimeFlip,
    TimeScale,
    TimeShift,
    TimeWarp,
    WindowSlice,
    WindowWarp,
)
from tsssl_fast.augment.transform import Transform
from tsssl_fast.augment.values import (
    Drift,
    Identity,
    Jitter,
    MagnitudeSpline,
    MagnitudeWarp,
    Quantize,
    RandomNoise,
    Scale,
    SignFlip,
)

__all__ = [
    "BidirectionalFlip",
    "Blockout",
    "ChannelDropout",
    "ChannelFlip",
    "ChannelPermutation",
    "Compose",
    "CropResize",
    "Crops",
    "CutMix",
    "Drift",
    "FrequencyMask",
    "Identity",
    "Jitter",
    "MagnitudeSpline",
    "MagnitudeWarp",
    "MixUp",
    "Mixed",
    "MovingAverage",
    "OneOf",
    "OverlappingCrops",
    "Parameters",
    "PerView",
    "PhaseSurrogate",
    "Quantize",
    "RandomApply",
    "RandomCrop",
    "RandomNoise",
    "Rotation",
    "Scale",
    "SegmentPermutation",
    "SignFlip",
    "Smooth",
    "SomeOf",
    "TimeDropout",
    "TimeFlip",
    "TimeScale",
    "TimeShift",
    "TimeWarp",
    "Transform",
    "WindowSlice",
    "WindowWarp",
    "presets",
]
