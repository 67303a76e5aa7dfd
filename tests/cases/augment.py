"""What the augmentation tests share: every operation, exact inputs, every instruction set."""

import contextlib
from collections.abc import Iterator

import torch

from tsssl_fast import augment
from tsssl_fast.backends import cpp as native
from tsssl_fast.common import random

ISAS = [name for name, supported in native.C.isas().items() if supported] if native.C else []

OPERATIONS = {
    "time_flip": augment.TimeFlip(),
    "sign_flip": augment.SignFlip(),
    "sign_flip_per_channel": augment.SignFlip(per_channel=True),
    "blockout_ratio": augment.Blockout(length=(0.1, 0.6), fill=0.25),
    "blockout_steps": augment.Blockout(length=(1, 1)),
    "blockout_channels": augment.Blockout(length=0.3, channels=(0.1, 0.8), fill="mean"),
    "blockout_literal": augment.Blockout(length=(0.1, 0.9), form="literal"),
    "random_noise_uniform": augment.RandomNoise(magnitude=(0.1, 0.5)),
    "random_noise_normal": augment.RandomNoise(magnitude=0.3, distribution="normal"),
    "crop_resize": augment.CropResize(length=(0.3, 1.0)),
    "magnitude_warp": augment.MagnitudeWarp(magnitude=(0.1, 0.4), periods=(0.0, 5.5)),
    "magnitude_warp_literal": augment.MagnitudeWarp(form="literal"),
    "magnitude_spline": augment.MagnitudeSpline(magnitude=(0.1, 0.3), knots=3),
    "time_warp": augment.TimeWarp(magnitude=(0.2, 0.9), knots=3),
    "time_warp_no_knots": augment.TimeWarp(knots=0),
    "smooth": augment.Smooth(),
    "smooth_passes": augment.Smooth(magnitude=2 / 3, passes=3),
    "smooth_zero": augment.Smooth(magnitude=2 / 3, edge="zero"),
    "smooth_reflect": augment.Smooth(passes=2, edge="reflect"),
    "channel_flip": augment.ChannelFlip(),
    "bidirectional_flip": augment.BidirectionalFlip(),
    "channel_permutation": augment.ChannelPermutation(),
    "jitter": augment.Jitter(magnitude=(0.01, 0.1)),
    "jitter_uniform": augment.Jitter(distribution="uniform"),
    "random_crop": augment.RandomCrop(length=(0.2, 0.7), fill=-1.5),
    "scale": augment.Scale(factor=(-1.0, 2.0)),
    "scale_normal": augment.Scale(magnitude=0.1, per_channel=True),
    "time_scale": augment.TimeScale(speed=(0.5, 1.8)),
    "time_scale_zero": augment.TimeScale(speed=(0.5, 1.8), edge="zero"),
    "segment_permutation": augment.SegmentPermutation(segments=(2, 7)),
    "time_shift": augment.TimeShift(shift=0.4),
    "time_shift_repeat": augment.TimeShift(shift=(-30, 30), edge="repeat"),
    "time_shift_zero": augment.TimeShift(shift=0.4, edge="zero"),
    "window_slice": augment.WindowSlice(),
    "window_warp": augment.WindowWarp(length=(0.1, 0.5)),
    "drift": augment.Drift(),
    "drift_absolute": augment.Drift(magnitude=0.3, knots=5, relative=False),
    "channel_dropout": augment.ChannelDropout(rate=0.4, fill=0.5),
    "time_dropout": augment.TimeDropout(rate=0.3, per_channel=True),
    "time_dropout_spans": augment.TimeDropout(rate=0.3, span=3.0),
    "offset": augment.Offset(offset=(-1.0, 0.5)),
    "offset_per_channel": augment.Offset(per_channel=True),
    "quantize": augment.Quantize(levels=(2, 9)),
    "one_of": augment.OneOf([augment.TimeFlip(), augment.Jitter(), augment.Identity()]),
    "one_of_weighted": augment.OneOf([augment.SignFlip(), augment.Smooth()], weights=(1.0, 3.0)),
    "some_of": augment.SomeOf(
        [
            augment.Drift(),
            augment.RandomApply([augment.Jitter(), augment.TimeShift()], p=0.5),
            augment.Scale(p=0.7),
        ],
        count=(1, 3),
        p=0.9,
    ),
}

# Operations in plain torch that are held to the bit.
MIXTURES = {
    "mixup": augment.MixUp(weight=(0.2, 0.9)),
    "cutmix": augment.CutMix(),
    "moving_average": augment.MovingAverage(width=(3, 9)),
    "moving_average_zero": augment.MovingAverage(width=3, edge="zero"),
    "moving_average_reflect": augment.MovingAverage(width=5, edge="reflect"),
    "time_warp_literal": augment.TimeWarp(magnitude=(0.1, 0.9), form="literal"),
    "scale_literal": augment.Scale(magnitude=1.1, form="literal"),
    "segment_permutation_literal": augment.SegmentPermutation(segments=(1, 7), form="literal"),
}

# Operations that need three channels.
ROTATION = augment.Rotation(triples=((2, 0, 1), (5, 3, 4)))

# All whose output is pinned: tests/augment/golden.json.
PINNED = {
    **OPERATIONS,
    **MIXTURES,
    "rotation": augment.Rotation(),
    "identity": augment.Identity(),
    "channel_swap": augment.ChannelSwap([(0, 2)]),
    "rereference_channel": augment.Rereference("channel"),
    "band_roll": augment.BandRoll(3),
    "observation_dropout": augment.ObservationDropout(0.3),
    "observation_dropout_steps": augment.ObservationDropout(0.3, per_channel=False),
    "jittered_stamps": augment.JitteredStamps((0.1, 0.5)),
    "random_apply": augment.RandomApply([augment.SignFlip(), augment.Jitter()], p=0.5),
}

SHAPES = [(1, 1, 1), (3, 2, 2), (2, 3, 3), (5, 3, 37), (2, 9, 128), (2, 2, 1031)]


def series(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Numbers in [-2, 2) with 24 bits, from Philox: the same on every machine."""
    count = int(torch.tensor(shape).prod())
    words = random.philox((torch.arange(count), *(torch.zeros(count).long(),) * 3), (1, 2))[0]
    return (random.uniform(words, torch.float64) * 4 - 2).reshape(shape).to(dtype)


@contextlib.contextmanager
def isa(name: str) -> Iterator[None]:
    native.module().set_isa(name)
    try:
        yield
    finally:
        native.module().set_isa("")


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(torch.nan_to_num(a, 77.0), torch.nan_to_num(b, 77.0))
