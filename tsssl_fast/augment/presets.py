"""Pipelines from the literature, with every deviation declared."""

from collections.abc import Sequence

from tsssl_fast.augment.channels import BidirectionalFlip, Rotation
from tsssl_fast.augment.compose import Compose, PerView
from tsssl_fast.augment.crops import OverlappingCrops
from tsssl_fast.augment.masks import Blockout, ChannelDropout, TimeDropout
from tsssl_fast.augment.signals import (
    BandPass,
    BandRoll,
    BandStop,
    BaselineWander,
    ChannelSwap,
    ColouredNoise,
    FrequencyShift,
    JitteredStamps,
    ObservationDropout,
    PowerlineHum,
    Rereference,
    TaperedMask,
)
from tsssl_fast.augment.time import (
    CropResize,
    SegmentPermutation,
    Smooth,
    TimeFlip,
    TimeShift,
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

    Raises TypeError, ValueError as `Scale`, `Jitter` and `SegmentPermutation` do.
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
    """Geometric masks in every channel, for masked modelling (Dong et al., NeurIPS 2023).

    rate: share of the steps that are masked, in expectation; span: mean steps of a masked run.
    Raises TypeError, ValueError as `TimeDropout`.
    """
    return Compose([TimeDropout(rate=rate, span=span, per_channel=True)])


def ts2vec_crops(min_overlap: int = 2) -> OverlappingCrops:
    """The overlapping crops of TS2Vec (Yue et al., AAAI 2022); its masks act on the latent series.

    min_overlap: steps that both crops have at least. Raises as `OverlappingCrops`.

    Deviation: none in the draws; they come from one seed instead of the global generator.
    """
    return OverlappingCrops(min_overlap)


def eeg(
    rate: float, pairs: Sequence[tuple[int, int]] | None = None, mains: float = 50.0, p: float = 0.5
) -> Compose:
    """Augmentation of EEG, each operation with probability p.

    Source: Contrastive Representation Learning for Electroencephalogram Classification, 2020, and
    Data Augmentation for Learning Predictive Models on EEG: A Systematic Comparison, 2022. Neither
    flips sign or time: rhythms and spikes have a polarity and a direction.

    Deviation: strengths are ours, for series in standard deviations.

    rate: samples per second; above twice `mains`, hum is one of the operations. pairs: electrodes
    left and right of each other, as ChannelSwap takes them; None: no swap. mains: 50 or 60 Hz.
    """
    swap = [] if pairs is None else [ChannelSwap(pairs, p=p)]
    return Compose(
        [
            *swap,
            Rereference("average", p=p / 2),
            TimeShift(0.1, p=p),
            FrequencyShift(rate, shift=min(0.5, rate / 2), p=p),
            BandStop(rate, centre=(min(2.0, rate / 8), min(40.0, rate / 2)), width=5.0, p=p),
            ColouredNoise(magnitude=(0.0, 0.3), exponent=1.0, p=p),
            *_hum(rate, mains, p),
            Scale((0.5, 2.0), p=p),
            ChannelDropout(0.1, p=p),
            TaperedMask(length=(0.05, 0.2), p=p),
        ]
    )


def ecg(rate: float, mains: float = 50.0, p: float = 0.5) -> Compose:
    """Augmentation of ECG, each operation with probability p: what reaches the leads beside the
    heart. The rhythm keeps its speed within a tenth, its sign and its direction.

    Source: A Noise Stress Test for Arrhythmia Detectors, 1984, for the kinds of noise. Deviation:
    made noise in the place of recordings.

    rate, mains: as of `eeg`.
    """
    return Compose(
        [
            CropResize((0.9, 1.0), p=p),
            BaselineWander(rate, frequency=(min(0.05, rate / 2), min(0.5, rate / 2)), p=p),
            *_hum(rate, mains, p),
            ColouredNoise(magnitude=(0.0, 0.2), p=p),
            Scale((0.8, 1.2), p=p),
            TaperedMask(length=(0.05, 0.15), p=p),
        ]
    )


def emg(rate: float, size: int | None = None, mains: float = 50.0, p: float = 0.5) -> Compose:
    """Augmentation of surface EMG, each operation with probability p.

    Source: emg2qwerty: A Large Dataset with Baselines for Touch Typing Using Surface
    Electromyography, 2024, for the roll of the electrodes and masks.

    rate, mains: as of `eeg`. size: electrodes of a band round the limb, whose channels stand one
    after the other; None: no roll.
    """
    roll = [] if size is None else [BandRoll(size, p=p)]
    return Compose(
        [
            *roll,
            TimeShift(0.05, p=p),
            BandPass(
                rate,
                low=(min(5.0, rate / 50), min(20.0, rate / 12)),
                high=(0.3 * rate, 0.5 * rate),
                p=p,
            ),
            *_hum(rate, mains, p),
            RandomNoise(0.1, distribution="normal", p=p),
            Scale((0.5, 2.0), per_channel=True, p=p),
            ChannelDropout(0.1, p=p),
            TaperedMask(length=(0.05, 0.2), p=p),
        ]
    )


def irregular(rate: float = 0.2, magnitude: float = 0.5) -> Compose:
    """Augmentation of irregularly observed series: other moments, fewer observations.

    Source: PrimeNet: Pre-training for Irregular Multivariate Time Series, 2023, for the subsets of
    observations. Missing values are NaN: for encoders that take them.

    rate: probability of an observation to become missing. magnitude: of the stamps, in steps.
    """
    return Compose([JitteredStamps((0.0, magnitude)), ObservationDropout(rate)])


def _hum(rate: float, mains: float, p: float) -> list[PowerlineHum]:
    """Nothing where the mains are above half of the rate."""
    return [PowerlineHum(rate, frequency=mains, p=p)] if rate > 2 * mains else []
