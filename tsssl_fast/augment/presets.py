"""Pipelines from the literature, with every deviation declared."""

from tsssl_fast.augment.compose import Compose
from tsssl_fast.augment.transforms import (
    Blockout,
    CropResize,
    MagnitudeWarp,
    RandomNoise,
    Smooth,
    TimeFlip,
    TimeWarp,
)


def simclr_ts(p: float = 0.5) -> Compose:
    """The seven augmentations of SimCLR-TS.

    Source: Pöppelbaum, Chadha, Schwung, Applied Soft Computing 2022.

    Left-to-right flip, blockout, random noise, crop and resize, magnitude warp, time warp, random
    smoothing, each with probability p per sample.

    Deviations: the publication gives no probabilities and few strengths; these follow its Figure 3
    (blockout of a tenth of the series, sine of about a tenth).
    """
    return Compose(
        [
            TimeFlip(p=p),
            Blockout(length=0.1, p=p),
            RandomNoise(scale=0.1, p=p),
            CropResize(scale=(0.5, 1.0), p=p),
            MagnitudeWarp(amplitude=0.1, periods=(1.0, 3.0), p=p),
            TimeWarp(strength=0.5, p=p),
            Smooth(strength=(0.0, 0.5), p=p),
        ]
    )
