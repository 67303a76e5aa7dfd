"""Augmentations of time series, drawn per sample, all views in one pass.

    from tsssl_fast import augment
    pipeline = augment.presets.simclr_ts()
    v1, v2 = pipeline(x, views=2, seed=0, epoch=epoch, sample_ids=index)

The same seed, epoch, step, rank, sample id and view give the same bits on every backend, in any
batch, with any number of threads.
"""

from tsssl_fast.augment import presets
from tsssl_fast.augment.compose import Compose
from tsssl_fast.augment.transforms import (
    Blockout,
    CropResize,
    MagnitudeWarp,
    RandomNoise,
    SignFlip,
    Smooth,
    TimeFlip,
    TimeWarp,
    Transform,
)

__all__ = [
    "Blockout",
    "Compose",
    "CropResize",
    "MagnitudeWarp",
    "RandomNoise",
    "SignFlip",
    "Smooth",
    "TimeFlip",
    "TimeWarp",
    "Transform",
    "presets",
]
