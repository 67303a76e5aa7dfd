"""Pipelines from the literature, with every deviation declared."""

from tsssl_fast.augment.channels import BidirectionalFlip, Rotation
from tsssl_fast.augment.compose import Compose, PerView
from tsssl_fast.augment.crops import OverlappingCrops
from tsssl_fast.augment.masks import Blockout, TimeDropout
from tsssl_fast.augment.time import (
    CropResize,
    SegmentPermutation,
    Smooth,
    TimeFlip,
    TimeWarp,
    WindowSlice,
    WindowWarp,
)
from tsssl_fast.augment.values import Jitter, MagnitudeSpline, MagnitudeWarp, RandomNoise, Scale
from tsssl_fast.common.renaming import renamed


def simclr_ts(p: float = 0.5, literal: bool = False) -> Compose:
    """The seven augmentations of SimCLR-TS.

    Source: Pöppelbaum, Chadha, Schwung, Applied Soft Computing 2022.

    Left-to-right flip, blockout, random noise, crop and resize, magnitude warp, time warp, random
    smoothing, each with probability p per sample. The publication gives no probabilities and few
    strengths; these follow its Figure 3 (blockout of a tenth of the series, sine of about a tenth).

    literal: the formulas as printed where they differ from what the figures show: blockout of a
    block of channels and time with inclusive ends, magnitude warp as a (1 + sin), and the
    bidirectional flip of channels and time as an eighth operation.
    """
    if not literal:
        return Compose(
            [
                TimeFlip(p=p),
                Blockout(length=0.1, p=p),
                RandomNoise(magnitude=0.1, p=p),
                CropResize(length=(0.5, 1.0), p=p),
                MagnitudeWarp(magnitude=0.1, periods=(1.0, 3.0), p=p),
                TimeWarp(magnitude=0.5, p=p),
                Smooth(magnitude=(0.0, 0.5), p=p),
            ]
        )
    return Compose(
        [
            TimeFlip(p=p),
            BidirectionalFlip(p=p),
            Blockout(length=0.1, form="literal", p=p),
            RandomNoise(magnitude=0.1, p=p),
            CropResize(length=(0.5, 1.0), p=p),
            MagnitudeWarp(magnitude=1.0, periods=2.0, form="literal", p=p),
            TimeWarp(magnitude=0.5, p=p),
            Smooth(magnitude=(0.0, 1.0), p=p),
        ]
    )


@renamed(jitter_scale="scale_magnitude", jitter="jitter_magnitude")
def ts_tcc(
    scale_magnitude: float = 1.1,
    jitter_magnitude: float = 0.8,
    max_segments: int = 7,
    literal: bool = False,
) -> PerView:
    """Weak and strong views of TS-TCC: view 0 scale, view 1 permutation and jitter.

    Source: Eldele et al., IJCAI 2021; the defaults are those published for HAR (its max_seg = 8
    is the first number of segments that is never drawn).

    Deviations: scaling is per channel around 1 (the published code draws a factor per time step
    around 2), the permutation moves all channels (the code copies channel 0 into all), segments
    are of equal length (the code draws their borders).

    literal: as the published code does, both indexing errors included: Scale(form="literal") and
    SegmentPermutation(form="literal").
    """
    form = "literal" if literal else "equal"
    scale = Scale(magnitude=scale_magnitude, per_channel=True)
    if literal:
        scale = Scale(magnitude=scale_magnitude, form="literal")
    segments = SegmentPermutation(segments=(1, max_segments), form=form)
    strong = [segments, Jitter(magnitude=jitter_magnitude)]
    return PerView([Compose([scale]), Compose(strong)])


def um2017(triples: tuple[tuple[int, int, int], ...] = ((0, 1, 2),), p: float = 0.5) -> Compose:
    """Augmentation of wearable-sensor data after Um et al., ICMI 2017, each with probability p.

    Jitter 0.05, scaling N(1, 0.1) per channel, magnitude warp 0.2, time warp, rotation of
    three-axis sensors, permutation of four parts, window slice 0.9 and window warp after the
    reference implementation of Iwana and Uchida.

    Deviations: magnitude and time warp use other smooth curves (see MagnitudeSpline, TimeWarp).
    """
    return Compose(
        [
            Jitter(magnitude=0.05, p=p),
            Scale(magnitude=0.1, per_channel=True, p=p),
            MagnitudeSpline(magnitude=0.2, knots=4, p=p),
            TimeWarp(magnitude=0.5, knots=4, p=p),
            Rotation(triples=triples, p=p),
            SegmentPermutation(segments=4, p=p),
            WindowSlice(length=0.9, p=p),
            WindowWarp(length=0.1, p=p),
        ]
    )


def simmtm_mask(rate: float = 0.5, span: float = 3.0) -> Compose:
    """Geometric masks in every channel, for masked modelling (Dong et al., NeurIPS 2023)."""
    return Compose([TimeDropout(rate=rate, span=span, per_channel=True)])


def ts2vec_crops(min_overlap: int = 2) -> OverlappingCrops:
    """The overlapping crops of TS2Vec (Yue et al., AAAI 2022); its masks act on the latent series.

    Deviation: none in the draws; they come from one seed instead of the global generator.
    """
    return OverlappingCrops(min_overlap)
